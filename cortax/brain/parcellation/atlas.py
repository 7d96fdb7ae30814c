"""The Atlas: named regions as weights over the locations of a space, and how it lies on disk."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import scipy.sparse
from numpy.typing import NDArray

from cortax.brain.data.spaces import Space
from cortax.errors import AtlasError
from cortax.store import load, naming, save

__all__ = ["Atlas", "hard_weights", "open_atlas", "save_atlas"]


@dataclass(frozen=True, eq=False)
class Atlas:
    """A parcellation of a space.

    `regions` are unique names; row i of `weights`, a scipy CSR array (n_regions, n_locations) of float64, belongs
    to `regions[i]`. A region without any location keeps its name and an empty row: names never shift. A location
    in no region is background. `statistic` is what `parcellate` takes unless told otherwise.

    AtlasError is raised when names are duplicated, shapes disagree or weights are not finite.
    """

    name: str
    space: Space
    regions: tuple[str, ...]
    weights: scipy.sparse.csr_array
    statistic: str = "mean"

    def __post_init__(self) -> None:
        twice = sorted(region for region, count in Counter(self.regions).items() if count > 1)
        if twice:
            raise AtlasError(f"atlas {self.name!r}: region names must be unique, these are not: {twice[:10]}")
        if not self.regions:
            raise AtlasError(f"atlas {self.name!r}: has no regions")
        expected = (len(self.regions), self.space.n_locations)
        if self.weights.shape != expected:
            raise AtlasError(
                f"atlas {self.name!r}: weights are {self.weights.shape}, must be (n_regions, n_locations) = "
                f"{expected} for space {self.space.describe()}"
            )
        object.__setattr__(self, "weights", _canonical(self.weights))
        if not np.isfinite(self.weights.data).all():
            raise AtlasError(f"atlas {self.name!r}: weights must be finite, found NaN or infinity")

    @property
    def n_regions(self) -> int:
        """The number of regions, empty ones included."""
        return len(self.regions)

    @property
    def sizes(self) -> NDArray[np.int64]:
        """Locations with a non-zero weight, int64 (n_regions,)."""
        sizes: NDArray[np.int64] = np.diff(self.weights.indptr).astype(np.int64)
        return sizes

    @property
    def is_signed(self) -> bool:
        """Whether any weight is negative, which makes the statistic a least-squares fit."""
        return bool((self.weights.data < 0).any())

    @property
    def is_hard(self) -> bool:
        """Whether each location is in one region at most, with weight 1."""
        indices = self.weights.indices
        return bool((self.weights.data == 1).all()) and len(np.unique(indices)) == len(indices)


def hard_weights(labels: NDArray[np.integer], keys: NDArray[np.integer]) -> scipy.sparse.csr_array:
    """Weights of a hard parcellation.

    Parameters
    ----------
    labels : array of shape (n_locations,), int
        Values not in `keys` are background.
    keys : array of shape (n_regions,), int, unique
        The label of each region. A key that no location has gives an empty row.

    Returns
    -------
    CSR array of shape (n_regions, n_locations), float64
        Ones.
    """
    order = np.argsort(keys, kind="stable")
    place = np.searchsorted(keys, labels, sorter=order).clip(max=len(keys) - 1)
    region = order[place]
    (location,) = np.nonzero(keys[region] == labels)
    ones = np.ones(len(location))
    return scipy.sparse.csr_array((ones, (region[location], location)), shape=(len(keys), len(labels)))


def save_atlas(folder: Path | str, atlas: Atlas) -> None:
    """Write `atlas.npz` (CSR parts) and `atlas.json` (the rest) into a folder; same atlas, same bytes."""
    matrix = atlas.weights
    parts = {
        "data": matrix.data,
        "indices": matrix.indices.astype(np.int64),
        "indptr": matrix.indptr.astype(np.int64),
        "shape": np.array(matrix.shape, np.int64),
    }
    head = {
        "name": atlas.name,
        "regions": atlas.regions,
        "sizes": atlas.sizes.tolist(),
        "space": atlas.space.to_dict(),
        "statistic": atlas.statistic,
    }
    save(folder, {"atlas.npz": parts, "atlas.json": head}, sort_keys=False, end="\n")


def open_atlas(folder: Path | str) -> Atlas:
    """Read what `save_atlas` wrote; ProjectError names the file that is missing or damaged."""
    head, parts = load(folder, "atlas.json", "atlas.npz")
    with naming(Path(folder)):
        csr = parts["data"], parts["indices"], parts["indptr"]
        matrix = scipy.sparse.csr_array(csr, shape=tuple(parts["shape"]))
        return Atlas(head["name"], Space.from_dict(head["space"]), tuple(head["regions"]), matrix, head["statistic"])


def _canonical(weights: scipy.sparse.csr_array) -> scipy.sparse.csr_array:
    weights = weights.astype(np.float64, copy=True)
    weights.sum_duplicates()
    weights.eliminate_zeros()
    return weights

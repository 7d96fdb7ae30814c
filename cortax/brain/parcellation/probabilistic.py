"""Probabilistic atlases: a 4-D NIfTI image, a volume of weights for each region, which may overlap."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import scipy.sparse
from numpy.typing import NDArray

from cortax.brain.data.labels import is_background
from cortax.brain.data.name_lists import read_names
from cortax.brain.data.resample import turn_axes
from cortax.brain.data.spaces import Space
from cortax.brain.data.stacks import Stacks, describe_stack
from cortax.brain.parcellation.readers import Parts
from cortax.data.files import ends_with
from cortax.errors import AtlasError

__all__ = ["count_probabilistic", "read_probabilistic"]

Spec = Mapping[str, Any]


def read_probabilistic(spec: Spec, space: Space, root: Path) -> Parts:
    """Read the weights of a probabilistic atlas.

    `names` is a list, one a line, or a table with the column `name`, in the order of the volumes; without it regions
    are called by their number from 1. Weights below `threshold`, in the units of the file, count as none. One volume is
    held in memory at a time, and of all of them what is not zero.

    Raises
    ------
    AtlasError, InputError
        Files that are missing, damaged, no NIfTI, or on another grid than the maps; another number of names than of
        volumes; regions with weights that are negative or not finite, or with none that is large enough.
    """
    path = _image(spec, root)
    stack = describe_stack(path)
    names = _names(spec, root, stack.n_rows)
    if stack.space is None or space.kind != "volume":
        raise AtlasError(f"{path}: volumes of weights are for maps in volumes, these are in {space.describe()}")
    if turn_axes(np.zeros(stack.space.n_locations, np.float32), stack.space, space) is None:
        raise AtlasError(
            f"{path}: its grid is {stack.space.describe()}, that of the maps is {space.describe()}; weights are not "
            "resampled here: bring the atlas onto the maps' grid, such as by nilearn's resample_to_img"
        )
    threshold = float(spec.get("threshold", 0.0))
    true = [i for i, name in enumerate(names) if not is_background(name)]
    rows, faults = [], dict[str, list[str]]()
    with Stacks() as stacks:
        for i in true:
            found = turn_axes(stacks.read(path, i).values, stack.space, space)
            weights = np.asarray(found, np.float64)
            if fault := _fault(weights, threshold):
                faults.setdefault(fault, []).append(names[i])
            rows.append(scipy.sparse.csr_array(np.where(weights >= threshold, weights, 0.0)[None]))
    for fault, regions in faults.items():
        raise AtlasError(f"{path}: {fault} in {len(regions)} of {len(true)} regions: {regions[:10]}")
    if not rows:
        raise AtlasError(f"{path}: all of {len(names)} volumes are background by their names: {list(names[:10])}")
    return Parts(tuple(names[i] for i in true), scipy.sparse.csr_array(scipy.sparse.vstack(rows, format="csr")))


def count_probabilistic(spec: Spec, root: Path) -> int:
    """Count the regions, by the header and the names."""
    names = _names(spec, root, describe_stack(_image(spec, root)).n_rows)
    return sum(not is_background(name) for name in names)


def _image(spec: Spec, root: Path) -> Path:
    path = root / str(spec["file"])
    if not ends_with(path, ".nii", ".nii.gz"):
        raise AtlasError(f"{path}: a probabilistic atlas comes as .nii or .nii.gz")
    return path


def _names(spec: Spec, root: Path, n_volumes: int) -> Sequence[str]:
    if "names" not in spec:
        return [str(i + 1) for i in range(n_volumes)]
    names = read_names(root / spec["names"])
    if len(names) != n_volumes:
        raise AtlasError(f"{root / spec['names']}: {len(names)} names for the {n_volumes} volumes of {spec['file']}")
    return names


def _fault(weights: NDArray[np.float64], threshold: float) -> str:
    if not np.isfinite(weights).all():
        return "weights that are not finite"
    if (weights < 0).any():
        return "negative weights"
    if not ((weights > 0) & (weights >= threshold)).any():
        return f"no weight of at least threshold = {threshold:g}" if threshold else "all weights are zero"
    return ""

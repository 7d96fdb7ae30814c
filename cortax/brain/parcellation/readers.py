"""Parcellations that exist as files: hard labels, and soft or signed weights.

A reader takes a study's table for one parcellation (its keys already checked), the space of the maps and the
folder that paths start from. It returns the regions' names and the weights (n_regions, n_locations).
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import scipy.sparse
from numpy.typing import NDArray

from cortax.brain.data.bounds import check_npz, open_npy
from cortax.brain.data.cifti import expand_cortex
from cortax.brain.data.labels import LabelValues, is_background, read_labels
from cortax.brain.data.map_files import split_pick
from cortax.brain.data.resample import resample_labels, turn_axes
from cortax.brain.data.spaces import Space, known_space
from cortax.brain.parcellation.atlas import hard_weights
from cortax.data.files import DamagedFileError, opened
from cortax.data.textfiles import read_rows
from cortax.errors import AtlasError, InputError

__all__ = ["RESAMPLE", "Parts", "check_label_keys", "describe_labels", "read_label_files", "read_weights"]

Spec = Mapping[str, Any]


class Parts(NamedTuple):
    """Names of regions, weights (n_regions, n_locations), and the space of the file where it says more of it."""

    regions: tuple[str, ...]
    weights: scipy.sparse.csr_array
    space: Space | None = None


# One sphere cut ever finer: the first vertices of a finer mesh are the coarser mesh.
NESTED = frozenset(10 * 4**level + 2 for level in range(8))
RESAMPLE = ("nearest", "nested")


def read_label_files(spec: Spec, space: Space, root: Path) -> Parts:
    """Read a hard parcellation: `left` and `right`, or one `file` with the names of its labels.

    With `left` and `right`, regions are called `L_name` and `R_name`, unless the two files share no name. A file
    with more vertices than the space is cut if both belong to fsaverage and `resample = "nested"` asks for it. A
    volume on another grid is resampled if `resample = "nearest"` does; voxels and grayordinates that the file lists
    in another order are put in that of the maps. `names` is a table of tab-separated values with the columns `index`
    and `name`; a region that it lists and no location has stays, empty. `file.dlabel.nii#Yeo17` is one of several.

    Raises
    ------
    AtlasError, InputError
        Files that are missing, damaged, without labels, of the other hemisphere or in another space.
    """
    if "file" in spec:
        return _one_file(spec, space, root)
    return _two_files(spec, space, root)


def describe_labels(spec: Spec, root: Path) -> tuple[int, tuple[str, ...]]:
    """Count the regions of a hard parcellation, and list the names that its files have for what is none."""
    n_regions, background = 0, list[str]()
    for key in ("file", "left", "right"):
        if key in spec:
            path, found = _read(spec[key], root)
            names = found.names
            background += found.background
            if "names" in spec:
                names = _label_names(root / spec["names"], found, path)
                rows = _table(root / spec["names"], ("name",))
                background += [row["name"] for row in rows if is_background(row["name"])]
            n_regions += len(names)
    return n_regions, tuple(dict.fromkeys(background))


def check_label_keys(spec: Spec) -> None:
    """Raise AtlasError unless labels come as one `file`, or as `left` and `right` without a table of names."""
    pair = [key for key in ("left", "right") if key in spec]
    if ("file" in spec) == bool(pair) or len(pair) == 1:
        raise AtlasError(f"labels want either 'file' or both 'left' and 'right', got {sorted(spec)}")
    if pair and "names" in spec:
        raise AtlasError("names: goes with 'file' only, files of a hemisphere hold their names")


def read_weights(spec: Spec, space: Space, root: Path) -> Parts:
    """Read soft or signed weights (n_locations, n_regions) from `.npy`, or scipy's sparse `.npz`.

    `names` is a table of tab-separated values with the column `name`, in the order of the columns of `file`;
    without it regions are called by their number from 1.

    Raises
    ------
    AtlasError, InputError
        Files that are missing, damaged, of another shape, or do not have the same number of regions.
    """
    path = root / spec["file"]
    if path.suffix not in (".npy", ".npz"):
        raise AtlasError(f"{path}: weights come as .npy or .npz, got {path.suffix!r}")
    _check_unnamed(path, space)
    with opened(path, "array of weights"):
        weights = scipy.sparse.csr_array(_loaded(path, space).T, dtype=np.float64)
    n_regions = weights.shape[0]
    if "names" not in spec:
        return Parts(tuple(str(i + 1) for i in range(n_regions)), weights)
    table = _table(root / spec["names"], ("name",))
    if len(table) != n_regions:
        raise AtlasError(f"{root / spec['names']}: {len(table)} names for the {n_regions} regions of {path}")
    true = [i for i, row in enumerate(table) if not is_background(row["name"])]
    return Parts(tuple(table[i]["name"] for i in true), weights[true])


def _loaded(path: Path, space: Space) -> Any:
    if path.suffix == ".npz":
        check_npz(path)
        # numpy leaves a damaged file open that it has opened itself
        with path.open("rb") as file:
            loaded: Any = scipy.sparse.load_npz(file)
    else:
        loaded = open_npy(path)
    if loaded.ndim != 2 or loaded.shape[0] != space.n_locations or loaded.dtype.kind not in "fiub":
        raise AtlasError(
            f"{path}: weights must be numbers of shape (n_locations, n_regions) with n_locations = "
            f"{space.n_locations} of space {space.name}, found {loaded.dtype} of shape {loaded.shape}"
        )
    # A matrix of few numbers may claim any number of empty columns
    if not 0 < loaded.shape[1] <= max(space.n_locations, loaded.size):
        raise DamagedFileError(path, f"claims {loaded.shape[1]} regions of {space.n_locations} locations")
    return loaded


def _check_unnamed(path: Path, space: Space) -> None:
    if space.reordered:
        raise AtlasError(
            f"{path}: an array does not say where its values lie, and the maps list their grayordinates in an unusual "
            "order: their order cannot be compared; give a .dlabel.nii"
        )


def _two_files(spec: Spec, space: Space, root: Path) -> Parts:
    if space.kind != "surface":
        raise AtlasError(f"'left' and 'right' are for surfaces, the maps are in {space.describe()}")
    halves = [_hemisphere(spec[key], root, key[0].upper(), spec, space) for key in ("left", "right")]
    (left, left_weights, _), (right, right_weights, _) = halves
    if set(left) & set(right):
        left, right = tuple(f"L_{name}" for name in left), tuple(f"R_{name}" for name in right)
    weights = scipy.sparse.csr_array(scipy.sparse.block_diag([left_weights, right_weights], format="csr"))
    return Parts(left + right, weights)


def _read(file: str, root: Path) -> tuple[Path, LabelValues]:
    name, pick = split_pick(file)
    return root / name, read_labels(root / name, pick=pick)


def _hemisphere(file: str, root: Path, hemi: str, spec: Spec, space: Space) -> Parts:
    path, found = _read(file, root)
    if found.hemi not in (None, hemi):
        raise AtlasError(f"{path}: is of hemisphere {found.hemi}, given as {hemi}: are left and right swapped?")
    n_found, n_wanted = len(found.labels), space.n_hemisphere(hemi)
    if n_found != n_wanted:
        nested = n_found > n_wanted and {n_found, n_wanted} <= NESTED and space.name.startswith("fsaverage")
        if not nested or spec.get("resample") != "nested":
            known = known_space(n_found, hemi=hemi)
            whose = f" (as {known.name} has)" if known else ""
            ask = '; ask for resample = "nested" to take the first of them' if nested else ""
            raise AtlasError(
                f"{path}: has {n_found} vertices{whose}, the hemisphere {hemi} of {space.name} has {n_wanted}{ask}"
            )
    return _hard(found.labels[:n_wanted], found.names)


def _one_file(spec: Spec, space: Space, root: Path) -> Parts:
    path, found = _read(spec["file"], root)
    names = _label_names(root / spec["names"], found, path) if "names" in spec else found.names
    regions, weights, _ = _hard(_located(found, path, spec, space), names)
    return Parts(regions, weights, found.space if space.kind == "grayordinates" else None)


def _located(found: LabelValues, path: Path, spec: Spec, space: Space) -> NDArray[np.int32]:
    labels, own = found.labels, found.space
    if found.structures and space.kind == "surface":
        try:
            return expand_cortex(labels, found.structures, fill=0, space=space)
        except InputError as error:
            raise AtlasError(f"{path}: {error}") from None
    if own is None:
        _check_unnamed(path, space)
    elif own.kind == space.kind == "volume":
        turned = turn_axes(labels, own, space)
        if turned is None and spec.get("resample") == "nearest":
            return resample_labels(labels, own, space)
        if turned is None:
            raise AtlasError(
                f"{path}: its grid is {own.describe()}, that of the maps is {space.describe()}; "
                'ask for resample = "nearest" to bring the labels onto the maps\' grid'
            )
        return turned
    if (own is not None and not own.matches(space)) or len(labels) != space.n_locations:
        where = own.describe() if own is not None else f"{len(labels)} locations"
        why = own.difference(space) if own is not None and own.n_locations == space.n_locations else ""
        raise AtlasError(f"{path}: labels are in {where}, the maps are in {space.describe()}{why and ': ' + why}")
    return labels if found.order is None else labels[found.order]


def _label_names(table: Path, found: LabelValues, path: Path) -> dict[int, str]:
    rows = _table(table, ("index", "name"))
    odd = [row["index"] for row in rows if not row["index"].isdecimal()]
    if odd:
        raise AtlasError(f"{table}: column 'index' must hold whole numbers, found {odd[:5]}")
    names = {int(row["index"]): row["name"] for row in rows}
    if len(names) < len(rows):
        raise AtlasError(f"{table}: column 'index' holds a number twice")
    absent = sorted(set(np.unique(found.labels).tolist()) - set(names) - {0})
    if absent:
        raise AtlasError(f"{table}: has no name for the labels {absent[:10]} of {path}")
    if not is_background(names.get(0, "")):
        raise AtlasError(f"{table}: names label 0 {names[0]!r}, but 0 is no region in {path}: are all numbers one off?")
    return {index: names[index] for index in sorted(names) if not is_background(names[index])}


def _table(path: Path, columns: tuple[str, ...]) -> list[dict[str, str]]:
    (_, header), *lines = read_rows(path, "\t") or [(1, [])]
    for column in columns:
        if column not in header:
            raise AtlasError(f"{path}: has no column {column!r}, found {header}")
    rows = []
    for number, cells in lines:
        if len(cells) > len(header):
            raise AtlasError(f"{path}: line {number} has {len(cells)} cells, the header has {len(header)}")
        row = dict(zip(header, cells, strict=False))
        if not all(row.get(column) for column in columns):
            raise AtlasError(f"{path}: line {number} lacks one of the columns {list(columns)}")
        rows.append(row)
    return rows


def _hard(labels: NDArray[np.int32], names: Mapping[int, str]) -> Parts:
    return Parts(tuple(names.values()), hard_weights(labels, np.array(list(names), np.int64)))

"""Parcellations that exist as files: hard labels, and soft or signed weights.

A reader takes a study's table for one parcellation (its keys already checked), the space of the maps and the
folder that paths start from. It returns the regions' names and the weights (n_regions, n_locations).
"""

from __future__ import annotations

import csv
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import scipy.sparse
from numpy.typing import NDArray

from cortax.data.cifti import expand_cortex
from cortax.data.files import opened
from cortax.data.labels import LabelValues, read_labels
from cortax.data.resample import resample_labels
from cortax.data.spaces import Space, known_space
from cortax.errors import AtlasError
from cortax.parcellation.atlas import hard_weights

__all__ = ["RESAMPLE", "Parts", "check_label_keys", "read_label_files", "read_weights"]

Spec = Mapping[str, Any]
Parts = tuple[tuple[str, ...], scipy.sparse.csr_array]

# One sphere cut ever finer: the first vertices of a finer mesh are the coarser mesh.
NESTED = frozenset(10 * 4**level + 2 for level in range(8))
RESAMPLE = ("nearest", "nested")


def read_label_files(spec: Spec, space: Space, root: Path) -> Parts:
    """Read a hard parcellation: `left` and `right`, or one `file` with the names of its labels.

    With `left` and `right`, regions are called `L_name` and `R_name`, unless the two files share no name. A file
    with more vertices than the space is cut if both belong to fsaverage and `resample = "nested"` asks for it. A
    volume on another grid is resampled if `resample = "nearest"` does. `names` is a table of tab-separated values
    with the columns `index` and `name`; a region that it lists and no location has stays, empty.

    Raises
    ------
    AtlasError, InputError
        Files that are missing, damaged, without labels, of the other hemisphere or in another space.
    """
    if "file" in spec:
        return _one_file(spec, space, root)
    return _two_files(spec, space, root)


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
    # numpy leaves a damaged file open that it has opened itself
    with opened(path, "array of weights"), path.open("rb") as file:
        read = scipy.sparse.load_npz if path.suffix == ".npz" else np.load
        loaded: Any = read(file)
        if loaded.ndim != 2 or loaded.shape[0] != space.n_locations or loaded.dtype.kind not in "fiub":
            raise AtlasError(
                f"{path}: weights must be numbers of shape (n_locations, n_regions) with n_locations = "
                f"{space.n_locations} of space {space.name}, found {loaded.dtype} of shape {loaded.shape}"
            )
        weights = scipy.sparse.csr_array(loaded.T, dtype=np.float64)
    n_regions = weights.shape[0]
    if "names" not in spec:
        return tuple(str(i + 1) for i in range(n_regions)), weights
    table = _table(root / spec["names"], ("name",))
    if len(table) != n_regions:
        raise AtlasError(f"{root / spec['names']}: {len(table)} names for the {n_regions} regions of {path}")
    return tuple(row["name"] for row in table), weights


def _two_files(spec: Spec, space: Space, root: Path) -> Parts:
    if space.kind != "surface":
        raise AtlasError(f"'left' and 'right' are for surfaces, the maps are in {space.describe()}")
    halves = [_hemisphere(root / spec[key], key[0].upper(), spec, space) for key in ("left", "right")]
    (left, left_weights), (right, right_weights) = halves
    if set(left) & set(right):
        left, right = tuple(f"L_{name}" for name in left), tuple(f"R_{name}" for name in right)
    return left + right, scipy.sparse.csr_array(scipy.sparse.block_diag([left_weights, right_weights], format="csr"))


def _hemisphere(path: Path, hemi: str, spec: Spec, space: Space) -> Parts:
    found = read_labels(path)
    if found.hemi not in (None, hemi):
        raise AtlasError(f"{path}: is of hemisphere {found.hemi}, given as {hemi}: are left and right swapped?")
    n_found, n_wanted = len(found.labels), space.n_hemisphere(hemi)
    if n_found != n_wanted:
        nested = n_found > n_wanted and {n_found, n_wanted} <= NESTED
        if not nested or spec.get("resample") != "nested":
            known = known_space(n_found, hemi=hemi)
            whose = f" (as {known.name} has)" if known else ""
            ask = '; ask for resample = "nested" to take the first of them' if nested else ""
            raise AtlasError(
                f"{path}: has {n_found} vertices{whose}, the hemisphere {hemi} of {space.name} has {n_wanted}{ask}"
            )
    return _hard(found.labels[:n_wanted], found.names)


def _one_file(spec: Spec, space: Space, root: Path) -> Parts:
    path = root / spec["file"]
    found = read_labels(path)
    names = _label_names(root / spec["names"], found, path) if "names" in spec else found.names
    return _hard(_located(found, path, spec, space), names)


def _located(found: LabelValues, path: Path, spec: Spec, space: Space) -> NDArray[np.int32]:
    labels, own = found.labels, found.space
    if found.structures and space.kind == "surface":
        labels, own = expand_cortex(labels, found.structures, fill=0), None
    elif own is not None and own.kind == space.kind == "volume" and not own.matches(space):
        if spec.get("resample") != "nearest":
            raise AtlasError(
                f"{path}: its grid is {own.describe()}, that of the maps is {space.describe()}; "
                'ask for resample = "nearest" to bring the labels onto the maps\' grid'
            )
        return resample_labels(labels, own, space)
    if (own is not None and not own.matches(space)) or len(labels) != space.n_locations:
        where = own.describe() if own is not None else f"{len(labels)} locations"
        raise AtlasError(f"{path}: labels are in {where}, the maps are in {space.describe()}")
    return labels


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
    return {index: names[index] for index in sorted(names) if index != 0}


def _table(path: Path, columns: tuple[str, ...]) -> list[dict[str, str]]:
    with opened(path, "table of tab-separated values"), path.open(encoding="utf-8", newline="") as file:
        reader = csv.DictReader(file, delimiter="\t")
        for column in columns:
            if column not in (reader.fieldnames or ()):
                raise AtlasError(f"{path}: has no column {column!r}, found {list(reader.fieldnames or ())}")
        rows = list(reader)
        for number, row in enumerate(rows, start=2):
            if any(not row[column] for column in columns):
                raise AtlasError(f"{path}: line {number} lacks one of the columns {list(columns)}")
        return rows


def _hard(labels: NDArray[np.int32], names: Mapping[int, str]) -> Parts:
    return tuple(names.values()), hard_weights(labels, np.array(list(names), np.int64))

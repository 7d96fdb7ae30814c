"""A CIFTI-2 file of parcels as a region table: one row a map of its other axis, which is a subject."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from cortax.brain.data.cifti import read_parcels
from cortax.brain.data.name_lists import SubjectList
from cortax.brain.data.stack_rows import name_rows
from cortax.data.files import opened
from cortax.errors import InputError
from cortax.learning.regions import RegionTable

__all__ = ["read_parcel_table"]


def read_parcel_table(path: Path, subjects: SubjectList | None = None) -> RegionTable:
    """Read a pscalar or ptseries file of everybody.

    Parameters
    ----------
    path : path
    subjects : SubjectList, optional
        Who the rows are; by default maps are called as they.

    Returns
    -------
    RegionTable
        Subjects sorted, parcels in the order of the file, by their names; NaN as in the file.

    Raises
    ------
    DamagedFileError
        Missing, cut short, or not in the format of its name.
    InputError
        Not of parcels, two parcels of one name, infinite values, or rows that nobody or two name.
    """
    with opened(path, "CIFTI-2 file"):
        data, axes = read_parcels(path)
        if axes.square:
            raise InputError(f"{path}: a matrix (pconn) where a row a subject is needed; see [connectivity.<name>]")
        ids = name_rows(path, data.shape[0], axes.rows, subjects)
        values = np.asarray(data, np.float32)
    if np.isinf(values).any():
        row, column = np.argwhere(np.isinf(values))[0]
        raise InputError(
            f"{path}: row {row + 1}, subject {ids[row]!r}, parcel {axes.parcels[column]!r}: an infinite value"
        )
    order = sorted(range(len(ids)), key=ids.__getitem__)
    return RegionTable(values[order], tuple(ids[i] for i in order), axes.parcels)

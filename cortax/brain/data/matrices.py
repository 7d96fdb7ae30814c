"""Reading one matrix of connectivity between regions: numpy, CSV and TSV with or without labels, CIFTI-2 pconn."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from cortax.brain.data.bounds import open_npy
from cortax.brain.data.cifti import read_parcels
from cortax.brain.data.images import is_cifti
from cortax.data.files import ends_with, opened
from cortax.data.textfiles import is_missing, read_rows
from cortax.errors import InputError

__all__ = ["Matrix", "read_matrix"]


@dataclass(frozen=True)
class Matrix:
    """A square matrix as its file has it: float64 (n_regions, n_regions), NaN for none, and its labels if any."""

    values: NDArray[np.float64]
    labels: tuple[str, ...] | None = None


def read_matrix(path: Path) -> Matrix:
    """Read a matrix.

    Parameters
    ----------
    path : path
        `.npy`; `.csv`, `.tsv` or `.txt` (tab-separated) of numbers alone, with a row of labels above them, or with
        such a row and a column before them; `.pconn.nii`.

    Raises
    ------
    DamagedFileError
        Missing, empty, cut short, or not in the format of its name.
    InputError
        Another format; no square of at least two regions; a cell that is no number; labels that come twice, or are
        not the same for rows and columns.
    """
    if ends_with(path, ".npy"):
        matrix = _read_npy(path)
    elif ends_with(path, ".csv", ".tsv", ".txt"):
        matrix = _read_text(path)
    elif is_cifti(path):
        matrix = _read_pconn(path)
    else:
        raise InputError(f"{path}: a matrix must be .npy, .csv, .tsv, .txt or .pconn.nii")
    if matrix.values.ndim != 2 or len(set(matrix.values.shape)) > 1 or len(matrix.values) < 2:
        raise InputError(f"{path}: a square matrix of two regions or more is needed, found {matrix.values.shape}")
    if matrix.labels is not None:
        _check_labels(path, matrix.labels)
    return matrix


def _read_npy(path: Path) -> Matrix:
    with opened(path, "numpy array"):
        data = open_npy(path)
        if data.dtype.kind not in "fiub":
            raise InputError(f"{path}: numbers are needed, found an array of {data.dtype}")
        return Matrix(np.array(data, np.float64))


def _read_pconn(path: Path) -> Matrix:
    with opened(path, "CIFTI-2 file"):
        data, axes = read_parcels(path)
        if not axes.square:
            raise InputError(f"{path}: a matrix of parcels by parcels is needed (pconn)")
        if axes.rows != axes.parcels:
            raise InputError(f"{path}: other parcels in its rows than in its columns, or in another order")
        return Matrix(np.asarray(data, np.float64), axes.parcels)


def _read_text(path: Path) -> Matrix:
    rows = read_rows(path)
    widths = {len(cells) for _, cells in rows[1:]}
    if len(rows) < 2 or len(widths) > 1:
        number, cells = next(((n, c) for n, c in rows[2:] if len(c) != len(rows[1][1])), rows[-1])
        raise InputError(f"{path}: line {number} has {len(cells)} cells; the lines of a matrix must have as many")
    (width,), first = widths, rows[0][1]
    n_lines = len(rows)
    if n_lines == width == len(first) and _is_number(first[0]):
        return Matrix(_numbers(path, rows, 0))
    above = first if len(first) < width or n_lines == width + 1 else first[1:]
    beside = 0 if n_lines == width + 1 and len(first) == width else 1
    values = _numbers(path, rows[1:], beside)
    _check_header(path, above, rows, beside, values.shape)
    return Matrix(values, tuple(above))


def _check_header(
    path: Path, above: Sequence[str], rows: Sequence[tuple[int, list[str]]], beside: int, shape: tuple[int, ...]
) -> None:
    """Compare the labels above a matrix with those beside it, if any."""
    if shape != (len(above), len(above)):
        raise InputError(
            f"{path}: {len(above)} labels in its first line, {shape[0]} x {shape[1]} numbers below: not a square matrix"
        )
    if odd := [name for name in above if not name or (_is_number(name) and not name.isdecimal())]:
        raise InputError(f"{path}: line 1: {odd[0]!r} is no label; is a number missing at the line's beginning?")
    for name, (number, cells) in zip(above, rows[1:], strict=True):
        if beside and cells[0] != name:
            raise InputError(f"{path}: line {number}: its label is {cells[0]!r}, that of the column is {name!r}")


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return bool(text) and is_missing(text)
    return True


def _numbers(path: Path, rows: Sequence[tuple[int, list[str]]], skip: int) -> NDArray[np.float64]:
    values = np.empty((len(rows), len(rows[0][1]) - skip))
    for i, (number, cells) in enumerate(rows):
        try:
            values[i] = cells[skip:]
        except ValueError:
            values[i] = [_number(path, number, place, cell) for place, cell in enumerate(cells[skip:], skip + 1)]
    return values


def _number(path: Path, line: int, place: int, cell: str) -> float:
    if is_missing(cell):
        return np.nan
    try:
        return float(cell)
    except ValueError:
        raise InputError(f"{path}: line {line}, cell {place}: not a number: {cell!r}") from None


def _check_labels(path: Path, labels: Sequence[str]) -> None:
    if twice := sorted({name for name in labels if labels.count(name) > 1}):
        raise InputError(f"{path}: labels that come more than once: {twice[:5]}")

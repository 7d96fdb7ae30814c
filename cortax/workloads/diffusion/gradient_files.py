"""Gradients of a diffusion-weighted volume: reading FSL's .bval and .bvec files, and what can be wrong with them.

Directions stay as they are in the file, in FSL's convention: along the axes of the image, the first of them mirrored
where the affine's determinant is positive. DIPY fits them so, too.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from cortax.data.textfiles import read_text
from cortax.errors import InputError
from cortax.learning.arrays import Floats

__all__ = ["read_gradients"]

# As DIPY has it: how much the length of a direction may differ from 1.
_LENGTH_TOLERANCE = 1e-2


def read_gradients(bval: Path, bvec: Path, *, n_volumes: int, b0_threshold: float) -> tuple[Floats, Floats, list[str]]:
    """Read b-values and directions, checked.

    Parameters
    ----------
    bval, bvec : Path
        Text; numbers apart by blanks. Directions are three rows, or three columns, which is noted.
    n_volumes : int
        Of the image.
    b0_threshold : float
        s/mm2; up to it a volume is a b0.

    Returns
    -------
    bvals : float64 array of shape (n_volumes,)
        s/mm2; 0 of a b0 without a direction, as DIPY has it.
    bvecs : float64 array of shape (n_volumes, 3)
        As they are in the file, of length 1 to within 0.01, as DIPY takes them; 0 for a b0 without a direction.
    notes : list of str
        What was understood otherwise than the file has it.

    Raises
    ------
    InputError
        A file is no table of numbers, has another number of volumes than the image, a negative b-value, a direction
        that is not of unit length, or there is no b0, or nothing but b0s. The message names the file and the volume.
    """
    bvals = _numbers(bval, "b-values")
    if 1 not in bvals.shape:
        raise InputError(f"{bval}: b-values must be one row or one column; found {bvals.shape[0]} x {bvals.shape[1]}")
    bvals = bvals.ravel()
    if len(bvals) != n_volumes:
        raise InputError(f"{bval}: {len(bvals)} b-values; the image has {n_volumes} volumes")
    if (wrong := np.flatnonzero(~(np.isfinite(bvals) & (bvals >= 0)))).size:
        raise InputError(f"{bval}: b-value {bvals[wrong[0]]:g} of volume {wrong[0] + 1}: must be 0 or more (s/mm2)")
    is_b0 = bvals <= b0_threshold
    if not is_b0.any():
        raise InputError(
            f"{bval}: no b0: the smallest b-value is {bvals.min():g}, volumes.b0_threshold is {b0_threshold:g}"
        )
    if is_b0.all():
        raise InputError(f"{bval}: all b-values are up to volumes.b0_threshold = {b0_threshold:g}: nothing is weighted")
    directions, notes = _directions(bvec, n_volumes)
    # A b0 may have any direction or none.
    missing = np.isnan(directions).all(axis=1)
    directions[missing & is_b0] = 0.0
    lengths = np.linalg.norm(directions, axis=1)
    unit = np.abs(lengths - 1) <= _LENGTH_TOLERANCE
    if (wrong := np.flatnonzero(~unit & ~is_b0)).size:
        first = wrong[0]
        raise InputError(
            f"{bvec}: directions must be of length 1; that of volume {first + 1} (b = {bvals[first]:g}) is "
            f"{directions[first].tolist()}, of length {lengths[first]:.4g}; so are {len(wrong) - 1} more not"
        )
    return np.where(unit, bvals, 0.0), np.where(unit[:, None], directions, 0.0), notes


def _directions(path: Path, n_volumes: int) -> tuple[Floats, list[str]]:
    table = _numbers(path, "directions")
    if table.shape == (3, n_volumes):
        return np.ascontiguousarray(table.T), []
    if table.shape == (n_volumes, 3):
        return table, [f"{path.name} has a row for each volume instead of three rows: taken so"]
    raise InputError(
        f"{path}: directions must be 3 rows of {n_volumes} numbers, as many as the image has volumes; "
        f"found {table.shape[0]} x {table.shape[1]}"
    )


def _numbers(path: Path, what: str) -> Floats:
    lines = [line.replace(",", " ").split() for line in read_text(path, f"table of {what}").splitlines()]
    rows = [line for line in lines if line]
    if not rows:
        raise InputError(f"{path}: no {what} in it")
    if len({len(row) for row in rows}) > 1:
        raise InputError(f"{path}: rows of {what} differ in length: {sorted({len(row) for row in rows})}")
    try:
        return np.array(rows, dtype=np.float64)
    except ValueError as error:
        raise InputError(f"{path}: {what} must be numbers ({error})") from error

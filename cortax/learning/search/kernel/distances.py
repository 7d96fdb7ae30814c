"""Squared distances between rows, over columns that come and go.

Changes are worked out in double precision, from columns whose medians are 0, and kept in single precision, in which
libsvm keeps its kernel: a distance is never further off than its own rounding, times the number of changes.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from cortax.learning.arrays import Bools, Floats, Ints, Singles
from cortax.learning.search.compiled import compiled
from cortax.learning.search.training import TrainingSet

__all__ = ["Distances", "move", "no_distances"]

_jit = compiled(__name__)

# Rows and columns whose products are worked out at a time: what they need stays in the processor's cache.
_ROWS = 128
_COLUMNS = 512

# What a row may have lost, in lengths of a typical row, before the rounding of its distances would show.
_SHRINKS = 30.0


@dataclass(eq=False)
class Distances:
    """Squared distances from training rows to training rows and rows to predict."""

    values: Singles  # (n_train, n_train + n_valid)
    columns: Bools  # (n_regions,): over which columns
    lengths: Floats  # (n_train + n_valid,): of the rows over these columns, squared
    peaks: Floats  # likewise: the largest that they were

    def copy(self) -> Distances:
        """Return distances that may be changed."""
        return Distances(self.values.copy(), self.columns.copy(), self.lengths.copy(), self.peaks.copy())


def no_distances(part: TrainingSet) -> Distances:
    """Return distances over no column: zeros."""
    n, n_all = len(part.train), len(part.train) + len(part.valid)
    return Distances(np.zeros((n, n_all), np.float32), np.zeros(part.n_regions, bool), *np.zeros((2, n_all)))


def move(part: TrainingSet, distances: Distances, columns: Bools) -> None:
    """Change distances, in place, to those over other columns.

    Parameters
    ----------
    part : TrainingSet
    distances : Distances
        Of the training set.
    columns : bool array of shape (n_regions,)
    """
    lost, won = distances.columns & ~columns, columns & ~distances.columns
    if lost.sum() >= columns.sum():
        _clear(distances)
        lost, won = distances.columns, columns
    for start in range(0, lost.sum(), _COLUMNS):
        _add(part, distances, np.flatnonzero(lost)[start : start + _COLUMNS], -1.0)
        if _cancelled(distances):
            _clear(distances)
            won = columns
            break
    for start in range(0, won.sum(), _COLUMNS):
        _add(part, distances, np.flatnonzero(won)[start : start + _COLUMNS], 1.0)
    distances.columns = columns.copy()


def _clear(distances: Distances) -> None:
    for array in (distances.values, distances.columns, distances.lengths, distances.peaks):
        array.fill(0)


def _add(part: TrainingSet, distances: Distances, numbers: Ints, sign: float) -> None:
    """Add (or take away) the distances over a few columns."""
    rows = np.vstack([part.X[:, numbers], part.X_valid[:, numbers]])
    n, squares, ones = len(distances.values), np.einsum("ij,ij->i", rows, rows), np.ones(len(rows))
    left = sign * np.column_stack([-2 * rows[:n], squares[:n], ones[:n]])
    right = np.column_stack([rows, ones, squares]).T.copy()
    for start in range(0, n, _ROWS):
        _accumulate(distances.values[start : start + _ROWS], left[start : start + _ROWS] @ right)
    distances.lengths += sign * squares
    np.maximum(distances.peaks, distances.lengths, out=distances.peaks)


def _cancelled(distances: Distances) -> bool:
    """Whether some row was so much longer than rows are now that its rounding, then, would show."""
    gone = distances.peaks - distances.lengths
    return bool(gone.max() > _SHRINKS * np.median(distances.lengths))


@_jit
def _accumulate(values, change):  # type: ignore[no-untyped-def]
    for i in range(values.shape[0]):
        row, more = values[i], change[i]
        for j in range(row.shape[0]):
            moved = np.float32(row[j] + more[j])
            row[j] = moved if moved > np.float32(0) else np.float32(0)

"""Inner out-of-fold predictions on disk: one array that is mapped, not read, as an ensemble needs a cell at a time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from cortax.errors import SearchError
from cortax.learning.arrays import Floats
from cortax.learning.search.cells import Failure
from cortax.learning.search.evaluations import CellEvaluation
from cortax.store import build, load, save

__all__ = ["StoredInner", "open_inner", "save_inner"]


@dataclass(frozen=True, eq=False)
class StoredInner:
    """What the chosen configurations predict within outer training parts.

    Attributes
    ----------
    predictions : float64 array of shape (n_targets, n_folds, n_subjects)
        Values, or probabilities of class 1. NaN outside the outer training part, where the target is unknown, and
        where a fit failed.
    outers : tuple of int, of length n_folds
        Which outer folds they are of.
    failures : tuple of dict
        target (its number), outer, message.
    """

    predictions: Floats
    outers: tuple[int, ...]
    failures: tuple[Failure, ...]

    def of(self, target: int, outer: int) -> Floats:
        """Return the predictions of a cell, of shape (n_subjects,)."""
        return np.asarray(self.predictions[target, self.outers.index(outer)])

    def why_not(self, target: int, outer: int) -> list[str]:
        """Return the messages of what failed in a cell."""
        return [f["message"] for f in self.failures if (f["target"], f["outer"]) == (target, outer)]


def save_inner(
    folder: str | Path, done: Mapping[tuple[int, int], CellEvaluation], targets: Sequence[str], n_subjects: int
) -> tuple[list[str], list[str]]:
    """Write the inner predictions of cells into a folder; return the names of results, and of what else it wrote.

    Raises SearchError: every cell failed; the message is that of the first.
    """
    outers = sorted({outer for _, outer in done})
    cells = sorted(done.items(), key=lambda item: item[0])
    failures = [{"target": t, "outer": k, "message": cell.failure} for (t, k), cell in cells if cell.failure]
    if failures and len(failures) == len(cells):
        raise SearchError(f"every cell failed; the first: {failures[0]['message']}")
    predictions = np.full((len(targets), len(outers), n_subjects), np.nan)
    seconds = np.zeros(predictions.shape[:2])
    for (t, outer), cell in cells:
        predictions[t, outers.index(outer), cell.rows] = cell.predictions
        seconds[t, outers.index(outer)] = cell.seconds
    about = {"failures": failures, "outers": outers, "targets": targets}
    return save(folder, {"inner.npy": predictions, "inner.json": about}), save(folder, {"seconds.npy": seconds})


def open_inner(folder: str | Path) -> StoredInner:
    """Map what `save_inner` wrote."""
    predictions, about = load(folder, "inner.npy", "inner.json")
    return build(StoredInner, {"predictions": predictions}, about)

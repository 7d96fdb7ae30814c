"""Inner out-of-fold predictions on disk: arrays that are mapped, not read, as an ensemble needs a cell at a time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
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
        Values, or probabilities of class 1. NaN outside the outer training part, where the target is unknown, where a
        fit failed, and of targets that have probabilities of every class.
    outers : tuple of int, of length n_folds
        Which outer folds they are of.
    failures : tuple of dict
        target (its number), outer, message.
    probabilities : mapping of target (its number) to float64 array of shape (n_folds, n_subjects, n_classes)
        Of ordinal targets and of more than two classes. NaN as in `predictions`.
    """

    predictions: Floats
    outers: tuple[int, ...]
    failures: tuple[Failure, ...]
    probabilities: Mapping[int, Floats] = field(default_factory=dict)

    def of(self, target: int, outer: int) -> Floats:
        """Return the predictions of a cell, of shape (n_subjects,) or, of several classes, (n_subjects, n_classes)."""
        of_target = self.probabilities.get(target, self.predictions[target])
        return np.asarray(of_target[self.outers.index(outer)])

    def why_not(self, target: int, outer: int) -> list[str]:
        """Return the messages of what failed in a cell."""
        return [f["message"] for f in self.failures if (f["target"], f["outer"]) == (target, outer)]


def save_inner(
    folder: str | Path, done: Mapping[tuple[int, int], CellEvaluation], targets: Sequence[str], n_subjects: int
) -> tuple[list[str], list[str]]:
    """Write the inner predictions of cells into a folder; return the names of results, and of what else it wrote.

    `inner.npy` holds predictions, and `classes-NUMBER.npy` the probabilities of a target that has some, by its number.

    Raises SearchError: every cell failed; the message is that of the first.
    """
    outers = sorted({outer for _, outer in done})
    cells = sorted(done.items(), key=lambda item: item[0])
    failures = [{"target": t, "outer": k, "message": cell.failure} for (t, k), cell in cells if cell.failure]
    if failures and len(failures) == len(cells):
        raise SearchError(f"every cell failed; the first: {failures[0]['message']}")
    predictions = np.full((len(targets), len(outers), n_subjects), np.nan)
    seconds = np.zeros(predictions.shape[:2])
    probabilities: dict[int, Floats] = {}
    for (t, outer), cell in cells:
        predictions[t, outers.index(outer), cell.rows] = cell.predictions
        seconds[t, outers.index(outer)] = cell.seconds
        if cell.probabilities is not None:
            empty = np.full((len(outers), n_subjects, cell.probabilities.shape[1]), np.nan)
            probabilities.setdefault(t, empty)[outers.index(outer), cell.rows] = cell.probabilities
    about = {"failures": failures, "outers": outers, "targets": targets}
    by_class = {_file(t): values for t, values in sorted(probabilities.items())}
    results = save(folder, {"inner.npy": predictions, "inner.json": about, **by_class})
    return results, save(folder, {"seconds.npy": seconds})


def _file(target: int) -> str:
    return f"classes-{target}.npy"


def open_inner(folder: str | Path) -> StoredInner:
    """Map what `save_inner` wrote."""
    predictions, about = load(folder, "inner.npy", "inner.json")
    by_class = [t for t in range(len(predictions)) if (Path(folder) / _file(t)).exists()]
    probabilities = dict(zip(by_class, load(folder, *map(_file, by_class)), strict=True))
    return build(StoredInner, {"predictions": predictions, "probabilities": probabilities}, about)

"""Support vector machines with an RBF kernel, when a single column of the rows that they predict changes."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from sklearn.metrics import euclidean_distances
from sklearn.pipeline import Pipeline

from cortax.importance.parts import Part
from cortax.importance.permutation import Decide
from cortax.search.cells import Floats

__all__ = ["kept_columns", "kernel_decisions"]


def kept_columns(back: Pipeline, n_regions: int) -> npt.NDArray[np.int64]:
    """Return the numbers of the columns that the selection of a fitted pipeline hands to its estimator."""
    kept = np.arange(n_regions)
    for name in ("variance", "select"):
        if name in back.named_steps:
            kept = kept[back.named_steps[name].get_support()]
    return kept


def kernel_decisions(part: Part, back: Pipeline) -> Decide:
    """Return the decisions of a fitted `SVR` or binary `SVC`.

    Distances to the support vectors differ by one column, so a region costs one pass over them, whatever the number
    of regions. Memory: 16 bytes for each test row and support vector.
    """
    kept, machine = kept_columns(back, part.X.shape[1]), back.named_steps["estimate"]
    place = {int(column): number for number, column in enumerate(kept)}
    X, vectors = part.X_test[:, kept], np.asarray(machine.support_vectors_)
    gamma, dual, intercept = _gamma(machine, part.X[:, kept]), machine.dual_coef_[0], float(machine.intercept_[0])
    distances = euclidean_distances(X, vectors, squared=True)
    unchanged = np.exp(-gamma * distances) @ dual + intercept

    def decide(region: int, changes: Floats) -> Floats:
        if region not in place:
            return np.tile(unchanged, (len(changes), 1))
        found = np.empty_like(changes)
        own, theirs = X[:, place[region]], vectors[:, place[region]]
        for number, change in enumerate(changes):
            # (x + d - s)^2 - (x - s)^2 = d (2 x + d - 2 s)
            moved = change[:, None] * ((2 * own + change)[:, None] - 2 * theirs)
            moved += distances
            moved *= -gamma
            found[number] = np.exp(moved, out=moved) @ dual + intercept
        return found

    return decide


def _gamma(machine: Any, X: Floats) -> float:
    """Return gamma as a number, by scikit-learn's rule where it is a word."""
    if not isinstance(machine.gamma, str):
        return float(machine.gamma)
    spread = float(X.var()) if machine.gamma == "scale" else 1.0
    return 1.0 / (X.shape[1] * spread) if spread else 1.0

"""Training sets: rows to fit on and rows to predict, and everything that fits on them share.

All configurations of all targets that are known for the same subjects share one training set, so what
depends on the regions alone (scaling, Gram matrices, factorisations, distances) is worked out once.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from cortax.search.cells import Problem
from cortax.search.front import Front, fit_front

__all__ = ["Fits", "TrainingSet", "training_sets"]

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]


@dataclass(eq=False)
class TrainingSet:
    """What every fit on some rows may use.

    Attributes
    ----------
    X : float64 array of shape (n_train, n_regions)
        Imputed, without what confounds explain, scaled; all fitted on these rows.
    X_valid : float64 array of shape (n_valid, n_regions)
        The rows to predict, transformed by what was fitted on the others.
    train, valid : int arrays
        Row numbers in the problem.
    front : Front
    shared : dict
        What a solver keeps for its next call on this training set. Keys start with the solver's name.
    """

    X: Floats
    X_valid: Floats
    train: Ints
    valid: Ints
    front: Front
    shared: dict[str, Any] = field(default_factory=dict)

    @functools.cached_property
    def means(self) -> Floats:
        """Column means over the training rows, of shape (n_regions,)."""
        found: Floats = self.X.mean(axis=0)
        return found

    @functools.cached_property
    def gram(self) -> Floats:
        """Products of the centred columns, of shape (n_regions, n_regions)."""
        centred = self.X - self.means
        found: Floats = centred.T @ centred
        return found

    def cross(self, Y: Floats) -> Floats:
        """Return products of the centred columns with targets of shape (n_train, n_targets)."""
        found: Floats = (self.X - self.means).T @ (Y - Y.mean(axis=0))
        return found


@dataclass(frozen=True, eq=False)
class Fits:
    """Many configurations of some targets, fitted on one training set.

    Attributes
    ----------
    decisions : float64 array of shape (n_targets, n_configs, n_valid)
        Predicted values; of classifiers the decision, above 0 for class 1. NaN where a fit failed.
    not_converged, iterations : int arrays of shape (n_targets, n_configs)
    probabilities : bool
        Whether a classifier's decisions are log odds.
    coefficients : float64 array of shape (n_targets, n_configs, n_regions), or None
        Of linear models, if asked for; per unit of `TrainingSet.X`.
    intercepts : float64 array of shape (n_targets, n_configs), or None
    failures : tuple of (target, configuration, exception)
        Positions in the arguments, and why there is nothing else.
    """

    decisions: Floats
    not_converged: Ints
    iterations: Ints
    probabilities: bool = False
    coefficients: Floats | None = None
    intercepts: Floats | None = None
    failures: tuple[tuple[int, int, Exception], ...] = ()


def training_sets(
    problem: Problem,
    targets: Sequence[int],
    train: npt.NDArray[np.bool_],
    valid: npt.NDArray[np.bool_],
    fail: Callable[[int, int, Exception], None],
) -> Iterator[tuple[TrainingSet, list[int]]]:
    """Yield a training set for each group of targets that are known for the same subjects.

    Parameters
    ----------
    problem : Problem
    targets : sequence of int
    train, valid : bool arrays of shape (n_subjects,)
        Subjects without a target's value are left out of both.
    fail : function (target, -1, exception)
        Told of every target whose training set cannot be made.
    """
    for known, group in _by_rows(problem.targets, targets):
        rows, held_out = np.flatnonzero(train & known), np.flatnonzero(valid & known)
        try:
            front, X, X_valid = fit_front(problem.regions, problem.confounds, rows, held_out)
        except ValueError as error:
            for target in group:
                fail(target, -1, error)
            continue
        yield TrainingSet(X, X_valid, rows, held_out, front), group


def _by_rows(Y: Floats, targets: Sequence[int]) -> Iterator[tuple[npt.NDArray[np.bool_], list[int]]]:
    groups: dict[bytes, list[int]] = {}
    for target in targets:
        groups.setdefault(np.packbits(np.isnan(Y[:, target])).tobytes(), []).append(target)
    for group in groups.values():
        yield ~np.isnan(Y[:, group[0]]), group

"""Training sets: rows to fit on and rows to predict, and everything that fits on them share.

All configurations of all targets that are known for the same subjects share one training set, so what
depends on the regions alone (scaling, Gram matrices, factorisations, distances) is worked out once.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from cortax.search.cells import Problem
from cortax.search.front import Front, fit_front
from cortax.search.gram import Pool, Statistics, make_pool, make_statistics

__all__ = ["Fits", "TrainingSet", "training_sets"]

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

# From this many different sets of rows on, what they share is worked out first.
_POOLED = 3


class TrainingSet:
    """What every fit on some rows may use.

    Columns, and what follows from them, are made when they are first asked for: a solver that needs only sums pays
    for no columns, and one that needs only columns pays for no sums.

    Parameters
    ----------
    X, X_valid, front, shared
        See below. Where they are not given, `make` makes them.
    train, valid : int arrays
        Row numbers in the problem.
    make : function () -> (Front, X, X_valid), optional
    sums : function () -> Statistics or None, optional
        A shorter way to front, means, Gram matrix and products than by way of X.

    Attributes
    ----------
    X : float64 array of shape (n_train, n_regions)
        Imputed, without what confounds explain, scaled; all fitted on these rows.
    X_valid : float64 array of shape (n_valid, n_regions)
        The rows to predict, transformed by what was fitted on the others.
    train, valid : int arrays
        Row numbers in the problem.
    n_regions : int
    front : Front
    means : float64 array of shape (n_regions,)
        Of the columns of X.
    gram : float64 array of shape (n_regions, n_regions)
        Products of the centred columns of X.
    shared : dict
        What a solver keeps for its next call on this training set. Keys start with the solver's name.
    """

    def __init__(
        self,
        X: Floats | None,
        X_valid: Floats | None,
        train: Ints,
        valid: Ints,
        front: Front | None,
        shared: dict[str, Any] | None = None,
        *,
        n_regions: int = 0,
        make: Callable[[], tuple[Front, Floats, Floats]] | None = None,
        sums: Callable[[], Statistics | None] | None = None,
    ) -> None:
        self.train, self.valid = train, valid
        self.shared: dict[str, Any] = {} if shared is None else shared
        self.n_regions = n_regions if X is None else int(X.shape[1])
        self._make, self._sums = make, sums
        if X is not None and X_valid is not None and front is not None:
            self._made = front, X, X_valid

    @functools.cached_property
    def _made(self) -> tuple[Front, Floats, Floats]:
        if self._make is None:
            raise TypeError("a training set needs X, X_valid and front, or `make`")
        return self._make()

    @functools.cached_property
    def statistics(self) -> Statistics | None:
        """What is known without X, if that was cheaper."""
        return None if self._sums is None else self._sums()

    @property
    def X(self) -> Floats:  # noqa: D102, N802
        return self._made[1]

    @property
    def X_valid(self) -> Floats:  # noqa: D102, N802
        return self._made[2]

    @property
    def front(self) -> Front:  # noqa: D102
        return self._made[0] if self.statistics is None else self.statistics.front

    @functools.cached_property
    def means(self) -> Floats:  # noqa: D102
        found: Floats = self.X.mean(axis=0) if self.statistics is None else self.statistics.means
        return found

    @functools.cached_property
    def gram(self) -> Floats:  # noqa: D102
        if self.statistics is not None:
            return self.statistics.gram
        columns = self.centred()
        found: Floats = columns.T @ columns
        return found

    def centred(self) -> Floats:
        """Return X less its means; from sums, X itself need not be made."""
        return self.X - self.means if self.statistics is None else self.statistics.centred()

    def cross(self, Y: Floats) -> Floats:
        """Return products of the centred columns with targets of shape (n_train, n_targets)."""
        if self.statistics is not None:
            return self.statistics.cross(Y)
        centred = Y - Y.mean(axis=0)
        found: Floats = self.X.T @ centred - np.outer(self.means, centred.sum(axis=0))
        return found

    def project(self, weights: Floats) -> Floats:
        """Return weights of shape (k, n_regions) times the columns of X_valid, of shape (k, n_valid)."""
        if self.statistics is not None:
            return self.statistics.project(weights)
        found: Floats = weights @ self.X_valid.T
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
    groups = list(_by_rows(problem.targets, targets, train | valid))
    pool = _pool(problem, train, valid) if len(groups) >= _POOLED else None
    for known, group in groups:
        rows, held_out = np.flatnonzero(train & known), np.flatnonzero(valid & known)
        make = functools.partial(fit_front, problem.regions, problem.confounds, rows, held_out)
        if pool is not None and len(rows) and len(held_out):
            sums = functools.partial(_sums, pool, known[train], known[valid])
            n_regions = problem.regions.shape[1]
            yield TrainingSet(None, None, rows, held_out, None, n_regions=n_regions, make=make, sums=sums), group
            continue
        try:
            front, X, X_valid = make()
        except ValueError as error:
            for target in group:
                fail(target, -1, error)
            continue
        yield TrainingSet(X, X_valid, rows, held_out, front), group


def _pool(
    problem: Problem, train: npt.NDArray[np.bool_], valid: npt.NDArray[np.bool_]
) -> Callable[[], Pool | None] | None:
    """Return what makes a pool when first called; None where a front end may fail, which must be said at once."""
    rows, held_out = np.flatnonzero(train), np.flatnonzero(valid)
    for columns in (problem.regions, problem.confounds):
        if columns is not None and np.isinf(columns[train | valid]).any():
            return None
    return functools.cache(functools.partial(make_pool, problem.regions, problem.confounds, rows, held_out))


def _sums(
    pool: Callable[[], Pool | None], kept: npt.NDArray[np.bool_], shown: npt.NDArray[np.bool_]
) -> Statistics | None:
    made = pool()
    return None if made is None else make_statistics(made, kept, shown)


def _by_rows(
    Y: Floats, targets: Sequence[int], used: npt.NDArray[np.bool_]
) -> Iterator[tuple[npt.NDArray[np.bool_], list[int]]]:
    """Group targets by who is known among the rows that are used: no other row decides who shares."""
    groups: dict[bytes, list[int]] = {}
    for target in targets:
        groups.setdefault(np.packbits(np.isnan(Y[used, target])).tobytes(), []).append(target)
    for group in groups.values():
        yield ~np.isnan(Y[:, group[0]]), group

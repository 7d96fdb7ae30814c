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

from cortax.learning.arrays import Bools, Floats, Ints
from cortax.learning.search.cells import Problem
from cortax.learning.search.front import Front, fit_front
from cortax.learning.search.gram import Pool, Statistics, make_pool, make_statistics

__all__ = ["Fits", "TrainingSet", "training_sets"]

# What `fit_front` returns: the front end, the columns to fit on, and those to predict.
Columns = tuple[Front, Floats, Floats]

# From this many different sets of rows on, what they share is worked out first.
_POOLED = 3


@dataclass(frozen=True, eq=False)
class TrainingSet:
    """What every fit on some rows may use.

    Columns, and what follows from them, are made when they are first asked for: a solver that needs only sums pays
    for no columns, and one that needs only columns pays for no sums.

    Attributes
    ----------
    train, valid : int arrays
        Row numbers in the problem.
    n_regions : int
    make : function () -> (Front, X, X_valid)
        See `fit_front`.
    sums : function () -> Statistics or None
        A shorter way to front, means, Gram matrix and products than by way of X.
    shared : dict
        What a solver keeps for its next call on this training set. Keys start with the solver's name.
    """

    train: Ints
    valid: Ints
    n_regions: int
    make: Callable[[], Columns]
    sums: Callable[[], Statistics | None] = lambda: None
    shared: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def of(cls, columns: Columns, train: Ints, valid: Ints) -> TrainingSet:
        """Return a training set of columns that are made already."""
        return cls(train, valid, columns[1].shape[1], lambda: columns)

    @functools.cached_property
    def _made(self) -> Columns:
        return self.make()

    @functools.cached_property
    def statistics(self) -> Statistics | None:
        """What is known without X, if that was cheaper."""
        return self.sums()

    @property
    def X(self) -> Floats:  # noqa: N802
        """Imputed, without what confounds explain, scaled; all fitted on these rows. Of shape (n_train, n_regions)."""
        return self._made[1]

    @property
    def X_valid(self) -> Floats:  # noqa: N802
        """The rows to predict, transformed by what was fitted on the others; of shape (n_valid, n_regions)."""
        return self._made[2]

    @property
    def front(self) -> Front:
        """What was fitted to transform the columns."""
        return self._made[0] if self.statistics is None else self.statistics.front

    @functools.cached_property
    def means(self) -> Floats:
        """Means of the columns of X."""
        return np.asarray(self.X.mean(axis=0) if self.statistics is None else self.statistics.means)

    @functools.cached_property
    def gram(self) -> Floats:
        """Products of the centred columns of X, of shape (n_regions, n_regions)."""
        if self.statistics is not None:
            return self.statistics.gram
        columns = self.centred()
        return np.asarray(columns.T @ columns)

    def once(self, key: str, make: Callable[[], Any]) -> Any:
        """Return what is shared under a key, made when it is first asked for."""
        if key not in self.shared:
            self.shared[key] = make()
        return self.shared[key]

    def centred(self) -> Floats:
        """Return X less its means; from sums, X itself need not be made."""
        return self.X - self.means if self.statistics is None else self.statistics.centred()

    def cross(self, Y: Floats) -> Floats:
        """Return products of the centred columns with targets of shape (n_train, n_targets)."""
        if self.statistics is not None:
            return self.statistics.cross(Y)
        centred = Y - Y.mean(axis=0)
        return np.asarray(self.X.T @ centred - np.outer(self.means, centred.sum(axis=0)))

    def project(self, weights: Floats) -> Floats:
        """Return weights of shape (k, n_regions) times the columns of X_valid, of shape (k, n_valid)."""
        if self.statistics is not None:
            return self.statistics.project(weights)
        return np.asarray(weights @ self.X_valid.T)


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
    train: Bools,
    valid: Bools,
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
        make = functools.partial(fit_front, problem.regions, problem.confounds, rows, held_out, problem.harmonise)
        if pool is not None and len(rows) and len(held_out):
            sums = functools.partial(_sums, pool, known[train], known[valid])
            yield TrainingSet(rows, held_out, problem.regions.shape[1], make, sums), group
            continue
        try:
            columns = make()
        except ValueError as error:
            for target in group:
                fail(target, -1, error)
            continue
        yield TrainingSet.of(columns, rows, held_out), group


def _pool(problem: Problem, train: Bools, valid: Bools) -> Callable[[], Pool | None] | None:
    """Return what makes a pool when first called; None where a front end may fail, which must be said at once.

    Nor where sites are harmonised: what is taken from a row then depends on all others, and no longer as a sum.
    """
    if problem.harmonise is not None:
        return None
    for columns in (problem.regions, problem.confounds):
        if columns is not None and np.isinf(columns[train | valid]).any():
            return None
    rows, held_out = np.flatnonzero(train), np.flatnonzero(valid)
    return functools.cache(functools.partial(make_pool, problem.regions, problem.confounds, rows, held_out))


def _sums(pool: Callable[[], Pool | None], kept: Bools, shown: Bools) -> Statistics | None:
    made = pool()
    return None if made is None else make_statistics(made, kept, shown)


def _by_rows(Y: Floats, targets: Sequence[int], used: Bools) -> Iterator[tuple[Bools, list[int]]]:
    """Group targets by who is known among the rows that are used: no other row decides who shares."""
    groups: dict[bytes, list[int]] = {}
    for target in targets:
        groups.setdefault(np.packbits(np.isnan(Y[used, target])).tobytes(), []).append(target)
    for group in groups.values():
        yield ~np.isnan(Y[:, group[0]]), group

"""Means, spreads and F tests of many training sets of one bin, from sums that one product makes.

Training sets of nested folds are the same trials less a few. A matrix of zeros and ones, with a row for each training
set and class, times the trials gives every class's sum in every training set; times their squares, what spreads are
made of. Of continuous labels the rows are the labels themselves. Where rounding could decide whether a column is
selected, scikit-learn's own F test does.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from scipy import stats
from sklearn.feature_selection import f_classif, f_regression

from cortax.learning.arrays import Bools, Floats, Ints
from cortax.workloads.decoding.folds import count_classes

__all__ = ["SetStatistics", "f_test", "set_statistics"]

# F values this near to the threshold may be on its other side where they are worked out in another order.
_NEAR = 1e-7
# A column that varies in a training set by no more than this part of what it varies by in all trials may not vary.
_FLAT = 1e-9


@dataclass(frozen=True, eq=False)
class SetStatistics:
    """What is learnt about columns from the trials of each training set.

    Attributes
    ----------
    keep : bool array of shape (n_sets, n_columns)
        Columns that vary and, where there is a test, whose p is below alpha.
    mean, deviation : float64 arrays of shape (n_sets, n_columns)
        Deviations divide by the number of trials, and are 1 where a column does not vary.
    """

    keep: Bools
    mean: Floats
    deviation: Floats


def set_statistics(X: Floats, y: Floats | Ints, sets: Bools, alpha: float | None) -> SetStatistics:
    """Select and describe the columns of each training set.

    Parameters
    ----------
    X : float64 array of shape (n_trials, n_columns)
        Finite.
    y : int or float64 array of shape (n_trials,)
        Classes 0, 1, ..., all of which every training set has; or continuous labels.
    sets : bool array of shape (n_sets, n_trials)
        Which trials are in which training set. No other trial matters for it.
    alpha : float, optional
        A column is kept if p is below, by a one-way analysis of variance (`f_classif`) or, of continuous labels, by the
        F test of a regression (`f_regression`). Columns that vary are kept if it is None.
    """
    # Sums of squares lose least digits around the mean. It is no number that a training set learns.
    shift = X.mean(axis=0)
    centred = X - shift
    n = sets.sum(axis=1)[:, None]
    mean, between, df = _explained(centred, y, sets)
    total = (sets.astype(np.float64) @ centred**2) - n * mean**2
    varies = total > _FLAT * (centred**2).sum(axis=0)
    keep, near = varies.copy(), ~varies & (np.ptp(X, axis=0) > 0)
    if alpha is not None:
        with np.errstate(divide="ignore", invalid="ignore"):
            F = between / df / ((total - between) / (n - 1 - df))
        threshold = stats.f.isf(alpha, df, n - 1 - df)
        keep &= threshold < F
        near |= varies & (np.abs(F - threshold) <= _NEAR * threshold)
    for number in np.flatnonzero(near.any(axis=1)):
        columns = np.flatnonzero(near[number])
        keep[number, columns] = _exactly(X[np.ix_(sets[number], columns)], y[sets[number]], alpha)
    deviation = np.sqrt(np.where(keep, total, 1.0) / np.where(keep, n, 1))
    return SetStatistics(keep, mean + shift, deviation)


def f_test(y: Floats | Ints) -> Callable[..., tuple[Floats, Floats]]:
    """Return scikit-learn's test of columns, of X and y, for such labels."""
    test: Callable[..., tuple[Floats, Floats]] = f_classif if count_classes(y) else f_regression
    return test


def _explained(centred: Floats, y: Floats | Ints, sets: Bools) -> tuple[Floats, Floats, int]:
    """Return means of columns, sums of squares that labels explain, of shape (n_sets, n_columns), and their freedom."""
    n, n_classes = sets.sum(axis=1)[:, None], count_classes(y)
    if not n_classes:
        own = np.where(sets, y - (sets @ y)[:, None] / n, 0.0)  # labels around the mean of the training set
        products = np.concatenate([sets, own]).astype(np.float64) @ centred
        squares = (own**2).sum(axis=1)[:, None]
        return products[: len(sets)] / n, products[len(sets) :] ** 2 / np.where(squares > 0, squares, 1.0), 1
    members = sets[:, None] & (y[None] == np.arange(n_classes)[:, None])  # (n_sets, n_classes, n_trials)
    counts = members.sum(axis=2)
    sums = (members.reshape(-1, len(y)).astype(np.float64) @ centred).reshape(*counts.shape, -1)
    mean = sums.sum(axis=1) / n
    return mean, (sums**2 / counts[:, :, None]).sum(axis=1) - n * mean**2, n_classes - 1


def _exactly(X: Floats, y: Floats | Ints, alpha: float | None) -> Bools:
    varies = np.ptp(X, axis=0) > 0
    if alpha is None or not varies.any():
        return np.asarray(varies)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        p = np.where(varies, f_test(y)(X, y)[1], 1.0)
    return np.asarray(p < alpha)

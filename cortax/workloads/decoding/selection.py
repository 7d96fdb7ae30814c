"""Means, spreads and analyses of variance of many training sets of one bin, from sums that one product makes.

Training sets of nested folds are the same trials less a few. A matrix of zeros and ones, with a row for each training
set and class, times the trials gives every class's sum in every training set; times their squares, what spreads are
made of. Where rounding could decide whether a column is selected, scikit-learn's own F test does.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import numpy as np
from scipy import stats
from sklearn.feature_selection import f_classif

from cortax.learning.arrays import Bools, Floats, Ints

__all__ = ["SetStatistics", "set_statistics"]

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


def set_statistics(X: Floats, y: Ints, sets: Bools, alpha: float | None) -> SetStatistics:
    """Select and describe the columns of each training set.

    Parameters
    ----------
    X : float64 array of shape (n_trials, n_columns)
        Finite.
    y : int array of shape (n_trials,)
        Classes 0, 1, ..., all of which every training set has.
    sets : bool array of shape (n_sets, n_trials)
        Which trials are in which training set. No other trial matters for it.
    alpha : float, optional
        One-way analysis of variance: a column is kept if its p is below. Columns that vary are kept if it is None.
    """
    n_classes = int(y.max()) + 1
    # Sums of squares lose least digits around the mean. It is no number that a training set learns.
    shift = X.mean(axis=0)
    centred = X - shift
    members = sets[:, None] & (y[None] == np.arange(n_classes)[:, None])  # (n_sets, n_classes, n_trials)
    counts = members.sum(axis=2)
    flat = members.reshape(-1, len(y)).astype(np.float64)
    sums = (flat @ centred).reshape(*counts.shape, -1)
    n = counts.sum(axis=1)[:, None]
    mean = sums.sum(axis=1) / n
    total = (sets.astype(np.float64) @ centred**2) - n * mean**2
    varies = total > _FLAT * (centred**2).sum(axis=0)
    keep, near = varies.copy(), ~varies & (np.ptp(X, axis=0) > 0)
    if alpha is not None:
        between = (sums**2 / counts[:, :, None]).sum(axis=1) - n * mean**2
        with np.errstate(divide="ignore", invalid="ignore"):
            F = between / (n_classes - 1) / ((total - between) / (n - n_classes))
        threshold = stats.f.isf(alpha, n_classes - 1, n - n_classes)
        keep &= threshold < F
        near |= varies & (np.abs(F - threshold) <= _NEAR * threshold)
    for number in np.flatnonzero(near.any(axis=1)):
        columns = np.flatnonzero(near[number])
        keep[number, columns] = _exactly(X[np.ix_(sets[number], columns)], y[sets[number]], alpha)
    deviation = np.sqrt(np.where(keep, total, 1.0) / np.where(keep, n, 1))
    return SetStatistics(keep, mean + shift, deviation)


def _exactly(X: Floats, y: Ints, alpha: float | None) -> Bools:
    varies = np.ptp(X, axis=0) > 0
    if alpha is None or not varies.any():
        return np.asarray(varies)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        p = np.where(varies, f_classif(X, y)[1], 1.0)
    return np.asarray(p < alpha)

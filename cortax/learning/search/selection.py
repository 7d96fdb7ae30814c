"""Univariate selection for many targets and percentiles at once.

What `VarianceThreshold(0.0)` and `SelectPercentile` with an F test keep, from one product of the columns with all
targets. Where the rounding of a score could decide, scikit-learn's own scores do.
"""

from __future__ import annotations

import functools
import warnings
from collections.abc import Callable

import numpy as np
from sklearn.feature_selection import f_classif, f_regression

from cortax.learning.arrays import Bools, Floats

__all__ = ["Selector", "f_scores", "selectors", "varying"]

# Scores this close, relative to the threshold, may be in another order where they are worked out in another way.
_NEAR = 1e-7


def varying(X: Floats) -> Bools:
    """Return which columns of X, of shape (n_train, n_regions), `VarianceThreshold(0.0)` keeps."""
    return np.asarray(np.fmin(np.var(X, axis=0), np.ptp(X, axis=0)) > 0)


def f_scores(X: Floats, Y: Floats) -> Floats:
    """Return the F statistic of every column for every target.

    With two classes, the analysis of variance gives the same number as the regression.

    Parameters
    ----------
    X : float64 array of shape (n_train, n_columns)
    Y : float64 array of shape (n_train, n_targets)

    Returns
    -------
    float64 array of shape (n_targets, n_columns)
        NaN or infinite where it is not defined; within 1e-9 of scikit-learn's for columns whose mean is not much
        further from 0 than their deviation.
    """
    means, right = X.mean(axis=0), Y - Y.mean(axis=0)
    squares = np.einsum("ij,ij->j", X, X) - len(X) * means**2
    products = right.T @ X - np.outer(right.sum(axis=0), means)
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        shares = products**2 / (squares * np.einsum("ij,ij->j", right, right)[:, None])
        return np.asarray(shares / (1 - shares) * (len(X) - 2))


class Selector:
    """Which columns are kept for one target.

    Parameters
    ----------
    scores : float64 array of shape (n_columns,)
    exact : function () -> float64 array of shape (n_columns,)
        scikit-learn's own scores; called where the others may not decide.
    """

    def __init__(self, scores: Floats, exact: Callable[[], Floats]) -> None:
        self._scores = scores
        self._exact = functools.cache(exact)
        self._clear = bool(np.isfinite(scores).all())

    def keep(self, percentile: float) -> Bools:
        """Return a mask of shape (n_columns,), as `SelectPercentile` has it, ties included; one at least above 0."""
        if percentile in (0, 100):
            return np.full(len(self._scores), percentile == 100)
        if self._clear:
            threshold = np.percentile(self._scores, 100 - percentile)
            if (np.abs(self._scores - threshold) > _NEAR * abs(threshold)).all():
                return np.asarray(self._scores > threshold)
        return _keep(self._exact(), percentile)


def _keep(scores: Floats, percentile: float) -> Bools:
    """Keep ties in the order of the columns, as many as there is room for."""
    scores = np.where(np.isnan(scores), np.finfo(np.float64).min, scores)
    with np.errstate(invalid="ignore"):
        threshold = np.percentile(scores, 100 - percentile)
    kept = scores > threshold
    ties = np.flatnonzero(scores == threshold)
    kept[ties[: int(len(scores) * percentile / 100) - kept.sum()]] = True
    if not kept.any():  # of few columns a small share is none: the best one is kept
        kept[np.argmax(scores)] = True
    return np.asarray(kept)


def selectors(X: Floats, Y: Floats, task: str) -> list[Selector]:
    """Return a selector for every target.

    Parameters
    ----------
    X : float64 array of shape (n_train, n_columns)
        Columns that vary.
    Y : float64 array of shape (n_train, n_targets)
        Classes are 0 and 1.
    task : {"regression", "classification"}
    """
    return [
        Selector(scores, functools.partial(_exact, X, y, task)) for scores, y in zip(f_scores(X, Y), Y.T, strict=True)
    ]


def _exact(X: Floats, y: Floats, task: str) -> Floats:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        scores = f_regression(X, y)[0] if task == "regression" else f_classif(X, y.astype(np.int64))[0]
    return np.asarray(scores)

"""Statistical rules of a race: which configurations can no longer win, and when more trees no longer help.

Differences between two configurations' scores are judged by their variance over the validation subjects: a
jackknife that leaves out one of a number of groups of subjects at a time, so that any score will do.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence

import numpy as np
from scipy import stats

from cortax.learning.arrays import Floats, Ints

__all__ = ["N_GROUPS", "cannot_win", "compare", "is_worse", "smooth", "tree_counts"]

# Groups of validation subjects of the jackknife.
N_GROUPS = 10


def compare(score: Callable[[Ints, Floats], Floats], ours: Floats, theirs: Floats) -> tuple[float, float]:
    """Return how much better the first decisions are, and the variance of that.

    Parameters
    ----------
    score : function (rows, decisions) -> scores
        Of decisions of shape (2, ..., n_rows) for some of the subjects.
    ours, theirs : float64 arrays of shape (..., n_valid)

    Returns
    -------
    difference, variance : float
        NaN where a score is.
    """
    both, rows = np.stack([ours, theirs]), np.arange(ours.shape[-1])
    n_groups = min(N_GROUPS, len(rows))
    full = np.subtract(*score(rows, both))
    left_out = np.empty(n_groups)
    # Every n-th subject: neighbours in the table (a site, a family) are spread over the groups.
    for group in range(n_groups):
        kept = rows[rows % n_groups != group]
        left_out[group] = np.subtract(*score(kept, both[..., kept]))
    return float(full), float(np.sum((left_out - left_out.mean()) ** 2) * (n_groups - 1) / n_groups)


def is_worse(difference: float, variance: float, level: float) -> bool:
    """Whether a difference from `compare` is above 0 by a one-sided t test at some level.

    A rule to stop growing trees: the score with the best number of trees so far, less the score with all of them.
    """
    return _above(difference, variance, N_GROUPS - 1, level)


def cannot_win(differences: Sequence[float], variances: Sequence[float], n_folds: int, level: float) -> bool:
    """Whether a configuration would catch up with the leader in the folds to come with less than some probability.

    What is decided in the end is the sign of the mean difference over all folds. Given the k folds seen, a fold to
    come has their mean difference d, with a variance v of its own and v / k for not knowing d better; so the mean
    over all n folds has the expectation d and the variance v (n - k) / (n k).

    Parameters
    ----------
    differences, variances : sequences of float, of length n_folds seen
        Score of the leader less that of the configuration, from `compare`.
    n_folds : int
        All that there are.
    level : float
        Probability below which the configuration is dropped.

    Returns
    -------
    bool
        False where a difference is NaN.
    """
    seen = len(differences)
    variance = float(np.mean(variances)) * (n_folds - seen) / (n_folds * seen)
    return _above(float(np.mean(differences)), variance, seen * (N_GROUPS - 1), level)


def _above(difference: float, variance: float, freedom: int, level: float) -> bool:
    return difference > 0 and difference > _quantile(level, freedom) * variance**0.5


@functools.cache
def _quantile(level: float, freedom: int) -> float:
    return float(stats.t.isf(level, freedom))


def tree_counts(low: int, high: int, ratio: float = 1.2) -> tuple[int, ...]:
    """Return numbers of trees from low to high, both included, each at most `ratio` times the one before, or one more.

    Raises
    ------
    ValueError
        Unless 1 <= low <= high.

    >>> tree_counts(3, 10)
    (3, 4, 5, 6, 7, 8, 9, 10)
    """
    if not 1 <= low <= high:
        raise ValueError(f"must have 1 <= low <= high; got {low} and {high}")
    counts = [low]
    while counts[-1] < high:
        counts.append(min(max(int(counts[-1] * ratio), counts[-1] + 1), high))
    return tuple(counts)


def smooth(scores: Floats, width: int = 2) -> Floats:
    """Return means of scores of shape (n_folds, n_counts) and their neighbours, as far as there are any.

    The best of many noisy scores of nearly the same fit is good by chance; a mean over several, less so.
    """
    n_counts = scores.shape[1]
    windows = [scores[:, max(n - width, 0) : n + width + 1].mean(axis=1) for n in range(n_counts)]
    return np.stack(windows, axis=1)

"""How uncertain a score is, by what it would be without each group (family); no model is fitted anew.

What intervals and comparisons are of is the expected score of the PROCEDURE at this number of people: the mean, over
other samples of as many groups and other divisions into folds, of the score that is reported, which is the mean over
outer folds. It is not the score of the fitted models alone, and, of R2, not the R2 in an infinite test set, which is
higher, as a small test set explains part of its own mean.

The score moves with who is tested and with who is trained on. A group's influence, by the jackknife (Tukey 1958), shows
the first. The second shows where people are predicted by models that were trained on different others, that is over
repeats: with influences u of group f in repeat r,

    V = sum over f of (mean over r of u)^2 / (G (G - 1)),   v = mean over f of (variance over r of u) / G,
    variance = V + (K - 1) v.

Why K - 1: let a part of u be a sum, over the groups that were trained on (a share 1 - 1 / K of all), of what each of
them does to the tested one. Two repeats differ by 1 / K of the variance of that part, v, and V holds the other K - 1 of
K. But if what a does to b is what b does to a, the same term is in the score twice, and its variance is twice what V
holds of it. The part is at most V, to first order: scores are given no more than that. Differences of two models are,
because what people have by themselves cancels there, and terms of higher order count.

From one split nothing tells how large v is: no unbiased estimate of the variance of cross-validation exists (Bengio &
Grandvalet 2004, JMLR 5, 1089-1105). Scores then get half of the bound, differences all of it.

Groups must be independent draws from one population. `benchmarks/bench_inference.py` has what is covered.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from cortax.learning.arrays import Bools, Floats, Ints
from cortax.learning.out_of_fold import OutOfFold, score_folds
from cortax.learning.scores import Metric

__all__ = ["Influences", "Left", "group_influences", "leave_out_of_folds", "paired_variance", "score_variance"]

# So many sets of groups are left out: more would say little more, and take time with the square of their number.
MAX_LEFT_OUT = 400
# Rows of weights that are held at a time.
_ROWS = 256


@dataclass(frozen=True, eq=False)
class Influences:
    """One target's scores by some metrics, and how far each group moves them.

    Attributes
    ----------
    values : float64 array of shape (n_metrics,)
        Means over the folds that have a score; NaN where none has.
    influences : float64 array of shape (n_metrics, n_repeats, n_groups)
        In the order of the sorted groups. Their mean over groups and repeats is 0.
    scored : bool array of shape (n_metrics, n_folds)
        The folds that the means are over.
    """

    values: Floats
    influences: Floats
    scored: NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Left:
    """Scores of some people, (n_metrics,), pseudo-values of their groups, (n_metrics, n_groups), and which those are.

    The pseudo-value of a group is n times the score of all minus n - 1 times the score without it, moved so that their
    mean is the score. A group without which there is no score, as the only one of a class, has the score.
    """

    score: Floats
    pseudo: Floats
    groups: Ints


def leave_out_of_folds(given: OutOfFold, metrics: Sequence[Metric], groups: ArrayLike) -> list[Left]:
    """Leave every group out of its fold, for `group_influences` and for the intervals of single folds."""
    numbers = _numbers(groups)
    return [_leave_out(given, metrics, numbers, test, fold) for fold, test in enumerate(given.tests)]


def group_influences(
    given: OutOfFold, metrics: Sequence[Metric], groups: ArrayLike, folds: Sequence[Left] | None = None
) -> Influences:
    """Measure how far each group moves one target's scores.

    With one split a group is left out of its fold. With several it is left out of all that is predicted in a repeat,
    as folds are chance: else the others of its fold would seem to be an effect of training.

    Parameters
    ----------
    groups : array of shape (n_subjects,)
        Families. Of more than `MAX_LEFT_OUT` several are left out at a time.
    folds : sequence of Left, optional
        What `leave_out_of_folds` returns, where it is known already.
    """
    numbers, n_repeats = _numbers(groups), given.n_repeats
    if folds is None:
        folds = leave_out_of_folds(given, metrics, groups)
    scores = np.array([fold.score for fold in folds]).T  # (n_metrics, n_folds)
    parts: Sequence[Left] = folds
    if n_repeats > 1:
        tests: Bools = np.any(given.tests.reshape(n_repeats, -1, len(given.y)), axis=1)  # (n_repeats, n_subjects)
        firsts = range(0, len(folds), len(folds) // n_repeats)
        parts = [_leave_out(given, metrics, numbers, test, first) for test, first in zip(tests, firsts, strict=True)]
    found = np.array([part.score for part in parts]).T  # (n_metrics, n_parts)
    there = ~np.isnan(found)
    n_parts = np.maximum(there.sum(axis=1), 1)
    means = np.where(there, found, 0).sum(axis=1) / n_parts
    influences = np.zeros((len(metrics), n_repeats, int(numbers.max(initial=-1)) + 1))
    for place, part in enumerate(parts):
        moved = np.where(np.isnan(part.score)[:, None], 0, part.pseudo - means[:, None])
        share = n_repeats / (n_parts * max(len(part.groups), 1))
        influences[:, place * n_repeats // len(parts), part.groups] += share[:, None] * moved
    tested = np.isin(np.arange(influences.shape[2]), np.concatenate([part.groups for part in parts]))
    scored = ~np.isnan(scores)
    values = np.array([s[kept].mean() if kept.any() else np.nan for s, kept in zip(scores, scored, strict=True)])
    return Influences(values, influences[:, :, tested] * tested.sum(), scored)


def _numbers(groups: ArrayLike) -> Ints:
    """Which set of groups each subject is left out with."""
    _, index = np.unique(np.asarray(groups), return_inverse=True)
    return np.asarray(index.ravel() % MAX_LEFT_OUT)


def _leave_out(given: OutOfFold, metrics: Sequence[Metric], numbers: Ints, test: Bools, fold: int) -> Left:
    """Score the people of `test`, by what is predicted in a fold, with and without each group."""
    rows = np.flatnonzero(test)
    one = OutOfFold(
        given.y[rows],
        np.ones((1, len(rows)), dtype=bool),
        {what: values[fold : fold + 1, rows] for what, values in given.predicted.items()},
        1,
    )
    some = np.unique(numbers[rows])
    score = score_folds(one, metrics, np.ones((1, len(rows))))[:, 0, 0]
    without = np.empty((len(metrics), len(some)))
    for place, batch in _batches(some):
        without[:, place] = score_folds(one, metrics, (numbers[rows] != batch[:, None]).astype(np.float64))[:, 0]
    without = np.where(np.isnan(without), score[:, None], without)
    middle = without.mean(axis=1, keepdims=True) if len(some) else without
    return Left(score, score[:, None] + (len(some) - 1) * (middle - without), some)


def _batches(values: Ints) -> Iterator[tuple[slice, Ints]]:
    for start in range(0, len(values), _ROWS):
        yield slice(start, start + _ROWS), values[start : start + _ROWS]


def score_variance(influences: Floats, n_folds: int) -> Floats:
    """Variance of the expected score of a procedure, of influences of shape (..., n_repeats, n_groups).

    `n_folds`: over all repeats. NaN with fewer than two groups.
    """
    tested, trained = _variances(influences, n_folds)
    return tested * 1.5 if influences.shape[-2] == 1 else tested + np.minimum(trained, tested)


def paired_variance(influences: Floats, n_folds: int) -> Floats:
    """Variance of the expected difference of two procedures, of the influences of one less those of the other."""
    tested, trained = _variances(influences, n_folds)
    return tested * 2 if influences.shape[-2] == 1 else tested + trained


def _variances(influences: Floats, n_folds: int) -> tuple[Floats, Floats]:
    """Variances by who is tested, and by who is trained on (0 of one split)."""
    n_repeats, n_groups = influences.shape[-2:]
    if n_groups < 2:
        return np.full(influences.shape[:-2], np.nan), np.full(influences.shape[:-2], np.nan)
    tested = (influences.mean(axis=-2) ** 2).sum(axis=-1) / (n_groups * (n_groups - 1))
    if n_repeats == 1:
        return tested, np.zeros_like(tested)
    spread = influences.var(axis=-2, ddof=1).mean(axis=-1) / n_groups
    return tested, (n_folds / n_repeats - 1) * spread

"""The formula of every metric, written once over sums; the sums are over resamples of one target, or over many rows.

A formula takes `(y, predicted, sums)` and returns one value a sum, NaN where it is undefined. `predicted` are values of
a regression, probabilities of class 1, labels, or the probabilities of all classes, which have one axis more than y
(its last, of length n_classes). Classes are 0 to n_classes - 1. Which task and which sign a metric has stands in
`cortax.learning.scores`: an edit there is none of the search, which takes its formulas from here.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import ArrayLike

from cortax.learning.arrays import Floats, Ints

__all__ = [
    "Formula",
    "Resamples",
    "Rows",
    "Sums",
    "absolute_error",
    "accuracy",
    "average_precision",
    "balanced_accuracy",
    "brier",
    "explained_variance",
    "f1_macro",
    "log_loss",
    "matthews",
    "pearson_r",
    "quadratic_kappa",
    "r2",
    "ratio",
    "roc_auc",
    "skill",
    "squared_error",
]


# A variance below this share of the squared range is rounding: there is one value only.
_ROUNDING = 1e-12


class Sums(Protocol):
    """Sums over subjects, n_sums of them at once; each method returns an array of shape (n_sums,)."""

    @property
    def n_classes(self) -> int:
        """How many classes there are at least, whoever is summed over; 0 where that is not known."""

    def total(self, values: ArrayLike) -> Floats:
        """Return the sums of values."""

    def mean(self, values: ArrayLike) -> Floats:
        """Return the means of values; NaN of nobody."""

    def counts(self, codes: Ints, n_codes: int) -> Floats:
        """Return how often each of the codes 0 to n_codes - 1 occurs, of shape (n_sums, n_codes)."""

    def moments(self, a: Floats, b: Floats) -> Floats:
        """Return the sums of (a - mean a)(b - mean b); exactly 0 where they are rounding."""

    def wins(self, y: Floats, predicted: Floats) -> Floats:
        """Return how many pairs of a 1 and a 0 are predicted in that order; ties count half."""

    def precisions(self, y: Floats, predicted: Floats) -> Floats:
        """Return the sums, over the subjects of class 1, of the precision at their prediction."""


Formula = Callable[[Floats, Floats, Sums], Floats]


@dataclass(frozen=True, eq=False)
class Resamples:
    """Sums of one target in many resamples: values have shape (n,), or (n_resamples, n) if each has its own.

    Attributes
    ----------
    weights : float64 array of shape (n_resamples, n)
        How often each subject is in each resample.
    n_classes : int
        See `Sums`.
    """

    weights: Floats
    n_classes: int = 0

    def total(self, values: ArrayLike) -> Floats:
        """Return the weighted sums."""
        each = np.asarray(values, dtype=np.float64)
        return np.asarray(self.weights @ each if each.ndim == 1 else (self.weights * each).sum(axis=1))

    def mean(self, values: ArrayLike) -> Floats:
        """Return the weighted means."""
        return ratio(self.total(values), self.weights.sum(axis=1))

    def counts(self, codes: Ints, n_codes: int) -> Floats:
        """Return the weights of the codes."""
        return np.asarray(self.weights @ (codes[:, None] == np.arange(n_codes)).astype(np.float64))

    def moments(self, a: Floats, b: Floats) -> Floats:
        """Return weighted sums of products of deviations."""
        # Centred once, so that the one-pass formula below does not cancel.
        a, b = a - a.mean(), b - b.mean()
        n = self.weights.sum(axis=1)
        sums = self.total(a * b) - ratio(self.total(a) * self.total(b), n)
        return _cleaned(sums, np.ptp(a) * np.ptp(b) * n)

    def wins(self, y: Floats, predicted: Floats) -> Floats:
        """Return the weight of the pairs in order."""
        positive, negative = self._by_threshold(y, predicted)
        above = np.cumsum(positive, axis=1) - positive / 2
        return np.asarray((negative * above).sum(axis=1))

    def precisions(self, y: Floats, predicted: Floats) -> Floats:
        """Return the weighted sums of precisions."""
        positive, negative = self._by_threshold(y, predicted)
        hits, everyone = np.cumsum(positive, axis=1), np.cumsum(positive + negative, axis=1)
        precision = np.divide(hits, everyone, out=np.zeros_like(hits), where=everyone > 0)
        return np.asarray((positive * precision).sum(axis=1))

    def _by_threshold(self, y: Floats, predicted: Floats) -> tuple[Floats, Floats]:
        """Weights of classes 1 and 0 at each distinct prediction, highest first: (n_resamples, n_distinct) each."""
        order = np.argsort(-predicted, kind="stable")
        first = np.flatnonzero(np.r_[True, np.diff(predicted[order]) != 0])
        positive = self.weights[:, order] * y[order]
        negative = self.weights[:, order] - positive
        return np.add.reduceat(positive, first, axis=1), np.add.reduceat(negative, first, axis=1)


@dataclass(frozen=True)
class Rows:
    """Sums of many targets or predictions, a row each: values have shape (n_rows, n), or (1, n) where all rows share.

    Attributes
    ----------
    cleans : bool
        Whether moments that are rounding are 0. They are left as they are where scikit-learn's scores are wanted.
    n_classes : int
        See `Sums`: without it a row could be scored by the classes of the others.
    """

    cleans: bool = True
    n_classes: int = 0

    def total(self, values: ArrayLike) -> Floats:
        """Return the sums of rows."""
        return np.asarray(np.sum(values, axis=1, dtype=np.float64))

    def mean(self, values: ArrayLike) -> Floats:
        """Return the means of rows."""
        return np.asarray(np.mean(np.asarray(values), axis=1, dtype=np.float64))

    def counts(self, codes: Ints, n_codes: int) -> Floats:
        """Return the numbers of the codes in each row."""
        apart = codes + n_codes * np.arange(len(codes))[:, None]
        return np.bincount(apart.ravel(), minlength=n_codes * len(codes)).reshape(-1, n_codes).astype(np.float64)

    def moments(self, a: Floats, b: Floats) -> Floats:
        """Return sums of products of deviations."""
        sums = ((a - a.mean(axis=1, keepdims=True)) * (b - b.mean(axis=1, keepdims=True))).sum(axis=1)
        return _cleaned(sums, np.ptp(a, axis=1) * np.ptp(b, axis=1) * a.shape[1]) if self.cleans else sums

    def wins(self, y: Floats, predicted: Floats) -> Floats:
        """Return the numbers of pairs in order."""
        from scipy.stats import rankdata

        n_ones = y.sum(axis=1)
        return np.asarray((rankdata(predicted, axis=1) * y).sum(axis=1) - n_ones * (n_ones + 1) / 2)

    def precisions(self, y: Floats, predicted: Floats) -> Floats:
        """Return the sums of precisions."""
        from scipy.stats import rankdata

        order = np.argsort(-predicted, axis=1, kind="stable")
        hits = np.cumsum(np.take_along_axis(y, order, axis=1), axis=1)
        # Of equal predictions all are above the threshold, or none.
        n_above = rankdata(-predicted, axis=1, method="max").astype(np.int64)
        return np.asarray((np.take_along_axis(hits, n_above - 1, axis=1) / n_above * y).sum(axis=1))


def _cleaned(sums: Floats, scale: Floats) -> Floats:
    tiny = (scale == 0) | (np.abs(sums) <= _ROUNDING * scale)
    return np.asarray(np.where(tiny & ~np.isnan(sums), 0.0, sums))


def ratio(above: Floats, below: Floats) -> Floats:
    """Divide; NaN, without a warning, where there is nothing to divide by."""
    return np.asarray(np.divide(above, below, out=np.full(np.shape(above), np.nan), where=below > 0))


def skill(error: Floats, total: Floats) -> Floats:
    """Return 1 - error / total; a constant target gives 1 if met and 0 if not, as scikit-learn has it."""
    share = np.divide(error, total, out=np.where(error == 0, 0.0, 1.0), where=total > 0)
    return np.where(np.isnan(total), np.nan, 1 - share)


def r2(y: Floats, predicted: Floats, sums: Sums) -> Floats:
    """1 - sum of (y - p)^2 / sum of (y - mean y)^2."""
    return skill(sums.total((y - predicted) ** 2), sums.moments(y, y))


def explained_variance(y: Floats, predicted: Floats, sums: Sums) -> Floats:
    """1 - var(y - p) / var(y)."""
    return skill(sums.moments(y - predicted, y - predicted), sums.moments(y, y))


def pearson_r(y: Floats, predicted: Floats, sums: Sums) -> Floats:
    """cov(y, p) / sqrt(var(y) var(p)); 0 for constant predictions, as scikit-learn's `r_regression`."""
    spread = np.sqrt(sums.moments(y, y)) * np.sqrt(sums.moments(predicted, predicted))
    return np.where(spread == 0, 0.0, ratio(sums.moments(y, predicted), spread))


def squared_error(y: Floats, predicted: Floats, sums: Sums) -> Floats:
    """Mean of (y - p)^2; of probabilities the Brier score."""
    return sums.mean((y - predicted) ** 2)


def absolute_error(y: Floats, predicted: Floats, sums: Sums) -> Floats:
    """Mean of |y - p|."""
    return sums.mean(np.abs(y - predicted))


def accuracy(y: Floats, labels: Floats, sums: Sums) -> Floats:
    """Share of the right labels."""
    return sums.mean(y == labels)


def _confusion(y: Floats, labels: Floats, sums: Sums) -> tuple[Floats, Floats, Floats, Floats]:
    """True and false positives, true and false negatives."""
    tp, fp, tn, fn = (sums.total((y == t) & (labels == p)) for t, p in ((1, 1), (0, 1), (0, 0), (1, 0)))
    return tp, fp, tn, fn


def _n_classes(y: Floats, labels: Floats, sums: Sums) -> int:
    """Two at least, also of nobody."""
    return max(sums.n_classes, 1 + int(max(y.max(initial=1), labels.max(initial=1))))


def _matrix(y: Floats, labels: Floats, sums: Sums) -> Floats | None:
    """Confusion matrix of shape (n_sums, true class, predicted class); None of no more than two classes."""
    n = _n_classes(y, labels, sums)
    return _confusion_matrix(y, labels, sums, n) if n > 2 else None


def _confusion_matrix(y: Floats, labels: Floats, sums: Sums, n: int) -> Floats:
    return sums.counts((y * n + labels).astype(np.int64), n * n).reshape(-1, n, n)


def _mean_of_classes(values: Floats, n_true: Floats) -> Floats:
    """Average values of shape (n_sums, n_classes); NaN where nobody is of one of the classes."""
    return np.where((n_true > 0).all(axis=1), values.mean(axis=1), np.nan)


def balanced_accuracy(y: Floats, labels: Floats, sums: Sums) -> Floats:
    """Mean over classes of the share of its subjects that are labelled so; NaN where a class has none."""
    matrix = _matrix(y, labels, sums)
    if matrix is not None:
        n_true = matrix.sum(axis=2)
        return _mean_of_classes(ratio(np.diagonal(matrix, axis1=1, axis2=2), n_true), n_true)
    tp, fp, tn, fn = _confusion(y, labels, sums)
    return (ratio(tp, tp + fn) + ratio(tn, tn + fp)) / 2


def f1_macro(y: Floats, labels: Floats, sums: Sums) -> Floats:
    """Mean over classes of 2 tp / (2 tp + fp + fn); NaN where a class has no subjects."""
    matrix = _confusion_matrix(y, labels, sums, _n_classes(y, labels, sums))
    n_true, n_said = matrix.sum(axis=2), matrix.sum(axis=1)
    return _mean_of_classes(ratio(2 * np.diagonal(matrix, axis1=1, axis2=2), n_true + n_said), n_true)


def matthews(y: Floats, labels: Floats, sums: Sums) -> Floats:
    """(tp tn - fp fn) / sqrt((tp + fp)(tn + fn)(tp + fn)(tn + fp)); 0 of labels all the same, NaN of one class.

    Of more classes R_K: the covariance of labels with classes, both as indicators, by the root of their variances
    (Gorodkin 2004, Computational Biology and Chemistry 28, 367-374).
    """
    matrix = _matrix(y, labels, sums)
    if matrix is not None:
        n_true, n_said, n = matrix.sum(axis=2), matrix.sum(axis=1), matrix.sum(axis=(1, 2))
        right = np.trace(matrix, axis1=1, axis2=2)
        of_true, of_said = (n**2 - (counts**2).sum(axis=1) for counts in (n_true, n_said))
        both = right * n - (n_true * n_said).sum(axis=1)
        values = np.where(of_said == 0, 0.0, ratio(both, np.sqrt(of_true * of_said)))
        return np.where(of_true > 0, values, np.nan)
    tp, fp, tn, fn = _confusion(y, labels, sums)
    spread = np.sqrt(tp + fp) * np.sqrt(tn + fn) * np.sqrt(tp + fn) * np.sqrt(tn + fp)
    values = np.where(spread == 0, 0.0, ratio(tp * tn - fp * fn, spread))
    return np.where((tp + fn > 0) & (tn + fp > 0), values, np.nan)


def quadratic_kappa(y: Floats, labels: Floats, sums: Sums) -> Floats:
    """1 - sum of (y - l)^2 / its expectation where labels are independent of classes with the same frequencies.

    Cohen (1968), Psychological Bulletin 70, 213-220. NaN where all classes and labels are the same one.
    """
    n = _n_classes(y, labels, sums)
    matrix = _confusion_matrix(y, labels, sums, n)
    n_true, n_said = matrix.sum(axis=2), matrix.sum(axis=1)
    # In scikit-learn's order, so that the search chooses by its bits.
    total = n_said.sum(axis=1)[:, None, None]
    expected = ratio(n_said[:, :, None] * n_true[:, None, :], np.broadcast_to(total, matrix.shape))
    squares = (np.arange(n, dtype=np.float64)[:, None] - np.arange(n)) ** 2
    found, chance = ((squares * table).reshape(len(matrix), n * n).sum(axis=1) for table in (matrix, expected))
    return 1 - ratio(found, chance)


def roc_auc(y: Floats, predicted: Floats, sums: Sums) -> Floats:
    """Share of the pairs of a 1 and a 0 that are predicted in that order; NaN of one class.

    Of more classes the mean over each against the rest, by its probability.
    """
    if predicted.ndim > y.ndim:
        return _against_rest(roc_auc, y, predicted, sums)
    _check_two(y)
    return ratio(sums.wins(y, predicted), sums.total(y) * sums.total(1 - y))


def average_precision(y: Floats, predicted: Floats, sums: Sums) -> Floats:
    """Mean over class 1 of the precision at each one's prediction; NaN of one class.

    Of more classes the mean over each against the rest, by its probability.
    """
    if predicted.ndim > y.ndim:
        return _against_rest(average_precision, y, predicted, sums)
    _check_two(y)
    return np.where(sums.total(1 - y) > 0, ratio(sums.precisions(y, predicted), sums.total(y)), np.nan)


def _check_two(y: Floats) -> None:
    """Probabilities of one class say nothing of several: a number would be made of them, and be wrong."""
    if y.size and y.max() > 1:
        raise ValueError(
            f"y has a class {y.max():g}: the probabilities of all classes are needed, not of class 1 alone"
        )


def _against_rest(formula: Formula, y: Floats, probabilities: Floats, sums: Sums) -> Floats:
    """Average over classes; of two ordered ones it is the score of class 1, as of any two."""
    n = probabilities.shape[-1]
    each = [
        formula((y == k).astype(np.float64), np.ascontiguousarray(probabilities[..., k]), sums)
        for k in range(int(n == 2), n)
    ]
    return np.asarray(np.stack(each, axis=1).mean(axis=1))


def brier(y: Floats, predicted: Floats, sums: Sums) -> Floats:
    """Mean of (y - p)^2, p of class 1; of more than two classes the mean of the sum over classes (Brier 1950)."""
    if predicted.ndim == y.ndim:
        _check_two(y)
        return squared_error(y, predicted, sums)
    n = predicted.shape[-1]
    squares = ((y[..., None] == np.arange(n)) - predicted) ** 2
    return sums.mean(squares.sum(axis=-1) / (2 if n == 2 else 1))


def log_loss(y: Floats, predicted: Floats, sums: Sums) -> Floats:
    """Mean of -log of the probability of the true class; probabilities of 0 and 1 are moved off by rounding."""
    if predicted.ndim == y.ndim:
        _check_two(y)
        of_true = np.where(y == 1, predicted, 1 - predicted)
    else:
        of_true = np.where(y[..., None] == np.arange(predicted.shape[-1]), predicted, 0.0).sum(axis=-1)
    edge = np.finfo(np.float64).eps
    return sums.mean(-np.log(np.clip(of_true, edge, 1 - edge)))

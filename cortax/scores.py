"""Reported metrics, each computed for many resamples at once.

A resample is a row of integer weights; `cortax.intervals` makes them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin
from sklearn.metrics import get_scorer, get_scorer_names

from cortax.errors import SearchError, choices

__all__ = ["METRICS", "Metric", "get_metric"]

Floats = NDArray[np.float64]
Function = Callable[[Floats, Floats, Floats], Floats]  # y (n,), predicted (n,), weights (b, n) -> (b,)

# A weighted variance below this share of the squared range is rounding: the resample holds one value only.
_ROUNDING = 1e-12


@dataclass(frozen=True)
class Metric:
    """One way to score predictions.

    `function(y, predicted, weights)` takes arrays of shape (n,), (n,) and (n_resamples, n) and returns the
    value of every resample, shape (n_resamples,); NaN where it is undefined. `needs` says what `predicted`
    is: a regression's "prediction", a classifier's "label" or its "probability" of class 1; a scikit-learn scorer
    that may want either gets both ("both": shape (2, n), probability and label).
    """

    name: str
    function: Function
    task: str
    needs: str
    greater_is_better: bool


def _ratio(above: Floats, below: Floats) -> Floats:
    """Divide; NaN, without a warning, where there is nothing to divide by."""
    undefined = np.full(np.shape(above), np.nan)
    return np.asarray(np.divide(above, below, out=undefined, where=below > 0))


def _moments(a: Floats, b: Floats, weights: Floats) -> Floats:
    """Weighted sum of (a - mean a)(b - mean b) in each resample; exactly 0 where it is rounding."""
    # Centred once, so that the one-pass formula below does not cancel.
    a, b = a - a.mean(), b - b.mean()
    found = weights @ (a * b) - _ratio((weights @ a) * (weights @ b), weights.sum(axis=1))
    scale = np.ptp(a) * np.ptp(b) * weights.sum(axis=1)
    tiny = (scale == 0) | (np.abs(found) <= _ROUNDING * scale)
    return np.asarray(np.where(tiny & ~np.isnan(found), 0.0, found))


def _skill(error: Floats, total: Floats) -> Floats:
    """1 - error / total; a constant target gives 1 if met and 0 if not, as scikit-learn has it."""
    ratio = np.divide(error, total, out=np.where(error == 0, 0.0, 1.0), where=total > 0)
    return np.where(np.isnan(total), np.nan, 1 - ratio)


def _r2(y: Floats, predicted: Floats, weights: Floats) -> Floats:
    return _skill(weights @ (y - predicted) ** 2, _moments(y, y, weights))


def _explained_variance(y: Floats, predicted: Floats, weights: Floats) -> Floats:
    return _skill(_moments(y - predicted, y - predicted, weights), _moments(y, y, weights))


def _pearson_r(y: Floats, predicted: Floats, weights: Floats) -> Floats:
    spread = np.sqrt(_moments(y, y, weights)) * np.sqrt(_moments(predicted, predicted, weights))
    # A constant prediction has no linear relation to anything: 0, as scikit-learn's `r_regression`.
    return np.where(spread == 0, 0.0, _ratio(_moments(y, predicted, weights), spread))


def _mean(values: Floats, weights: Floats) -> Floats:
    return _ratio(weights @ values, weights.sum(axis=1))


def _squared_error(y: Floats, predicted: Floats, weights: Floats) -> Floats:
    return _mean((y - predicted) ** 2, weights)


def _absolute_error(y: Floats, predicted: Floats, weights: Floats) -> Floats:
    return _mean(np.abs(y - predicted), weights)


def _accuracy(y: Floats, predicted: Floats, weights: Floats) -> Floats:
    return _mean((y == predicted).astype(np.float64), weights)


def _counts(y: Floats, predicted: Floats, weights: Floats) -> tuple[Floats, Floats, Floats, Floats]:
    """Weighted true and false positives, true and false negatives."""
    cells = [(y == truth) & (predicted == said) for truth, said in ((1, 1), (0, 1), (0, 0), (1, 0))]
    tp, fp, tn, fn = (weights @ cell.astype(np.float64) for cell in cells)
    return tp, fp, tn, fn


def _balanced_accuracy(y: Floats, predicted: Floats, weights: Floats) -> Floats:
    tp, fp, tn, fn = _counts(y, predicted, weights)
    return (_ratio(tp, tp + fn) + _ratio(tn, tn + fp)) / 2


def _matthews(y: Floats, predicted: Floats, weights: Floats) -> Floats:
    tp, fp, tn, fn = _counts(y, predicted, weights)
    spread = np.sqrt(tp + fp) * np.sqrt(tn + fn) * np.sqrt(tp + fn) * np.sqrt(tn + fp)
    found = np.where(spread == 0, 0.0, _ratio(tp * tn - fp * fn, spread))
    # Labels all the same are no information (0); a truth of one class is no question (NaN).
    return np.where((tp + fn > 0) & (tn + fp > 0), found, np.nan)


def _by_threshold(y: Floats, predicted: Floats, weights: Floats) -> tuple[Floats, Floats]:
    """Weights of classes 1 and 0 at each distinct prediction, highest first: (n_resamples, n_distinct) each."""
    order = np.argsort(-predicted, kind="stable")
    first = np.flatnonzero(np.r_[True, np.diff(predicted[order]) != 0])
    positive = weights[:, order] * y[order]
    negative = weights[:, order] - positive
    return np.add.reduceat(positive, first, axis=1), np.add.reduceat(negative, first, axis=1)


def _roc_auc(y: Floats, predicted: Floats, weights: Floats) -> Floats:
    positive, negative = _by_threshold(y, predicted, weights)
    above = np.cumsum(positive, axis=1) - positive / 2  # ties count half
    return _ratio((negative * above).sum(axis=1), positive.sum(axis=1) * negative.sum(axis=1))


def _average_precision(y: Floats, predicted: Floats, weights: Floats) -> Floats:
    positive, negative = _by_threshold(y, predicted, weights)
    hits, all_so_far = np.cumsum(positive, axis=1), np.cumsum(positive + negative, axis=1)
    precision = np.divide(hits, all_so_far, out=np.zeros_like(hits), where=all_so_far > 0)
    found = _ratio((positive * precision).sum(axis=1), positive.sum(axis=1))
    return np.where(negative.sum(axis=1) > 0, found, np.nan)


METRICS: dict[str, Metric] = {
    metric.name: metric
    for metric in (
        Metric("r2", _r2, "regression", "prediction", True),
        Metric("explained_variance", _explained_variance, "regression", "prediction", True),
        Metric("pearson_r", _pearson_r, "regression", "prediction", True),
        Metric("mean_squared_error", _squared_error, "regression", "prediction", False),
        Metric("mean_absolute_error", _absolute_error, "regression", "prediction", False),
        Metric("roc_auc", _roc_auc, "classification", "probability", True),
        Metric("average_precision", _average_precision, "classification", "probability", True),
        Metric("brier_score", _squared_error, "classification", "probability", False),
        Metric("matthews_corrcoef", _matthews, "classification", "label", True),
        Metric("balanced_accuracy", _balanced_accuracy, "classification", "label", True),
        Metric("accuracy", _accuracy, "classification", "label", True),
    )
}


class _GivenRegressor(RegressorMixin, BaseEstimator):  # type: ignore[misc]
    """Predicts what it is given: lets any scikit-learn scorer score finished predictions."""

    def predict(self, X: Floats) -> Floats:
        """Return the first column."""
        return X[:, 0]


class _GivenClassifier(ClassifierMixin, BaseEstimator):  # type: ignore[misc]
    """The same for classes 0 and 1: columns are the probability of class 1 and the label."""

    classes_ = np.array([0, 1])

    def predict(self, X: Floats) -> NDArray[np.int64]:
        """Return the labels."""
        return X[:, 1].astype(np.int64)

    def predict_proba(self, X: Floats) -> Floats:
        """Return the probabilities of both classes."""
        return np.column_stack([1 - X[:, 0], X[:, 0]])


def _scorer_function(name: str, task: str) -> Function:
    """Wrap a scikit-learn scorer: one call a resample, each subject repeated as often as it was drawn."""
    scorer = get_scorer(name)
    given = _GivenRegressor() if task == "regression" else _GivenClassifier()

    def function(y: Floats, predicted: Floats, weights: Floats) -> Floats:
        truth = y if task == "regression" else y.astype(np.int64)
        columns = np.atleast_2d(predicted).T
        found = np.full(len(weights), np.nan)
        for i, drawn in enumerate(weights.astype(np.int64)):
            rows = np.repeat(np.arange(len(y)), drawn)
            if len(rows) and (task == "regression" or np.ptp(truth[rows]) > 0):
                found[i] = scorer(given, columns[rows], truth[rows])
        return found

    return function


def get_metric(name: str, task: str) -> Metric:
    """Look up a metric: one of `METRICS`, else any of scikit-learn's scorers (slower, one call a resample).

    Parameters
    ----------
    name : str
        A scorer keeps its sign: "neg_max_error" is negative, and greater is better.
    task : str
        "regression" or "classification" (of classes 0 and 1).

    Raises
    ------
    SearchError
        Unknown name or task, or a metric of the other task.
    """
    if task not in ("regression", "classification"):
        raise SearchError(f"task of metric {name!r}: {choices(task, ['regression', 'classification'])}")
    if name in METRICS:
        if METRICS[name].task != task:
            fitting = [known for known, metric in METRICS.items() if metric.task == task]
            raise SearchError(f"metric {name!r} is for {METRICS[name].task}, the target is {task}: use {fitting}")
        return METRICS[name]
    if name not in get_scorer_names():
        raise SearchError(f"metric for {task}: {choices(name, {*METRICS, *get_scorer_names()})}")
    metric = Metric(name, _scorer_function(name, task), task, "prediction" if task == "regression" else "both", True)
    _try_out(metric)
    return metric


def _try_out(metric: Metric) -> None:
    """Fail now, not after hours of fitting, if a scorer wants something else than these predictions."""
    y = np.array([0.0, 1.0, 0.0, 1.0])
    predicted = np.array([0.2, 0.6, 0.4, 0.9])
    try:
        metric.function(y, predicted if metric.needs == "prediction" else np.stack([predicted, y]), np.ones((1, 4)))
    except (ValueError, TypeError, AttributeError) as error:
        raise SearchError(f"metric {metric.name!r} cannot score a {metric.task}: {error}") from error

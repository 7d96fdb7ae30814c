"""Reported metrics of out-of-fold predictions, with intervals that respect families.

The interval of a score is a percentile bootstrap over GROUPS: a family enters a resample whole or not at all.
A resample is a row of integer weights, so the metrics of `METRICS` score all resamples at once.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin
from sklearn.metrics import get_scorer, get_scorer_names

from cortax.errors import SearchError, choices

__all__ = ["COLUMNS", "METRICS", "Metric", "bootstrap_weights", "get_metric", "score_table", "score_targets"]

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]
Function = Callable[[Floats, Floats, Floats], Floats]  # y (n,), predicted (n,), weights (b, n) -> (b,)

COLUMNS = ("target", "fold", "metric", "value", "low", "high", "n_subjects", "n_resamples")
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
    metric = Metric(
        name, _scorer_function(name, task), task, "prediction" if task == "regression" else "both", True
    )
    _try_out(metric)
    return metric


def _try_out(metric: Metric) -> None:
    """Fail now, not after hours of fitting, if a scorer wants something else than these predictions."""
    y = np.array([0.0, 1.0, 0.0, 1.0])
    predicted = np.array([0.2, 0.6, 0.4, 0.9])
    try:
        metric.function(
            y, predicted if metric.needs == "prediction" else np.stack([predicted, y]), np.ones((1, 4))
        )
    except (ValueError, TypeError, AttributeError) as error:
        raise SearchError(f"metric {metric.name!r} cannot score a {metric.task}: {error}") from error


def bootstrap_weights(
    groups: ArrayLike, n_bootstrap: int, *, seed: int, strata: ArrayLike | None = None
) -> NDArray[np.int64]:
    """Draw whole groups with replacement, as many as there are.

    Parameters
    ----------
    groups : array of shape (n_subjects,)
    strata : array of shape (n_subjects,), optional
        Draw as many groups of each stratum as it has; a group is of the stratum of its first subject.

    Returns
    -------
    array of shape (n_bootstrap, n_subjects), int64
        How often each subject is in each resample. It depends on these arguments alone, so two pipelines
        scored on the same folds with the same seed are compared on the same resamples.
    """
    names, first, index = np.unique(np.asarray(groups), return_index=True, return_inverse=True)
    stratum = np.zeros(len(names)) if strata is None else np.asarray(strata)[first]
    rng = np.random.default_rng(seed)
    counts = np.zeros((n_bootstrap, len(names)), dtype=np.int64)
    for one in np.unique(stratum):
        members = np.flatnonzero(stratum == one)
        drawn = rng.integers(len(members), size=(n_bootstrap, len(members)))
        drawn += np.arange(n_bootstrap)[:, None] * len(members)
        found = np.bincount(drawn.ravel(), minlength=n_bootstrap * len(members))
        counts[:, members] = found.reshape(n_bootstrap, len(members))
    return counts[:, index.ravel()]


def score_table(
    prediction: ArrayLike,
    y: ArrayLike,
    folds_test: ArrayLike,
    groups: ArrayLike,
    metrics: Sequence[str],
    *,
    label: ArrayLike | None = None,
    target: str = "",
    n_bootstrap: int = 1000,
    confidence: float = 0.95,
    seed: int = 0,
) -> pd.DataFrame:
    """Score one target's out-of-fold predictions, fold by fold and on average.

    Parameters
    ----------
    prediction : array of shape (n_subjects,) or (n_repeats, n_subjects), float64
        A regression's values or the probability of class 1. A fold without a single one is a fit that
        failed: its scores are NaN, `n_subjects` is 0.
    y : array of shape (n_subjects,), float64
        The truth, classes as 0 and 1. A subject with NaN is not scored.
    folds_test : array of shape (n_folds, n_subjects), bool
        Repeat by repeat: with n_repeats rows of predictions, fold k is scored on row
        k // (n_folds / n_repeats).
    groups : array of shape (n_subjects,)
        Families; resampled whole.
    metrics : sequence of str
        See `get_metric`.
    label : array of the shape of `prediction`, float64, optional
        A classifier's predicted classes. With it the task is classification, without it regression.
    n_bootstrap : int
        0 for no intervals.

    Returns
    -------
    DataFrame with `COLUMNS`
        One row per metric and fold ("0", "1", ...) and one for their "mean". NaN is a score without a meaning,
        such as an AUC in a fold of one class; the mean is over the other folds. Resamples in which a scored
        fold has no value are dropped; `n_resamples` counts those that the interval rests on.

    Raises
    ------
    SearchError
        Shapes that do not fit, an unknown metric, or a test subject with a target but without a prediction in a
        fold that has others.
    """
    if not 0 < confidence < 1:
        raise SearchError(f"confidence of the intervals must lie between 0 and 1, got {confidence}")
    task = "regression" if label is None else "classification"
    chosen = [get_metric(name, task) for name in metrics]
    truth, tests = np.asarray(y, dtype=np.float64), np.asarray(folds_test, dtype=bool)
    predicted = {"prediction": _as_folds(prediction, tests, "prediction", target)}
    if label is not None:
        predicted["label"] = _as_folds(label, tests, "label", target)
    if truth.shape != tests.shape[1:] or np.shape(groups) != truth.shape:
        raise SearchError(
            f"target {target!r}: y {truth.shape} and groups {np.shape(groups)} "
            f"must be of shape ({tests.shape[1]},)"
        )
    _check_classes(truth, task, target)
    # Every fold keeps its number of groups in a resample: a small one would else be left with next to nobody.
    first_fold = tests[: len(tests) // np.atleast_2d(np.asarray(prediction)).shape[0]].argmax(axis=0)
    # A fold without any prediction is a fit that failed: no score, but no reason to lose the other folds.
    predicted_folds = (tests & np.isfinite(predicted["prediction"])).any(axis=1, keepdims=True)
    tests = tests & np.isfinite(truth) & predicted_folds
    _check_predicted(predicted, tests, target)
    # The first row is the cohort itself: its scores are the values.
    drawn = bootstrap_weights(groups, n_bootstrap, seed=seed, strata=first_fold)
    weights = np.vstack([np.ones((1, len(truth))), drawn])
    by_fold = np.stack(
        [
            _score_fold(chosen, truth, {what: p[k] for what, p in predicted.items()}, test, weights)
            for k, test in enumerate(tests)
        ],
        axis=1,
    )
    names = [*map(str, range(len(tests))), "mean"]
    n_scored = [*tests.sum(axis=1), tests.any(axis=0).sum()]
    rows = []
    for metric, found in zip(chosen, by_fold, strict=True):
        scored = found[~np.isnan(found[:, 0])]
        average = scored.mean(axis=0) if len(scored) else np.full(found.shape[1], np.nan)
        for fold, values, n in zip(names, [*found, average], n_scored, strict=True):
            rows.append((target, fold, metric.name, *_interval(values, confidence), int(n), _n_used(values)))
    # Column by column, as a frame of mixed rows has no dtypes when it is empty.
    table = pd.DataFrame(rows, columns=list(COLUMNS))
    floats, ints = ["value", "low", "high"], ["n_subjects", "n_resamples"]
    return table.astype(dict.fromkeys(floats, "float64") | dict.fromkeys(ints, "int64"))


def _as_folds(values: ArrayLike, tests: Bools, what: str, target: str) -> Floats:
    """Give every fold the predictions of its repeat; shape (n_folds, n_subjects)."""
    found = np.atleast_2d(np.asarray(values, dtype=np.float64))
    if tests.ndim != 2 or found.shape[1:] != tests.shape[1:] or len(tests) % len(found):
        raise SearchError(
            f"target {target!r}: {what} of shape {np.shape(values)} does not fit the folds of shape "
            f"{tests.shape}; "
            "must be (n_subjects,) or (n_repeats, n_subjects), with n_repeats dividing the number of folds"
        )
    return np.repeat(found, len(tests) // len(found), axis=0)


def _check_classes(y: Floats, task: str, target: str) -> None:
    others = sorted(set(y[np.isfinite(y)]) - {0.0, 1.0}) if task == "classification" else []
    if others:
        raise SearchError(f"target {target!r}: classes must be 0 and 1, got {[float(c) for c in others[:5]]}")


def _check_predicted(predicted: dict[str, Floats], tests: Bools, target: str) -> None:
    for what, values in predicted.items():
        for fold, subject in np.argwhere(tests & ~np.isfinite(values))[:1]:
            lost = (tests[fold] & ~np.isfinite(values[fold])).sum()
            raise SearchError(
                f"target {target!r}, fold {fold}: {lost} of {tests[fold].sum()} test subjects "
                f"have no finite {what}; the first is in row {subject}"
            )


def _score_fold(
    metrics: Sequence[Metric], y: Floats, predicted: dict[str, Floats], test: Bools, weights: Floats
) -> Floats:
    """Score one fold in the cohort (first) and every resample; shape (n_metrics, 1 + n_bootstrap)."""
    if not test.any():
        return np.full((len(metrics), len(weights)), np.nan)
    given = {what: values[test] for what, values in predicted.items()}
    given["probability"] = given["prediction"]
    given["both"] = np.stack(list(predicted.values()))[:, test]
    inside = weights[:, test]
    return np.stack([metric.function(y[test], given[metric.needs], inside) for metric in metrics])


def _interval(values: Floats, confidence: float) -> tuple[float, float, float]:
    """Value, low and high of (value, resamples...)."""
    resampled = values[1:][~np.isnan(values[1:])]
    if np.isnan(values[0]) or not len(resampled):
        return float(values[0]), float("nan"), float("nan")
    low, high = np.quantile(resampled, [(1 - confidence) / 2, (1 + confidence) / 2])
    return float(values[0]), float(low), float(high)


def _n_used(values: Floats) -> int:
    return 0 if np.isnan(values[0]) else int((~np.isnan(values[1:])).sum())


def score_targets(
    predictions: ArrayLike,
    labels: ArrayLike,
    targets: ArrayLike,
    folds_test: ArrayLike,
    groups: ArrayLike,
    *,
    names: Sequence[str],
    tasks: Sequence[str],
    metrics: Mapping[str, Sequence[str]],
    n_bootstrap: int,
    confidence: float,
    seed: int,
) -> pd.DataFrame:
    """Score all targets, each by the metrics of its task.

    Parameters
    ----------
    predictions, labels : arrays of shape (n_repeats, n_targets, n_subjects), float64
    targets : array of shape (n_subjects, n_targets), float64
    names, tasks : sequence of str, of length n_targets
    metrics : dict of task to names of metrics
    folds_test, groups, n_bootstrap, confidence, seed
        See `score_table`, as for what is returned and raised.
    """
    predicted, labelled, truth = np.asarray(predictions), np.asarray(labels), np.asarray(targets)
    tables = [
        score_table(
            predicted[:, t],
            truth[:, t],
            folds_test,
            groups,
            metrics[task],
            label=labelled[:, t] if task == "classification" else None,
            target=name,
            n_bootstrap=n_bootstrap,
            confidence=confidence,
            seed=seed,
        )
        for t, (name, task) in enumerate(zip(names, tasks, strict=True))
    ]
    return pd.concat(tables, ignore_index=True)

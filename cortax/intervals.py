"""Scores of out-of-fold predictions by fold, with intervals that respect families.

The interval of a score is a percentile bootstrap over GROUPS: a family enters a resample whole or not at all.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from cortax.errors import SearchError
from cortax.scores import Metric, get_metric

__all__ = ["COLUMNS", "bootstrap_weights", "score_table", "score_targets"]

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]

COLUMNS = ("target", "fold", "metric", "value", "low", "high", "n_subjects", "n_resamples")


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
            f"target {target!r}: y {truth.shape} and groups {np.shape(groups)} must be of shape ({tests.shape[1]},)"
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

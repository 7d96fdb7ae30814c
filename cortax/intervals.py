"""Scores of out-of-fold predictions by fold, with intervals that respect families.

The interval of a score is a basic bootstrap over GROUPS: a family enters a resample whole or not at all, and the
distances from the score to the quantiles of its resamples are mirrored (Davison and Hinkley, Bootstrap Methods and
their Application, 1997, section 5.2). R2 of a small fold is too low, and lower still in resamples: plain percentiles
would hand on that bias twice, and cover too rarely (`benchmarks/bench_inference.py`). A bound may lie beyond the best
possible score.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from cortax.errors import SearchError
from cortax.predictions import mean_over_folds, out_of_fold, score_folds
from cortax.scores import get_metric

__all__ = ["COLUMNS", "bootstrap_weights", "score_table", "score_targets"]

Floats = NDArray[np.float64]

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
    given = out_of_fold(prediction, y, folds_test, groups, label=label, target=target)
    # The first row is the cohort itself: its scores are the values.
    drawn = bootstrap_weights(groups, n_bootstrap, seed=seed, strata=given.strata)
    by_fold = score_folds(given, chosen, np.vstack([np.ones((1, len(given.y))), drawn]))
    names = [*map(str, range(len(given.tests))), "mean"]
    n_scored = [*given.tests.sum(axis=1), given.tests.any(axis=0).sum()]
    rows = []
    for metric, found in zip(chosen, by_fold, strict=True):
        for fold, values, n in zip(names, [*found, mean_over_folds(found)], n_scored, strict=True):
            rows.append((target, fold, metric.name, *_interval(values, confidence), int(n), _n_used(values)))
    # Column by column, as a frame of mixed rows has no dtypes when it is empty.
    table = pd.DataFrame(rows, columns=list(COLUMNS))
    floats, ints = ["value", "low", "high"], ["n_subjects", "n_resamples"]
    return table.astype(dict.fromkeys(floats, "float64") | dict.fromkeys(ints, "int64"))


def _interval(values: Floats, confidence: float) -> tuple[float, float, float]:
    """Value, low and high of (value, resamples...)."""
    resampled = values[1:][~np.isnan(values[1:])]
    if np.isnan(values[0]) or not len(resampled):
        return float(values[0]), float("nan"), float("nan")
    high, low = 2 * values[0] - np.quantile(resampled, [(1 - confidence) / 2, (1 + confidence) / 2])
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

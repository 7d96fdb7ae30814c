"""Scores with intervals, fold by fold and on average, of finished predictions out of fold.

The interval of the mean over folds is of the expected score of the procedure, see `cortax.learning.jackknife`; that of
one fold is of the model that was fitted there, as it would score in tests of as many groups. How they are made of
variances is in `cortax.learning.intervals`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

from cortax.errors import SearchError
from cortax.learning.arrays import Floats
from cortax.learning.cohort import Targets
from cortax.learning.intervals import interval
from cortax.learning.jackknife import group_influences, leave_out_of_folds, score_variance
from cortax.learning.out_of_fold import out_of_fold
from cortax.learning.scores import get_metric

__all__ = ["COLUMNS", "Scoring", "score_table", "score_targets"]

COLUMNS = ("target", "fold", "metric", "value", "low", "high", "n_subjects", "n_groups", "sd_repeats")


def score_table(
    prediction: ArrayLike,
    y: ArrayLike,
    folds_test: ArrayLike,
    groups: ArrayLike,
    metrics: Sequence[str],
    *,
    label: ArrayLike | None = None,
    probabilities: ArrayLike | None = None,
    task: str = "",
    target: str = "",
    confidence: float = 0.95,
) -> pd.DataFrame:
    """Score one target's out-of-fold predictions, fold by fold and on average.

    Parameters
    ----------
    prediction : array of shape (n_subjects,) or (n_repeats, n_subjects), float64
        A regression's values or the probability of class 1; of ordinal targets and of more than two classes it is not
        scored. A fold without a single one is a fit that failed: its scores are NaN, `n_subjects` is 0.
    y : array of shape (n_subjects,), float64
        The truth, classes as 0, 1, 2, ... A subject with NaN is not scored.
    folds_test : array of shape (n_folds, n_subjects), bool
        Repeat by repeat: with n_repeats rows of predictions, fold k is scored on row
        k // (n_folds / n_repeats).
    groups : array of shape (n_subjects,)
        Families, or whoever else is alike: left out together.
    metrics : sequence of str
        See `get_metric`.
    label : array of the shape of `prediction`, float64, optional
        A classifier's predicted classes.
    probabilities : array of the shape of `prediction` and (n_classes,), float64, optional
        Of every class, where the target is ordinal or has more than two.
    task : {"regression", "classification", "ordinal"}, optional
        By default classification where there are labels, else regression.

    Returns
    -------
    DataFrame with `COLUMNS`
        One row per metric and fold ("0", "1", ...) and one for their "mean". NaN is a score without a meaning,
        such as an AUC in a fold of one class; the mean is over the other folds. `n_groups` counts those (or sets of
        them, where there are more than can be left out one by one) that the interval rests on; there is none with
        fewer than two. `sd_repeats` is the standard deviation of the means of single repeats.

    Raises
    ------
    SearchError
        Shapes that do not fit, an unknown metric, or a test subject with a target but without a prediction in a
        fold that has others.
    """
    if not 0 < confidence < 1:
        raise SearchError(f"confidence of the intervals must lie between 0 and 1, got {confidence}")
    task = task or ("regression" if label is None else "classification")
    n_classes = 2 if probabilities is None else np.shape(probabilities)[-1]
    chosen = [get_metric(name, task, n_classes) for name in metrics]
    given = out_of_fold(prediction, y, folds_test, groups, label=label, probabilities=probabilities, target=target)
    folds = leave_out_of_folds(given, chosen, groups)
    whole = group_influences(given, chosen, groups, folds)
    names = [*map(str, range(len(folds))), "mean"]
    n_scored = [*given.tests.sum(axis=1), given.tests.any(axis=0).sum()]
    n_groups = [*(len(fold.groups) for fold in folds), whole.influences.shape[2]]
    variances = score_variance(whole.influences, len(folds))
    rows = []
    for place, metric in enumerate(chosen):
        scores = np.array([fold.score[place] for fold in folds])
        values = np.append(scores, whole.values[place])
        spread = np.append([_variance_of_mean(fold.pseudo[place]) for fold in folds], variances[place])
        freedom = np.array(n_groups) - 1
        bounds = interval(values, spread, freedom, metric.limits, confidence=confidence)
        n_used = np.where(np.isnan(bounds[:, 0]), 0, n_groups)
        sd = [*[np.nan] * len(folds), _sd_over_repeats(scores.reshape(given.n_repeats, -1))]
        columns = (names, [metric.name] * len(names), values, *bounds.T, n_scored, n_used, sd)
        rows += [(target, *row) for row in zip(*columns, strict=True)]
    # Column by column, as a frame of mixed rows has no dtypes when it is empty.
    table = pd.DataFrame(rows, columns=list(COLUMNS))
    floats, ints = ["value", "low", "high", "sd_repeats"], ["n_subjects", "n_groups"]
    return table.astype(dict.fromkeys(floats, "float64") | dict.fromkeys(ints, "int64"))


def _variance_of_mean(values: Floats) -> float:
    return float(values.var(ddof=1) / len(values)) if len(values) > 1 else float("nan")


def _sd_over_repeats(scores: Floats) -> float:
    """Standard deviation of the means over folds, of scores of shape (n_repeats, n_folds); NaN of fewer than two."""
    means = [each[~np.isnan(each)].mean() for each in scores if not np.isnan(each).all()]
    return float(np.std(means, ddof=1)) if len(means) > 1 else float("nan")


class Predicted(Protocol):
    """Predictions of all targets, of shape (n_repeats, n_targets, n_subjects), and classifiers' labels.

    Of ordinal targets and of more than two classes, by the number of the target: probabilities of every class, of shape
    (n_repeats, n_subjects, n_classes).
    """

    @property
    def predictions(self) -> Floats: ...

    @property
    def labels(self) -> Floats: ...

    @property
    def probabilities(self) -> Mapping[int, Floats]: ...


@dataclass(frozen=True)
class Scoring:
    """How targets are scored: by the metrics of each task, with intervals as of `score_table`."""

    metrics: Mapping[str, Sequence[str]]
    confidence: float = 0.95


def score_targets(
    found: Predicted, targets: Targets, folds_test: ArrayLike, groups: ArrayLike, scoring: Scoring
) -> pd.DataFrame:
    """Score all targets, each by the metrics of its task; see `score_table` for what is returned and raised."""
    tables = [
        score_table(
            found.predictions[:, t],
            targets.values[:, t],
            folds_test,
            groups,
            scoring.metrics[task],
            label=None if task == "regression" else found.labels[:, t],
            probabilities=found.probabilities.get(t),
            task=task,
            target=name,
            confidence=scoring.confidence,
        )
        for t, (name, task) in enumerate(zip(targets.names, targets.tasks, strict=True))
    ]
    return pd.concat(tables, ignore_index=True)

"""Out-of-fold predictions: checked, scored fold by fold in any number of resamples, and scores with intervals.

The interval of a score is a basic bootstrap over GROUPS: a family enters a resample whole or not at all, and the
distances from the score to the quantiles of its resamples are mirrored (Davison and Hinkley, Bootstrap Methods and
their Application, 1997, section 5.2). R2 of a small fold is too low, and lower still in resamples: plain percentiles
would hand on that bias twice, and cover too rarely (`benchmarks/bench_inference.py`). A bound may lie beyond the best
possible score.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray

from cortax.errors import SearchError
from cortax.learning.arrays import Bools, Floats
from cortax.learning.classes import check_codes
from cortax.learning.cohort import Targets
from cortax.learning.formulas import Resamples
from cortax.learning.scores import Metric, get_metric

__all__ = [
    "COLUMNS",
    "OutOfFold",
    "Scoring",
    "bootstrap_weights",
    "mean_over_folds",
    "out_of_fold",
    "score_folds",
    "score_table",
    "score_targets",
]


@dataclass(frozen=True, eq=False)
class OutOfFold:
    """One target's out-of-fold predictions, as they are scored.

    Attributes
    ----------
    y : float64 array of shape (n_subjects,)
    tests : bool array of shape (n_folds, n_subjects)
        Who is scored in each fold: nobody whose target is missing, nobody at all in a fold whose fit failed.
    predicted : dict of float64 arrays of shape (n_folds, n_subjects)
        The "prediction", a classifier's "label" and, of ordinal targets and of more than two classes, "probabilities"
        of all classes, of shape (n_folds, n_subjects, n_classes).
    strata : int array of shape (n_subjects,)
        The fold of the first repeat in which a subject is tested: every fold keeps its number of groups in a
        resample, as a small one would else be left with next to nobody.
    """

    y: Floats
    tests: Bools
    predicted: dict[str, Floats]
    strata: NDArray[np.int64]


def out_of_fold(
    prediction: ArrayLike,
    y: ArrayLike,
    folds_test: ArrayLike,
    groups: ArrayLike,
    *,
    label: ArrayLike | None = None,
    probabilities: ArrayLike | None = None,
    target: str = "",
) -> OutOfFold:
    """Check one target's out-of-fold predictions and give every fold its own; see `score_table`."""
    truth, tests = np.asarray(y, dtype=np.float64), np.asarray(folds_test, dtype=bool)
    predicted = {"prediction": _as_folds(prediction, tests, "prediction", target)}
    if label is not None:
        predicted["label"] = _as_folds(label, tests, "label", target)
    if probabilities is not None:
        predicted["probabilities"] = _by_class_as_folds(probabilities, tests, truth, target)
    if truth.shape != tests.shape[1:] or np.shape(groups) != truth.shape:
        raise SearchError(
            f"target {target!r}: y {truth.shape} and groups {np.shape(groups)} must be of shape ({tests.shape[1]},)"
        )
    if label is not None and (wrong := check_codes(truth)):
        raise SearchError(f"target {target!r}: {wrong}")
    strata = tests[: len(tests) // np.atleast_2d(np.asarray(prediction)).shape[0]].argmax(axis=0)
    # A fold without any prediction is a fit that failed: no score, but no reason to lose the other folds.
    predicted_folds = (tests & np.isfinite(predicted["prediction"])).any(axis=1, keepdims=True)
    tests = tests & np.isfinite(truth) & predicted_folds
    _check_predicted(predicted, tests, target)
    return OutOfFold(truth, tests, predicted, strata)


def score_folds(given: OutOfFold, metrics: Sequence[Metric], weights: Floats) -> Floats:
    """Score every fold in every resample.

    Parameters
    ----------
    weights : float64 array of shape (n_resamples, n_subjects)
        How often each subject is in each resample.

    Returns
    -------
    float64 array of shape (n_metrics, n_folds, n_resamples)
        NaN where a score has no meaning.
    """
    scored = [
        _score_fold(metrics, given.y, {what: p[k] for what, p in given.predicted.items()}, test, weights)
        for k, test in enumerate(given.tests)
    ]
    return np.stack(scored, axis=1)


def mean_over_folds(scores: Floats) -> Floats:
    """Average scores of shape (n_folds, n_resamples) over the folds that have one in the first column."""
    scored = scores[~np.isnan(scores[:, 0])]
    return scored.mean(axis=0) if len(scored) else np.full(scores.shape[1], np.nan)


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


def _by_class_as_folds(values: ArrayLike, tests: Bools, y: Floats, target: str) -> Floats:
    """Give every fold the probabilities of its repeat; shape (n_folds, n_subjects, n_classes)."""
    found = np.asarray(values, dtype=np.float64)
    classes = np.moveaxis(found, -1, 0) if found.ndim > 1 else found[None]
    if len(classes) <= np.nanmax(y, initial=1):
        raise SearchError(
            f"target {target!r}: probabilities of shape {found.shape} have {len(classes)} classes, y has a class "
            f"{np.nanmax(y):g}: the last axis must be all classes"
        )
    return np.stack([_as_folds(one, tests, "probabilities of a class", target) for one in classes], axis=-1)


def _check_predicted(predicted: dict[str, Floats], tests: Bools, target: str) -> None:
    for what, values in predicted.items():
        finite = np.asarray(np.isfinite(values).all(axis=2) if values.ndim == 3 else np.isfinite(values))
        for fold, subject in np.argwhere(tests & ~finite)[:1]:
            lost = (tests[fold] & ~finite[fold]).sum()
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
    given["probability"] = given.get("probabilities", given["prediction"])
    given["both"] = np.vstack([given["probability"].T, *([given["label"]] if "label" in given else [])])
    inside = Resamples(weights[:, test], n_classes=given["probabilities"].shape[1] if "probabilities" in given else 0)
    return np.stack([metric.formula(y[test], given[metric.needs], inside) for metric in metrics])


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
    probabilities: ArrayLike | None = None,
    task: str = "",
    target: str = "",
    n_bootstrap: int = 1000,
    confidence: float = 0.95,
    seed: int = 0,
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
        Families; resampled whole.
    metrics : sequence of str
        See `get_metric`.
    label : array of the shape of `prediction`, float64, optional
        A classifier's predicted classes.
    probabilities : array of the shape of `prediction` and (n_classes,), float64, optional
        Of every class, where the target is ordinal or has more than two.
    task : {"regression", "classification", "ordinal"}, optional
        By default classification where there are labels, else regression.
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
    task = task or ("regression" if label is None else "classification")
    n_classes = 2 if probabilities is None else np.shape(probabilities)[-1]
    chosen = [get_metric(name, task, n_classes) for name in metrics]
    given = out_of_fold(prediction, y, folds_test, groups, label=label, probabilities=probabilities, target=target)
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
    n_bootstrap: int = 1000
    confidence: float = 0.95
    seed: int = 0


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
            n_bootstrap=scoring.n_bootstrap,
            confidence=scoring.confidence,
            seed=scoring.seed,
        )
        for t, (name, task) in enumerate(zip(targets.names, targets.tasks, strict=True))
    ]
    return pd.concat(tables, ignore_index=True)

"""One target's out-of-fold predictions: checked, and scored fold by fold in any number of resamples."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from cortax.errors import SearchError
from cortax.scores import Metric

__all__ = ["OutOfFold", "mean_over_folds", "out_of_fold", "score_folds"]

Floats = NDArray[np.float64]
Bools = NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class OutOfFold:
    """One target's out-of-fold predictions, as they are scored.

    Attributes
    ----------
    y : float64 array of shape (n_subjects,)
    tests : bool array of shape (n_folds, n_subjects)
        Who is scored in each fold: nobody whose target is missing, nobody at all in a fold whose fit failed.
    predicted : dict of float64 arrays of shape (n_folds, n_subjects)
        The "prediction", and a classifier's "label".
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
    target: str = "",
) -> OutOfFold:
    """Check one target's out-of-fold predictions and give every fold its own; see `score_table`."""
    truth, tests = np.asarray(y, dtype=np.float64), np.asarray(folds_test, dtype=bool)
    predicted = {"prediction": _as_folds(prediction, tests, "prediction", target)}
    if label is not None:
        predicted["label"] = _as_folds(label, tests, "label", target)
    if truth.shape != tests.shape[1:] or np.shape(groups) != truth.shape:
        raise SearchError(
            f"target {target!r}: y {truth.shape} and groups {np.shape(groups)} must be of shape ({tests.shape[1]},)"
        )
    _check_classes(truth, "regression" if label is None else "classification", target)
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
    given : OutOfFold
    metrics : sequence of Metric
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

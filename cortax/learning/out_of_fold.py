"""Out-of-fold predictions: checked, and scored fold by fold with any weights of the subjects."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from cortax.errors import SearchError
from cortax.learning.arrays import Bools, Floats
from cortax.learning.classes import check_codes
from cortax.learning.formulas import Resamples
from cortax.learning.scores import Metric

__all__ = ["OutOfFold", "out_of_fold", "score_folds"]


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
    n_repeats : int
        How often everybody is tested; the folds are repeat by repeat.
    """

    y: Floats
    tests: Bools
    predicted: dict[str, Floats]
    n_repeats: int


_ROUNDING = 1e-12


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
    """Check one target's out-of-fold predictions and give every fold its own; see `cortax.learning.predictions`."""
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
    n_repeats = np.atleast_2d(np.asarray(prediction)).shape[0]
    # A fold without any prediction is a fit that failed: no score, but no reason to lose the other folds.
    predicted_folds = (tests & np.isfinite(predicted["prediction"])).any(axis=1, keepdims=True)
    tests = tests & np.isfinite(truth) & predicted_folds
    _check_predicted(predicted, tests, target)
    return OutOfFold(truth, tests, predicted, n_repeats)


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
    """Score one fold in the cohort (first) and every resample; shape (n_metrics, n_resamples)."""
    if not test.any():
        return np.full((len(metrics), len(weights)), np.nan)
    given = {what: values[test] for what, values in predicted.items()}
    given["probability"] = given.get("probabilities", given["prediction"])
    given["both"] = np.vstack([given["probability"].T, *([given["label"]] if "label" in given else [])])
    inside = Resamples(weights[:, test], n_classes=given["probabilities"].shape[1] if "probabilities" in given else 0)
    scores = np.stack([metric.formula(y[test], given[metric.needs], inside) for metric in metrics])
    # Rounding takes a perfect score past its limit.
    within = np.stack([np.clip(row, *metric.limits) for metric, row in zip(metrics, scores, strict=True)])
    return np.where(np.abs(scores - within) < _ROUNDING, within, scores)

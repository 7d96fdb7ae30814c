"""Scores of many predictions at once, equal to scikit-learn's scorers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from sklearn.metrics import cohen_kappa_score, get_scorer, get_scorer_names, make_scorer

from cortax.errors import SearchError, choices
from cortax.learning import formulas
from cortax.learning.arrays import Floats
from cortax.learning.classes import is_by_class
from cortax.learning.formulas import Rows, Sums
from cortax.learning.given import GivenClasses, GivenDecisions, GivenLabels, GivenLogOdds, GivenRegressor

__all__ = ["ClassPredictions", "check_scorer", "score_classes", "score_decisions"]

KAPPA = "cohen_kappa"
# What scikit-learn has no name for, of so many classes; it is the metric of that name.
_OWN: dict[str, Callable[[int], Any]] = {
    # All classes are named: weights are distances of numbers, not of places among those that happen to occur.
    KAPPA: lambda n_classes: make_scorer(cohen_kappa_score, weights="quadratic", labels=range(n_classes))
}


def check_scorer(name: str, task: str, n_classes: int = 2, *, probabilities: bool = True) -> Any:
    """Return the scorer of that name, a function (estimator, X, y).

    Parameters
    ----------
    name : str
        One of scikit-learn's, or "cohen_kappa" (with quadratic weights), of ordinal targets only. "roc_auc" of several
        classes is "roc_auc_ovr".
    n_classes : int
        Of what is classified.
    probabilities : bool
        Whether the classifier that is scored has probabilities of several classes.

    Raises
    ------
    SearchError
        There is no such scorer, or it cannot score such predictions of several classes.
    """
    names = [*get_scorer_names(), *(_OWN if task == "ordinal" else ())]
    if name not in names:
        raise SearchError(f"scorer of {task!r}: {choices(name, names)}")
    if not is_by_class(task, n_classes):
        return get_scorer(name)
    if name in _OWN:
        score = _OWN[name](n_classes)
    else:
        score = get_scorer("roc_auc_ovr" if name == "roc_auc" and n_classes > 2 else name)
    _try_out(score, name, f"{task} of {n_classes} classes", n_classes, probabilities=probabilities)
    return score


def _try_out(score: Any, name: str, what: str, n_classes: int, *, probabilities: bool) -> None:
    """Fail now, not in every fit, if a scorer is for two classes only, or wants what a classifier does not have."""
    y = np.tile(np.arange(n_classes), 2)
    each = (1.0 + (y[:, None] == np.arange(n_classes))) / (n_classes + 1)
    model = GivenClasses(n_classes) if probabilities else GivenLabels(n_classes)
    try:
        found = score(model, np.column_stack([each, y]), y)
    except (ValueError, TypeError, AttributeError) as error:
        lacking = "" if probabilities else " (this kind of pipeline has no probabilities before it is calibrated)"
        raise SearchError(f"scorer {name!r} cannot score a {what}{lacking}: {error}") from error
    if not np.isfinite(found):
        raise SearchError(f"scorer {name!r} cannot score a {what}: its value is {found}")


def score_decisions(
    scorer: str, task: str, y: Floats, decisions: Floats, *, probabilities: bool = False
) -> tuple[Floats, list[tuple[int, Exception]]]:
    """Score several predictions of one target.

    Parameters
    ----------
    scorer : str
        One of scikit-learn's.
    task : {"regression", "classification"}
    y : float64 array of shape (n_valid,)
        Classes are 0 and 1.
    decisions : float64 array of shape (n_predictions, n_valid)
        Predicted values; of classifiers the decision, above 0 for class 1. A NaN has no score.
    probabilities : bool
        Whether a classifier's decisions are log odds.

    Returns
    -------
    float64 array of shape (n_predictions,)
        NaN where there is none.
    list of (number, exception)
        Of predictions without NaN that have no score, why.
    """
    scores = np.full(len(decisions), np.nan)
    failures: list[tuple[int, Exception]] = []
    finite = np.isfinite(decisions).all(axis=1)
    if (task, scorer) in _FAST and _both_classes(task, y):
        scores[finite] = _score_fast(scorer, task, y, decisions[finite])
    else:
        score = check_scorer(scorer, task)
        truth = y.astype(np.int64) if task == "classification" else y
        for number in np.flatnonzero(finite):
            model: Any = GivenRegressor()
            if task == "classification":
                model = GivenLogOdds() if probabilities else GivenDecisions()
            try:
                scores[number] = score(model, decisions[number, :, None], truth)
            except Exception as error:
                failures.append((int(number), error))
    return _without_infinite(scores, finite, failures)


def _without_infinite(
    scores: Floats, finite: Any, failures: list[tuple[int, Exception]]
) -> tuple[Floats, list[tuple[int, Exception]]]:
    """Scores that are no number become failures."""
    failed = {number for number, _ in failures}
    for number in np.flatnonzero(~np.isfinite(scores) & finite):
        if number not in failed:
            failures.append((int(number), ValueError(f"the score is {scores[number]}")))
            scores[number] = np.nan
    return scores, sorted(failures, key=lambda failure: failure[0])


@dataclass(frozen=True, eq=False)
class ClassPredictions:
    """Several predictions of one target of several classes.

    Attributes
    ----------
    labels : float64 array of shape (n_predictions, n_subjects)
        NaN where a prediction failed.
    probabilities : float64 array of shape (n_predictions, n_subjects, n_classes), or None
        None where the classifier has none.
    """

    labels: Floats
    probabilities: Floats | None


def score_classes(
    scorer: str, task: str, n_classes: int, y: Floats, predicted: ClassPredictions
) -> tuple[Floats, list[tuple[int, Exception]]]:
    """Score several predictions of one target of several classes; see `score_decisions`.

    Parameters
    ----------
    scorer : str
        See `check_scorer`.
    task : {"classification", "ordinal"}
    n_classes : int
    y : float64 array of shape (n_valid,)
        Numbers of classes.
    """
    scores = np.full(len(predicted.labels), np.nan)
    failures: list[tuple[int, Exception]] = []
    finite = np.isfinite(predicted.labels).all(axis=1)
    if scorer in _FAST_CLASSES and len(np.unique(y)) == n_classes:
        labels = predicted.labels[finite]
        scores[finite] = _FAST_CLASSES[scorer](y[None, :], labels, Rows(cleans=False)) if len(labels) else labels[:, 0]
    else:
        given, model = predicted.labels[:, :, None], GivenLabels(n_classes)
        if predicted.probabilities is not None:
            given, model = np.concatenate([predicted.probabilities, given], axis=2), GivenClasses(n_classes)
        score = check_scorer(scorer, task, n_classes, probabilities=predicted.probabilities is not None)
        for number in np.flatnonzero(finite):
            try:
                scores[number] = score(model, given[number], y.astype(np.int64))
            except Exception as error:
                failures.append((int(number), error))
    return _without_infinite(scores, finite, failures)


# As in `_FAST`; of labels alone, whose scores are of whole numbers.
_FAST_CLASSES: dict[str, formulas.Formula] = {
    "matthews_corrcoef": formulas.matthews,
    "balanced_accuracy": formulas.balanced_accuracy,
    "accuracy": formulas.accuracy,
    "f1_macro": formulas.f1_macro,
    KAPPA: formulas.quadratic_kappa,
}


def _score_fast(scorer: str, task: str, y: Floats, decisions: Floats) -> Floats:
    labels = task == "classification" and scorer != "roc_auc"
    predicted = (decisions > 0).astype(np.float64) if labels else decisions
    sign = -1.0 if scorer.startswith("neg_") else 1.0
    return sign * _FAST[task, scorer](y[None, :], predicted, Rows(cleans=False))


def _both_classes(task: str, y: Floats) -> bool:
    return len(y) > 1 and (task == "regression" or 0 < y.sum() < len(y))


def _explained_variance(y: Floats, predicted: Floats, _: Sums) -> Floats:
    # scikit-learn divides means where the formula divides sums, and what searches have stored are its bits.
    return formulas.skill(np.var(y - predicted, axis=1), np.var(y, axis=1))


# Only what is scored by scikit-learn's bits: a formula that differs in the last ones could change what is chosen.
_FAST: dict[tuple[str, str], formulas.Formula] = {
    ("regression", "explained_variance"): _explained_variance,
    ("regression", "r2"): formulas.r2,
    ("regression", "neg_mean_squared_error"): formulas.squared_error,
    ("regression", "neg_mean_absolute_error"): formulas.absolute_error,
    ("classification", "matthews_corrcoef"): formulas.matthews,
    ("classification", "balanced_accuracy"): formulas.balanced_accuracy,
    ("classification", "accuracy"): formulas.accuracy,
    ("classification", "roc_auc"): formulas.roc_auc,
}

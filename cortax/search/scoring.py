"""Scores of many predictions at once, equal to scikit-learn's scorers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.special import expit
from scipy.stats import rankdata
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin
from sklearn.metrics import get_scorer, get_scorer_names

from cortax.errors import SearchError, choices

__all__ = ["SaidClasses", "check_scorer", "score_decisions"]

Floats = npt.NDArray[np.float64]


def check_scorer(name: str, task: str) -> Any:
    """Return the scorer of that name, a function (estimator, X, y), or raise a SearchError."""
    if name not in get_scorer_names():
        raise SearchError(f"scorer of {task!r}: {choices(name, get_scorer_names())}")
    return get_scorer(name)


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
        scores[finite] = _FAST[task, scorer](y, decisions[finite])
    else:
        score = check_scorer(scorer, task)
        truth = y.astype(np.int64) if task == "classification" else y
        for number in np.flatnonzero(finite):
            model: Any = _SaidValues()
            if task == "classification":
                model = _SaidOdds() if probabilities else SaidClasses()
            try:
                scores[number] = score(model, decisions[number, :, None], truth)
            except Exception as error:
                failures.append((int(number), error))
    failed = {number for number, _ in failures}
    for number in np.flatnonzero(~np.isfinite(scores) & finite):
        if number not in failed:
            failures.append((int(number), ValueError(f"the score is {scores[number]}")))
            scores[number] = np.nan
    return scores, sorted(failures, key=lambda failure: failure[0])


class _SaidValues(RegressorMixin, BaseEstimator):  # type: ignore[misc]
    """A fitted regressor whose predictions are known."""

    def fit(self, X: Any, y: Any) -> _SaidValues:  # noqa: ARG002
        return self

    def predict(self, X: Floats) -> Floats:
        return X[:, 0]

    def __sklearn_is_fitted__(self) -> bool:
        return True


class SaidClasses(ClassifierMixin, BaseEstimator):  # type: ignore[misc]
    """A fitted classifier whose decisions are known: X is a column of them."""

    classes_ = np.array([0, 1])

    def fit(self, X: Any, y: Any) -> SaidClasses:  # noqa: ARG002
        """Do nothing."""
        return self

    def decision_function(self, X: Floats) -> Floats:
        """Return the decisions, of shape (n_subjects,)."""
        return X[:, 0]

    def predict(self, X: Floats) -> npt.NDArray[np.int64]:
        """Return 1 where the decision is above 0."""
        return (X[:, 0] > 0).astype(np.int64)

    def __sklearn_is_fitted__(self) -> bool:
        return True


class _SaidOdds(SaidClasses):
    """A fitted classifier whose log odds are known."""

    def predict_proba(self, X: Floats) -> Floats:
        return np.column_stack([expit(-X[:, 0]), expit(X[:, 0])])


def _both_classes(task: str, y: Floats) -> bool:
    return len(y) > 1 and (task == "regression" or 0 < y.sum() < len(y))


def _skill(errors: Floats, total: float) -> Floats:
    """1 - error / total; a constant truth gives 1 if met and 0 if not, as scikit-learn has it."""
    if total == 0:
        return np.where(errors == 0, 1.0, 0.0)
    return 1 - errors / total


def _explained_variance(y: Floats, predicted: Floats) -> Floats:
    return _skill(np.var(y - predicted, axis=1), float(np.var(y)))


def _r2(y: Floats, predicted: Floats) -> Floats:
    return _skill(np.sum((y - predicted) ** 2, axis=1), float(np.sum((y - y.mean()) ** 2)))


def _squared_error(y: Floats, predicted: Floats) -> Floats:
    return np.asarray(-np.mean((y - predicted) ** 2, axis=1))


def _absolute_error(y: Floats, predicted: Floats) -> Floats:
    return np.asarray(-np.mean(np.abs(y - predicted), axis=1))


def _confusion(y: Floats, decisions: Floats) -> tuple[Floats, Floats, Floats, Floats]:
    """True and false positives, true and false negatives, of shape (n_predictions,) each."""
    said = decisions > 0
    tp, fp = (said & (y == 1)).sum(axis=1), (said & (y == 0)).sum(axis=1)
    return tp * 1.0, fp * 1.0, (y == 0).sum() - fp * 1.0, (y == 1).sum() - tp * 1.0


def _matthews(y: Floats, decisions: Floats) -> Floats:
    tp, fp, tn, fn = _confusion(y, decisions)
    spread = np.sqrt(tp + fp) * np.sqrt(tn + fn) * np.sqrt(tp + fn) * np.sqrt(tn + fp)
    return np.asarray(np.divide(tp * tn - fp * fn, spread, out=np.zeros_like(tp), where=spread > 0))


def _balanced_accuracy(y: Floats, decisions: Floats) -> Floats:
    tp, fp, tn, fn = _confusion(y, decisions)
    return np.asarray((tp / (tp + fn) + tn / (tn + fp)) / 2)


def _accuracy(y: Floats, decisions: Floats) -> Floats:
    return np.asarray(np.mean((decisions > 0) == (y == 1), axis=1))


def _roc_auc(y: Floats, decisions: Floats) -> Floats:
    ranks = rankdata(decisions, axis=1)  # ties count half
    ones = y == 1
    n_ones, n_zeros = ones.sum(), (~ones).sum()
    return np.asarray((ranks[:, ones].sum(axis=1) - n_ones * (n_ones + 1) / 2) / (n_ones * n_zeros))


_FAST: dict[tuple[str, str], Callable[[Floats, Floats], Floats]] = {
    ("regression", "explained_variance"): _explained_variance,
    ("regression", "r2"): _r2,
    ("regression", "neg_mean_squared_error"): _squared_error,
    ("regression", "neg_mean_absolute_error"): _absolute_error,
    ("classification", "matthews_corrcoef"): _matthews,
    ("classification", "balanced_accuracy"): _balanced_accuracy,
    ("classification", "accuracy"): _accuracy,
    ("classification", "roc_auc"): _roc_auc,
}

"""Estimators that predict what they are given: they let any scikit-learn scorer score finished predictions."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin

from cortax.learning.arrays import Floats

__all__ = ["GivenClasses", "GivenClassifier", "GivenDecisions", "GivenLabels", "GivenLogOdds", "GivenRegressor"]


class GivenRegressor(RegressorMixin, BaseEstimator):  # type: ignore[misc]
    """Predicts what it is given: lets any scikit-learn scorer score finished predictions."""

    def predict(self, X: Floats) -> Floats:
        """Return the first column."""
        return X[:, 0]


class GivenClassifier(ClassifierMixin, BaseEstimator):  # type: ignore[misc]
    """The same for classes 0 and 1: columns are the probability of class 1 and the label."""

    classes_ = np.array([0, 1])

    def predict(self, X: Floats) -> NDArray[np.int64]:
        """Return the labels."""
        return X[:, 1].astype(np.int64)

    def predict_proba(self, X: Floats) -> Floats:
        """Return the probabilities of both classes."""
        return np.column_stack([1 - X[:, 0], X[:, 0]])


class GivenLabels(ClassifierMixin, BaseEstimator):  # type: ignore[misc]
    """The same for classes 0 to n_classes - 1: the last column is the label."""

    def __init__(self, n_classes: int = 2) -> None:
        self.n_classes = n_classes

    @property
    def classes_(self) -> NDArray[np.int64]:
        """All classes."""
        return np.arange(self.n_classes)

    def predict(self, X: Floats) -> NDArray[np.int64]:
        """Return the labels."""
        return X[:, -1].astype(np.int64)

    def __sklearn_is_fitted__(self) -> bool:
        return True


class GivenClasses(GivenLabels):
    """The same with probabilities: a column for each class, then the label."""

    def predict_proba(self, X: Floats) -> Floats:
        """Return the probabilities of all classes."""
        return X[:, :-1]


class GivenDecisions(ClassifierMixin, BaseEstimator):  # type: ignore[misc]
    """Decides as it is given: X is a column of decisions, above 0 for class 1."""

    classes_ = np.array([0, 1])

    def fit(self, X: Any, y: Any) -> GivenDecisions:  # noqa: ARG002
        """Do nothing."""
        return self

    def decision_function(self, X: Floats) -> Floats:
        """Return the decisions, of shape (n_subjects,)."""
        return X[:, 0]

    def predict(self, X: Floats) -> NDArray[np.int64]:
        """Return 1 where the decision is above 0."""
        return (X[:, 0] > 0).astype(np.int64)

    def __sklearn_is_fitted__(self) -> bool:
        return True


class GivenLogOdds(GivenDecisions):
    """The same for decisions that are log odds."""

    def predict_proba(self, X: Floats) -> Floats:
        """Return the probabilities of both classes."""
        return np.column_stack([expit(-X[:, 0]), expit(X[:, 0])])

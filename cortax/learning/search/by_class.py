"""Targets of several classes in a search: their columns for the solvers, and scikit-learn's estimators for the rest."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.special import expit
from sklearn.base import BaseEstimator, ClassifierMixin, MetaEstimatorMixin, clone
from sklearn.multiclass import OneVsRestClassifier
from sklearn.utils import assert_all_finite, column_or_1d
from sklearn.utils.metaestimators import available_if
from sklearn.utils.multiclass import check_classification_targets
from sklearn.utils.validation import check_is_fitted

from cortax.learning.arrays import Floats, Ints
from cortax.learning.classes import check_present, class_labels, class_probabilities, expand
from cortax.learning.search.cells import Problem
from cortax.learning.search.pipelines import LinearModel, PipelineKind, linear_model, make_back, stack_models
from cortax.learning.search.scoring import ClassPredictions

__all__ = ["OrdinalClassifier", "as_multiclass", "combine", "decides", "linear_columns", "make_columns"]


def _tells(estimator: Any) -> bool:
    # Of a fitted one, the fitted estimators know.
    return hasattr(
        estimator.estimators_[0] if hasattr(estimator, "estimators_") else estimator.estimator, "predict_proba"
    )


class OrdinalClassifier(ClassifierMixin, MetaEstimatorMixin, BaseEstimator):  # type: ignore[misc]
    """Ordered classes by binary classifiers of "greater than class k", one for each class but the last.

    Source: Frank & Hall (2001), A simple approach to ordinal classification, ECML, LNAI 2167, 145-156.

    Parameters
    ----------
    estimator : classifier
        Cloned for each threshold.

    Attributes
    ----------
    classes_ : array of shape (n_classes,)
        In their sort order, which is taken for the order.
    estimators_ : list of classifiers, of length n_classes - 1
    """

    def __init__(self, estimator: Any) -> None:
        self.estimator = estimator

    def fit(self, X: Any, y: Any) -> OrdinalClassifier:
        """Fit a classifier for each threshold.

        Raises ValueError: fewer than two classes.
        """
        y = column_or_1d(y, warn=True)
        assert_all_finite(y, input_name="y")
        check_classification_targets(y)
        self.classes_, numbers = np.unique(y, return_inverse=True)
        if len(self.classes_) < 2:
            raise ValueError(f"The number of classes has to be greater than one; got {len(self.classes_)} class")
        thresholds = range(len(self.classes_) - 1)
        self.estimators_ = [clone(self.estimator).fit(X, (numbers > k).astype(np.int64)) for k in thresholds]
        if hasattr(self.estimators_[0], "n_features_in_"):
            self.n_features_in_ = self.estimators_[0].n_features_in_
        if hasattr(self.estimators_[0], "feature_names_in_"):
            self.feature_names_in_ = self.estimators_[0].feature_names_in_
        return self

    def predict(self, X: Any) -> npt.NDArray[Any]:
        """Return the class whose number is that of the thresholds that are exceeded, of shape (n_subjects,)."""
        check_is_fitted(self)
        return np.asarray(self.classes_[sum(each.predict(X) for each in self.estimators_)])

    @available_if(_tells)  # type: ignore[untyped-decorator]
    def predict_proba(self, X: Any) -> Floats:
        """Return the differences of the probabilities of thresholds, of shape (n_subjects, n_classes).

        Those below 0 are taken as 0; rows sum to 1.
        """
        check_is_fitted(self)
        return class_probabilities(np.array([each.predict_proba(X)[:, 1] for each in self.estimators_]), "ordinal")

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        inner = getattr(self.estimator, "__sklearn_tags__", None)
        if inner is not None:
            tags.input_tags = inner().input_tags
        return tags


def as_multiclass(estimator: Any, kind: PipelineKind, task: str, n_classes: int) -> Any:
    """Return an estimator of all classes of a target, made of one of two classes where it takes no more.

    An estimator that a study names knows itself what to do with several classes; it is not asked about their order.
    """
    if task == "ordinal":
        return OrdinalClassifier(estimator)
    return OneVsRestClassifier(estimator) if n_classes > 2 and not kind.native else estimator


def make_columns(problem: Problem, rows: Ints, targets: Sequence[int]) -> tuple[Floats, Ints]:
    """Return targets as solvers take them, and the place among `targets` that each column is of.

    Returns
    -------
    float64 array of shape (n_rows, n_columns)
        A regression, or two classes, as they are.
    int array of shape (n_columns,)

    Raises
    ------
    ValueError
        One of the classes of a target is not among the rows.
    """
    if not problem.is_by_class(targets[0]):
        return problem.targets[rows][:, list(targets)], np.arange(len(targets))
    for t in targets:
        check_present(problem.targets[rows, t], problem.n_classes(t))
    columns = [expand(problem.targets[rows, t], problem.tasks[t], problem.n_classes(t)) for t in targets]
    owners = np.repeat(np.arange(len(targets)), [found.shape[1] for found in columns])
    return np.hstack(columns), owners


def decides(pipeline: PipelineKind, task: str) -> bool:
    """Whether classifiers of the kind have decisions: if not, `OneVsRestClassifier` compares their probabilities."""
    return hasattr(make_back(pipeline, task, {}, seed=0).named_steps["estimate"], "decision_function")


def linear_columns(fitted: Any) -> LinearModel | None:
    """Return the linear models of all columns of a fitted `OneVsRestClassifier` or `OrdinalClassifier` of pipelines.

    None of anything else: the coefficients of an estimator that takes several classes itself may be of their pairs.
    """
    if not isinstance(fitted, OneVsRestClassifier | OrdinalClassifier):
        return None
    models = [linear_model(each) for each in fitted.estimators_]
    known = [model for model in models if model is not None]
    return stack_models(known) if len(known) == len(models) else None


def combine(decisions: Floats, task: str, *, odds: bool, by_decision: bool) -> ClassPredictions:
    """Put what solvers say of the columns of one target together.

    Parameters
    ----------
    decisions : float64 array of shape (n_columns, n_predictions, n_subjects)
        Above 0 for class 1 of the column. NaN where a fit failed.
    odds : bool
        Whether they are log odds; else there are no probabilities.
    by_decision : bool
        Whether classes against the rest are compared by decisions or by probabilities, see `decides`: probabilities
        may be equal by rounding where log odds are not.
    """
    columns = expit(decisions) if odds else None
    compared = decisions if task == "ordinal" or by_decision or columns is None else columns
    probabilities = None if columns is None else class_probabilities(columns, task)
    return ClassPredictions(class_labels(compared, task), probabilities)

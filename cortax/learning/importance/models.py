"""Models whose regions are looked at: those that an evaluation kept, or refits of what a search chose."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from lightgbm import LGBMClassifier, LGBMModel
from scipy.special import logit
from sklearn.pipeline import Pipeline
from sklearn.svm import SVC, SVR

from cortax.errors import SearchError
from cortax.learning.arrays import Floats
from cortax.learning.classes import check_present
from cortax.learning.importance.permutation import (
    Decide,
    ImportancePart,
    Score,
    by_columns,
    class_score,
    decisions_score,
    forest_decisions,
    kept_columns,
    kernel_decisions,
    linear_decisions,
)
from cortax.learning.search.by_class import as_multiclass, combine, decides
from cortax.learning.search.cells import Config, Problem
from cortax.learning.search.evaluations import Evaluation
from cortax.learning.search.own import keep_groups
from cortax.learning.search.pipelines import PipelineKind, fit_counting, make_back, raw_model
from cortax.learning.search.scoring import ClassPredictions, check_scorer
from cortax.learning.search.solvers import fit_seed

__all__ = ["ImportanceModel", "kept_model", "refitted_model"]

# Log odds beyond which a probability is 0 or 1 but for rounding; what is infinite has no place in a sum.
_SURE = 700.0
# What may differ between two ways to work the same out.
_ROUNDING = 1e-9


@dataclass(frozen=True, eq=False)
class ImportanceModel:
    """A fitted model of one target in one outer fold.

    Attributes
    ----------
    used : bool array of shape (n_regions,)
        Where it is False, the decisions do not depend on the region.
    coefficients : float64 array of shape (n_regions,) or (n_columns, n_regions), or None
        Of a linear model, per unit of the measured regions; of ordinal targets and of more than two classes of each
        column: a class against the rest, or "greater than class k".
    probabilities : bool
        Whether decisions of a classifier are log odds.
    predict : function (decisions) -> ClassPredictions, or None
        Of ordinal targets and of more than two classes.
    """

    decide: Decide
    used: npt.NDArray[np.bool_]
    coefficients: Floats | None
    probabilities: bool
    predict: Callable[[Floats], ClassPredictions] | None = None

    def score(self, scorer: str, task: str, n_classes: int, y: Floats) -> Score:
        """Return what scores decisions of the test rows, whose truth is y, as the search did."""
        if self.predict is None:
            return decisions_score(scorer, task, y, probabilities=self.probabilities)
        return class_score(scorer, task, n_classes, y, self.predict)


def kept_model(part: ImportancePart, found: Evaluation, target: int, outer: int, task: str) -> ImportanceModel:
    """Return the linear model of a cell that an evaluation kept.

    Raises SearchError: the cell failed there, or its pipeline is not linear.
    """
    if found.chosen[target, outer] < 0:
        messages = [f["message"] for f in found.failures if (f["target"], f["outer"]) == (target, outer)]
        raise SearchError(messages[0] if messages else "the evaluation does not have this cell")
    linear = found.linear(target, outer)
    if linear is None:
        raise SearchError("the evaluation holds no coefficients: its pipeline is not linear")
    odds = task != "regression"
    if linear.coefficients.ndim == 1:
        return _kept(part, linear.coefficients, float(linear.intercept), odds=odds)
    columns = zip(linear.coefficients, np.asarray(linear.intercept), strict=True)
    models = [_kept(part, coefficients, float(intercept), odds=odds) for coefficients, intercept in columns]
    # What is kept are logistic regressions, which have decisions.
    return _of_columns(models, task, by_decision=True)


def _kept(part: ImportancePart, coefficients: Floats, intercept: float, *, odds: bool) -> ImportanceModel:
    front = part.front
    weights = coefficients * front.scale
    intercept += float(coefficients @ front.center)
    if front.regressor is not None:
        intercept += float(coefficients @ front.regressor.intercept_)
    decide = linear_decisions(part.X_test @ weights + intercept, weights)
    return ImportanceModel(decide, weights != 0, coefficients, odds)


def _of_columns(models: Sequence[ImportanceModel], task: str, *, by_decision: bool) -> ImportanceModel:
    """Return the model of a target of several columns, of those of the columns; see `combine`."""
    odds = all(model.probabilities for model in models)
    coefficients = [model.coefficients for model in models if model.coefficients is not None]
    return ImportanceModel(
        lambda region, changes: np.stack([model.decide(region, changes) for model in models]),
        np.any([model.used for model in models], axis=0),
        np.stack(coefficients) if len(coefficients) == len(models) else None,
        odds,
        lambda decisions: combine(decisions, task, odds=odds, by_decision=by_decision),
    )


def refitted_model(
    problem: Problem, part: ImportancePart, pipeline: PipelineKind, target: int, outer: int, number: int, config: Config
) -> ImportanceModel:
    """Fit what was chosen once more, by scikit-learn, on the training rows.

    It is the model that an evaluation fits and does not keep: the same trees, to the bit, and the same support vector
    machine within its tolerance. A classifier that would need calibration to give probabilities gets none, since the
    search does not look at any.

    Raises
    ------
    SearchError
        The search's score cannot be worked out from the decisions of such a model.
    Exception
        Whatever the fit raises.
    """
    task, y, n_classes = problem.tasks[target], problem.targets[:, target], problem.n_classes(target)
    back = make_back(pipeline, task, config, seed=fit_seed(problem, target, outer, number))
    truth = y[part.train] if task == "regression" else y[part.train].astype(np.int64)
    if problem.is_by_class(target):
        check_present(truth, n_classes)
    keep_groups(back, truth, problem.groups_of(part.train))
    fitted = as_multiclass(back, pipeline, task, n_classes)
    fit_counting(fitted, part.X, truth)
    if not problem.is_by_class(target):
        decisions, model = _look_into(part, back, task)
    elif fitted is back:
        decisions, model = _taking_all_classes(part, back)
    else:
        columns, models = zip(*(_look_into(part, each, "classification") for each in fitted.estimators_), strict=True)
        decisions, model = np.stack(columns), _of_columns(models, task, by_decision=decides(pipeline, task))
    direct = check_scorer(problem.scorers[task], task, n_classes, probabilities=not pipeline.calibrates)
    truth = y[part.test] if task == "regression" else y[part.test].astype(np.int64)
    ours = model.score(problem.scorers[task], task, n_classes, y[part.test])(decisions[..., None, :])
    _check_score(problem.scorers[task], back, float(direct(fitted, part.X_test, truth)), float(ours[0]))
    return model


def _look_into(part: ImportancePart, back: Pipeline, task: str) -> tuple[Floats, ImportanceModel]:
    """Return the decisions of the test rows by a fitted regression or classifier of two classes, and what it is."""
    predict, probabilities = _decisions_of(back, task)
    decisions = predict(part.X_test)
    estimator = back.named_steps["estimate"]
    weights = _weights(back, part, decisions)
    if weights is not None:
        linear = raw_model(weights, 0.0, part.front.center, part.front.scale, part.front.regressor)
        decide = linear_decisions(decisions, weights)
        return decisions, ImportanceModel(decide, linear.coefficients != 0, linear.coefficients, probabilities)
    if isinstance(estimator, SVR | SVC) and estimator.kernel == "rbf":
        decide = kernel_decisions(part, back)
    elif isinstance(estimator, LGBMModel) and _alike(estimator.predict(part.X_test, raw_score=True), decisions):
        decide = forest_decisions(part, estimator.booster_)
    else:
        decide = by_columns(part, predict)
    return decisions, ImportanceModel(decide, _looked_at(back, part.X.shape[1]), None, probabilities)


def _taking_all_classes(part: ImportancePart, back: Pipeline) -> tuple[Floats, ImportanceModel]:
    """As `_look_into`, of an estimator that takes several classes: probabilities, if it has any, and then the label."""
    tells, estimator = hasattr(back, "predict_proba"), back.named_steps["estimate"]

    def told(X: Floats) -> Floats:
        labels = np.asarray(back.predict(X), dtype=np.float64)[None]
        return np.concatenate([back.predict_proba(X).T, labels]) if tells else labels

    def predict(decisions: Floats) -> ClassPredictions:
        return ClassPredictions(decisions[-1], np.moveaxis(decisions[:-1], 0, -1) if tells else None)

    decisions, coefficients = told(part.X_test), None
    weights = np.asarray(getattr(estimator, "coef_", np.empty(0)), dtype=np.float64)
    if weights.shape == (len(back.classes_), part.X.shape[1]) and hasattr(back, "decision_function"):
        by_class = np.asarray(back.decision_function(part.X_test))
        # Not all coefficients are of classes: those of `SVC` are of pairs of classes.
        if by_class.shape == (len(part.X_test), len(weights)) and _alike(
            part.X_test @ weights.T + np.ravel(estimator.intercept_), by_class
        ):
            front = part.front
            raw = [raw_model(one, 0.0, front.center, front.scale, front.regressor) for one in weights]
            coefficients = np.stack([linear.coefficients for linear in raw])
    decide = by_columns(part, told, len(decisions))
    return decisions, ImportanceModel(decide, _looked_at(back, part.X.shape[1]), coefficients, tells, predict)


def _decisions_of(back: Pipeline, task: str) -> tuple[Callable[[Floats], Floats], bool]:
    """What gives decisions of rows, and whether they are log odds."""
    if task == "regression":
        return back.predict, False
    estimator: Any = back.named_steps["estimate"]
    if isinstance(estimator, LGBMClassifier):
        return lambda X: back.predict(X, raw_score=True), True
    if hasattr(back, "decision_function"):
        return back.decision_function, hasattr(back, "predict_proba")
    if hasattr(back, "predict_proba"):
        return lambda X: np.clip(logit(back.predict_proba(X)[:, 1]), -_SURE, _SURE), True
    return lambda X: np.where(back.predict(X) == 1, 1.0, -1.0), False


def _check_score(scorer: str, back: Pipeline, direct: float, ours: float) -> None:
    """Make sure that decisions are scored as the model itself is."""
    if not abs(direct - ours) <= _ROUNDING * max(1.0, abs(direct)):
        name = type(back.named_steps["estimate"]).__name__
        raise SearchError(f"{scorer} of {name} is {direct:.6g}, but {ours:.6g} by its decisions alone")


def _weights(back: Pipeline, part: ImportancePart, decisions: Floats) -> Floats | None:
    """Weights of a model that is linear in the columns; not all that have coefficients are."""
    estimator: Any = back.named_steps["estimate"]
    if "select" in back.named_steps or not hasattr(estimator, "coef_"):
        return None
    weights = np.ravel(np.asarray(estimator.coef_, dtype=np.float64))
    if weights.shape != (part.X.shape[1],):
        return None
    linear = part.X_test @ weights + float(np.ravel(estimator.intercept_)[0])
    return weights if _alike(linear, decisions) else None


def _alike(a: Any, decisions: Floats) -> bool:
    return bool(np.allclose(a, decisions, rtol=_ROUNDING, atol=_ROUNDING * float(np.ptp(decisions))))


def _looked_at(back: Pipeline, n_regions: int) -> npt.NDArray[np.bool_]:
    """Which columns a model may depend on at all."""
    used = np.zeros(n_regions, dtype=np.bool_)
    used[kept_columns(back, n_regions)] = True
    booster: Any = getattr(back.named_steps["estimate"], "booster_", None)
    if booster is not None:
        used &= booster.feature_importance("split") > 0
    return used

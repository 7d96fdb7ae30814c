"""Models whose regions are looked at: those that an evaluation kept, or refits of what a search chose."""

from __future__ import annotations

from collections.abc import Callable
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
from cortax.learning.importance.permutation import (
    Decide,
    ImportancePart,
    by_columns,
    decisions_score,
    forest_decisions,
    kept_columns,
    kernel_decisions,
    linear_decisions,
)
from cortax.learning.search.cells import Config, Problem
from cortax.learning.search.evaluations import Evaluation
from cortax.learning.search.own import keep_groups
from cortax.learning.search.pipelines import PipelineKind, fit_counting, make_back, raw_model
from cortax.learning.search.scoring import check_scorer
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
    coefficients : float64 array of shape (n_regions,), or None
        Of a linear model, per unit of the measured regions.
    probabilities : bool
        Whether decisions of a classifier are log odds.
    """

    decide: Decide
    used: npt.NDArray[np.bool_]
    coefficients: Floats | None
    probabilities: bool


def kept_model(part: ImportancePart, found: Evaluation, target: int, outer: int, task: str) -> ImportanceModel:
    """Return the linear model of a cell that an evaluation kept.

    Raises SearchError: the cell failed there, or its pipeline is not linear.
    """
    if found.chosen[target, outer] < 0:
        messages = [f["message"] for f in found.failures if (f["target"], f["outer"]) == (target, outer)]
        raise SearchError(messages[0] if messages else "the evaluation does not have this cell")
    if found.coefficients is None or found.intercepts is None:
        raise SearchError("the evaluation holds no coefficients: its pipeline is not linear")
    coefficients, front = found.coefficients[target, outer], part.front
    weights = coefficients * front.scale
    intercept = float(found.intercepts[target, outer] + coefficients @ front.center)
    if front.regressor is not None:
        intercept += float(coefficients @ front.regressor.intercept_)
    decide = linear_decisions(part.X_test @ weights + intercept, weights)
    return ImportanceModel(decide, weights != 0, coefficients, task == "classification")


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
    task, y = problem.tasks[target], problem.targets[:, target]
    back = make_back(pipeline, task, config, seed=fit_seed(problem, target, outer, number))
    truth = y[part.train] if task == "regression" else y[part.train].astype(np.int64)
    keep_groups(back, truth, problem.groups_of(part.train))
    fit_counting(back, part.X, truth)
    predict, probabilities = _decisions_of(back, task)
    decisions = predict(part.X_test)
    _check_score(problem.scorers[task], task, back, part, y[part.test], decisions, probabilities)
    estimator = back.named_steps["estimate"]
    weights = _weights(back, part, decisions)
    if weights is not None:
        linear = raw_model(weights, 0.0, part.front.center, part.front.scale, part.front.regressor)
        decide = linear_decisions(decisions, weights)
        return ImportanceModel(decide, linear.coefficients != 0, linear.coefficients, probabilities)
    if isinstance(estimator, SVR | SVC) and estimator.kernel == "rbf":
        decide = kernel_decisions(part, back)
    elif isinstance(estimator, LGBMModel) and _alike(estimator.predict(part.X_test, raw_score=True), decisions):
        decide = forest_decisions(part, estimator.booster_)
    else:
        decide = by_columns(part, predict)
    return ImportanceModel(decide, _looked_at(back, part.X.shape[1]), None, probabilities)


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


def _check_score(
    scorer: str, task: str, back: Pipeline, part: ImportancePart, y: Floats, decisions: Floats, probabilities: bool
) -> None:
    """Make sure that decisions are scored as the model itself is."""
    truth = y.astype(np.int64) if task == "classification" else y
    direct = float(check_scorer(scorer, task)(back, part.X_test, truth))
    ours = float(decisions_score(scorer, task, y, probabilities=probabilities)(decisions[None])[0])
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

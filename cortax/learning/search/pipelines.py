"""Pipelines: what is fitted, as plain scikit-learn objects.

Impute medians -> remove site effects -> remove confounds -> scale by median and 5-95 percentile -> select -> estimate.
All until the scaling is the front, which all configurations of a training set share; the rest is the back.
"""

from __future__ import annotations

import inspect
import re
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt
from lightgbm import LGBMClassifier, LGBMRegressor
from sklearn.base import BaseEstimator
from sklearn.calibration import CalibratedClassifierCV
from sklearn.exceptions import ConvergenceWarning
from sklearn.feature_selection import SelectPercentile, VarianceThreshold, f_classif, f_regression
from sklearn.impute import SimpleImputer
from sklearn.linear_model import ElasticNet, LogisticRegression, Ridge
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import RobustScaler
from sklearn.svm import SVC, SVR

from cortax.errors import SearchError, choices
from cortax.learning.arrays import Floats
from cortax.learning.classes import binary_task
from cortax.learning.combat import Harmonisation
from cortax.learning.confounds import ConfoundRegressor
from cortax.learning.search.own import own_estimators

__all__ = [
    "PIPELINES",
    "LinearModel",
    "PipelineKind",
    "calibrated",
    "fit_counting",
    "linear_model",
    "make",
    "make_back",
    "make_front",
    "pipeline_kind",
    "raw_model",
    "stack_models",
]

Config = Mapping[str, Any]


@dataclass(frozen=True)
class PipelineKind:
    """A family of pipelines.

    Attributes
    ----------
    name : str
        Part of every seed.
    estimators : mapping of task to function (config, seed) -> estimator
        The estimator gets what is left of the configuration.
    selects : bool
        Whether features are selected by an F test; the configuration's `percentile` are kept.
    calibrates : bool
        Whether a classifier needs calibration to give probabilities, which only the refit gets.
    complexity : function (config) -> tuple of float, or None
        Orders configurations from the simplest, for "one-standard-error"; None where what is simpler is not known.
    native : bool
        Whether its classifiers are given several classes as they are, and not one against the rest.
    """

    name: str
    estimators: Mapping[str, Callable[[Config, int], Any]]
    selects: bool = False
    calibrates: bool = False
    complexity: Callable[[Config], tuple[float, ...]] | None = None
    native: bool = False


def _signed(signs: Mapping[str, int], config: Config) -> tuple[float, ...]:
    """Parameters in their order of weight, each negative if a larger value is simpler."""
    # `gamma = "scale"` is one value among equals.
    values = {name: config.get(name) for name in signs}
    return tuple(signs[name] * float(v) if isinstance(v, int | float) else 0.0 for name, v in values.items())


def _n_leaves(config: Config) -> tuple[float, ...]:
    return (float(config.get("n_estimators", 100) * config.get("num_leaves", 31)),)


def _seeded(estimator: Callable[..., Any], config: Config, seed: int) -> BaseEstimator:
    return estimator(**config, random_state=seed)


def _elastic_classifier(config: Config, seed: int) -> BaseEstimator:
    # scikit-learn 1.8 infers the penalty from l1_ratio and deprecates naming it; before, it had to be named.
    named = inspect.signature(LogisticRegression).parameters["penalty"].default != "deprecated"
    penalty: dict[str, Any] = {"penalty": "elasticnet"} if named else {}
    return LogisticRegression(**penalty, **config, solver="saga", random_state=seed)


def _svm(config: Config, seed: int) -> BaseEstimator:  # noqa: ARG001  (deterministic)
    return SVR(**config)


def _svm_classifier(config: Config, seed: int) -> BaseEstimator:
    allowed = {key: value for key, value in config.items() if key != "epsilon"}
    return SVC(**allowed, random_state=seed)


def _lgbm(estimator: type[LGBMRegressor | LGBMClassifier], config: Config, seed: int) -> BaseEstimator:
    rest = dict(config)
    boosting = rest.pop("boosting", "gbdt")
    if boosting == "goss":
        # It samples rows by their gradient: bagging them first is what LightGBM refuses.
        rest.pop("subsample", None)
        sampling: dict[str, Any] = {"data_sample_strategy": "goss"}
    else:
        sampling = {"boosting_type": boosting, "subsample_freq": 1}
    fixed: dict[str, Any] = {"n_jobs": 1, "verbose": -1, "deterministic": True, "force_col_wise": True}
    return estimator(**rest, **sampling, **fixed, random_state=seed)


_logistic = partial(LogisticRegression, max_iter=1000)

PIPELINES: dict[str, PipelineKind] = {
    "ridge": PipelineKind(
        "ridge",
        {"regression": partial(_seeded, Ridge), "classification": partial(_seeded, _logistic)},
        complexity=partial(_signed, {"alpha": -1, "C": 1}),
    ),
    "elastic": PipelineKind(
        "elastic",
        {"regression": partial(_seeded, ElasticNet), "classification": _elastic_classifier},
        complexity=partial(_signed, {"alpha": -1, "C": 1, "l1_ratio": -1}),
    ),
    "svm": PipelineKind(
        "svm",
        {"regression": _svm, "classification": _svm_classifier},
        selects=True,
        calibrates=True,
        complexity=partial(_signed, {"C": 1, "gamma": 1, "percentile": 1}),
    ),
    "lgbm": PipelineKind(
        "lgbm",
        {"regression": partial(_lgbm, LGBMRegressor), "classification": partial(_lgbm, LGBMClassifier)},
        complexity=_n_leaves,
    ),
}


def pipeline_kind(kind: str, estimators: Mapping[str, Any] | None = None, *, name: str = "") -> PipelineKind:
    """Find a kind in the registry, or make one of any scikit-learn estimators.

    Parameters
    ----------
    kind : str
        A key of `PIPELINES`, or "sklearn".
    estimators : mapping, optional
        For "sklearn" only, for example `{"regression": "sklearn.linear_model:Lasso"}`, see `own_estimators`. They are
        given `random_state` and `n_jobs=1` where they take them and the configuration does not say otherwise.
        A classifier without `predict_proba` is calibrated, as an SVM is.
    name : str
        Of the new kind; part of its seeds and messages.

    Raises
    ------
    SearchError
        Unknown kind, task, module or class, or a classifier with neither probabilities nor decisions; the message
        names it.
    """
    if kind != "sklearn":
        if kind not in PIPELINES:
            raise SearchError(f"kind: {choices(kind, [*PIPELINES, 'sklearn'])}")
        return PIPELINES[kind]
    if not estimators:
        raise SearchError(
            f"pipeline {name!r}: kind = 'sklearn' needs regression or classification = '...:...', or steps"
        )
    makers = own_estimators(estimators, f"pipeline {name!r}")
    calibrates = "classification" in makers and not _tells_probabilities(makers["classification"], f"pipeline {name!r}")
    return PipelineKind(name or kind, makers, calibrates=calibrates, native=True)


def _tells_probabilities(make: Callable[[Config, int], Any], where: str) -> bool:
    made = make({}, 0)
    if not (hasattr(made, "predict_proba") or hasattr(made, "decision_function")):
        raise SearchError(
            f"{where}, classification: {type(made).__name__} has neither predict_proba nor decision_function, and "
            "scores need one of them"
        )
    return hasattr(made, "predict_proba")


class SelectSome(SelectPercentile):  # type: ignore[misc]
    """`SelectPercentile` that keeps the best column where the percentile of so few would be none."""

    def _get_support_mask(self) -> npt.NDArray[np.bool_]:
        mask: npt.NDArray[np.bool_] = super()._get_support_mask()
        if self.percentile > 0 and not mask.any():
            mask = np.arange(len(mask)) == np.argmax(np.nan_to_num(self.scores_, nan=-np.inf))
        return mask


def make_front(n_confounds: int = 0, harmonise: Harmonisation | None = None) -> Pipeline:
    """Return imputation, removal of site effects and confounds, and scaling.

    X is [features | confounds], with sites [features | confounds | site_columns], see `Harmonisation`.

    A missing value, of a feature or a confound, becomes the training median; a column that is missing
    in all of the training part becomes 0 and keeps its place, so that no other column moves.
    """
    steps: list[tuple[str, Any]] = [("impute", SimpleImputer(strategy="median", keep_empty_features=True))]
    if harmonise is not None:
        steps.append(("harmonise", harmonise.transformer(n_confounds)))
    if n_confounds:
        steps.append(("confounds", ConfoundRegressor(n_confounds)))
    return Pipeline([*steps, ("scale", RobustScaler(quantile_range=(5.0, 95.0)))])


def make_back(kind: PipelineKind, task: str, config: Config, *, seed: int) -> Pipeline:
    """Return selection and estimator; of an ordinal target, the classifier of one threshold.

    Raises
    ------
    SearchError
        The kind has no estimator for the task, or that does not take a parameter of the configuration.
    """
    task = binary_task(task)
    if task not in kind.estimators:
        raise SearchError(f"pipeline {kind.name!r}, task: {choices(task, kind.estimators)}")
    rest = dict(config)
    steps: list[tuple[str, Any]] = []
    if kind.selects:
        test = f_regression if task == "regression" else f_classif
        percentile = rest.pop("percentile", 100)
        steps += [("variance", VarianceThreshold(0.0)), ("select", SelectSome(test, percentile=percentile))]
    try:
        estimator = kind.estimators[task](rest, seed)
    except TypeError as error:
        why = str(error)
        if twice := re.search(r"multiple values for keyword argument '(\w+)'", why):
            why = f"space.{twice[1]}: the pipeline sets it itself; leave it out"
        raise SearchError(f"pipeline {kind.name!r}, {task}, configuration {dict(config)}: {why}") from error
    return Pipeline([*steps, ("estimate", estimator)])


def make(
    kind: PipelineKind,
    task: str,
    config: Config,
    *,
    n_confounds: int = 0,
    harmonise: Harmonisation | None = None,
    seed: int,
) -> Pipeline:
    """Return the whole pipeline, unfitted: the steps of `make_front`, then those of `make_back`."""
    front, back = make_front(n_confounds, harmonise), make_back(kind, task, config, seed=seed)
    return Pipeline([*front.steps, *back.steps])


def calibrated(pipeline: Pipeline, splits: Sequence[tuple[Any, Any]]) -> CalibratedClassifierCV:
    """Add probabilities to a classifier: a sigmoid of its out-of-fold decisions, then one fit on all rows.

    Parameters
    ----------
    pipeline : Pipeline
    splits : sequence of (train, held out) row numbers
        They must hold out every row once. Groups that they keep whole stay so in the calibration.
    """
    return CalibratedClassifierCV(pipeline, method="sigmoid", cv=list(splits), ensemble=False)


def fit_counting(estimator: Any, X: Floats, y: npt.NDArray[Any]) -> int:
    """Fit in place and return how many fits inside did not converge; other warnings go their way."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        estimator.fit(X, y)
    others = [w for w in caught if not issubclass(w.category, ConvergenceWarning)]
    for w in others:
        warnings.warn_explicit(w.message, w.category, w.filename, w.lineno)
    return len(caught) - len(others)


@dataclass(frozen=True, eq=False)
class LinearModel:
    """Decision = intercept + features @ coefficients + confounds @ confound_coefficients, in raw units.

    Where site effects are removed, features are what is left then.

    Attributes
    ----------
    intercept : float
    coefficients, confound_coefficients : float64 arrays of shape (n_features,) and (n_confounds,)
        Where a target of several classes is fitted as several columns, all have one more axis, the first, of them.
    """

    intercept: float | Floats
    coefficients: Floats
    confound_coefficients: Floats


def linear_model(pipeline: Pipeline) -> LinearModel | None:
    """Undo scaling and removal of confounds in the coefficients of a fitted pipeline.

    Coefficients are of shapes (n_features,) and (n_confounds,), per unit of the original, unscaled
    columns. None if the estimator is not linear in the columns.
    """
    estimator, scale = pipeline.named_steps["estimate"], pipeline.named_steps["scale"]
    if "select" in pipeline.named_steps or not hasattr(estimator, "coef_"):
        return None
    weights = np.asarray(estimator.coef_, dtype=np.float64).reshape(-1)
    if weights.shape != scale.scale_.shape:
        return None
    intercept = float(np.ravel(estimator.intercept_)[0])
    return raw_model(weights, intercept, scale.center_, scale.scale_, pipeline.named_steps.get("confounds"))


def stack_models(models: Sequence[LinearModel]) -> LinearModel:
    """Return models of the same features as one, with a first axis of them."""
    return LinearModel(
        np.array([each.intercept for each in models]),
        np.stack([each.coefficients for each in models]),
        np.stack([each.confound_coefficients for each in models]),
    )


def raw_model(
    weights: Floats, intercept: float, center: Floats, scale: Floats, regressor: ConfoundRegressor | None
) -> LinearModel:
    """Undo scaling and removal of confounds in the coefficients of a model of transformed columns.

    Parameters
    ----------
    weights, center, scale : float64 arrays of shape (n_features,)
    intercept : float
    regressor : ConfoundRegressor, fitted, or None
    """
    coefficients = weights / scale
    intercept = float(intercept - coefficients @ center)
    if regressor is None:
        return LinearModel(intercept, coefficients, np.zeros(0))
    # What the confounds explain wholly is 0, whatever the raw columns hold.
    coefficients = np.where(regressor.explained_, 0.0, coefficients)
    intercept -= float(regressor.intercept_ @ coefficients)
    return LinearModel(intercept, coefficients, -(regressor.coef_ @ coefficients))

"""Pipelines: what is fitted, as plain scikit-learn objects.

Impute medians -> remove confounds -> scale by median and 5-95 percentile -> select -> estimate. The
first three are the front, which all configurations of a training set share; the rest is the back.
"""

from __future__ import annotations

import functools
import importlib
import inspect
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
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

from cortax.confounds import ConfoundRegressor
from cortax.errors import SearchError, choices

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
]

Floats = npt.NDArray[np.float64]
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
    """

    name: str
    estimators: Mapping[str, Callable[[Config, int], Any]]
    selects: bool = False
    calibrates: bool = False


def _ridge(config: Config, seed: int) -> BaseEstimator:
    return Ridge(**config, random_state=seed)


def _ridge_classifier(config: Config, seed: int) -> BaseEstimator:
    return LogisticRegression(**{"max_iter": 1000, **config}, random_state=seed)


def _elastic(config: Config, seed: int) -> BaseEstimator:
    return ElasticNet(**config, random_state=seed)


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


PIPELINES: dict[str, PipelineKind] = {
    "ridge": PipelineKind("ridge", {"regression": _ridge, "classification": _ridge_classifier}),
    "elastic": PipelineKind("elastic", {"regression": _elastic, "classification": _elastic_classifier}),
    "svm": PipelineKind("svm", {"regression": _svm, "classification": _svm_classifier}, selects=True, calibrates=True),
    "lgbm": PipelineKind(
        "lgbm",
        {
            "regression": functools.partial(_lgbm, LGBMRegressor),
            "classification": functools.partial(_lgbm, LGBMClassifier),
        },
    ),
}


def pipeline_kind(kind: str, estimators: Mapping[str, str] | None = None, *, name: str = "") -> PipelineKind:
    """Find a kind in the registry, or make one of any scikit-learn estimators.

    Parameters
    ----------
    kind : str
        A key of `PIPELINES`, or "sklearn".
    estimators : mapping of task to "module:Class", optional
        For "sklearn" only, for example `{"regression": "sklearn.linear_model:Lasso"}`. They are given
        `random_state` and `n_jobs=1` where they take them.
    name : str
        Of the new kind; part of its seeds and messages.

    Raises
    ------
    SearchError
        Unknown kind, task, module or class; the message names it.
    """
    if kind != "sklearn":
        if kind not in PIPELINES:
            raise SearchError(f"kind: {choices(kind, [*PIPELINES, 'sklearn'])}")
        return PIPELINES[kind]
    if not estimators:
        raise SearchError(f"pipeline {name!r}: kind = 'sklearn' needs regression or classification = '...:...'")
    makers = {}
    for task, target in estimators.items():
        if task not in ("regression", "classification"):
            raise SearchError(f"pipeline {name!r}: {choices(task, ['classification', 'regression'])}")
        makers[task] = functools.partial(_any, _load(target, f"pipeline {name!r}, {task}"))
    return PipelineKind(name or kind, makers)


def _load(target: str, where: str) -> Callable[..., Any]:
    module, _, attribute = target.partition(":")
    try:
        found = getattr(importlib.import_module(module), attribute)
    except (ImportError, AttributeError, ValueError) as error:
        raise SearchError(f"{where}: {target!r} is not 'module:Class' that can be imported: {error}") from error
    if not (inspect.isclass(found) and hasattr(found, "fit") and hasattr(found, "get_params")):
        raise SearchError(f"{where}: {target!r} is not a scikit-learn estimator class")
    loaded: Callable[..., Any] = found
    return loaded


def _any(estimator: Callable[..., Any], config: Config, seed: int) -> Any:
    made = estimator()
    accepted = made.get_params()
    for key in config:
        if key not in accepted:
            raise SearchError(f"{type(made).__name__}: parameter {choices(key, accepted)}")
    fixed = {"random_state": seed, "n_jobs": 1}
    return made.set_params(**{k: v for k, v in fixed.items() if k in accepted}, **config)


def make_front(n_confounds: int = 0) -> Pipeline:
    """Return imputation, removal of confounds and scaling, for X that is [features | confounds].

    A missing value, of a feature or a confound, becomes the training median; a column that is missing
    in all of the training part becomes 0 and keeps its place, so that no other column moves.
    """
    steps: list[tuple[str, Any]] = [("impute", SimpleImputer(strategy="median", keep_empty_features=True))]
    if n_confounds:
        steps.append(("confounds", ConfoundRegressor(n_confounds)))
    return Pipeline([*steps, ("scale", RobustScaler(quantile_range=(5.0, 95.0)))])


def make_back(kind: PipelineKind, task: str, config: Config, *, seed: int) -> Pipeline:
    """Return selection and estimator.

    Raises
    ------
    SearchError
        The kind has no estimator for the task, or that does not take a parameter of the configuration.
    """
    if task not in kind.estimators:
        raise SearchError(f"pipeline {kind.name!r}, task: {choices(task, kind.estimators)}")
    rest = dict(config)
    steps: list[tuple[str, Any]] = []
    if kind.selects:
        test = f_regression if task == "regression" else f_classif
        percentile = rest.pop("percentile", 100)
        steps += [("variance", VarianceThreshold(0.0)), ("select", SelectPercentile(test, percentile=percentile))]
    try:
        estimator = kind.estimators[task](rest, seed)
    except TypeError as error:
        raise SearchError(f"pipeline {kind.name!r}, {task}, configuration {dict(config)}: {error}") from error
    return Pipeline([*steps, ("estimate", estimator)])


def make(kind: PipelineKind, task: str, config: Config, *, n_confounds: int = 0, seed: int) -> Pipeline:
    """Return the whole pipeline, unfitted: the steps of `make_front`, then those of `make_back`."""
    front, back = make_front(n_confounds), make_back(kind, task, config, seed=seed)
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
    """Decision = intercept + features @ coefficients + confounds @ confound_coefficients, in raw units."""

    intercept: float
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

"""Reported metrics: what each is of, which way is better, its units, and what difference means nothing.

The formulas, and the sums that they are computed over, are those of `cortax.learning.formulas`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from cortax.errors import SearchError, choices
from cortax.learning import formulas
from cortax.learning.arrays import Floats
from cortax.learning.formulas import Resamples

__all__ = ["CLASS_NUMBER", "METRICS", "TASKS", "Metric", "default_rope", "get_metric", "metric_limits", "metric_sign"]


# The 1 % that Benavoli et al. (2017) take for no difference in practice.
_ONE_PERCENT = 0.01


TASKS = ("classification", "ordinal", "regression")
_REGRESSION, _CLASSES, _ORDINAL = ("regression",), ("classification", "ordinal"), ("ordinal",)


@dataclass(frozen=True)
class Metric:
    """One way to score predictions.

    Attributes
    ----------
    formula : function (y, predicted, sums) -> float64 array of shape (n_sums,)
        See `cortax.learning.formulas`.
    tasks : tuple of {"regression", "classification", "ordinal"}
    needs : str
        What `predicted` is: a regression's "prediction", a classifier's "label" or its "probability": of class 1, or,
        of ordinal targets and more than two classes, of every class (last axis). A scikit-learn scorer that may want
        either gets "both": probability, or probabilities of every class, and label, of shape (2 or n_classes + 1, n).
    units : str
        "" for a pure number, else in which units it is: no size of a difference is small for all targets, and values
        of several targets cannot be ranked together.
    rope : float, or None
        Which difference means nothing in practice, where a study does not say. None: there is no such region.
    limits : (float, float)
        Least and greatest value that there can be, infinite where there is none. Intervals stay between them.
    """

    name: str
    formula: formulas.Formula
    tasks: tuple[str, ...]
    needs: str
    greater_is_better: bool
    units: str
    rope: float | None
    limits: tuple[float, float] = (-np.inf, np.inf)


# Between which values a metric lies.
_SHARE, _CORRELATION, _SKILL, _ERROR = (0.0, 1.0), (-1.0, 1.0), (-np.inf, 1.0), (0.0, np.inf)


def _pure(
    name: str, formula: formulas.Formula, tasks: tuple[str, ...], needs: str, limits: tuple[float, float] = _SHARE
) -> Metric:
    """A metric without units; less is better of errors."""
    return Metric(name, formula, tasks, needs, limits != _ERROR, "", _ONE_PERCENT, limits)


METRICS: dict[str, Metric] = {
    metric.name: metric
    for metric in (
        _pure("r2", formulas.r2, _REGRESSION, "prediction", _SKILL),
        _pure("explained_variance", formulas.explained_variance, _REGRESSION, "prediction", _SKILL),
        _pure("pearson_r", formulas.pearson_r, _REGRESSION, "prediction", _CORRELATION),
        Metric(
            "mean_squared_error", formulas.squared_error, _REGRESSION, "prediction", False, "target^2", None, _ERROR
        ),
        Metric(
            "mean_absolute_error", formulas.absolute_error, _REGRESSION, "prediction", False, "target", None, _ERROR
        ),
        _pure("roc_auc", formulas.roc_auc, _CLASSES, "probability"),
        _pure("average_precision", formulas.average_precision, _CLASSES, "probability"),
        _pure("brier_score", formulas.brier, _CLASSES, "probability", _ERROR),
        _pure("log_loss", formulas.log_loss, _CLASSES, "probability", _ERROR),
        _pure("matthews_corrcoef", formulas.matthews, _CLASSES, "label", _CORRELATION),
        _pure("balanced_accuracy", formulas.balanced_accuracy, _CLASSES, "label"),
        _pure("accuracy", formulas.accuracy, _CLASSES, "label"),
        _pure("f1_macro", formulas.f1_macro, _CLASSES, "label"),
        _pure("cohen_kappa", formulas.quadratic_kappa, _ORDINAL, "label", _CORRELATION),
    )
}
# Of a class's number, where the same name means the target's value in regression.
CLASS_NUMBER = Metric("mean_absolute_error", formulas.absolute_error, _ORDINAL, "label", False, "class", None, _ERROR)


def metric_sign(name: str) -> float:
    """Return -1 for a metric of which less is better, else 1; a scikit-learn scorer has its sign already."""
    return -1.0 if name in METRICS and not METRICS[name].greater_is_better else 1.0


def default_rope(name: str) -> float:
    """Return which difference of a metric means nothing in practice; 0, no region, where none is known."""
    return (METRICS[name].rope if name in METRICS else None) or 0.0


def metric_limits(name: str) -> tuple[float, float]:
    """Return between which values a metric lies; a scikit-learn scorer's are known by its name."""
    return METRICS[name].limits if name in METRICS else _scorer_limits(name)


def _scorer_formula(name: str, task: str) -> Callable[[Floats, Floats, Any], Floats]:
    """Wrap a scikit-learn scorer: one call a resample, each subject repeated as often as it was drawn."""
    from sklearn.metrics import get_scorer

    from cortax.learning.given import GivenClasses, GivenClassifier, GivenRegressor

    scorer = get_scorer(name)

    def formula(y: Floats, predicted: Floats, resamples: Resamples) -> Floats:
        truth = y if task == "regression" else y.astype(np.int64)
        columns = np.atleast_2d(predicted).T
        n_classes = max(2, columns.shape[1] - 1)
        given: Any = GivenClassifier() if columns.shape[1] == 2 else GivenClasses(n_classes)
        given = GivenRegressor() if task == "regression" else given
        found = np.full(len(resamples.weights), np.nan)
        for i, drawn in enumerate(resamples.weights.astype(np.int64)):
            rows = np.repeat(np.arange(len(y)), drawn)
            if len(rows) and (task == "regression" or len(np.unique(truth[rows])) == n_classes):
                found[i] = scorer(given, columns[rows], truth[rows])
        return found

    return formula


def _scorer_limits(name: str) -> tuple[float, float]:
    """Limits of a scikit-learn scorer: errors are negative; a few may be below 0, or have no upper limit."""
    if name.startswith("neg_"):
        return (-np.inf, 0.0)
    if name in ("positive_likelihood_ratio", "mutual_info_score"):
        return _ERROR
    return _SKILL if name.startswith(("d2_", "adjusted_", "r2", "explained_")) else _SHARE


def get_metric(name: str, task: str, n_classes: int = 2) -> Metric:
    """Look up a metric: one of `METRICS`, else any of scikit-learn's scorers (slower, one call a resample).

    `name`: a scorer keeps its sign: "neg_max_error" is negative, and greater is better. `task`: "regression",
    "classification" or "ordinal"; `n_classes`: of what is classified, so that a scorer that is for two classes only is
    found out. Raises SearchError: unknown name or task, or a metric of another task or for other numbers of classes.
    """
    if task not in TASKS:
        raise SearchError(f"task of metric {name!r}: {choices(task, TASKS)}")
    known = METRICS | ({CLASS_NUMBER.name: CLASS_NUMBER} if task == "ordinal" else {})
    if name in known and task in known[name].tasks:
        return known[name]
    if name in METRICS:
        fitting = [each for each, metric in known.items() if task in metric.tasks]
        raise SearchError(f"metric {name!r} is for {METRICS[name].tasks[0]}, the target is {task}: use {fitting}")
    # Here and not above: whoever looks up a metric, such as a command, needs no estimator.
    from sklearn.metrics import get_scorer_names

    if name not in get_scorer_names():
        raise SearchError(f"metric for {task}: {choices(name, {*METRICS, *get_scorer_names()})}")
    needs = "prediction" if task == "regression" else "both"
    limits = _scorer_limits(name)
    metric = Metric(name, _scorer_formula(name, task), (task,), needs, True, units="unknown", rope=None, limits=limits)
    _try_out(metric, n_classes)
    return metric


def _try_out(metric: Metric, n_classes: int) -> None:
    """Fail now, not after hours of fitting, if a scorer wants something else than these predictions."""
    (task,) = metric.tasks
    y = np.array([0.0, 1.0, 0.0, 1.0])
    given = predicted = np.array([0.2, 0.6, 0.4, 0.9])
    if task == "classification" and n_classes == 2:
        given = np.stack([predicted, y])
    elif task != "regression":
        y = np.repeat(np.arange(float(n_classes)), 2)
        given = np.vstack([(1 + (np.arange(n_classes)[:, None] == y)) / (n_classes + 1), y])
    what = task if task == "regression" or n_classes == 2 else f"{task} of {n_classes} classes"
    try:
        value = metric.formula(y, given, Resamples(np.ones((1, len(y)))))
    except (ValueError, TypeError, AttributeError) as error:
        raise SearchError(f"metric {metric.name!r} cannot score a {what}: {error}") from error
    if n_classes > 2 and not np.isfinite(value).all():
        raise SearchError(f"metric {metric.name!r} cannot score a {what}: its value is {value[0]}")

"""Solvers: which module searches which kind of pipeline. Apart from the modules, so that a plan need not load them.

A solver is a module with

- `fit(part, Y, configs, *, task, seeds, coefficients) -> Fits`: many configurations of several targets on one
  `TrainingSet`. Y is float64 of shape (n_train, n_targets), classes are 0 and 1; seeds are ints of shape
  (n_targets, n_configs); `coefficients` says whether they are wanted, with intercepts. What a fit raises on data is a
  failure in the result, a MemoryError excepted;
- `TOGETHER`: how many targets make a batch (None: all that there are);
- `unable(task, configs) -> str`: why a configuration must be left to scikit-learn, or "". Invalid values are, so that
  the error is scikit-learn's;
- perhaps `search(problem, batch) -> dict`, for a search that is not every configuration on every inner fold.

A kind without a solver is searched by the plain loop of `reference`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

__all__ = ["SOLVERS", "TASKS", "Allowed", "estimator_names", "refusal", "solver_modules"]

# What estimators are for; those of several classes and of ordinal targets are classifiers.
TASKS = ("regression", "classification")

# Kind of pipeline and task -> module.
SOLVERS: dict[tuple[str, str], str] = {
    ("ridge", "regression"): "cortax.learning.search.ridge",
    ("ridge", "classification"): "cortax.learning.search.logistic",
    ("elastic", "regression"): "cortax.learning.search.elastic",
    ("elastic", "classification"): "cortax.learning.search.logistic",
    ("svm", "regression"): "cortax.learning.search.svm",
    ("svm", "classification"): "cortax.learning.search.svm",
    ("lgbm", "regression"): "cortax.learning.search.lgbm",
    ("lgbm", "classification"): "cortax.learning.search.lgbm",
}

# Parameter -> whether a solver can do with a value of it, which is not a bool.
Allowed = dict[str, Callable[[Any], bool]]


def solver_modules(kind: str) -> list[str]:
    """Return the modules that may fit a kind of pipeline."""
    return sorted({module for (found, _), module in SOLVERS.items() if found == kind})


def estimator_names(estimators: Mapping[str, Any]) -> list[str]:
    """Return the "module:Class" of all that a pipeline names, see `own_estimators`."""
    steps = [step if isinstance(step, str) else step["estimator"] for step in estimators.get("steps", ())]
    return [*(estimators[task] for task in TASKS if estimators.get(task)), *steps]


def refusal(configs: Iterable[Mapping[str, Any]], allowed: Allowed) -> str:
    """Return the first parameter that is not allowed, or not with its value; "" if there is none."""
    for config in configs:
        for name, value in config.items():
            if name not in allowed:
                return f"unknown parameter {name!r}"
            if isinstance(value, bool) or not allowed[name](value):
                return f"{name} = {value!r}"
    return ""

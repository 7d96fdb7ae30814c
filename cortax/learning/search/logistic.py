"""Logistic regression for all configurations and targets of a training set.

The objective is scikit-learn's: C * sum of (class weight * log loss) + (1 - l1_ratio) / 2 |coef|^2 + l1_ratio |coef|_1,
with a free intercept. Configurations with an l1 penalty follow paths, see `logistic_path`; those without one share a
rotation, see `logistic_ridge`. A fit has converged when its smallest subgradient is no longer than `tol` times what it
is at 0, in proportion to the residuals (`Penalty`); with an l1 penalty ten times that is allowed, but no change of the
decisions yet to come that is above 100 times `tol`, in proportion to their spread. scikit-learn's solvers look at other
things, so `tol` is the configuration's, but never above `TOL`, which is far tighter than their 1e-4. `max_iter` bounds
steps, each of which is worth many of theirs; it is `MAX_ITER` by default.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from cortax.learning.arrays import Floats
from cortax.learning.search.cells import Configs
from cortax.learning.search.linear.logistic_loss import Classes, Penalty
from cortax.learning.search.linear.logistic_path import Path, follow
from cortax.learning.search.linear.logistic_ridge import RidgeFit, fit_rotated, rotation
from cortax.learning.search.registry import Allowed, refusal
from cortax.learning.search.training import Fits, TrainingSet

__all__ = ["MAX_ITER", "TOGETHER", "TOL", "fit", "unable"]

TOGETHER: int | None = None
TOL = 1e-5
MAX_ITER = 1000

# Curvatures of paths in step, in bytes.
_MEMORY = 1e9

_ALLOWED: Allowed = {
    "C": lambda value: isinstance(value, int | float) and 0 < value < math.inf,
    "class_weight": lambda value: value is None or value == "balanced",
    "l1_ratio": lambda value: isinstance(value, int | float) and 0 <= value <= 1,
    "max_iter": lambda value: isinstance(value, int) and value >= 1,
    "tol": lambda value: isinstance(value, int | float) and 0 < value < math.inf,
}


def unable(task: str, configs: Configs) -> str:
    """See `registry`."""
    return refusal(configs, _ALLOWED) if task == "classification" else f"only classification, not {task!r}"


_Planned = tuple[list[tuple[int, list[int], Path]], list[tuple[int, int, RidgeFit]], list[tuple[int, int, Exception]]]


def _plan_fits(Y: Floats, configs: Configs, n_regions: int) -> _Planned:
    """Paths of fits with an L1 penalty, fits without one, and what cannot be fitted, by target and configuration."""
    failures: list[tuple[int, int, Exception]] = []
    penalised: list[tuple[int, list[int], Path]] = []
    smooth: list[tuple[int, int, RidgeFit]] = []
    for target, y in enumerate(Y.T):
        labels = np.unique(y)
        if len(labels) < 2:
            # In scikit-learn's words.
            message = (
                "This solver needs samples of at least 2 classes in the data, but the data contains only one class: "
                f"{np.int64(labels[0])!r}"
            )
            failures += [(target, number, ValueError(message)) for number in range(len(configs))]
            continue
        for class_weight in (None, "balanced"):
            classes = _classes(y, class_weight)
            numbers = [n for n, config in enumerate(configs) if config.get("class_weight") == class_weight]
            penalties = {n: _penalty(configs[n]) for n in numbers}
            smooth += [(target, n, RidgeFit(classes, penalties[n])) for n in numbers if penalties[n].l1 == 0]
            if numbers := [n for n in numbers if penalties[n].l1 > 0]:
                numbers.sort(key=lambda n: (-penalties[n].l1, -penalties[n].l2, n))
                path = Path(classes, [penalties[n] for n in numbers], n_regions)
                penalised.append((target, numbers, path))
    return penalised, smooth, failures


def fit(part: TrainingSet, Y: Floats, configs: Configs, *, coefficients: bool = False, **_: Any) -> Fits:
    """Fit every configuration to every target; see `registry`. All configurations of a target with one class fail."""
    n_targets, n_configs = Y.shape[1], len(configs)
    coefs, intercepts = np.full((n_targets, n_configs, part.n_regions), np.nan), np.full((n_targets, n_configs), np.nan)
    not_converged, iterations = (np.zeros((n_targets, n_configs), dtype=np.int64) for _ in range(2))
    penalised, smooth, failures = _plan_fits(Y, configs, part.n_regions)
    if penalised:
        X_T = part.once("logistic.X_T", lambda: np.ascontiguousarray(part.X.T))
        at_once = max(1, min(64, int(_MEMORY / (8 * part.n_regions**2))))
        follow(X_T, [path for _, _, path in penalised], at_once=at_once)
    for target, numbers, path in penalised:
        coefs[target, numbers], intercepts[target, numbers] = path.coefficients, path.intercepts
        not_converged[target, numbers], iterations[target, numbers] = path.not_converged, path.iterations
    if smooth:
        rotated = part.once("logistic.rotation", lambda: rotation(part.X))
        fit_rotated(rotated, [fit for _, _, fit in smooth])
        at = tuple(np.array([place[:2] for place in smooth]).T)
        coefs[at] = np.stack([fit.coef for _, _, fit in smooth]) @ rotated.back.T
        intercepts[at] = [fit.intercept for _, _, fit in smooth] - coefs[at] @ rotated.means
        not_converged[at] = [not fit.converged for _, _, fit in smooth]
        iterations[at] = [fit.iterations for _, _, fit in smooth]
    return Fits(
        (coefs.reshape(-1, part.n_regions) @ part.X_valid.T).reshape(n_targets, n_configs, -1) + intercepts[..., None],
        not_converged,
        iterations,
        probabilities=True,
        coefficients=coefs if coefficients else None,
        intercepts=intercepts if coefficients else None,
        failures=tuple(failures),
    )


def _penalty(config: Mapping[str, Any]) -> Penalty:
    C, l1_ratio = config.get("C", 1.0), config.get("l1_ratio", 0.0)
    return Penalty(l1_ratio / C, (1 - l1_ratio) / C, min(config.get("tol", TOL), TOL), config.get("max_iter", MAX_ITER))


def _classes(y: Floats, class_weight: str | None) -> Classes:
    share = y.mean()
    return Classes(y, np.where(y > 0.5, 0.5 / share, 0.5 / (1 - share)) if class_weight else np.ones(len(y)))

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

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from cortax.search.cells import Configs
from cortax.search.linear.logistic_loss import Classes, Penalty
from cortax.search.linear.logistic_path import Path, follow
from cortax.search.linear.logistic_ridge import RidgeFit, fit_rotated, rotation
from cortax.search.training import Fits, TrainingSet

__all__ = ["MAX_ITER", "TOGETHER", "TOL", "fit", "unable"]

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

TOGETHER: int | None = None
TOL = 1e-5
MAX_ITER = 1000

# Curvatures of paths in step, in bytes.
_MEMORY = 1e9
_KNOWN = {"C", "class_weight", "l1_ratio", "max_iter", "tol"}


def unable(task: str, configs: Configs) -> str:
    """Return why one of the configurations cannot be fitted as scikit-learn does, or ""."""
    if task != "classification":
        return "logistic regression is for classes"
    for config in configs:
        if others := sorted(set(config) - _KNOWN):
            return f"does not know {others[0]!r}"
        if config.get("class_weight") not in (None, "balanced"):
            return f"does not know class_weight = {config['class_weight']!r}"
        l1_ratio = config.get("l1_ratio", 0.0)
        if not (_number(config.get("C", 1.0)) and config.get("C", 1.0) > 0):
            return f"C must be a number above 0; got {config['C']!r}"
        if not (_number(l1_ratio) and 0 <= l1_ratio <= 1):
            return f"l1_ratio must be a number from 0 to 1; got {l1_ratio!r}"
        if not (_number(config.get("tol", 1.0)) and config.get("tol", 1.0) > 0):
            return f"tol must be a number above 0; got {config['tol']!r}"
        if not (isinstance(config.get("max_iter", 1), int) and config.get("max_iter", 1) > 0):
            return f"max_iter must be a whole number above 0; got {config['max_iter']!r}"
    return ""


def _number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and bool(np.isfinite(value))


def fit(
    part: TrainingSet,
    Y: Floats,
    configs: Configs,
    *,
    task: str,  # noqa: ARG001
    seeds: npt.ArrayLike,  # noqa: ARG001  (deterministic)
    coefficients: bool = False,
) -> Fits:
    """Fit every configuration to every target.

    Parameters
    ----------
    part : TrainingSet
    Y : float64 array of shape (n_train, n_targets)
        Classes are 0 and 1. A target with one class is a failure of all of its configurations.
    configs : sequence of mapping
        C, l1_ratio (0 by default), class_weight (None or "balanced"), tol, max_iter.
    task, seeds
        Not looked at: there is nothing random.
    coefficients : bool
        Whether to return these too.

    Returns
    -------
    Fits
        Decisions are log odds.
    """
    n_targets, n_configs = Y.shape[1], len(configs)
    coefs, intercepts = np.full((n_targets, n_configs, part.n_regions), np.nan), np.full((n_targets, n_configs), np.nan)
    not_converged, iterations = (np.zeros((n_targets, n_configs), dtype=np.int64) for _ in range(2))
    failures = []
    penalised: list[tuple[int, list[int], Path]] = []
    smooth: list[tuple[int, int, RidgeFit]] = []
    for target, y in enumerate(Y.T):
        labels = np.unique(y)
        if len(labels) < 2:
            failures += [(target, number, _one_class(labels)) for number in range(n_configs)]
            continue
        for class_weight in (None, "balanced"):
            classes = _classes(y, class_weight)
            numbers = [n for n, config in enumerate(configs) if config.get("class_weight") == class_weight]
            penalties = {n: _penalty(configs[n]) for n in numbers}
            smooth += [(target, n, RidgeFit(classes, penalties[n])) for n in numbers if penalties[n].l1 == 0]
            if numbers := [n for n in numbers if penalties[n].l1 > 0]:
                numbers.sort(key=lambda n: (-penalties[n].l1, -penalties[n].l2, n))
                path = Path(classes, [penalties[n] for n in numbers], part.n_regions)
                penalised.append((target, numbers, path))
    if penalised:
        _follow(part, [path for _, _, path in penalised])
    for target, numbers, path in penalised:
        coefs[target, numbers], intercepts[target, numbers] = path.coefficients, path.intercepts
        not_converged[target, numbers], iterations[target, numbers] = path.not_converged, path.iterations
    if smooth:
        rotated = _kept(part, "logistic.rotation", lambda: rotation(part.X))
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


def _follow(part: TrainingSet, paths: list[Path]) -> None:
    X_T = _kept(part, "logistic.X_T", lambda: np.ascontiguousarray(part.X.T))
    follow(X_T, paths, at_once=max(1, min(64, int(_MEMORY / (8 * part.n_regions**2)))))


def _kept(part: TrainingSet, key: str, make: Callable[[], Any]) -> Any:
    if key not in part.shared:
        part.shared[key] = make()
    return part.shared[key]


def _one_class(classes: Floats) -> Exception:
    return ValueError(
        "This solver needs samples of at least 2 classes in the data, but the data contains only one class: "
        f"{np.int64(classes[0])!r}"
    )


def _penalty(config: Mapping[str, Any]) -> Penalty:
    C, l1_ratio = config.get("C", 1.0), config.get("l1_ratio", 0.0)
    return Penalty(l1_ratio / C, (1 - l1_ratio) / C, min(config.get("tol", TOL), TOL), config.get("max_iter", MAX_ITER))


def _classes(y: Floats, class_weight: str | None) -> Classes:
    share = y.mean()
    return Classes(y, np.where(y > 0.5, 0.5 / share, 0.5 / (1 - share)) if class_weight else np.ones(len(y)))

"""Elastic net regression: every configuration from the Gram matrix, each from where the nearest one ended.

The objective is scikit-learn's, and so is the measure of convergence, the duality gap as a part of the target's sum
of squares. It is `TOL` or what a configuration's `tol` asks for, whichever is less: Newton's method goes from 1e-4 to
1e-12 in a step or two. Sweeps and Newton steps together are limited by `max_iter`.

A lasso, `l1_ratio` of exactly 1, of columns that depend on each other may have several answers that fit the training
rows equally well; which of them is found may differ from scikit-learn. Below 1 there is one.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from cortax.learning.arrays import Floats, Ints
from cortax.learning.search.cells import Config, Configs
from cortax.learning.search.linear.coordinate import SWEEPS, Net, descend_all, inverse_of
from cortax.learning.search.registry import Allowed, refusal
from cortax.learning.search.training import Fits, TrainingSet

__all__ = ["TOGETHER", "TOL", "fit", "unable"]

# Targets share Gram matrix and inverses; batches are what runs in parallel.
TOGETHER: int | None = 15

TOL = 1e-12
# Less than this is rounding.
_LEAST_TOL = 1e-14

# Newton steps that a fit takes, about; they decide whether an inverse pays, and from how many regions on.
_STEPS = 8
_MANY = 64

# From here on n times it might overflow.
_HUGE = 1e100

_NONE = np.empty((0, 0))
_NOT_FINITE = "Input y contains NaN or infinity."

_ALLOWED: Allowed = {
    "alpha": lambda value: isinstance(value, int | float) and 0 < value < _HUGE,
    "l1_ratio": lambda value: isinstance(value, int | float) and 0 <= value <= 1,
    "tol": lambda value: isinstance(value, int | float) and 0 <= value < math.inf,
    "max_iter": lambda value: isinstance(value, int) and value >= 1,
}


def unable(task: str, configs: Configs) -> str:
    """See `registry`: without a penalty, the answer for columns that depend on each other is a matter of rounding."""
    return refusal(configs, _ALLOWED) if task == "regression" else f"only regression, not {task!r}"


def fit(part: TrainingSet, Y: Floats, configs: Configs, *, coefficients: bool = False, **_: Any) -> Fits:
    """Fit every configuration to every target, as scikit-learn's `ElasticNet` does; see `registry`.

    A target with NaN or infinity fails, alone. `iterations` are sweeps and Newton steps. Memory, beyond training set
    and result: five matrices of (n_regions, n_regions), and the coefficients of every configuration and target.
    """
    n_targets, n_configs = Y.shape[1], len(configs)
    finite = np.isfinite(Y).all(axis=0)
    errors: dict[int, Exception] = dict.fromkeys(map(int, np.flatnonzero(~finite)), ValueError(_NOT_FINITE))
    good = np.flatnonzero(finite)
    Q = np.ascontiguousarray(part.cross(Y[:, good]).T)
    if not (np.isfinite(Q).all() and np.isfinite(part.gram).all()):
        errors |= dict.fromkeys(map(int, good), ValueError("products of the regions overflow"))
        good, Q = good[:0], Q[:0]
    means = Y[:, good].mean(axis=0)
    squares = ((Y[:, good] - means) ** 2).sum(axis=0)
    try:
        weights, iterations, not_converged = _paths(part, Q, squares, configs)
    except np.linalg.LinAlgError as error:
        errors |= dict.fromkeys(map(int, good), error)
        good, means = good[:0], means[:0]
        weights, iterations, not_converged = _paths(part, Q[:0], squares[:0], configs)
    intercepts = means[:, None] - weights @ part.means
    decisions = _predict(part, weights, intercepts)
    failed = [(t, number, error) for t, error in sorted(errors.items()) for number in range(n_configs)]
    lost = ~np.isfinite(decisions).all(axis=2)
    decisions[lost] = np.nan
    failed += [(int(good[t]), int(n), ValueError("the fit overflows")) for t, n in np.argwhere(lost)]
    failures = tuple(failed)
    if errors:
        decisions, weights, intercepts = (_spread(a, good, n_targets, np.nan) for a in (decisions, weights, intercepts))
        iterations, not_converged = (_spread(a, good, n_targets, 0) for a in (iterations, not_converged))
    if not coefficients:
        return Fits(decisions, not_converged, iterations, failures=failures)
    return Fits(decisions, not_converged, iterations, coefficients=weights, intercepts=intercepts, failures=failures)


def _spread(values: Any, good: Ints, n_targets: int, otherwise: float) -> Any:
    """Put rows of values in their places among all targets."""
    found = np.full((n_targets, *values.shape[1:]), otherwise, dtype=values.dtype)
    found[good] = values
    return found


def _paths(part: TrainingSet, Q: Floats, squares: Floats, configs: Configs) -> tuple[Floats, Ints, Ints]:
    """Return coefficients of shape (n_targets, n_configs, n_regions), iterations, and what has not converged."""
    H = np.ascontiguousarray(part.gram)
    penalties = np.array([_penalties(config, len(part.train)) for config in configs])
    weights = np.zeros((len(Q), len(configs), len(H)))
    iterations, converged = np.zeros((2, len(Q), len(configs)), dtype=np.int64)
    largest = np.abs(Q).max(axis=1)
    solved: list[int] = []
    for number in sorted(range(len(configs)), key=lambda n: (-penalties[n, 0], -penalties[n, 1], n)):
        l1, l2 = penalties[number]
        converged[:, number] = 1
        some = np.flatnonzero(largest > l1)
        if not len(some):
            continue
        coefs = weights[some, _nearest(penalties, solved, number)] if solved else np.zeros((len(some), len(H)))
        coefs[~np.isfinite(coefs).all(axis=1)] = 0.0
        gradients = Q[some] - coefs @ H
        tol = min(max(float(configs[number].get("tol", TOL)), _LEAST_TOL), TOL)
        limit = int(configs[number].get("max_iter", 1000))
        steps, done = np.zeros((2, len(some)), dtype=np.int64)
        net, ends = Net(float(l1), float(l2), 0.0, tol), (steps, done)
        limits = SWEEPS, min(SWEEPS, limit)
        descend_all(H, Q[some], net, coefs, gradients, _NONE, squares[some], limits, *ends)
        if limit > SWEEPS and not done.all():
            inverse = _inverse(H, l2, coefs[done == 0])
            descend_all(H, Q[some], net, coefs, gradients, inverse, squares[some], (0, limit), *ends)
        weights[some, number], iterations[some, number], converged[some, number] = coefs, steps, done
        solved.append(number)
    return weights, iterations, 1 - converged


def _penalties(config: Config, n: int) -> tuple[float, float]:
    alpha, ratio = float(config.get("alpha", 1.0)), float(config.get("l1_ratio", 0.5))
    return n * alpha * ratio, n * alpha * (1 - ratio)


def _nearest(penalties: Floats, solved: list[int], number: int) -> int:
    """Return which of the configurations solved is the most alike."""
    places = np.log(penalties + 1e-300)
    return solved[int(np.argmin(np.abs(places[solved] - places[number]).sum(axis=1)))]


def _inverse(H: Floats, l2: float, coefs: Floats) -> Floats:
    """Return the inverse of H + l2 on the diagonal if many steps need most of it, else an empty matrix."""
    p = len(H)
    active = np.count_nonzero(coefs, axis=1)
    saved = _STEPS * np.sum(active.astype(np.float64) ** 3 - (p - active) ** 3) / 3
    if p < _MANY or saved < p**3 or l2 <= 0:
        return _NONE
    return inverse_of(H, l2)


def _predict(part: TrainingSet, weights: Floats, intercepts: Floats) -> Floats:
    """Return predictions of shape (n_targets, n_configs, n_valid)."""
    flat = weights.reshape(-1, part.n_regions)
    found = np.repeat(intercepts.reshape(-1, 1), len(part.valid), axis=1)
    some = np.flatnonzero(flat.any(axis=1))
    if len(some):
        found[some] += part.project(flat[some])
    return found.reshape(*weights.shape[:2], len(part.valid))

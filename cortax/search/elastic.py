"""Elastic net regression: every configuration from the Gram matrix, each from where the nearest one ended.

The objective is scikit-learn's, and so is the measure of convergence, the duality gap as a part of the target's sum
of squares. It is `TOL` or what a configuration's `tol` asks for, whichever is less: Newton's method goes from 1e-4 to
1e-12 in a step or two. Sweeps and Newton steps together are limited by `max_iter`.

A lasso, `l1_ratio` of exactly 1, of columns that depend on each other may have several answers that fit the training
rows equally well; which of them is found may differ from scikit-learn. Below 1 there is one.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.linalg import lapack

from cortax.search.cells import Config, Configs
from cortax.search.linear.coordinate import SWEEPS, descend_all
from cortax.search.training import Fits, TrainingSet

__all__ = ["TOGETHER", "TOL", "fit", "unable"]

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

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

_ALLOWED: dict[str, Callable[[Any], bool]] = {
    "alpha": lambda value: isinstance(value, int | float) and 0 < value < _HUGE,
    "l1_ratio": lambda value: isinstance(value, int | float) and 0 <= value <= 1,
    "tol": lambda value: isinstance(value, int | float) and 0 <= value < math.inf,
    "max_iter": lambda value: isinstance(value, int) and value >= 1,
}


def unable(task: str, configs: Configs) -> str:
    """Return why some configuration must be left to scikit-learn, or "".

    Without a penalty, of columns that depend on each other, its answer is a matter of rounding; and what it
    refuses, it shall refuse in its own words.
    """
    if task != "regression":
        return f"only regression, not {task!r}"
    for config in configs:
        for name, value in config.items():
            if name not in _ALLOWED:
                return f"unknown parameter {name!r}"
            if isinstance(value, bool) or not _ALLOWED[name](value):
                return f"{name} = {value!r}"
    return ""


def fit(
    part: TrainingSet,
    Y: Floats,
    configs: Configs,
    *,
    task: str,  # noqa: ARG001  (there is one)
    seeds: npt.NDArray[np.int64],  # noqa: ARG001  (nothing is random)
    coefficients: bool = False,
) -> Fits:
    """Fit every configuration to every target, as scikit-learn's `ElasticNet` does.

    Parameters
    ----------
    part : TrainingSet
    Y : float64 array of shape (n_train, n_targets)
        A target with NaN or infinity fails, alone.
    configs : configurations
        See `unable`; what is not given is as in scikit-learn, but for `tol`.
    task, seeds
        Not looked at.
    coefficients : bool
        Whether coefficients and intercepts are wanted.

    Returns
    -------
    Fits
        `iterations` are sweeps and Newton steps.

    Notes
    -----
    Memory, beyond training set and result: five matrices of (n_regions, n_regions), and the coefficients of every
    configuration and target.
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
        ends = steps, done
        descend_all(H, Q[some], l1, l2, coefs, gradients, _NONE, tol, squares[some], SWEEPS, min(SWEEPS, limit), *ends)
        if limit > SWEEPS and not done.all():
            inverse = _inverse(H, l2, coefs[done == 0])
            descend_all(H, Q[some], l1, l2, coefs, gradients, inverse, tol, squares[some], 0, limit, *ends)
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
    raised = H.copy()
    raised.flat[:: p + 1] += l2
    # Fortran's lower triangle is C's upper one.
    factor, singular = lapack.dpotrf(raised.T, lower=1, overwrite_a=1)
    if singular:
        return _NONE
    found: Floats = lapack.dpotri(factor, lower=1, overwrite_c=1)[0].T
    for i in range(p):
        found[i + 1 :, i] = found[i, i + 1 :]
    return found


def _predict(part: TrainingSet, weights: Floats, intercepts: Floats) -> Floats:
    """Return predictions of shape (n_targets, n_configs, n_valid)."""
    flat = weights.reshape(-1, part.n_regions)
    found = np.repeat(intercepts.reshape(-1, 1), len(part.valid), axis=1)
    some = np.flatnonzero(flat.any(axis=1))
    if len(some):
        found[some] += part.project(flat[some])
    return found.reshape(*weights.shape[:2], len(part.valid))

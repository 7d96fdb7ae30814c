"""Elastic-net logistic regression along falling penalties, many targets in step.

Proximal Newton steps whose curvature is kept from step to step, configuration to configuration, for as long as it
predicts the residuals well enough. What it did not predict bounds how far the loss can still fall, and so how much
the decisions will still change. A violation of optimality does not tell: where columns nearly depend on each other a
tiny one may hide a long way to go, and where the penalty is strong a large one may not matter.

Each path is a generator that asks for matrix products; paths in step get them from one product, which costs little
more than one of them alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from cortax.learning.arrays import Floats, Ints
from cortax.learning.search.linear.logistic_loss import Asking, Classes, Loss, Penalty, in_step, loss_at, search_line
from cortax.learning.search.linear.logistic_model import Curvature, extended, minimise, violation, weighted

__all__ = ["Path", "follow"]

# Of a penalty's `tol`: the violation of optimality that is allowed, and the change of decisions that is yet to come.
_VIOLATION = 10
_CHANGE = 100
# A model's minimum is found to this part of the violation, and of the penalty's own slopes.
_INNER = 0.1
_HONOURED = 0.01
# More steps than this with an old curvature cost more than a new one.
_STEPS = 2.5
# Instead of 0, to divide by.
_LEAST = 1e-300


@dataclass(eq=False)
class Path:
    """One target with one weighting of its classes, along penalties; and where it has come to."""

    classes: Classes
    penalties: Sequence[Penalty]  # best by falling l1: each is where the next one starts
    n_regions: int
    coefficients: Floats = field(init=False)  # (n_penalties, n_regions)
    intercepts: Floats = field(init=False)  # (n_penalties,), as the next two
    iterations: Ints = field(init=False)
    not_converged: Ints = field(init=False)

    def __post_init__(self) -> None:
        n = len(self.penalties)
        self.coefficients, self.intercepts = np.zeros((n, self.n_regions)), np.zeros(n)
        self.iterations, self.not_converged = np.zeros(n, dtype=np.int64), np.zeros(n, dtype=np.int64)


def follow(X_T: Floats, paths: Sequence[Path], *, at_once: int) -> None:
    """Fit every penalty of every path, in place.

    Parameters
    ----------
    X_T : float64 array of shape (n_regions, n_train)
    paths : sequence of Path
    at_once : int
        How many paths go on at a time.
    """
    in_step(X_T, (_walk(path, X_T) for path in paths), at_once)


@dataclass(eq=False)
class _Point:
    """Where a path is."""

    coef: Floats
    intercept: float
    loss: Loss
    slopes: Floats  # X' @ residuals
    curvature: Curvature | None = None
    scale: float = 1.0  # of the curvature
    left: float = np.inf  # bound of what the objective is above its minimum, about
    rate: float = 0.0  # part of the way to the minimum that the last step left


def _walk(path: Path, X_T: Floats) -> Asking:
    intercept = path.classes.log_odds()
    loss = loss_at(np.full(X_T.shape[1], intercept), path.classes)
    empty = _Point(np.zeros(len(X_T)), intercept, loss, X_T @ loss.residuals)
    at = replace(empty)
    for number, penalty in enumerate(path.penalties):
        at.left = np.inf
        for iteration in range(penalty.max_iter + 1):
            gradient = at.slopes + penalty.l2 * at.coef
            found = max(violation(gradient, at.coef, penalty.l1), abs(at.loss.residuals.sum()))
            excess = _excess(at, empty, penalty, found)
            if excess <= 1:
                break
            if iteration == penalty.max_iter:
                path.not_converged[number] = 1
                break
            yield from _step(path.classes, at, X_T, penalty, gradient, found, excess)
        path.iterations[number] = iteration
        path.coefficients[number], path.intercepts[number] = at.coef, at.intercept


def _excess(at: _Point, empty: _Point, penalty: Penalty, found: float) -> float:
    """Return how many times too large the violation or the change yet to come is; 0 where only rounding is left."""
    small, largest = at.loss.size / empty.loss.size, float(np.abs(empty.slopes).max())
    rounding = small * (1e-10 * largest + 1e-13 * float(np.abs(empty.loss.residuals).sum()))
    if found <= rounding:
        return 0.0
    explained = max(empty.loss.value - at.loss.value - penalty.of(at.coef), _LEAST)
    change = np.sqrt(at.left / explained) / (_CHANGE * penalty.tol)
    allowed = small * _VIOLATION * penalty.tol * (largest - penalty.l1)
    return float(max(change, found / max(allowed, rounding)))


def _step(
    classes: Classes, at: _Point, X_T: Floats, penalty: Penalty, gradient: Floats, found: float, excess: float
) -> Asking:
    """Go to the minimum of a model, or less far if the true loss says so."""
    regions = np.flatnonzero((at.coef != 0) | (np.abs(gradient) > penalty.l1))
    curvature = _update(at, X_T, regions, min(excess, 1 / (_CHANGE * penalty.tol)))
    means, pull, l1, l2 = curvature.means[curvature.place[regions]], at.loss.residuals.sum(), penalty.l1, penalty.l2
    now, slopes, tol = at.coef[regions], gradient[regions] - means * pull, _INNER * found
    tol = min(tol, _HONOURED * (l1 + l2 * float(np.abs(now).max(initial=0.0))))
    step = minimise(curvature.block(regions), at.scale, slopes, now, l1, l2, tol) - now
    shift = -float(pull / (at.scale * curvature.weights.sum()) + means @ step)
    direction = np.zeros_like(at.coef)
    direction[regions] = step
    change = (yield direction) + shift
    slope = at.loss.residuals @ change + l2 * now @ step + l1 * (np.abs(now + step).sum() - np.abs(now).sum())
    start = at.loss
    length, at.loss = search_line(start, change, classes, slope, lambda t: penalty.of(now + t * step))
    _learn(at, curvature, start, length, change)
    at.coef, at.intercept = at.coef + length * direction, at.intercept + length * shift
    at.slopes = yield at.loss.residuals


def _learn(at: _Point, curvature: Curvature, start: Loss, length: float, change: Floats) -> None:
    """Compare the loss after a step with the model of it."""
    curved = at.scale * curvature.weights * change
    wrong, square = at.loss.residuals - start.residuals - curved, float(curved @ change)
    at.left = _fall(wrong, at.loss.curved) if length == 1 else np.inf
    at.rate = float(np.sqrt(2 * at.left / square)) if square > 0 else 0.0
    seen = (at.loss.residuals - start.residuals) @ change / length
    if square > 0 and seen > 0:
        at.scale *= float(np.clip(seen / square, 0.1, 10))


def _fall(residuals: Floats, curved: Floats) -> float:
    """Return how far the loss can fall, at most and about, if the gradient is that of such residuals."""
    return float(np.sum(residuals**2 / np.maximum(curved, _LEAST)) / 2)


def _update(at: _Point, X_T: Floats, regions: Ints, excess: float) -> Curvature:
    """Return a curvature of the regions: a new one where that costs less than the steps that it saves."""
    curvature = at.curvature
    if curvature is not None:
        steps = np.log(max(excess, 1.0)) / -np.log(np.clip(at.rate, 1e-3, 0.99))
        unknown = np.count_nonzero(curvature.place[regions] < 0)
        if steps > _STEPS or 2 * unknown > len(regions):
            curvature = None
    if curvature is None:
        at.curvature, at.scale = weighted(X_T, regions, at.loss.curved), 1.0
    else:
        at.curvature = extended(curvature, X_T, regions)
    return at.curvature

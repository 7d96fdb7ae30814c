"""Elastic-net logistic regression along falling penalties, many targets in step.

Proximal Newton steps whose curvature is kept from step to step, configuration to configuration, for as long as the
true gradient shrinks fast enough. Each path is a generator that asks for matrix products; paths in step get them from
one product, which costs little more than one of them alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from cortax.search.lockstep import Asking, in_step
from cortax.search.logistic_kernels import violation
from cortax.search.logistic_loss import Classes, Loss, Penalty, loss_at, search_line
from cortax.search.logistic_model import Curvature, extended, minimise, weighted

__all__ = ["Path", "follow"]

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

# Steps with an old curvature that cost as much as a new one, per region in it.
_STEPS_PER_REGION = 1 / 40
# A model's minimum is found to this part of the violation.
_INNER = 0.3


@dataclass(eq=False)
class Path:
    """One target with one weighting of its classes, along penalties; and where it has come to.

    Attributes
    ----------
    classes : Classes
    penalties : sequence of Penalty
        Best by falling l1: each is where the next one starts.
    coefficients : float64 array of shape (n_penalties, n_regions)
    intercepts : float64 array of shape (n_penalties,)
    iterations, not_converged : int arrays of shape (n_penalties,)
    """

    classes: Classes
    penalties: Sequence[Penalty]
    n_regions: int
    coefficients: Floats = field(init=False)
    intercepts: Floats = field(init=False)
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
    shrinkage: float = 0.0  # of the violation in the last step


def _walk(path: Path, X_T: Floats) -> Asking:
    intercept = path.classes.log_odds()
    loss = loss_at(np.full(X_T.shape[1], intercept), path.classes)
    slopes = X_T @ loss.residuals
    at = _Point(np.zeros(len(X_T)), intercept, loss, slopes)
    largest, most = float(np.abs(slopes).max()), loss.size
    rounding = 1e-10 * largest + 1e-13 * float(np.abs(loss.residuals).sum())
    for number, penalty in enumerate(path.penalties):
        previous = np.inf
        for iteration in range(penalty.max_iter + 1):
            gradient = at.slopes + penalty.l2 * at.coef
            found = max(violation(gradient, at.coef, penalty.l1), abs(at.loss.residuals.sum()))
            allowed = at.loss.size / most * max(penalty.tol * (largest - penalty.l1), rounding)
            if found <= allowed:
                break
            if iteration == penalty.max_iter:
                path.not_converged[number] = 1
                break
            at.shrinkage = found / previous if iteration else at.shrinkage
            previous = found
            yield from _step(path.classes, at, X_T, penalty, gradient, found, allowed)
        path.iterations[number] = iteration
        path.coefficients[number], path.intercepts[number] = at.coef, at.intercept


def _step(
    classes: Classes, at: _Point, X_T: Floats, penalty: Penalty, gradient: Floats, found: float, allowed: float
) -> Asking:
    """Go to the minimum of a model, or less far if the true loss says so."""
    regions = np.flatnonzero((at.coef != 0) | (np.abs(gradient) > penalty.l1))
    curvature = _update(at, X_T, regions, found / allowed)
    means, excess = curvature.means[curvature.place[regions]], at.loss.residuals.sum()
    now = at.coef[regions]
    step = -now + minimise(
        curvature.block(regions),
        at.scale,
        gradient[regions] - means * excess,
        now,
        penalty.l1,
        penalty.l2,
        _INNER * found,
    )
    shift = -float(excess / (at.scale * curvature.weights.sum()) + means @ step)
    direction = np.zeros_like(at.coef)
    direction[regions] = step
    change = (yield direction) + shift
    before = at.loss.residuals @ change
    slope = before + penalty.l2 * now @ step + penalty.l1 * (np.abs(now + step).sum() - np.abs(now).sum())
    length, at.loss = search_line(at.loss, change, classes, slope, lambda t: penalty.of(now + t * step))
    at.coef = at.coef + length * direction
    at.intercept += length * shift
    modelled, seen = curvature.weights @ change**2, (at.loss.residuals @ change - before) / length
    if modelled > 0 and seen > 0:
        at.scale = float(np.clip(seen / modelled, at.scale / 10, at.scale * 10))
    at.slopes = yield at.loss.residuals


def _update(at: _Point, X_T: Floats, regions: Ints, excess: float) -> Curvature:
    """Return a curvature that has the regions, new where the steps it would save cost more than it does."""
    curvature = at.curvature
    if curvature is not None:
        steps = np.log(max(excess, 2.0)) / -np.log(np.clip(at.shrinkage, 1e-3, 0.99))
        unknown = np.count_nonzero(curvature.place[regions] < 0)
        if steps > 2 + len(regions) * _STEPS_PER_REGION or 2 * unknown > len(regions):
            curvature = None
    if curvature is None:
        at.curvature, at.scale, at.shrinkage = weighted(X_T, regions, at.loss.curved), 1.0, 0.0
    else:
        at.curvature = extended(curvature, X_T, regions)
    return at.curvature

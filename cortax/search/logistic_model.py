"""A quadratic model of the logistic loss, of any age, and its minimum under an elastic-net penalty.

A model is only ever a guide: the path solver checks every step by the true loss and gradient. So its curvature may be
old, of another point or in single precision.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.linalg import LinAlgError, cho_factor, cho_solve

from cortax.search.logistic_kernels import sweep, violation, weigh, weighted_means

__all__ = ["Curvature", "extended", "minimise", "weighted"]

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

# Added to the diagonal, in units of rounding errors of its mean: without it flat directions would have no bottom.
_DAMPING = 8
_ROUNDS = 50
# What a sweep may have seen of violations, of what is allowed at its end.
_SEEN = 0.1
# A Cholesky factor of so many regions costs as much as a sweep of coordinate descent.
_REGIONS_PER_SWEEP = 20


@dataclass(frozen=True, eq=False)
class Curvature:
    """Second derivatives of the loss by the coefficients of some regions, once the intercept is at its best.

    Attributes
    ----------
    place : int array of shape (n_regions,)
        Position of each region in H, or -1.
    H : float32 array of shape (n_known, n_known)
    means : float64 array of shape (n_known,)
        Weighted column means: what the intercept moves by, per unit of coefficient.
    weights : float64 array of shape (n_train,)
        Second derivatives by the log odds that H is made of.
    """

    place: Ints
    H: npt.NDArray[np.float32]
    means: Floats
    weights: Floats

    def block(self, regions: Ints) -> npt.NDArray[np.float32]:
        """Return H of some regions that it has; not to be written to."""
        at = self.place[regions]
        if len(at) == len(self.H) and (at == np.arange(len(at))).all():
            return self.H
        return self.H[np.ix_(at, at)]


def weighted(X_T: Floats, regions: Ints, weights: Floats) -> Curvature:
    """Return the curvature of some regions.

    Parameters
    ----------
    X_T : float64 array of shape (n_regions, n_train)
    regions : int array
    weights : float64 array of shape (n_train,)
    """
    H = np.zeros((0, 0), dtype=np.float32)
    nothing = Curvature(np.full(len(X_T), -1), H, np.zeros(0), weights)
    return extended(nothing, X_T, regions)


def extended(curvature: Curvature, X_T: Floats, regions: Ints) -> Curvature:
    """Return a curvature that also has some regions, for its own weights."""
    new = regions[curvature.place[regions] < 0]
    if not len(new):
        return curvature
    n_old, weights = len(curvature.H), curvature.weights
    roots = np.sqrt(weights)
    means = weighted_means(X_T, new, weights)
    added = np.empty((len(new), len(weights)), dtype=curvature.H.dtype)
    weigh(X_T, new, means, roots, added)
    H = np.empty((n_old + len(new), n_old + len(new)), dtype=added.dtype)
    H[:n_old, :n_old] = curvature.H
    H[n_old:, n_old:] = added @ added.T
    H[n_old:, n_old:].flat[:: len(new) + 1] += _DAMPING * np.finfo(H.dtype).eps * np.trace(H[n_old:, n_old:]) / len(new)
    if n_old:
        known = np.argsort(curvature.place)[-n_old:]
        old = np.empty((n_old, len(weights)), dtype=added.dtype)
        weigh(X_T, known, curvature.means, roots, old)
        H[n_old:, :n_old] = added @ old.T
        H[:n_old, n_old:] = H[n_old:, :n_old].T
    place = curvature.place.copy()
    place[new] = np.arange(n_old, len(H))
    return Curvature(place, H, np.concatenate([curvature.means, means]), weights)


def minimise(
    H: npt.NDArray[np.float32], scale: float, gradient: Floats, coef: Floats, l1: float, l2: float, tol: float
) -> Floats:
    """Minimise gradient'd + d'(scale H)d / 2 + l2 |d|^2 / 2 + l1 |coef + d|_1, and return coef + d.

    Coordinate descent finds which coefficients are not 0; a Cholesky factor of what is left finds their values.

    Parameters
    ----------
    H : float32 array of shape (n, n)
    scale : float
    gradient : float64 array of shape (n,)
        That of the penalty's square is part of it.
    coef : float64 array of shape (n,)
    l1, l2 : float
    tol : float
        Largest violation of optimality that is allowed.
    """
    gradient, coef = gradient.copy(), coef.copy()
    for _ in range(_ROUNDS):
        n_sweeps = 5 + np.count_nonzero(coef) // _REGIONS_PER_SWEEP
        sweep(H, scale, gradient, coef, l1, l2, n_sweeps, _SEEN * tol)
        # What a sweep saw may have changed by its end.
        if violation(gradient, coef, l1) <= tol:
            break
        active = np.flatnonzero(coef)
        if len(active):
            _newton(H, scale, gradient, coef, active, l1, l2)
    return coef


def _newton(
    H: npt.NDArray[np.float32], scale: float, gradient: Floats, coef: Floats, active: Ints, l1: float, l2: float
) -> None:
    """Go to the minimum over what is not 0, in place; coefficients that would change sign stop at 0."""
    now = coef[active]
    sign = np.sign(now)
    block = scale * (H if len(active) == len(H) else H[np.ix_(active, active)])
    block.flat[:: len(active) + 1] += l2
    slope = gradient[active] + l1 * sign
    try:
        factor = cho_factor(block, lower=True, overwrite_a=True, check_finite=False)
    except LinAlgError:
        return
    step = -cho_solve(factor, slope.astype(H.dtype), check_finite=False).astype(np.float64)
    crossed = (now + step) * sign < 0
    to = np.where(crossed, 0.0, now + step)
    moved = to - now
    turned = _turn(H, scale, active, moved, len(coef))
    turned[active] += l2 * moved
    if crossed.any() and slope @ moved + 0.5 * moved @ turned[active] > 0:
        # All the way is up: to the first that becomes 0.
        length = float(np.min(-now[crossed] / step[crossed]))
        to = now + length * step
        to[crossed & (to * sign <= 1e-14 * np.abs(now))] = 0.0
        moved = to - now
        turned = _turn(H, scale, active, moved, len(coef))
        turned[active] += l2 * moved
    coef[active] = to
    gradient += turned


def _turn(H: npt.NDArray[np.float32], scale: float, active: Ints, moved: Floats, n: int) -> Floats:
    """Change of the model's gradient."""
    everywhere = np.zeros(n, dtype=H.dtype)
    everywhere[active] = moved
    found: Floats = scale * (H @ everywhere).astype(np.float64)
    return found

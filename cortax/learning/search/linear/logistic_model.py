"""A quadratic model of the logistic loss, of any age, and its minimum under an elastic-net penalty.

A model is only ever a guide: the path solver checks every step by the true loss and gradient. So its curvature may be
old or of another point.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.linalg import lapack

from cortax.learning.arrays import Floats, Ints
from cortax.learning.search.compiled import compiled
from cortax.learning.search.linear.coordinate import SWEEPS, Net, descend_kernel, inverse_of

__all__ = ["Curvature", "extended", "minimise", "violation", "weighted"]

_jit = compiled(__name__)

# Added to the diagonal, in units of rounding errors of its mean: without it flat directions would have no bottom.
_DAMPING = 8
# Steps to the minimum of a model, at most, and what is left of the tolerance when they have not gone down.
_STEPS = 200
_TIGHTER = 0.01
# Of a gradient.
_ROUNDING = 1e-14
# In units of the mean diagonal: the least l2 with which `descend_kernel` makes do without another ridge.
_STEADY = 1e-7
# An inverse pays where at least so many coefficients are not 0, and this part of all.
_MANY, _MOST = 48, 0.8

_NONE = np.empty((0, 0))


@dataclass(frozen=True, eq=False)
class Curvature:
    """Second derivatives of the loss by the coefficients of some regions, once the intercept is at its best."""

    place: Ints  # (n_regions,): position of each region in H, or -1
    H: Floats  # (n_known, n_known)
    means: Floats  # (n_known,): weighted column means, what the intercept moves by per unit of coefficient
    weights: Floats  # (n_train,): second derivatives by the log odds that H is made of

    def block(self, regions: Ints) -> Floats:
        """Return H of some regions that it has; not to be written to."""
        at = self.place[regions]
        if len(at) == len(self.H) and (at == np.arange(len(at))).all():
            return self.H
        return self.H[np.ix_(at, at)]


def weighted(X_T: Floats, regions: Ints, weights: Floats) -> Curvature:
    """Return the curvature of some regions; X_T is of shape (n_regions, n_train), weights of shape (n_train,)."""
    nothing = Curvature(np.full(len(X_T), -1), np.zeros((0, 0)), np.zeros(0), weights)
    return extended(nothing, X_T, regions)


def extended(curvature: Curvature, X_T: Floats, regions: Ints) -> Curvature:
    """Return a curvature that also has some regions, for its own weights."""
    new = regions[curvature.place[regions] < 0]
    if not len(new):
        return curvature
    n_old, weights = len(curvature.H), curvature.weights
    roots = np.sqrt(weights)
    means = _weighted_means(X_T, new, weights)
    added = np.empty((len(new), len(weights)))
    _weigh(X_T, new, means, roots, added)
    H = np.empty((n_old + len(new), n_old + len(new)))
    H[:n_old, :n_old] = curvature.H
    corner = H[n_old:, n_old:]
    corner[:] = added @ added.T
    corner.flat[:: len(new) + 1] += _DAMPING * np.finfo(np.float64).eps * np.trace(corner) / len(new)
    if n_old:
        known = np.argsort(curvature.place)[-n_old:]
        old = np.empty((n_old, len(weights)))
        _weigh(X_T, known, curvature.means, roots, old)
        H[n_old:, :n_old] = added @ old.T
        H[:n_old, n_old:] = H[n_old:, :n_old].T
    place = curvature.place.copy()
    place[new] = np.arange(n_old, len(H))
    return Curvature(place, H, np.concatenate([curvature.means, means]), weights)


def minimise(H: Floats, scale: float, gradient: Floats, coef: Floats, l1: float, l2: float, tol: float) -> Floats:
    """Minimise gradient'd + d'(scale H)d / 2 + l2 |d|^2 / 2 + l1 |coef + d|_1, and return coef + d.

    `coordinate` does it, from a good start: the minimum where coefficients keep their signs. Where few are 0 one
    inverse stands for the linear systems of all steps.

    Parameters
    ----------
    H : float64 array of shape (n, n)
    scale : float
    gradient : float64 array of shape (n,)
        That of the penalty's square is part of it.
    coef : float64 array of shape (n,)
    l1, l2 : float
    tol : float
        Largest violation of optimality that is allowed; less of it is, if the model would not fall otherwise.
    """
    model = scale * H
    linear = model @ coef + l2 * coef - gradient
    least = _ROUNDING * float(np.abs(linear).max(initial=0.0))
    ridge = max(l2, _STEADY * float(np.trace(model)) / len(model)) if len(model) else l2
    inverse = inverse_of(model, ridge) if np.count_nonzero(coef) > max(_MOST * len(coef), _MANY) else _NONE
    start = _on_face(model, inverse, linear + (ridge - l2) * coef, coef, l1, ridge)
    known, n_sweeps = inverse if ridge == l2 else _NONE, 0 if coef.any() else SWEEPS
    while True:
        found, slopes = start.copy(), linear - model @ start
        descend_kernel(model, linear, Net(l1, l2, max(tol, least)), found, slopes, known, n_sweeps, _STEPS)
        step = found - coef
        smooth = gradient @ step + step @ (model @ step) / 2 + l2 * (step @ step) / 2
        if smooth + l1 * (np.abs(found).sum() - np.abs(coef).sum()) < 0 or tol <= least:
            return found
        tol *= _TIGHTER


def _on_face(model: Floats, inverse: Floats, linear: Floats, coef: Floats, l1: float, ridge: float) -> Floats:
    """Return the minimum where coefficients keep their signs, and 0 stays 0: a start close to the minimum of all."""
    active, idle = np.flatnonzero(coef), np.flatnonzero(coef == 0)
    right = np.where(coef != 0, linear - l1 * np.sign(coef), 0.0)
    if inverse.size:
        found: Floats = inverse @ right
        if len(idle):
            found -= inverse[:, idle] @ np.linalg.solve(inverse[np.ix_(idle, idle)], found[idle])
            found[idle] = 0.0
        return found
    block = model[np.ix_(active, active)]
    block.flat[:: len(active) + 1] += ridge
    factor, singular = lapack.dpotrf(block.T, lower=1, overwrite_a=1)
    if singular or not len(active):
        return coef
    found = np.zeros(len(coef))
    found[active] = lapack.dpotrs(factor, right[active], lower=1)[0]
    return found


@_jit
def violation(gradient, coef, l1):  # type: ignore[no-untyped-def]
    """Return the largest distance of 0 from a subgradient of f(coef) + l1 |coef|_1, over coordinates."""
    worst = 0.0
    for j in range(coef.size):
        sign = (coef[j] > 0) - (coef[j] < 0)
        worst = max(worst, abs(gradient[j] + sign * l1) if sign else abs(gradient[j]) - l1)
    return worst


@_jit
def _weighted_means(X_T, regions, weights):  # type: ignore[no-untyped-def]
    means, total = np.empty(regions.size), weights.sum()
    for k in range(regions.size):
        means[k] = np.dot(X_T[regions[k]], weights) / total
    return means


@_jit
def _weigh(X_T, regions, means, roots, out):  # type: ignore[no-untyped-def]
    """Fill in (X_T - means) * roots of some rows."""
    for k in range(regions.size):
        row, mean = X_T[regions[k]], means[k]
        for i in range(roots.size):
            out[k, i] = (row[i] - mean) * roots[i]

"""Linear support vector machines by their dual, where training sets are small and columns are many.

Minimised is LIBLINEAR's objective with the hinge loss, |w|^2 / 2 + b^2 / 2 + C * sum_i max(0, 1 - y_i (w'z_i + b)):
its dual is a'Qa / 2 - sum(a) with 0 <= a <= C and Q_ij = y_i y_j (z_i'z_j + 1) (Hsieh et al. 2008, ICML). Unlike the
machines of `cortax.learning.search.kernel` it has no constraint on the sum, as the intercept is penalised, so that
coefficients move one at a time; the steepest goes first. Where that crawls, as it does with more trials than columns
and a large C, all coefficients between their bounds go together: to the minimum, or until one meets a bound.
"""

from __future__ import annotations

import numpy as np

from cortax.learning.arrays import Floats
from cortax.learning.search.compiled import compiled

__all__ = ["HingePath", "hinge_path"]

_jit = compiled(__name__)

# The largest violation of optimality; gradients are 1 at 0. LIBLINEAR's own default is 0.1.
TOL = 1e-8
# Single steps, by number of trials, before coefficients go together.
_PATIENCE = 4
_MOST_ROUNDS = 10_000
# Added to the diagonal, relative to its mean: between bounds there may be more trials than dimensions.
_RIDGE = 1e-11

HingePath = tuple[Floats, bool]


def hinge_path(K: Floats, y: Floats, penalties: Floats) -> HingePath:
    """Fit a machine for each C, each from the one before.

    Parameters
    ----------
    K : float64 array of shape (n, n)
        Products of scaled trials, z_i'z_j.
    y : float64 array of shape (n,)
        -1 and 1.
    penalties : float64 array of shape (n_penalties,)
        C, rising.

    Returns
    -------
    float64 array of shape (n_penalties, n)
        y_i a_i: the weights are sum_i y_i a_i z_i, and the intercept is the sum of all.
    bool
        Whether all came within `TOL` of optimality.
    """
    found, converged = _path(np.ascontiguousarray(K), y, penalties, TOL)
    return np.asarray(found), bool(converged)


@_jit
def _path(K, y, penalties, tol):  # type: ignore[no-untyped-def]
    n = len(y)
    found = np.zeros((len(penalties), n))
    a, gradient = np.zeros(n), np.full(n, -1.0)
    converged = True
    for place in range(len(penalties)):
        converged &= _minimise(K, y, penalties[place], a, gradient, tol)
        found[place] = a * y
    return found, converged


@_jit
def _minimise(K, y, C, a, gradient, tol):  # type: ignore[no-untyped-def]
    for _ in range(_MOST_ROUNDS):
        if _step_singly(K, y, C, a, gradient, tol, _PATIENCE * len(a)):
            return True
        _step_together(K, y, C, a, gradient)
    return False


# More parameters than elsewhere: compiled, it is handed the arrays that it writes into.
@_jit
def _step_singly(K, y, C, a, gradient, tol, n_steps):  # type: ignore[no-untyped-def]
    """Move the coefficient that gains most, again and again; return whether none violates optimality any more."""
    for _ in range(n_steps):
        best, gain, change, violation = -1, 0.0, 0.0, 0.0
        for i in range(len(a)):
            slope = gradient[i]
            if (a[i] <= 0.0 and slope >= 0.0) or (a[i] >= C and slope <= 0.0):
                continue
            violation = max(violation, abs(slope))
            curvature = K[i, i] + 1.0
            step = min(max(a[i] - slope / curvature, 0.0), C) - a[i]
            gained = -step * (slope + 0.5 * curvature * step)
            if gained > gain:
                best, gain, change = i, gained, step
        if violation < tol:
            return True
        if best < 0:
            return False
        a[best] = min(max(a[best] + change, 0.0), C)
        _add(K, y, gradient, best, change)
    return False


@_jit
def _add(K, y, gradient, i, change):  # type: ignore[no-untyped-def]
    signed = change * y[i]
    for j in range(len(gradient)):
        gradient[j] += y[j] * (K[i, j] + 1.0) * signed


@_jit
def _step_together(K, y, C, a, gradient):  # type: ignore[no-untyped-def]
    """Move all coefficients between their bounds to where their slopes are 0; those that meet a bound stay there."""
    for _ in range(len(a)):
        free = np.flatnonzero((a > 0.0) & (a < C))
        m = len(free)
        if m == 0:
            break
        Q, right = np.empty((m, m)), np.empty(m)
        trace = 0.0
        for i in range(m):
            right[i] = -gradient[free[i]]
            trace += K[free[i], free[i]] + 1.0
            for j in range(m):
                Q[i, j] = y[free[i]] * y[free[j]] * (K[free[i], free[j]] + 1.0)
        for i in range(m):
            Q[i, i] += _RIDGE * trace / m
        way = np.linalg.solve(Q, right)
        length, first = 1.0, -1
        for i in range(m):
            room = (C - a[free[i]]) if way[i] > 0 else -a[free[i]]
            if way[i] != 0.0 and room / way[i] < length:
                length, first = room / way[i], i
        for i in range(m):
            a[free[i]] = min(max(a[free[i]] + length * way[i], 0.0), C)
        if first >= 0:
            a[free[first]] = C if way[first] > 0 else 0.0
        # Worked out anew: what rounding adds would not go away.
        _set_gradient(K, y, a, gradient)
        if first < 0:
            break


@_jit
def _set_gradient(K, y, a, gradient):  # type: ignore[no-untyped-def]
    signed = a * y
    total = signed.sum()
    product = np.dot(K, signed)
    for i in range(len(a)):
        gradient[i] = y[i] * (product[i] + total) - 1.0

"""The elastic net on a Gram matrix: sweeps over the coordinates, then Newton's method on the dual.

What is minimised is 1/2 b'Hb - q'b + l1 |b|_1 + l2/2 |b|^2. A few sweeps find most coefficients that are 0. Where
columns depend on each other, sweeps alone would take thousands more, and exchanging active sets runs in circles. The
dual is smooth and strongly convex in the residual, so a Newton step with a line search always gets there: each solves
a linear system of the coefficients that are not 0, and the steps settle which these are (semismooth Newton; Li, Sun,
Toh 2018, SIAM J. Optim. 28, 433). Where l2 is too small for that the coefficients are tied to where they are by a
ridge, which is loosened from round to round (the proximal point algorithm).
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy.linalg import lapack

from cortax.learning.arrays import Floats
from cortax.learning.search.compiled import compiled

__all__ = ["SWEEPS", "Net", "descend_all", "descend_kernel", "inverse_of"]

_jit = compiled(__name__)

# Sweeps that pay before the first Newton step.
SWEEPS = 3
# In units of the mean diagonal of H: the l2 that needs no other ridge; and the ridge of the first round, how much less
# it is in each round after, and the part of what a round minimises that may be left when it ends.
_ENOUGH = 1e-7
_RIDGE = 1e-3
_LOOSER = 0.1
_INEXACT = 0.1
# How often the diagonal of a singular system is raised.
_RAISES = 6
# Steps in a round, at most.
_STEPS = 60


class Net(NamedTuple):
    """Penalties, both at least 0, and when to stop."""

    l1: float
    l2: float
    tol: float  # stop when no coordinate's subgradients are further from 0, in units of q,
    gap_tol: float = -1.0  # or when the duality gap is no larger; below 0 the gap is not worked out
    square: float = 0.0  # of least squares: y'y, for the gap


@_jit
def descend_kernel(H, q, net, coef, gradient, inverse, first, max_sweeps):  # type: ignore[no-untyped-def]
    """Minimise in place; return how many sweeps and Newton steps that took, and whether it has converged.

    Parameters
    ----------
    H : float64 array of shape (p, p), C-contiguous
        Symmetric, positive semidefinite; not NaN.
    q, coef, gradient : float64 arrays of shape (p,)
        `coef` is where to start; `gradient` is q - H @ coef, and is kept up to date.
    net : Net
    inverse : float64 array of shape (p, p) or (0, 0)
        Of H + l2 on the diagonal, if it is known.
    first, max_sweeps : int
        Sweeps before the first Newton step, and sweeps and Newton steps, at most.
    """
    n_sweeps = 0
    while n_sweeps < min(first, max_sweeps):
        n_sweeps += 1
        if not _sweep(H, net.l1, net.l2, coef, gradient):
            break
    enough, ridge = _ENOUGH * np.trace(H) / coef.size, _RIDGE / _ENOUGH
    while not _optimal(q, net, coef, gradient):
        if n_sweeps >= max_sweeps:
            return n_sweeps, False
        tie = max(ridge, 1.0) * enough - net.l2 if net.l2 < enough else 0.0
        known = inverse if tie == 0.0 else np.empty((0, 0))
        n_sweeps += _round(H, q, net, tie, known, coef, gradient, max_sweeps - n_sweeps)
        ridge *= _LOOSER
    return n_sweeps, True


@_jit
def descend_all(H, Q, net, coefs, gradients, inverse, squares, limits, n_sweeps, converged):  # type: ignore[no-untyped-def]
    """Minimise for many q, in place: the rows of Q, coefs and gradients, and the items of squares and the last two.

    The duality gap of each may be net's gap_tol times its square. `limits` are the last two parameters of
    `descend_kernel`; `n_sweeps` is added to.
    """
    for t in range(len(Q)):
        own = Net(net.l1, net.l2, net.tol, net.gap_tol * squares[t], squares[t])
        left = limits[1] - n_sweeps[t]
        done, converged[t] = descend_kernel(H, Q[t], own, coefs[t], gradients[t], inverse, limits[0], left)
        n_sweeps[t] += done


def inverse_of(H: Floats, ridge: float) -> Floats:
    """Return the inverse of H + ridge on the diagonal, or an empty matrix if there is none."""
    raised = H.copy()
    raised.flat[:: len(raised) + 1] += ridge
    # Fortran's lower triangle is C's upper one.
    factor, singular = lapack.dpotrf(raised.T, lower=1, overwrite_a=1)
    if singular:
        return np.empty((0, 0))
    inverse: Floats = lapack.dpotri(factor, lower=1, overwrite_c=1)[0].T
    _mirror(inverse)
    return inverse


@_jit
def _mirror(M):  # type: ignore[no-untyped-def]
    """Copy what is above the diagonal to below it, tile by tile, which is kinder to the cache than line by line."""
    n, tile = len(M), 32
    for top in range(0, n, tile):
        for left in range(top, n, tile):
            for i in range(top, min(top + tile, n)):
                for k in range(max(left, i + 1), min(left + tile, n)):
                    M[k, i] = M[i, k]


@_jit
def _optimal(q, net, coef, gradient):  # type: ignore[no-untyped-def]
    """Whether the largest violation or the duality gap is small enough."""
    l1, l2, _, gap_tol, square = net
    worst, largest, slack, norm, ridge, above, fitted = 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0
    for j in range(coef.size):
        b = coef[j]
        at = gradient[j] - l2 * b
        largest = max(largest, abs(at)) if at == at else np.inf
        above += max(abs(gradient[j]) - l1, 0.0) ** 2
        if b == 0.0:
            worst = max(worst, abs(at) - l1)
        else:
            worst = max(worst, abs(at - (l1 if b > 0 else -l1)))
            norm += abs(b)
            slack += b * at
            ridge += b * b
            fitted += b * (q[j] + at)
    if not np.isfinite(largest + norm):
        return False
    if worst <= net.tol:
        return True
    if gap_tol < 0.0:
        return False
    # Two dual points: the residual shrunk until it is feasible, and as it is where l2 lets it be that.
    gap = np.inf
    if l1 > 0.0:
        shrink = min(1.0, l1 / largest)
        gap = l1 * norm - shrink * slack + (1 - shrink) ** 2 / 2 * (square - fitted)
    if l2 > 0.0:
        gap = min(gap, l1 * norm - slack - l2 / 2 * ridge + above / (2 * l2))
    return -np.inf < gap <= gap_tol


@_jit
def _sweep(H, l1, l2, coef, gradient):  # type: ignore[no-untyped-def]
    """Minimise by each coordinate in turn; return whether a sign has changed."""
    moved = False
    p = coef.size
    for j in range(p):
        old, diagonal = coef[j], H[j, j]
        if diagonal + l2 <= 0.0:
            continue
        aim = gradient[j] + diagonal * old
        if aim > l1:
            new = (aim - l1) / (diagonal + l2)
        elif aim < -l1:
            new = (aim + l1) / (diagonal + l2)
        else:
            new = 0.0
        if new == old:
            continue
        if new * old <= 0.0:
            moved = True
        coef[j] = new
        step = new - old
        row = H[j]
        for k in range(p):
            gradient[k] -= step * row[k]
    return moved


@_jit
def _round(H, q, net, tie, inverse, coef, gradient, max_steps):  # type: ignore[no-untyped-def]
    """Minimise what there is and tie/2 |b - coef|^2, in place; return how many Newton steps that took.

    The dual point is y - Xw for some w, which is `coef` on its way. Its objective is
    1/2 w'Hw + |shrunk|^2 / (2 (tie + l2)), where shrunk is q - Hw + tie * start moved towards 0 by l1. At the optimum
    w is shrunk / (tie + l2); a whole step makes it 0 where shrunk is.
    """
    l1, both = net.l1, tie + net.l2
    start, anchor = coef.copy(), tie * coef
    shrunk = np.empty(coef.size)
    inside = _shrink(gradient, anchor, 0.0, gradient, l1, shrunk)
    n_steps = 0
    while n_steps < min(max_steps, _STEPS):
        n_steps += 1
        active = np.flatnonzero(shrunk)
        step = coef.copy()
        step[active] = 0.0
        right = shrunk - both * coef + _times(H, step)
        step = _system(H, inverse, active, both, right) - step
        change = _times(H, step)
        # The objective along the step is a quadratic and what is in shrunk.
        slope = np.dot(change, coef) - np.dot(change, shrunk) / both
        linear, curved = np.dot(coef, change), np.dot(step, change)
        length = 1.0
        new = _shrink(gradient, anchor, length, change, l1, shrunk)
        while length > 1e-9:
            rise = length * linear + length**2 / 2 * curved + (new - inside) / (2 * both)
            if rise <= 1e-4 * length * slope + 1e-14 * inside / both:
                break
            length /= 2
            new = _shrink(gradient, anchor, length, change, l1, shrunk)
        inside = new
        coef += length * step
        gradient -= length * change
        if length == 1.0 and _optimal(q, net, coef, gradient):
            return n_steps
        if tie > 0.0 and length == 1.0:
            # Where columns depend on each other, many w give the same dual point; what belongs to it is one of them.
            found = shrunk / both
            slack = q - _times(H, found)
            if np.dot(found - coef, gradient - slack) <= _INEXACT * tie * np.sum((found - start) ** 2):
                coef[:], gradient[:] = found, slack
                break
    return n_steps


@_jit
def _shrink(slack, anchor, length, change, l1, shrunk):  # type: ignore[no-untyped-def]
    """Move slack - length * change + anchor towards 0 by l1; return the sum of squares."""
    total = 0.0
    for j in range(slack.size):
        z = slack[j] - length * change[j] + anchor[j]
        shrunk[j] = z - l1 if z > l1 else (z + l1 if z < -l1 else 0.0)
        total += shrunk[j] * shrunk[j]
    return total


@_jit
def _times(H, b):  # type: ignore[no-untyped-def]
    """Return H @ b."""
    if 4 * np.count_nonzero(b) > b.size:
        return np.dot(H, b)
    product = np.zeros(b.size)
    for j in range(b.size):
        if b[j] != 0.0:
            row, by = H[j], b[j]
            for k in range(b.size):
                product[k] += by * row[k]
    return product


@_jit
def _system(H, inverse, active, more, right):  # type: ignore[no-untyped-def]
    """Solve (H + more) x = right for the active rows and columns; elsewhere x is 0.

    With fewer rows inactive than active, the inverse of all of H + more is corrected for these instead.
    """
    found = np.zeros(right.size)
    if inverse.size == 0 or 2 * active.size <= right.size:
        found[active] = _solve(_block(H, active, more), right[active])
        return found
    found[active] = right[active]
    found = np.dot(inverse, found)
    idle = np.ones(right.size, dtype=np.bool_)
    idle[active] = False
    rest = np.flatnonzero(idle)
    if rest.size:
        held = np.zeros(right.size)
        held[rest] = _solve(_block(inverse, rest, 0.0), found[rest])
        found -= _times(inverse, held)
        found[rest] = 0.0
    return found


@_jit
def _block(H, active, more):  # type: ignore[no-untyped-def]
    """Return the rows and columns of H that are active, with more on the diagonal."""
    n = active.size
    found = np.empty((n, n))
    for i in range(n):
        row = H[active[i]]
        for k in range(n):
            found[i, k] = row[active[k]]
        found[i, i] += more
    return found


@_jit
def _solve(M, right):  # type: ignore[no-untyped-def]
    """Solve a system by Cholesky; of one that is singular the diagonal is raised until that goes."""
    n = right.size
    U, more = np.empty((0, 0)), 0.0
    for _ in range(_RAISES):
        try:
            U = np.ascontiguousarray(np.linalg.cholesky(M).T)
        except Exception:  # compiled code knows no other
            more = max(100 * more, 1e-14 * np.trace(M))
            for i in range(n):
                M[i, i] += more
        if U.size:
            break
    if not U.size:
        # Not for want of a ridge, then: there is no memory, or a number is not finite.
        U = np.ascontiguousarray(np.linalg.cholesky(M).T)
    x = right.copy()
    for i in range(n):
        row = U[i]
        x[i] /= row[i]
        for k in range(i + 1, n):
            x[k] -= x[i] * row[k]
    for i in range(n - 1, -1, -1):
        row, after = U[i], x[i + 1 :]
        x[i] = (x[i] - np.dot(row[i + 1 :], after)) / row[i]
    return x

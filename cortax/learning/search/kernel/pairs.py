"""Pairwise steps on the coefficients of a support vector machine: compiled loops.

Slopes are what raising a coefficient gains (up), and what lowering it costs (down), per unit; infinite at bounds. They
may be of single precision: what the loops wait for is memory.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

from cortax.learning.arrays import Floats
from cortax.learning.search.compiled import compiled
from cortax.learning.search.kernel.rbf import fill_row

__all__ = ["Bounded", "move_pairs", "set_gradient", "slopes_of"]

_jit = compiled(__name__)

# libsvm's stand-in for a curvature that is not above 0.
_FLAT = 1e-12


class Bounded(NamedTuple):
    """Coefficients of a machine and what they minimise; arrays of shape (m,)."""

    b: Floats  # changed in place, as the gradient
    gradient: Floats  # without epsilon
    low: Floats
    high: Floats
    epsilon: float

    def each(self, change: Callable[[Floats], Floats]) -> Bounded:
        """Return what comes of changing each array."""
        return Bounded(change(self.b), change(self.gradient), change(self.low), change(self.high), self.epsilon)


@_jit
def slopes_of(at):  # type: ignore[no-untyped-def]
    """Return what raising a coefficient gains, and lowering it costs, per unit; infinite at bounds."""
    up, down = np.empty_like(at.b), np.empty_like(at.b)
    for t in range(len(at.b)):
        up[t], down[t] = _slope(at.b[t], at.gradient[t], at.low[t], at.high[t], at.epsilon)
    return up, down


@_jit
def _slope(b, gradient, low, high, epsilon):  # type: ignore[no-untyped-def]
    up = -np.inf if b >= high else -gradient - (epsilon if b >= 0 else -epsilon)
    down = np.inf if b <= low else -gradient - (epsilon if b > 0 else -epsilon)
    return up, down


@_jit
def move_pairs(kernel, at, up, down, stop, max_iter):  # type: ignore[no-untyped-def]
    """Move pairs, by libsvm's rule, until none gains more than `stop`; return how many. Their gradient is left."""
    b, low, high, epsilon, values = at.b, at.low, at.high, at.epsilon, kernel.values
    n, n_steps = len(b), 0
    gains, singles, space = np.empty(n, np.float32), np.empty(n, np.float32), np.empty_like(up)
    while n_steps < max_iter:
        i = _largest(up, space)
        if not kernel.filled[i]:
            fill_row(kernel, i)
        _gains(up[i], down, values[i], gains)
        j = _largest(gains, singles)
        slope = np.float64(up[i]) - np.float64(down[j])
        if slope < stop and (slope <= 0 or up[i] - down.min() < stop):
            break
        if not kernel.filled[j]:
            fill_row(kernel, j)
        n_steps += 1
        bi, bj = b[i], b[j]
        step = _step(slope, max(-2.0 * values[i, j], _FLAT), bi, bj, low[j], high[i], epsilon)
        b[i], b[j] = bi + step, bj - step
        # libsvm's arithmetic at bounds, on whose rounding an intercept may depend.
        if step >= high[i] - bi or step >= bj - low[j]:
            if bi + bj > high[i] + low[j]:
                b[i], b[j] = high[i], max(bi + bj - high[i], low[j])
            else:
                b[i], b[j] = min(bi + bj - low[j], high[i]), low[j]
        gi = -np.float64(up[i]) - (epsilon if bi >= 0 else -epsilon)
        gj = -np.float64(down[j]) - (epsilon if bj > 0 else -epsilon)
        up[i], down[i] = _slope(b[i], gi, low[i], high[i], epsilon)
        up[j], down[j] = _slope(b[j], gj, low[j], high[j], epsilon)
        _shift(up, down, values[i], values[j], step)
    return n_steps


@_jit
def set_gradient(at, up, down):  # type: ignore[no-untyped-def]
    """Work out the gradient again from its slopes; a coefficient between equal bounds keeps its own."""
    for t in range(len(at.b)):
        if up[t] > -np.inf:
            at.gradient[t] = -up[t] - (at.epsilon if at.b[t] >= 0 else -at.epsilon)
        elif down[t] < np.inf:
            at.gradient[t] = -down[t] - (at.epsilon if at.b[t] > 0 else -at.epsilon)


@_jit
def _step(slope, curvature, bi, bj, low, high, epsilon):  # type: ignore[no-untyped-def]
    """Return how far to raise one coefficient and lower the other: to the minimum, past zeros, or to a bound."""
    room, done = min(high - bi, bj - low), 0.0
    zero_i, zero_j = (-bi if bi < 0 else np.inf), (bj if bj > 0 else np.inf)
    while epsilon > 0:
        zero = min(zero_i, zero_j)
        if zero >= room or done + slope / curvature <= zero:
            break
        # The slope falls by twice epsilon where a coefficient passes 0.
        slope -= curvature * (zero - done) + 2 * epsilon
        done = zero
        if slope <= 0:
            return done
        if zero_i <= zero_j:
            zero_i = np.inf
        else:
            zero_j = np.inf
    return min(done + slope / curvature, room)


@_jit
def _gains(best, down, row, gains):  # type: ignore[no-untyped-def]
    """What a step with each row gains: the slope squared over the curvature; 0 for those that gain nothing."""
    zero, flat = np.float32(0), np.float32(_FLAT)
    for t in range(len(down)):
        slope = np.float32(best - down[t])
        slope = slope if slope > zero else zero
        curvature = -row[t]
        curvature = curvature if curvature > flat else flat
        gains[t] = slope * slope / curvature


@_jit
def _shift(up, down, row_i, row_j, step):  # type: ignore[no-untyped-def]
    width, one = up.dtype.type(step), up.dtype.type(1)
    for t in range(len(up)):
        change = width * (one * row_i[t] - one * row_j[t])
        up[t] = up[t] - change
        down[t] = down[t] - change


@_jit
def _largest(values, space):  # type: ignore[no-untyped-def]
    """Return the position of the largest number.

    Two times, a quarter is left of what may be it: loops that the compiler turns into vector instructions, as it does
    not for the plain search.
    """
    quarter = len(values) // 4
    sixteenth = quarter // 4
    first, second = space[:quarter], space[quarter : quarter + sixteenth]
    _fold(values, first)
    _fold(first, second)
    found = 0
    for t in range(sixteenth):
        if second[t] > second[found]:
            found = t
    best = second[found]
    while first[found] != best:
        found += sixteenth
    while values[found] != best:
        found += quarter
    return found


@_jit
def _fold(values, folded):  # type: ignore[no-untyped-def]
    n = len(folded)
    for t in range(n):
        a, b, c, d = values[t], values[t + n], values[t + 2 * n], values[t + 3 * n]
        a = a if a > b else b
        c = c if c > d else d
        folded[t] = a if a > c else c

"""Support vector machines on an RBF kernel: sequential minimal optimisation, and what speeds it up.

Both machines are the problem

    minimise  b'Kb / 2 - target'b + epsilon |b|_1   subject to  low <= b <= high,  sum b = 0

with `b` the coefficients of the decision function, `target` y or -1 and 1, and epsilon 0 for classes. A step moves the
pair of coefficients that libsvm's rule chooses (Fan, Chen and Lin 2005), and the rule to stop is libsvm's. After a
first round over all rows, steps on a small kernel of the free and most violating rows follow, and where they are many,
Newton steps on the free ones, until nothing is left to gain on all rows.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from cortax.search.compiled import compiled
from cortax.search.faces import minimise_free
from cortax.search.rbf import Kernel, add_rows, fill_row, small_kernel

__all__ = ["Machine", "Solution", "rounded", "solve"]

_jit = compiled(__name__)

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

# Smallest number of rows of a small kernel, and the largest as a share of all rows.
_SMALL = 512
_SHARE = 0.5

# How far a small kernel is solved before all rows are looked at again, relative to how far it was from solved.
_FRACTION = 0.1

# A Newton step of n rows costs about as much as n**2 / _PATIENCE pairwise ones, of which this many are made at least.
_PATIENCE = 60
_LEAST = 20_000

# What is less than this part of the width between bounds is nothing.
_ROUNDING = 1e-10

# libsvm's stand-in for a curvature that is not above 0.
_FLAT = 1e-12


@dataclass(frozen=True, eq=False)
class Machine:
    """What is minimised, but for the kernel.

    Attributes
    ----------
    target, low, high : float64 arrays of shape (n_train,)
        low <= 0 <= high, and low < high.
    epsilon : float
    """

    target: Floats
    low: Floats
    high: Floats
    epsilon: float


@dataclass(frozen=True, eq=False)
class Solution:
    """A solved machine.

    Attributes
    ----------
    coefficients : float64 array of shape (n_train,)
    intercept : float
    gap : float
        The largest violation of the optimality conditions by a pair.
    n_steps : int
    converged : bool
    """

    coefficients: Floats
    intercept: float
    gap: float
    n_steps: int
    converged: bool


@dataclass(frozen=True, eq=False)
class _State:
    """Where a solution is, of all rows or some; arrays of shape (m,), changed in place. Beyond the rows, all is 0."""

    kernel: Kernel
    b: Floats
    gradient: Floats
    low: Floats
    high: Floats
    epsilon: float

    def slopes(self) -> tuple[Floats, Floats]:
        """What raising a coefficient gains, and what lowering it costs, per unit; infinite at bounds."""
        up, down = _slopes(self.b, self.gradient, self.low, self.high, self.epsilon)
        return up, down

    def step(self, stop: float, max_iter: int) -> int:
        """Move pairs until none gains more than `stop`; return how many."""
        k = self.kernel
        problem = self.b, self.gradient, self.low, self.high, self.epsilon
        n_steps: int = _steps(k.distances, k.rate, k.values, k.filled, *problem, stop, max_iter)
        return n_steps

    def leap(self) -> bool:
        """Move free coefficients together; return whether they came to their minimum."""
        up, _ = self.slopes()
        low, high = self.low, self.high
        if self.epsilon > 0:
            low, high = np.where(self.b > 0, 0.0, low), np.where(self.b < 0, 0.0, high)
            high = np.where(self.b == 0, 0.0, high)
        return minimise_free(self.kernel, self.b, self.gradient, (low, high), up)


@dataclass(eq=False)
class _Patience:
    """When to leap: after as many steps as cost as much, and twice as many after each leap that did not get there."""

    factor: int = 1
    waited: int = 0

    def steps(self, n: int) -> int:
        """Return how many steps, on n rows, are made before a leap."""
        return self.factor * max(_LEAST, n * n // _PATIENCE)

    def wait(self, state: _State, done: int, n: int) -> None:
        """Take note of steps, and leap when there were enough."""
        self.waited += done
        if self.waited >= self.steps(n):
            self.waited = 0
            self.factor = 1 if state.leap() else 2 * self.factor


def solve(
    machine: Machine, kernel: Kernel, start: Floats, *, tol: float, max_iter: int, rounds: bool = True
) -> Solution:
    """Minimise.

    Parameters
    ----------
    machine : Machine
    kernel : Kernel
    start : float64 array of shape (n_train,)
        Coefficients within the bounds, of sum 0.
    tol : float
        The gap below which a solution is one.
    max_iter : int
        Largest number of steps.
    rounds : bool
        Whether a coefficient that is at a bound, or 0, but for rounding is not a free one, by which the intercept
        goes.
    """
    n, n_steps, whole = len(start), 0, _Patience()
    b, low, high, gradient = _pad(len(kernel.values), start, machine.low, machine.high, -machine.target)
    rows = np.flatnonzero(start)
    add_rows(kernel, rows, start[rows], gradient)
    state = _State(kernel, b, gradient, low, high, machine.epsilon)
    while True:
        up, down = state.slopes()
        gap, done = float(up.max() - down.min()), 0
        if gap >= tol and n_steps < max_iter:
            rows = _candidates(b, up, down, machine.epsilon)
            if not n_steps or len(rows) > _SHARE * n:
                done = state.step(tol, min(n // 2 + 1, max_iter - n_steps))
                whole.wait(state, done, n)
            else:
                done = _step_some(state, rows, max(tol / 2, _FRACTION * gap), max_iter - n_steps)
            n_steps += done
        if not done:
            break
    if rounds:
        b = rounded(b, low, high)
        up, down = _slopes(b, gradient, low, high, machine.epsilon)
    return Solution(b[:n], _intercept(up, down), gap, n_steps, gap < tol)


def rounded(b: Floats, low: Floats, high: Floats) -> Floats:
    """Return coefficients with those that are at a bound, or 0, but for rounding put there."""
    nothing = _ROUNDING * (high - low)
    b = np.where(b - low < nothing, low, np.where(high - b < nothing, high, b))
    return np.where(np.abs(b) < nothing, 0.0, b)


def _pad(m: int, *arrays: Floats) -> list[Floats]:
    """Lengthen by zeros: a coefficient between 0 and 0 is never moved."""
    return [np.pad(array, (0, m - len(array))) for array in arrays]


def _candidates(b: Floats, up: Floats, down: Floats, epsilon: float) -> Ints:
    """Return free rows, and the most violating ones."""
    chosen = np.isfinite(up) & np.isfinite(down) & ((b != 0) | (epsilon == 0))
    n_most = min(len(b), max(_SMALL // 2, int(chosen.sum()) // 4))
    most_up, most_down = np.argpartition(-up, n_most - 1)[:n_most], np.argpartition(down, n_most - 1)[:n_most]
    chosen[most_up[up[most_up] > down.min()]] = True
    chosen[most_down[down[most_down] < up.max()]] = True
    return np.flatnonzero(chosen)


def _step_some(state: _State, rows: Ints, stop: float, max_iter: int) -> int:
    """Move some coefficients; return the number of steps."""
    small = small_kernel(state.kernel, rows)
    arrays = (array[rows] for array in (state.b, state.gradient, state.low, state.high))
    b, gradient, low, high = _pad(len(small.values), *arrays)
    some = _State(small, b, gradient, low, high, state.epsilon)
    n_steps, patience = 0, _Patience()
    while True:
        limit = min(patience.steps(len(rows)), max_iter - n_steps)
        done = some.step(stop, limit)
        n_steps += done
        if done < limit or n_steps >= max_iter:
            break
        patience.wait(some, done, len(rows))
    moved = some.b[: len(rows)] - state.b[rows]
    changed = np.flatnonzero(moved)
    state.b[rows] = some.b[: len(rows)]
    add_rows(state.kernel, rows[changed], moved[changed], state.gradient)
    return n_steps


def _intercept(up: Floats, down: Floats) -> float:
    """Return minus libsvm's rho: the mean over free rows, or the middle of what the bounds allow."""
    free = np.isfinite(up) & np.isfinite(down) & (up == down)
    return float(up[free].mean() if free.any() else (up.max() + down.min()) / 2)


@_jit
def _slopes(b, gradient, low, high, epsilon):  # type: ignore[no-untyped-def]
    """Return what raising a coefficient gains, and lowering it costs, per unit; infinite at bounds."""
    up, down = np.empty_like(b), np.empty_like(b)
    for t in range(len(b)):
        up[t], down[t] = _slope(b[t], gradient[t], low[t], high[t], epsilon)
    return up, down


@_jit
def _slope(b, gradient, low, high, epsilon):  # type: ignore[no-untyped-def]
    up = -np.inf if b >= high else -gradient - (epsilon if b >= 0 else -epsilon)
    down = np.inf if b <= low else -gradient - (epsilon if b > 0 else -epsilon)
    return up, down


@_jit
def _steps(distances, rate, kernel, filled, b, gradient, low, high, epsilon, stop, max_iter):  # type: ignore[no-untyped-def]
    n, n_steps = len(b), 0
    up, down = _slopes(b, gradient, low, high, epsilon)
    gains, singles, doubles = np.empty(n, np.float32), np.empty(n, np.float32), np.empty(n)
    while n_steps < max_iter:
        i = _largest(up, doubles)
        if not filled[i]:
            fill_row(distances, rate, kernel, filled, i)
        _gains(up[i], down, kernel[i], gains)
        j = _largest(gains, singles)
        slope = up[i] - down[j]
        if slope < stop and (slope <= 0 or up[i] - down.min() < stop):
            break
        if not filled[j]:
            fill_row(distances, rate, kernel, filled, j)
        n_steps += 1
        bi, bj = b[i], b[j]
        step = _step(slope, max(-2.0 * kernel[i, j], _FLAT), bi, bj, low[j], high[i], epsilon)
        b[i], b[j] = bi + step, bj - step
        # libsvm's arithmetic at bounds, on whose rounding an intercept may depend.
        if step >= high[i] - bi or step >= bj - low[j]:
            if bi + bj > high[i] + low[j]:
                b[i], b[j] = high[i], max(bi + bj - high[i], low[j])
            else:
                b[i], b[j] = min(bi + bj - low[j], high[i]), low[j]
        gi = -up[i] - (epsilon if bi >= 0 else -epsilon)
        gj = -down[j] - (epsilon if bj > 0 else -epsilon)
        up[i], down[i] = _slope(b[i], gi, low[i], high[i], epsilon)
        up[j], down[j] = _slope(b[j], gj, low[j], high[j], epsilon)
        _shift(up, down, kernel[i], kernel[j], step)
    for t in range(n):
        if up[t] > -np.inf:
            gradient[t] = -up[t] - (epsilon if b[t] >= 0 else -epsilon)
        elif down[t] < np.inf:
            gradient[t] = -down[t] - (epsilon if b[t] > 0 else -epsilon)
    return n_steps


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
    for t in range(len(up)):
        change = step * (np.float64(row_i[t]) - np.float64(row_j[t]))
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

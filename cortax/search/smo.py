"""Support vector machines on a precomputed RBF kernel: sequential minimal optimisation, and what it needs.

Both machines are the problem

    minimise  b'Kb / 2 - target'b + epsilon |b|_1   subject to  low <= b <= high,  sum b = 0

with `b` the coefficients of the decision function, `target` y or -1 and 1, and epsilon 0 for classes. As the sum is 0,
K - 1 gives the same solution as K: that is what is kept, in single precision as in libsvm, but without its loss of
digits where gamma is small and K close to 1.

A step moves the pair of coefficients that libsvm's rule chooses (Fan, Chen and Lin 2005), and the rule to stop is
libsvm's. After a first round over all rows, steps on a small kernel of the free and most violating rows follow, until
nothing is left to gain on all of them.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from cortax.search.compiled import compiled

__all__ = ["Machine", "Solution", "decide", "make_kernel", "padded", "rounded", "solve"]

_jit = compiled(__name__)

Floats = npt.NDArray[np.float64]
Singles = npt.NDArray[np.float32]
Ints = npt.NDArray[np.int64]

# Arrays that are searched for their largest number have a multiple of this length.
_LANES = 16

# Smallest number of rows of a small kernel, and the largest as a share of all rows.
_SMALL = 512
_SHARE = 1 / 3

# How far a small kernel is solved before all rows are looked at again, relative to how far it was from solved.
_FRACTION = 0.1

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


def make_kernel(distances: Singles, gamma: float, coefficients: Floats, kernel: Singles) -> Floats:
    """Fill in exp(-gamma D) - 1, and return its product with coefficients.

    Parameters
    ----------
    distances : float32 array of shape (n_train, n_train or more)
    gamma : float
    coefficients : float64 array of shape (n_train,)
    kernel : float32 array of shape (m, m), m >= n_train
        Zeros beyond (n_train, n_train).
    """
    product = np.zeros(len(coefficients))
    _fill(distances, _rate(gamma), coefficients, kernel, product)
    return product


def decide(distances: Singles, gamma: float, solution: Solution) -> Floats:
    """Return the decisions for the rows to predict, of shape (n_valid,).

    Parameters
    ----------
    distances : float32 array of shape (n_train, n_train + n_valid)
    gamma : float
    solution : Solution
    """
    n_train, n_all = distances.shape
    decisions = np.full(n_all - n_train, solution.intercept)
    rows = np.flatnonzero(solution.coefficients)
    _add_values(distances, _rate(gamma), rows, solution.coefficients[rows], decisions)
    return decisions


def _rate(gamma: float) -> np.float32:
    return np.float32(-min(gamma, 1e30))


def solve(
    machine: Machine,
    kernel: Singles,
    coefficients: Floats,
    product: Floats,
    *,
    tol: float,
    max_iter: int,
    rounds: bool = True,
) -> Solution:
    """Minimise.

    Parameters
    ----------
    machine : Machine
    kernel : float32 array of shape (m, m)
        See `make_kernel`; m is `padded(n_train)`.
    coefficients : float64 array of shape (n_train,)
        Where to start: within the bounds, of sum 0.
    product : float64 array of shape (n_train,)
        Kernel times coefficients.
    tol : float
        The gap below which a solution is one.
    max_iter : int
        Largest number of steps.
    rounds : bool
        Whether a coefficient that is at a bound, or 0, but for rounding is not a free one, by which the intercept
        goes.
    """
    n, n_steps, whole = len(coefficients), 0, True
    b, low, high, gradient = _pad(len(kernel), coefficients, machine.low, machine.high, product - machine.target)
    while True:
        up, down = _slopes(b, gradient, low, high, machine.epsilon)
        gap, done = float(up.max() - down.min()), 0
        if gap >= tol and n_steps < max_iter:
            rows = _candidates(b, up, down, machine.epsilon)
            if whole or len(rows) > _SHARE * n:
                done = _steps(kernel, b, gradient, low, high, machine.epsilon, tol, min(n, max_iter - n_steps))
            else:
                stop = max(tol / 2, _FRACTION * gap)
                done = _steps_of(rows, kernel, b, gradient, low, high, machine.epsilon, stop, max_iter - n_steps)
            whole, n_steps = False, n_steps + done
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


def padded(n: int) -> int:
    """Return the length, at least n, that arrays have."""
    return -(-n // _LANES) * _LANES


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


def _steps_of(
    rows: Ints,
    kernel: Singles,
    b: Floats,
    gradient: Floats,
    low: Floats,
    high: Floats,
    epsilon: float,
    stop: float,
    max_iter: int,
) -> int:
    """Move some coefficients, in place."""
    small = np.zeros((padded(len(rows)),) * 2, np.float32)
    _gather(kernel, rows, small)
    some = _pad(len(small), b[rows], gradient[rows], low[rows], high[rows])
    n_steps: int = _steps(small, *some, epsilon, stop, max_iter)
    moved = some[0][: len(rows)] - b[rows]
    changed = np.flatnonzero(moved)
    b[rows] = some[0][: len(rows)]
    _add_rows(kernel, rows[changed], moved[changed], gradient)
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
def _steps(kernel, b, gradient, low, high, epsilon, stop, max_iter):  # type: ignore[no-untyped-def]
    """Move pairs of coefficients, in place, until no pair gains more than `stop`; return the number of steps."""
    n, n_steps = len(b), 0
    up, down = _slopes(b, gradient, low, high, epsilon)
    gains, singles, doubles = np.empty(n, np.float32), np.empty(n, np.float32), np.empty(n)
    while n_steps < max_iter:
        i = _largest(up, doubles)
        _gains(up[i], down, kernel[i], gains)
        j = _largest(gains, singles)
        slope = up[i] - down[j]
        if slope < stop and (slope <= 0 or up[i] - down.min() < stop):
            break
        n_steps += 1
        bi, bj = b[i], b[j]
        step = _step(slope, max(-2.0 * kernel[i, j], _FLAT), bi, bj, low[j], high[i], epsilon)
        b[i] = high[i] if step == high[i] - bi else bi + step
        b[j] = low[j] if step == bj - low[j] else bj - step
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


@_jit
def _value(distance, rate):  # type: ignore[no-untyped-def]
    """Return exp(rate * distance) - 1, to single precision relative to itself; a Taylor-like polynomial and a shift."""
    x = rate * distance
    x = x if x > np.float32(-20) else np.float32(-20)
    power = np.rint(x * np.float32(1.44269504))
    x = (x - power * np.float32(0.693359375)) - power * np.float32(-2.12194440e-4)
    y = np.float32(1.9875691500e-4)
    y = y * x + np.float32(1.3981999507e-3)
    y = y * x + np.float32(8.3334519073e-3)
    y = y * x + np.float32(4.1665795894e-2)
    y = y * x + np.float32(1.6666665459e-1)
    y = y * x + np.float32(5.0000001201e-1)
    y = y * x * x + x
    two = np.int32((np.int32(power) + np.int32(127)) << 23).view(np.float32)
    return two * y + (two - np.float32(1))


@_jit
def _fill(distances, rate, b, kernel, product):  # type: ignore[no-untyped-def]
    n = len(b)
    for i in range(n):
        row, values = distances[i], kernel[i]
        for t in range(n):
            values[t] = _value(row[t], rate)
        values[i] = 0
        if b[i] != 0:
            for t in range(n):
                product[t] += b[i] * values[t]


@_jit
def _add_values(distances, rate, rows, weights, sums):  # type: ignore[no-untyped-def]
    start, n = distances.shape[1] - len(sums), len(sums)
    values = np.empty(n, np.float32)
    for k in range(len(rows)):
        row = distances[rows[k], start:]
        for t in range(n):
            values[t] = _value(row[t], rate)
        for t in range(n):
            sums[t] += weights[k] * values[t]


@_jit
def _gather(kernel, rows, small):  # type: ignore[no-untyped-def]
    for i in range(len(rows)):
        row, some = kernel[rows[i]], small[i]
        for j in range(len(rows)):
            some[j] = row[rows[j]]


@_jit
def _add_rows(kernel, rows, weights, sums):  # type: ignore[no-untyped-def]
    n, fours = len(sums), len(rows) // 4 * 4
    for k in range(0, fours, 4):
        a, b, c, d = kernel[rows[k]], kernel[rows[k + 1]], kernel[rows[k + 2]], kernel[rows[k + 3]]
        wa, wb, wc, wd = weights[k], weights[k + 1], weights[k + 2], weights[k + 3]
        for t in range(n):
            sums[t] += (wa * a[t] + wb * b[t]) + (wc * c[t] + wd * d[t])
    for k in range(fours, len(rows)):
        row = kernel[rows[k]]
        for t in range(n):
            sums[t] += weights[k] * row[t]

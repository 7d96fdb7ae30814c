"""Support vector machines on an RBF kernel: sequential minimal optimisation, and what speeds it up.

Both machines are the problem

    minimise  b'Kb / 2 - target'b + epsilon |b|_1   subject to  low <= b <= high,  sum b = 0

with `b` the coefficients of the decision function, `target` y or -1 and 1, and epsilon 0 for classes. A step moves the
pair of coefficients that libsvm's rule chooses (Fan, Chen and Lin 2005), and the rule to stop is libsvm's. After a
first round over all rows, steps on a small kernel of the free and most violating rows follow, and where steps become
many, all coefficients are moved together (`active`), or the free ones (`faces`), until nothing is left to gain.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from cortax.search.kernel.active import Bounded, minimise_from_guess
from cortax.search.kernel.faces import minimise_free
from cortax.search.kernel.pairs import move_pairs, set_gradient, slopes_of
from cortax.search.kernel.rbf import Kernel, add_rows, small_kernel

__all__ = ["Machine", "Solution", "rounded", "solve"]

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

# Smallest number of rows of a small kernel, and the largest as a share of all rows.
_SMALL = 512
_SHARE = 0.5

# How far a small kernel is solved before all rows are looked at again, relative to how far it was from solved.
_FRACTION = 0.1

# Pairwise steps a row before it is decided again whether a small kernel will do, and before a leap is tried.
_TURN = 4
_PATIENCE = 20

# What many steps in single precision may leave of rounding, relative to the largest slope.
_SINGLE = 2e-5

# What is less than this part of the width between bounds is nothing.
_ROUNDING = 1e-10


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
    """Where a solution is, of all rows or some; arrays of shape (m,), changed in place. Beyond the rows, all is 0.

    `exact` asks for slopes of double precision.
    """

    kernel: Kernel
    b: Floats
    gradient: Floats
    low: Floats
    high: Floats
    epsilon: float
    exact: bool

    def slopes(self) -> tuple[Floats, Floats]:
        """What raising a coefficient gains, and what lowering it costs, per unit; infinite at bounds."""
        up, down = slopes_of(self.b, self.gradient, self.low, self.high, self.epsilon)
        return up, down

    def step(self, stop: float, max_iter: int) -> int:
        """Move pairs until none gains more than `stop`; return how many."""
        n_steps = 0 if self.exact else self._step_coarsely(stop, max_iter)
        up, down = self.slopes()
        n_steps += self._move(up, down, stop, max_iter - n_steps)
        set_gradient(self.b, up, down, self.gradient, self.epsilon)
        return n_steps

    def _step_coarsely(self, stop: float, max_iter: int) -> int:
        """Move pairs by slopes of single precision, if that is enough; they are halves of what memory has to pass."""
        before, (up, down) = self.b.copy(), self.slopes()
        if not up.max() - down.min() >= stop:
            return 0
        middle = (up.max() + down.min()) / 2
        slopes = (up - middle).astype(np.float32), (down - middle).astype(np.float32)
        if _SINGLE * max(np.abs(array[np.isfinite(array)]).max(initial=0) for array in slopes) > stop:
            return 0
        n_steps = self._move(*slopes, stop, max_iter)
        rows = np.flatnonzero(self.b != before)
        add_rows(self.kernel, rows, (self.b - before)[rows], self.gradient)
        return n_steps

    def _move(self, up: npt.NDArray[Any], down: npt.NDArray[Any], stop: float, max_iter: int) -> int:
        k, limits = self.kernel, (self.low, self.high, self.epsilon, stop, max_iter)
        n_steps: int = move_pairs(k.distances, k.rate, k.values, k.filled, self.b, up, down, *limits)
        return n_steps

    def leap(self, tol: float) -> bool:
        """Move coefficients together, all or the free ones; return whether they came to their minimum."""
        at = Bounded(self.b, self.gradient, self.low, self.high, self.epsilon)
        if minimise_from_guess(self.kernel, at, tol):
            return True
        up, _ = self.slopes()
        low, high = self.low, self.high
        if self.epsilon > 0:
            low, high = np.where(self.b > 0, 0.0, low), np.where(self.b < 0, 0.0, high)
            high = np.where(self.b == 0, 0.0, high)
        return minimise_free(self.kernel, self.b, self.gradient, (low, high), up)


@dataclass(eq=False)
class _Patience:
    """When to leap: after some steps, and twice as many after each leap that did not get there."""

    factor: int = 1
    waited: int = 0

    def steps(self, n: int) -> int:
        """Return how many steps, on n rows, are made before a leap."""
        return self.factor * _PATIENCE * n

    def wait(self, state: _State, done: int, n: int, tol: float) -> None:
        """Take note of steps, and leap when there were enough."""
        self.waited += done
        if self.waited >= self.steps(n):
            self.waited = 0
            self.factor = 1 if state.leap(tol) else 2 * self.factor


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
        goes. Without, the way from zeros is libsvm's, step by step.
    """
    n, n_steps, whole = len(start), 0, _Patience()
    b, low, high, gradient = _pad(len(kernel.values), start, machine.low, machine.high, -machine.target)
    rows = np.flatnonzero(start)
    add_rows(kernel, rows, start[rows], gradient)
    state = _State(kernel, b, gradient, low, high, machine.epsilon, not (rounds or start.any()))
    while True:
        up, down = state.slopes()
        gap, done = float(up.max() - down.min()), 0
        if gap >= tol and n_steps < max_iter:
            rows = _candidates(b, up, down, machine.epsilon)
            if not n_steps or len(rows) > _SHARE * n:
                done = state.step(tol, min(_TURN * n if n_steps else n // 2 + 1, max_iter - n_steps))
                whole.wait(state, done, n, tol)
            else:
                done = _step_some(state, rows, max(tol / 2, _FRACTION * gap), max_iter - n_steps)
            n_steps += done
        if not done:
            break
    if rounds:
        b = rounded(b, low, high)
        up, down = slopes_of(b, gradient, low, high, machine.epsilon)
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
    some = _State(small, b, gradient, low, high, state.epsilon, state.exact)
    n_steps, patience = 0, _Patience()
    while True:
        limit = min(patience.steps(len(rows)), max_iter - n_steps)
        done = some.step(stop, limit)
        n_steps += done
        if done < limit or n_steps >= max_iter:
            break
        patience.wait(some, done, len(rows), stop)
    moved = some.b[: len(rows)] - state.b[rows]
    changed = np.flatnonzero(moved)
    state.b[rows] = some.b[: len(rows)]
    add_rows(state.kernel, rows[changed], moved[changed], state.gradient)
    return n_steps


def _intercept(up: Floats, down: Floats) -> float:
    """Return minus libsvm's rho: the mean over free rows, or the middle of what the bounds allow."""
    free = np.isfinite(up) & np.isfinite(down) & (up == down)
    return float(up[free].mean() if free.any() else (up.max() + down.min()) / 2)

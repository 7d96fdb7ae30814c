"""Support vector machines on an RBF kernel: sequential minimal optimisation, and what speeds it up.

Both machines are the problem

    minimise  b'Kb / 2 - target'b + epsilon |b|_1   subject to  low <= b <= high,  sum b = 0

with `b` the coefficients of the decision function, `target` y or -1 and 1, and epsilon 0 for classes. A step moves the
pair of coefficients that libsvm's rule chooses (Fan, Chen and Lin 2005), and the rule to stop is libsvm's. After a
first round over all rows, steps on a small kernel of the free and most violating rows follow, and where steps become
many, all coefficients are moved together, or the free ones (`active`), until nothing is left to gain.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from cortax.learning.arrays import Floats, Ints
from cortax.learning.search.kernel.active import minimise_free, minimise_from_guess
from cortax.learning.search.kernel.pairs import Bounded, move_pairs, set_gradient, slopes_of
from cortax.learning.search.kernel.rbf import Kernel, add_rows, small_kernel

__all__ = ["Machine", "Solution", "rounded", "solve"]

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
    """What is minimised, but for the kernel; arrays of shape (n_train,), low <= 0 <= high and low < high."""

    target: Floats
    low: Floats
    high: Floats
    epsilon: float


@dataclass(frozen=True, eq=False)
class Solution:
    """A solved machine."""

    coefficients: Floats  # (n_train,)
    intercept: float
    gap: float  # the largest violation of the optimality conditions by a pair
    n_steps: int
    converged: bool


@dataclass(frozen=True, eq=False)
class _State:
    """Where a solution is, of all rows or some; beyond them, all is 0. `exact` asks for slopes of double precision."""

    kernel: Kernel
    at: Bounded
    exact: bool

    def step(self, stop: float, max_iter: int) -> int:
        """Move pairs until none gains more than `stop`; return how many."""
        n_steps = 0 if self.exact else self._step_coarsely(stop, max_iter)
        up, down = slopes_of(self.at)
        n_steps += int(move_pairs(self.kernel, self.at, up, down, stop, max_iter - n_steps))
        set_gradient(self.at, up, down)
        return n_steps

    def _step_coarsely(self, stop: float, max_iter: int) -> int:
        """Move pairs by slopes of single precision, if that is enough; they are halves of what memory has to pass."""
        before, (up, down) = self.at.b.copy(), slopes_of(self.at)
        if not up.max() - down.min() >= stop:
            return 0
        middle = (up.max() + down.min()) / 2
        slopes = (up - middle).astype(np.float32), (down - middle).astype(np.float32)
        if _SINGLE * max(np.abs(array[np.isfinite(array)]).max(initial=0) for array in slopes) > stop:
            return 0
        n_steps = int(move_pairs(self.kernel, self.at, *slopes, stop, max_iter))
        rows = np.flatnonzero(self.at.b != before)
        add_rows(self.kernel, rows, (self.at.b - before)[rows], self.at.gradient)
        return n_steps

    def leap(self, tol: float) -> bool:
        """Move coefficients together, all or the free ones; return whether they came to their minimum."""
        if minimise_from_guess(self.kernel, self.at, tol):
            return True
        return minimise_free(self.kernel, self.at, slopes_of(self.at)[0])


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
        Whether coefficients that are at a bound, or 0, but for rounding are put there before the intercept is taken
        from the free ones. If not, the steps from zeros are libsvm's, one by one.
    """
    n, n_steps, whole = len(start), 0, _Patience()
    at = _padded(len(kernel.values), Bounded(start, -machine.target, machine.low, machine.high, machine.epsilon))
    rows = np.flatnonzero(start)
    add_rows(kernel, rows, start[rows], at.gradient)
    state = _State(kernel, at, not (rounds or start.any()))
    while True:
        up, down = slopes_of(at)
        gap, done = float(up.max() - down.min()), 0
        if gap >= tol and n_steps < max_iter:
            rows = _candidates(at, up, down)
            if not n_steps or len(rows) > _SHARE * n:
                done = state.step(tol, min(_TURN * n if n_steps else n // 2 + 1, max_iter - n_steps))
                whole.wait(state, done, n, tol)
            else:
                done = _step_some(state, rows, max(tol / 2, _FRACTION * gap), max_iter - n_steps)
            n_steps += done
        if not done:
            break
    if rounds:
        at = at._replace(b=rounded(at.b, at.low, at.high))
        up, down = slopes_of(at)
    return Solution(at.b[:n], _intercept(up, down), gap, n_steps, gap < tol)


def rounded(b: Floats, low: Floats, high: Floats) -> Floats:
    """Return coefficients with those that are at a bound, or 0, but for rounding put there."""
    nothing = _ROUNDING * (high - low)
    b = np.where(b - low < nothing, low, np.where(high - b < nothing, high, b))
    return np.where(np.abs(b) < nothing, 0.0, b)


def _padded(m: int, at: Bounded) -> Bounded:
    """Lengthen by zeros: a coefficient between 0 and 0 is never moved."""
    return at.each(lambda array: np.pad(array, (0, m - len(array))))


def _candidates(at: Bounded, up: Floats, down: Floats) -> Ints:
    """Return free rows, and the most violating ones."""
    chosen = np.isfinite(up) & np.isfinite(down) & ((at.b != 0) | (at.epsilon == 0))
    n_most = min(len(up), max(_SMALL // 2, int(chosen.sum()) // 4))
    most_up, most_down = np.argpartition(-up, n_most - 1)[:n_most], np.argpartition(down, n_most - 1)[:n_most]
    chosen[most_up[up[most_up] > down.min()]] = True
    chosen[most_down[down[most_down] < up.max()]] = True
    return np.flatnonzero(chosen)


def _step_some(state: _State, rows: Ints, stop: float, max_iter: int) -> int:
    """Move some coefficients; return the number of steps."""
    small, at = small_kernel(state.kernel, rows), state.at
    some = _State(small, _padded(len(small.values), at.each(lambda array: array[rows])), state.exact)
    n_steps, patience = 0, _Patience()
    while True:
        limit = min(patience.steps(len(rows)), max_iter - n_steps)
        done = some.step(stop, limit)
        n_steps += done
        if done < limit or n_steps >= max_iter:
            break
        patience.wait(some, done, len(rows), stop)
    moved = some.at.b[: len(rows)] - at.b[rows]
    changed = np.flatnonzero(moved)
    at.b[rows] = some.at.b[: len(rows)]
    add_rows(state.kernel, rows[changed], moved[changed], at.gradient)
    return n_steps


def _intercept(up: Floats, down: Floats) -> float:
    """Return minus libsvm's rho: the mean over free rows, or the middle of what the bounds allow."""
    free = np.isfinite(up) & np.isfinite(down) & (up == down)
    return float(up[free].mean() if free.any() else (up.max() + down.min()) / 2)

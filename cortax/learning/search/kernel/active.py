"""Minimising a support vector machine over many coefficients at once: all of them, or the free ones.

Pairwise steps find out soon which coefficients are at which bound, roughly, and converge slowly then where the penalty
is small. With all others held, the free ones come from one system of equations. `minimise_from_guess` guesses which are
free: those that the solution takes beyond a bound are held there, those that would gain by leaving theirs are freed,
until the guess is right, which it need not ever become where most of it is wrong: the primal-dual active set method
(Hintermueller, Ito and Kunisch 2002). `minimise_free` takes Newton steps from bound to bound.
"""

from __future__ import annotations

import numpy as np
from scipy import linalg

from cortax.learning.arrays import Bools, Floats, Ints
from cortax.learning.search.kernel.factor import Corrected, solver
from cortax.learning.search.kernel.pairs import Bounded
from cortax.learning.search.kernel.rbf import Kernel, add_rows, small_kernel

__all__ = ["minimise_free", "minimise_from_guess"]

# Guesses, and guesses in a row that were hardly better than the best one, after which there is no hope; nor is there
# where so large a part of what was free goes beyond its bounds.
_MOST_GUESSES = 20
_MOST_FAILED = 3
_BETTER = 0.9
_MOST_MET = 0.8

# Corrections of the solution of one system: their number, and how small what is left shall be, of `tol` or of before.
_MOST_CORRECTIONS = 20
_LEFT = 0.125
_LEFT_OF = 1e-3

# What is added to the diagonal, relative to the largest entry times the number of rows: below what single precision
# of the kernel leaves of its smallest eigenvalues.
_RIDGE = 1e-9

# More rows are not worth a factor in double precision.
_MOST_ROWS = 1500

# So many coefficients meet their bounds, then pairwise steps are better.
_MOST_HELD = 32


def minimise_from_guess(kernel: Kernel, at: Bounded, tol: float) -> bool:
    """Move all coefficients to the minimum, in place, or none; return which.

    Parameters
    ----------
    kernel : Kernel
    at : Bounded
        Coefficients that are neither at a bound nor, with epsilon, 0 are guessed to be free.
    tol : float
        The gap that is left between what raising a coefficient gains and lowering another one costs, at most.
    """
    new, by, best, failed = at._replace(b=at.b.copy(), gradient=at.gradient.copy()), None, len(at.b), 0
    free = (at.b > at.low) & (at.b < at.high) & ((at.b != 0) | (at.epsilon == 0))
    sign = np.sign(at.b) if at.epsilon > 0 else np.zeros(len(at.b))
    for _ in range(_MOST_GUESSES):
        rows = np.flatnonzero(free)
        by = solver(kernel, by, rows)
        if by is None:
            return False
        slopes = _solve(kernel, by, rows, new, at.b.sum() - new.b.sum(), at.epsilon * sign, tol)
        beyond = np.clip(new.b, np.where(sign > 0, 0.0, at.low), np.where(sign < 0, 0.0, at.high))
        met, (rises, falls) = free & (beyond != new.b), _leaving(new, free, float(slopes.mean()), tol / 4)
        n_wrong = int(met.sum() + rises.sum() + falls.sum())
        if n_wrong == 0 and np.ptp(slopes) < tol / 2:
            at.b[:], at.gradient[:] = new.b, new.gradient
            return True
        best, failed = min(best, n_wrong), failed + 1 if n_wrong > _BETTER * best else 0
        if failed == _MOST_FAILED or met.sum() > _MOST_MET * len(rows):
            return False
        if at.epsilon > 0:
            sign[rises], sign[falls] = np.where(new.b[rises] >= 0, 1, -1), np.where(new.b[falls] > 0, 1, -1)
        _move(kernel, new, np.flatnonzero(met), (beyond - new.b)[met])
        free = (free & ~met) | rises | falls
    return False


def _leaving(at: Bounded, free: Bools, middle: float, tol: float) -> tuple[Bools, Bools]:
    """Return which of the held coefficients would gain by being raised, and which by being lowered."""
    up = -at.gradient - np.where(at.b >= 0, at.epsilon, -at.epsilon)
    down = -at.gradient - np.where(at.b > 0, at.epsilon, -at.epsilon)
    return ~free & (at.b < at.high) & (up > middle + tol), ~free & (at.b > at.low) & (down < middle - tol)


def _move(kernel: Kernel, at: Bounded, rows: Ints, way: Floats) -> None:
    at.b[rows] += way
    add_rows(kernel, rows, way, at.gradient)


def _solve(kernel: Kernel, by: Corrected, rows: Ints, at: Bounded, missing: float, kinks: Floats, tol: float) -> Floats:
    """Move free coefficients to where all their slopes are the same, whatever their bounds, by what the sum lacks.

    Returns the slopes: conjugate gradients leave little of their differences.
    """
    _move(kernel, at, rows, missing * by.ones)
    left = -(at.gradient + kinks)[rows]
    left -= left.mean()
    stop = max(_LEFT * tol, _LEFT_OF * float(np.abs(left).max()))
    x, full, way, gain = np.zeros(len(rows)), np.zeros(len(at.b), np.float32), np.zeros(len(rows)), np.inf
    for _ in range(_MOST_CORRECTIONS):
        better = by.solve(left)
        before, gain = gain, float(left @ better)
        way = better + gain / before * way
        full[rows] = way
        change = (kernel.values @ full)[rows].astype(np.float64)
        curvature = float(way @ change)
        if not curvature > 0:
            break
        x += gain / curvature * way
        left -= gain / curvature * (change - change.mean())
        if np.abs(left).max() < stop:
            break
    _move(kernel, at, rows, x - x.sum() * by.ones)
    return -(at.gradient + kinks)[rows]


def minimise_free(kernel: Kernel, at: Bounded, slopes: Floats) -> bool:
    """Move free coefficients, in place, towards the minimum with all others held; return whether they got there.

    One Cholesky factorisation gives the minimum with all others held; what meets a bound on the way is held there too,
    by a rank-one correction of the solution.

    Parameters
    ----------
    kernel : Kernel
    at : Bounded
        With epsilon, no coefficient goes past 0, where there is a kink. A row is free between its bounds.
    slopes : float64 array of shape (m,)
        What raising a coefficient gains.
    """
    b, low, high = at.b, at.low, at.high
    if at.epsilon > 0:
        low, high = np.where(b > 0, 0.0, low), np.where(b < 0, 0.0, high)
        high = np.where(b == 0, 0.0, high)
    rows = np.flatnonzero((b > low) & (b < high))
    if not 2 <= len(rows) <= _MOST_ROWS:
        return False
    values = small_kernel(kernel, rows).values[: len(rows), : len(rows)].astype(np.float64)
    ridge = _RIDGE * len(rows) * float(-values.min())
    values += 1.0
    values.flat[:: len(rows) + 1] += ridge
    try:
        factor = linalg.cholesky(values, lower=True, overwrite_a=True, check_finite=False)
    except linalg.LinAlgError:
        return False
    room = low[rows] - b[rows], high[rows] - b[rows]
    moved, there = _walk(factor, slopes[rows], *room)
    b[rows] = np.where(moved == room[0], low[rows], np.where(moved == room[1], high[rows], b[rows] + moved))
    add_rows(kernel, rows, moved, at.gradient)
    return there


def _walk(factor: Floats, slopes: Floats, low: Floats, high: Floats) -> tuple[Floats, bool]:
    """Go to the minimum of x'Ax / 2 - slopes'x between bounds, of sum 0; return where it came, and whether there."""

    def solve(right: Floats) -> Floats:
        return np.asarray(linalg.cho_solve((factor, True), right, check_finite=False))

    n = len(slopes)
    x, free = np.zeros(n), solve(slopes)
    held, places = np.empty((n, 1 + _MOST_HELD), order="F"), np.zeros(1 + _MOST_HELD)
    held[:, 0] = solve(np.ones(n))
    numbers: list[int] = []
    while True:
        # The sum, and what is held at a bound, are equations: their multipliers.
        columns = held[:, : 1 + len(numbers)]
        equations = np.vstack([columns.sum(axis=0), columns[numbers]])
        wrong = np.append(free.sum(), free[numbers]) - places[: 1 + len(numbers)]
        way = free - columns @ np.linalg.solve(equations, wrong) - x
        way[numbers] = 0.0
        with np.errstate(divide="ignore", invalid="ignore"):
            room = np.where(way > 0, (high - x) / way, np.where(way < 0, (low - x) / way, np.inf))
        first = int(np.argmin(room))
        if not room[first] < 1:
            return np.clip(x + way, low, high), True
        end = high[first] if way[first] > 0 else low[first]
        x = np.clip(x + room[first] * way, low, high)
        x[first] = end
        if len(numbers) == _MOST_HELD:
            return x, False
        numbers.append(first)
        places[len(numbers)] = end
        held[:, len(numbers)] = solve(np.eye(1, n, first)[0])

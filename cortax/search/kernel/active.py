"""Minimising a support vector machine all at once, from a guess of which coefficients are free.

Pairwise steps find out soon which coefficients are at which bound, roughly, and converge slowly then where the penalty
is small. With all others held, the free ones come from one system of equations; those that it takes beyond a bound are
held there, those that would gain by leaving theirs are freed, until the guess is right: the primal-dual active set
method (Hintermueller, Ito and Kunisch 2002). Where most of the guess is wrong it need not ever become right.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from cortax.search.kernel.factor import Corrected, solver
from cortax.search.kernel.rbf import Kernel, add_rows

__all__ = ["Bounded", "minimise_from_guess"]

Floats = npt.NDArray[np.float64]
Bools = npt.NDArray[np.bool_]
Ints = npt.NDArray[np.int64]

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


@dataclass(frozen=True, eq=False)
class Bounded:
    """Coefficients of a machine and what they minimise; arrays of shape (m,).

    Attributes
    ----------
    b, gradient : float64
        Changed in place. The gradient is that without epsilon.
    low, high : float64
    epsilon : float
    """

    b: Floats
    gradient: Floats
    low: Floats
    high: Floats
    epsilon: float

    def copy(self) -> Bounded:
        """Return coefficients that may be changed."""
        return Bounded(self.b.copy(), self.gradient.copy(), self.low, self.high, self.epsilon)

    def slopes(self) -> tuple[Floats, Floats]:
        """What raising a coefficient gains, and what lowering it costs, were there no bounds."""
        up = -self.gradient - np.where(self.b >= 0, self.epsilon, -self.epsilon)
        return up, -self.gradient - np.where(self.b > 0, self.epsilon, -self.epsilon)


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
    new, by, best, failed = at.copy(), None, len(at.b), 0
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
    up, down = at.slopes()
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

"""Minimising a support vector machine over its free coefficients: Newton steps from bound to bound.

Pairwise steps find out soon which coefficients are free, and converge slowly then where the penalty is small. One
Cholesky factorisation gives the minimum with all others held; what meets a bound on the way is held there too, by a
rank-one correction of the solution.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
from scipy import linalg

from cortax.search.kernel.rbf import Kernel, add_rows, small_kernel

__all__ = ["minimise_free"]

Floats = npt.NDArray[np.float64]

# What is added to the diagonal, relative to the largest entry times the number of rows: below what single precision
# of the kernel leaves of its smallest eigenvalues.
_RIDGE = 1e-9

# More rows are not worth a factor in double precision.
_MOST_ROWS = 1500

# So many coefficients meet their bounds, then pairwise steps are better.
_MOST_MET = 32


def minimise_free(kernel: Kernel, b: Floats, gradient: Floats, bounds: tuple[Floats, Floats], slopes: Floats) -> bool:
    """Move free coefficients, in place, towards the minimum with all others held; return whether they got there.

    Parameters
    ----------
    kernel : Kernel
    b, gradient : float64 arrays of shape (m,)
    bounds : (float64 array, float64 array), of shape (m,)
        How far each may go, zeros on the way included where they make a kink; a row is free between them.
    slopes : float64 array of shape (m,)
        What raising a coefficient gains.
    """
    rows = np.flatnonzero((b > bounds[0]) & (b < bounds[1]))
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
    low, high = (bound[rows] - b[rows] for bound in bounds)
    moved, there = _walk(factor, slopes[rows], low, high)
    b[rows] = np.where(moved == low, bounds[0][rows], np.where(moved == high, bounds[1][rows], b[rows] + moved))
    add_rows(kernel, rows, moved, gradient)
    return there


def _walk(factor: Floats, slopes: Floats, low: Floats, high: Floats) -> tuple[Floats, bool]:
    """Go to the minimum of x'Ax / 2 - slopes'x between bounds, of sum 0; return where it came, and whether there."""

    def solve(right: Floats) -> Floats:
        return np.asarray(linalg.cho_solve((factor, True), right, check_finite=False))

    n = len(slopes)
    x, free, held, places = np.zeros(n), solve(slopes), np.empty((n, 1 + _MOST_MET), order="F"), np.zeros(1 + _MOST_MET)
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
        if len(numbers) == _MOST_MET:
            return x, False
        numbers.append(first)
        places[len(numbers)] = end
        held[:, len(numbers)] = solve(np.eye(1, n, first)[0])

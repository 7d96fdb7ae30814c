"""A Cholesky factor of a kernel's rows, and of those rows but a few and a few more.

On coefficients whose sum does not change, a kernel and the centred one are the same; the centred one is positive
definite, and loses no digits where all entries are close to 0. The factor is of single precision where rows are many:
what is solved with it is a start for what corrects it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import linalg

from cortax.learning.arrays import Floats, Ints
from cortax.learning.search.compiled import compiled
from cortax.learning.search.kernel.rbf import Kernel, add_rows

__all__ = ["Corrected", "Factor", "solver"]

_jit = compiled(__name__)

Array = npt.NDArray[Any]

# What is added to the diagonal, relative to the largest entry: in single precision, above the rounding of the kernel;
# in double, which fewer rows than `_FINE` get.
_RIDGE = 1e-5
_FINE_RIDGE = 1e-6
_FINE = 1500

# Changes of rows, as a share of all, above which a new factor is cheaper.
_FEW = 0.1


@dataclass(frozen=True, eq=False)
class Factor:
    """A factor of a centred kernel."""

    rows: Ints  # (n,)
    lower: Array  # (n, n), lower triangular
    # (m,): of the columns of the kernel over the rows, less half of what is added to all entries
    means: Array
    ridge: float


@dataclass(frozen=True, eq=False)
class Corrected:
    """A factor for other rows than its own."""

    factor: Factor
    kept: Ints  # where, among the rows of the factor, those are that are rows now
    # (n_kept + n_more,): where, among the rows now, those of the factor are, and those that it has not
    places: Ints
    across: Array  # (n, n_more): what more rows add to the factor
    corner: Array  # (n_more, n_more): likewise
    gone: Array  # (n + n_more, n_gone), orthonormal: what solutions must not contain
    ones: Floats  # (n_rows,): the solution for ones, of sum 1

    def solve(self, right: Floats) -> Floats:
        """Return the solution of sum 0, nearly."""
        found = _solve(self, right)
        return np.asarray(found - found.sum() * self.ones)


def solver(kernel: Kernel, last: Corrected | None, rows: Ints) -> Corrected | None:
    """Return a solver for the system of some rows; None where they are too few, or too much alike.

    Parameters
    ----------
    kernel : Kernel
        Its `rows` are worked out.
    last : Corrected or None
        Of other rows. Where they are few others, its factor is taken again.
    rows : int array, sorted
    """
    if len(rows) < 2:
        return None
    add_rows(kernel, rows, np.zeros(len(rows)), np.zeros(len(kernel.values)))
    try:
        if last is None or len(np.setxor1d(last.factor.rows, rows, assume_unique=True)) > _FEW * len(rows):
            return _correct(kernel, _factorise(kernel, rows), rows)
        return _correct(kernel, last.factor, rows)
    except linalg.LinAlgError:
        return None


def _factorise(kernel: Kernel, rows: Ints) -> Factor:
    dtype = np.float64 if len(rows) < _FINE else np.float32
    means, scale = np.zeros(len(kernel.values)), -float(kernel.values[rows[0], rows].min())
    add_rows(kernel, rows, np.full(len(rows), 1 / len(rows)), means)
    means -= (means[rows].mean() + scale) / 2
    matrix = _centred(kernel.values, rows, rows, means.astype(dtype))
    ridge = (_RIDGE if dtype is np.float32 else _FINE_RIDGE) * scale
    matrix.flat[:: len(rows) + 1] += dtype(ridge)
    lower = linalg.cholesky(matrix.T, lower=True, overwrite_a=True, check_finite=False)
    return Factor(rows, lower, means.astype(dtype), ridge)


def _correct(kernel: Kernel, factor: Factor, rows: Ints) -> Corrected:
    kept = np.flatnonzero(np.isin(factor.rows, rows, assume_unique=True))
    lost = np.flatnonzero(~np.isin(factor.rows, rows, assume_unique=True))
    more = np.setdiff1d(rows, factor.rows, assume_unique=True)
    places = np.searchsorted(rows, np.append(factor.rows[kept], more))
    sides = np.zeros((len(factor.rows), len(lost) + len(more)), factor.lower.dtype, order="F")
    sides[lost, np.arange(len(lost))] = 1
    sides[:, len(lost) :] = _centred(kernel.values, more, factor.rows, factor.means).T
    sides = _triangular(factor.lower, sides)
    gone, across = sides[:, : len(lost)], sides[:, len(lost) :]
    corner = _centred(kernel.values, more, more, factor.means) - across.T @ across
    corner.flat[:: len(more) + 1] += factor.lower.dtype.type(factor.ridge)
    corner = linalg.cholesky(corner, lower=True, check_finite=False) if len(more) else corner
    gone = np.vstack([gone, -_triangular(corner, across.T @ gone)])
    gone = linalg.qr(gone, mode="economic", check_finite=False)[0] if len(lost) else gone
    made = Corrected(factor, kept, places, across, corner, gone, np.zeros(0))
    ones = _solve(made, np.ones(len(rows)))
    return replace(made, ones=ones / ones.sum())


def _solve(corrected: Corrected, right: Floats) -> Floats:
    factor, across, corner, gone = corrected.factor, corrected.across, corrected.corner, corrected.gone
    n, n_kept, sorted_right = len(factor.rows), len(corrected.kept), right[corrected.places].astype(factor.lower.dtype)
    inside = np.zeros(n, factor.lower.dtype)
    inside[corrected.kept] = sorted_right[:n_kept]
    inside = _triangular(factor.lower, inside)
    both = np.append(inside, _triangular(corner, sorted_right[n_kept:] - across.T @ inside))
    both -= gone @ (gone.T @ both)
    outside = _triangular(corner, both[n:], back=True)
    inside = _triangular(factor.lower, both[:n] - across @ outside, back=True)
    found = np.empty(len(right))
    found[corrected.places] = np.append(inside[corrected.kept], outside)
    return found


def _triangular(lower: Array, right: Array, *, back: bool = False) -> Array:
    if not right.size:
        return right
    return np.asarray(linalg.solve_triangular(lower, right, trans=1 if back else 0, lower=True, check_finite=False))


@_jit
def _centred(values, rows, columns, means):  # type: ignore[no-untyped-def]
    found = np.empty((len(rows), len(columns)), means.dtype)
    for i in range(len(rows)):
        row, some, mean = values[rows[i]], found[i], means[rows[i]]
        for j in range(len(columns)):
            some[j] = row[columns[j]] - mean - means[columns[j]]
    return found

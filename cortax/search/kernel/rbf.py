"""The RBF kernel of squared distances, row by row as rows are asked for.

Kept is exp(-gamma D) - 1. To what sums to 0 it does what exp(-gamma D) does, and single precision, which libsvm has
for its kernel too, then loses no digits where gamma is small and the kernel close to 1.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from cortax.search.compiled import compiled

__all__ = ["LANES", "Kernel", "add_rows", "decide", "fill_row", "kernel_space", "make_kernel", "padded", "small_kernel"]

_jit = compiled(__name__)

Floats = npt.NDArray[np.float64]
Singles = npt.NDArray[np.float32]
Ints = npt.NDArray[np.int64]

# Kernels have a multiple of this many rows and columns.
LANES = 16


@dataclass(frozen=True, eq=False)
class Kernel:
    """A kernel that may not be worked out yet.

    Attributes
    ----------
    distances : float32 array of shape (n_train, n_train or more)
    rate : float32
        Minus gamma.
    values : float32 array of shape (m, m), m = padded(n_train)
        Zeros beyond (n_train, n_train).
    filled : bool array of shape (m,)
        Which rows of `values` hold the kernel.
    """

    distances: Singles
    rate: np.float32
    values: Singles
    filled: npt.NDArray[np.bool_]


def padded(n: int) -> int:
    """Return how many rows and columns a kernel of n rows has."""
    return -(-n // LANES) * LANES


def kernel_space(n: int) -> Singles:
    """Return space for a kernel of n rows, and others of so many after it."""
    return np.zeros((padded(n),) * 2, np.float32)


def make_kernel(distances: Singles, gamma: float, space: Singles) -> Kernel:
    """Return a kernel, none of whose rows is worked out.

    Parameters
    ----------
    distances : float32 array of shape (n_train, n_train or more)
    gamma : float
        Above 0.
    space : float32 array
        See `kernel_space`. What it held is lost.
    """
    filled = np.ones(len(space), np.bool_)
    filled[: len(distances)] = False
    return Kernel(distances, _rate(gamma), space, filled)


def _rate(gamma: float) -> np.float32:
    return np.float32(-min(gamma, 1e30))


def small_kernel(kernel: Kernel, rows: Ints) -> Kernel:
    """Return the kernel of some rows."""
    values = kernel_space(len(rows))
    _gather(kernel.distances, kernel.rate, kernel.values, kernel.filled, rows, values)
    return Kernel(values, kernel.rate, values, np.ones(len(values), np.bool_))


def add_rows(kernel: Kernel, rows: Ints, weights: Floats, sums: Floats) -> None:
    """Add rows of the kernel, each times its weight, to sums of shape (m,)."""
    _add_rows(kernel.distances, kernel.rate, kernel.values, kernel.filled, rows, weights, sums)


def decide(distances: Singles, gamma: float, coefficients: Floats, intercept: float) -> Floats:
    """Return decisions for the rows to predict, of shape (n_valid,).

    Parameters
    ----------
    distances : float32 array of shape (n_train, n_train + n_valid)
    gamma : float
    coefficients : float64 array of shape (n_train,)
        Of sum 0.
    intercept : float
    """
    n_train, n_all = distances.shape
    decisions = np.full(n_all - n_train, intercept)
    rows = np.flatnonzero(coefficients)
    _add_values(distances, _rate(gamma), rows, coefficients[rows], decisions)
    return decisions


@_jit
def _value(distance, rate):  # type: ignore[no-untyped-def]
    """Return exp(rate * distance) - 1 to single precision: that of the remainder by powers of two, and put together.

    The coefficients are Cephes' (expf).
    """
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
def fill_row(distances, rate, values, filled, i):  # type: ignore[no-untyped-def]
    """Work out a row of the kernel."""
    row, found = distances[i], values[i]
    for t in range(distances.shape[0]):
        found[t] = _value(row[t], rate)
    found[i] = 0
    filled[i] = True


@_jit
def _add_rows(distances, rate, values, filled, rows, weights, sums):  # type: ignore[no-untyped-def]
    for k in rows:
        if not filled[k]:
            fill_row(distances, rate, values, filled, k)
    n, fours = len(sums), len(rows) // 4 * 4
    for k in range(0, fours, 4):
        a, b, c, d = values[rows[k]], values[rows[k + 1]], values[rows[k + 2]], values[rows[k + 3]]
        wa, wb, wc, wd = weights[k], weights[k + 1], weights[k + 2], weights[k + 3]
        for t in range(n):
            sums[t] += (wa * a[t] + wb * b[t]) + (wc * c[t] + wd * d[t])
    for k in range(fours, len(rows)):
        row = values[rows[k]]
        for t in range(n):
            sums[t] += weights[k] * row[t]


@_jit
def _gather(distances, rate, values, filled, rows, small):  # type: ignore[no-untyped-def]
    for i in range(len(rows)):
        if not filled[rows[i]]:
            fill_row(distances, rate, values, filled, rows[i])
        row, some = values[rows[i]], small[i]
        for j in range(len(rows)):
            some[j] = row[rows[j]]


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

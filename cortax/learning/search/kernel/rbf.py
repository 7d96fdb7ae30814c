"""The RBF kernel of squared distances, row by row as rows are asked for.

Kept is exp(-gamma D) - 1. To what sums to 0 it does what exp(-gamma D) does, and single precision, which libsvm has
for its kernel too, then loses no digits where gamma is small and the kernel close to 1.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from cortax.learning.arrays import Bools, Floats, Ints, Singles
from cortax.learning.search.compiled import compiled

__all__ = ["Kernel", "add_rows", "decide", "fill_row", "kernel_space", "make_kernel", "padded", "small_kernel"]

_jit = compiled(__name__)

# Kernels have a multiple of this many rows and columns.
_LANES = 16


class Kernel(NamedTuple):
    """A kernel that may not be worked out yet."""

    distances: Singles  # (n_train, n_train or more)
    rate: np.float32  # minus gamma
    values: Singles  # (m, m), m = padded(n_train); zeros beyond (n_train, n_train)
    filled: Bools  # (m,): which rows of `values` hold the kernel


def padded(n: int) -> int:
    """Return how many rows and columns a kernel of n rows has."""
    return -(-n // _LANES) * _LANES


def kernel_space(n: int) -> Singles:
    """Return space for a kernel of n rows, and others of so many after it."""
    return np.zeros((padded(n),) * 2, np.float32)


def make_kernel(distances: Singles, gamma: float, space: Singles) -> Kernel:
    """Return a kernel, none of whose rows is worked out, in a space of `kernel_space`, which loses what it held."""
    filled = np.ones(len(space), np.bool_)
    filled[: len(distances)] = False
    return Kernel(distances, _rate(gamma), space, filled)


def _rate(gamma: float) -> np.float32:
    return np.float32(-min(gamma, 1e30))


def small_kernel(kernel: Kernel, rows: Ints) -> Kernel:
    """Return the kernel of some rows."""
    values = kernel_space(len(rows))
    _gather(kernel, rows, values)
    return Kernel(values, kernel.rate, values, np.ones(len(values), np.bool_))


def decide(distances: Singles, gamma: float, coefficients: Floats, intercept: float) -> Floats:
    """Return decisions for the rows to predict, of shape (n_valid,).

    Distances are of shape (n_train, n_train + n_valid); coefficients, of shape (n_train,), sum to 0.
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
def fill_row(kernel, i):  # type: ignore[no-untyped-def]
    """Work out a row of the kernel."""
    row, found = kernel.distances[i], kernel.values[i]
    for t in range(kernel.distances.shape[0]):
        found[t] = _value(row[t], kernel.rate)
    found[i] = 0
    kernel.filled[i] = True


@_jit
def add_rows(kernel, rows, weights, sums):  # type: ignore[no-untyped-def]
    """Add rows of the kernel, each times its weight, to sums of shape (m,)."""
    for k in rows:
        if not kernel.filled[k]:
            fill_row(kernel, k)
    values, n, fours = kernel.values, len(sums), len(rows) // 4 * 4
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
def _gather(kernel, rows, small):  # type: ignore[no-untyped-def]
    for i in range(len(rows)):
        if not kernel.filled[rows[i]]:
            fill_row(kernel, rows[i])
        row, some = kernel.values[rows[i]], small[i]
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

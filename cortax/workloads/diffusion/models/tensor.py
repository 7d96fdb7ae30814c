"""The diffusion tensor by linear least squares on the logarithms of the signals.

Minimised is sum_k w_k^2 (log S_k - W_k p)^2 over p = (Dxx, Dxy, Dyy, Dxz, Dyz, Dzz, -log S0). Ordinary least squares
have w = 1. Weighted ones, DIPY's default, have w_k = exp(W_k p_ols): the signals that ordinary least squares predict
(Chung, Lu and Henry 2006, NeuroImage). Normal equations are solved twice, the second time for what the
first solution leaves, which brings the accuracy of an orthogonal factorisation (Bjorck 1987, Linear Algebra Appl.).
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from cortax.lanes.functions import exp, log
from cortax.lanes.products import add_products, dot, padded
from cortax.learning.arrays import Floats
from cortax.learning.search.compiled import compiled
from cortax.workloads.diffusion.models.fit import Fit, Status
from cortax.workloads.diffusion.models.gradients import Gradients, design_matrix
from cortax.workloads.diffusion.models.normal import factorise, substitute

__all__ = ["MIN_SIGNAL", "TENSOR_NAMES", "TensorModel", "predict_log_signals", "read_voxel", "rows_of_design"]

_jit = compiled(__name__)

# Signals below it count as this much in logarithms: DIPY's own value.
MIN_SIGNAL = 1e-4
TENSOR_NAMES = ("dxx", "dxy", "dyy", "dxz", "dyz", "dzz")
# Columns of the normal equations: seven unknowns and the right-hand side, of two vectors.
_WIDE = 8

_SUM8, _SUM48 = add_products[1, 2], add_products[4, 2]
_FITTED, _CLIPPED = int(Status.FITTED), int(Status.CLIPPED)
_NOT_FINITE, _NO_B0, _SINGULAR = int(Status.NOT_FINITE), int(Status.NO_B0), int(Status.SINGULAR)


@dataclass(frozen=True, eq=False)
class TensorModel:
    """A diffusion tensor.

    Attributes
    ----------
    gradients : Gradients
    method : "wls" or "ols"
        Weighted or ordinary least squares.
    names : tuple of str
        The tensor's elements in mm2/s, not made positive, and the signal without weighting.
    """

    gradients: Gradients
    method: str = "wls"
    names: tuple[str, ...] = field(default=(*TENSOR_NAMES, "s0"), init=False)

    def fit(self, signals: Floats) -> Fit:
        """Fit signals of shape (n, g). `sse` is of the signals, not of their logarithms."""
        design = design_matrix(self.gradients)
        least_squares = np.zeros((padded(len(design)), _WIDE))
        least_squares[: len(design), :7] = np.linalg.pinv(design).T
        rows, scale = rows_of_design(design)
        found = _fit(
            np.ascontiguousarray(signals, dtype=np.float64),
            self.gradients.is_b0,
            rows,
            scale,
            least_squares,
            self.method == "wls",
        )
        return Fit(*found)

    def predict(self, parameters: Floats) -> Floats:
        """Return the signals of parameters of shape (n, 7), as (n, g); NaN for NaN."""
        return tensor_signals(parameters[:, :6], self.gradients) * parameters[:, 6:7]


def tensor_signals(elements: Floats, gradients: Gradients) -> Floats:
    """Return exp(-b g'Dg) of tensors of shape (n, 6), as (n, g)."""
    return np.asarray(np.exp(np.einsum("ni,gi->ng", elements, design_matrix(gradients)[:, :6])))


def rows_of_design(design: Floats) -> tuple[Floats, Floats]:
    """Return W as (8, padded g), columns scaled to a length near 1, and by what each was divided.

    The last row, and the columns that pad, are 0.
    """
    scale = np.ones(_WIDE)
    scale[:6] = np.abs(design[:, :6]).max()
    rows = np.zeros((_WIDE, padded(len(design))))
    rows[:7, : len(design)] = design.T / scale[:7, None]
    return rows, scale


@_jit
def read_voxel(signals, is_b0, signal):  # type: ignore[no-untyped-def]
    """Copy the signals of a voxel; return why they cannot be fitted, or FITTED, and their mean without weighting."""
    total, n_b0 = 0.0, 0
    for k in range(len(signals)):
        value = signals[k]
        if not np.isfinite(value):
            return _NOT_FINITE, np.nan
        signal[k] = value
        if is_b0[k]:
            total += value
            n_b0 += 1
    if n_b0 and not total > 0.0:
        return _NO_B0, np.nan
    return _FITTED, total / n_b0


@_jit
def predict_log_signals(rows, p, out):  # type: ignore[no-untyped-def]
    """Set out_k to sum_i W_ik p_i, the sum of the seven products from the left."""
    p0, p1, p2, p3, p4, p5, p6 = p[0], p[1], p[2], p[3], p[4], p[5], p[6]
    for k in range(len(out)):
        low = rows[0, k] * p0 + rows[1, k] * p1 + rows[2, k] * p2 + rows[3, k] * p3
        out[k] = low + (rows[4, k] * p4 + rows[5, k] * p5 + rows[6, k] * p6)


@_jit
def _fit(signals, is_b0, rows, scale, least_squares, weighted):  # type: ignore[no-untyped-def]
    n, g = signals.shape
    size = rows.shape[1]
    parameters, sse = np.full((n, 7), np.nan), np.full(n, np.nan)
    iterations, status = np.zeros(n, np.int32), np.zeros(n, np.uint8)
    signal, y, w, p = np.ones(size), np.zeros(size), np.zeros(size), np.zeros(_WIDE)
    weighted_rows, A = np.zeros((size, _WIDE)), np.zeros((_WIDE, _WIDE))
    for v in range(n):
        status[v] = read_voxel(signals[v], is_b0, signal)[0]
        if status[v] != _FITTED:
            continue
        for k in range(g):
            y[k] = log(signal[k] if signal[k] > MIN_SIGNAL else MIN_SIGNAL)
            if signal[k] <= 0.0:
                status[v] = _CLIPPED
        p[:] = 0.0
        _SUM8(p, 0, _WIDE, y, 0, 0, 1, least_squares, 0, _WIDE, size)
        for i in range(7):
            p[i] *= scale[i]
        if weighted and not _solve_weighted(rows, y, w, p, weighted_rows, A):
            status[v] = _SINGULAR
            continue
        predict_log_signals(rows, p, w)
        for k in range(g):
            w[k] = signal[k] - exp(w[k])
        for k in range(g, size):
            w[k] = 0.0
        sse[v] = dot(w, 0, w, 0, size)
        for i in range(6):
            parameters[v, i] = p[i] / scale[i]
        parameters[v, 6] = exp(-p[6])
    return parameters, sse, iterations, status


# More parameters than elsewhere: compiled, it is handed the arrays that it writes into.
@_jit
def _solve_weighted(rows, y, w, p, weighted_rows, A):  # type: ignore[no-untyped-def]
    """Replace the ordinary solution p by the weighted one; False if the weights leave it undetermined."""
    size = len(y)
    predict_log_signals(rows, p, w)
    for k in range(size):
        w[k] = exp(w[k])
    for k in range(size):
        for i in range(7):
            weighted_rows[k, i] = w[k] * rows[i, k]
        weighted_rows[k, 7] = w[k] * y[k]
    A[:] = 0.0
    for i in range(0, _WIDE, 4):
        _SUM48(A, i * _WIDE, _WIDE, weighted_rows, i, 1, _WIDE, weighted_rows, 0, _WIDE, size)
    for i in range(7):
        p[i] = A[7, i]
    if not factorise(A, 7):
        return False
    substitute(A, p, 7)
    b = _remainder(rows, y, w, p, weighted_rows)
    substitute(A, b, 7)
    for i in range(7):
        p[i] += b[i]
    return True


@_jit
def _remainder(rows, y, w, p, weighted_rows):  # type: ignore[no-untyped-def]
    """Return W' w^2 (y - W p): what p leaves of the right-hand side."""
    size = len(y)
    left, b = np.empty(size), np.zeros(_WIDE)
    predict_log_signals(rows, p, left)
    for k in range(size):
        left[k] = w[k] * (y[k] - left[k])
    _SUM8(b, 0, _WIDE, left, 0, 0, 1, weighted_rows, 0, _WIDE, size)
    return b

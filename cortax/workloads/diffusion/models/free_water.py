"""A tensor beside free water.

The signal is S_k = S0 ((1 - f) exp(-b_k g_k'D g_k) + f exp(-b_k Diso)), with Diso = 3e-3 mm2/s (Hoy et al. 2014,
NeuroImage; Neto Henriques et al. 2017, ReScience).

`wls` takes S0 from the unweighted signals. For each f of a grid it finds D, and an S0 of the tissue that is not kept,
by linear least squares on log((S_k - f S0 exp(-b_k Diso)) / (1 - f)), with weights S_k. It keeps the f whose prediction
has the least sum_k (S_k - prediction_k)^2; two finer grids around it follow.

`nls` minimises sum_k (S_k - prediction_k)^2 over D, log S0 and f, 0 <= f <= 1, from the `wls` solution on, by steps of
Levenberg and Marquardt with the exact Jacobian. A step that would take f beyond a bound ends there, and the other
parameters are solved for with f at the bound. DIPY instead writes f as a sine, whose slope is 0 at the bounds: there a
descent stalls before it is at the minimum.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

import numpy as np

from cortax.lanes.functions import exp, log
from cortax.lanes.products import add_products, dot
from cortax.learning.arrays import Floats
from cortax.learning.search.compiled import compiled
from cortax.workloads.diffusion.models.fit import Fit, Status
from cortax.workloads.diffusion.models.gradients import Gradients, design_matrix
from cortax.workloads.diffusion.models.normal import factorise, substitute
from cortax.workloads.diffusion.models.tensor import (
    TENSOR_NAMES,
    predict_log_signals,
    read_voxel,
    rows_of_design,
    tensor_signals,
)

__all__ = ["FREE_WATER_NAMES", "FreeWaterModel", "water_signals"]

_jit = compiled(__name__)

# DIPY's values. mm2/s: of free water, and from which on a voxel's mean diffusivity is that of water alone.
D_WATER, MD_WATER = 3e-3, 2.7e-3
# Signals below it count as this much in logarithms; from this fraction on there is too little tissue to descend.
MIN_SIGNAL, F_WATER = 1e-6, 0.99

MOST_STEPS = 200
# A step that lowers the sum of squares by a smaller part is the last.
_TOLERANCE = 1e-10
# Damping: at first, and beyond which no step helps.
_DAMPING, _LEAST_DAMPING, _MOST_DAMPING = 1e-3, 1e-12, 1e12
# Added to the diagonal, so that a parameter without any effect stays where it is.
_TINY = 1e-300

FREE_WATER_NAMES = (*TENSOR_NAMES, "s0", "f")
# Values of f on the first grid and on the others; rows for them, of which a tile takes four.
_COARSE, _FINE, _ROWS = 9, 19, 20
# Columns: of products, and of the Jacobian with the residuals beside it.
_WIDE, _JACOBIAN = 8, 12

_SUM8, _SUM48, _SUM412 = add_products[1, 2], add_products[4, 2], add_products[4, 3]
_FITTED, _CLIPPED, _WATER = int(Status.FITTED), int(Status.CLIPPED), int(Status.PURE_WATER)
_NO_TISSUE, _SINGULAR, _NOT_CONVERGED = int(Status.NO_TISSUE), int(Status.SINGULAR), int(Status.NOT_CONVERGED)


@dataclass(frozen=True, eq=False)
class FreeWaterModel:
    """A diffusion tensor beside free water.

    Attributes
    ----------
    gradients : Gradients
    method : "nls" or "wls"
    names : tuple of str
        The tensor's elements in mm2/s, not made positive, the signal without weighting, and the fraction of water.
    """

    gradients: Gradients
    method: str = "nls"
    names: tuple[str, ...] = field(default=FREE_WATER_NAMES, init=False)

    def fit(self, signals: Floats) -> Fit:
        """Fit signals of shape (n, g). Where there is nothing but water, f is 1 and the tensor 0, as in DIPY."""
        rows, scale = rows_of_design(design_matrix(self.gradients))
        water = np.zeros(rows.shape[1])
        water[: len(self.gradients.bvals)] = water_signals(self.gradients)
        found = _fit(
            np.ascontiguousarray(signals, dtype=np.float64),
            self.gradients.is_b0,
            (rows, np.ascontiguousarray(rows.T), water),
            scale[0],
            self.method == "nls",
        )
        return Fit(*found)

    def predict(self, parameters: Floats) -> Floats:
        """Return the signals of parameters of shape (n, 8), as (n, g); NaN for NaN."""
        s0, f = parameters[:, 6:7], parameters[:, 7:8]
        tissue = tensor_signals(parameters[:, :6], self.gradients)
        return np.asarray(s0 * ((1 - f) * tissue + f * water_signals(self.gradients)))


def water_signals(gradients: Gradients) -> Floats:
    """Return exp(-b Diso): (g,)."""
    return np.asarray(np.exp(-gradients.bvals * D_WATER))


@_jit
def _fit(signals, is_b0, design, scale, descends):  # type: ignore[no-untyped-def]
    """Fit all voxels. `design`: W by rows and by columns, and the signal of water, each padded with 0."""
    n, g = signals.shape
    parameters, sse = np.full((n, 8), np.nan), np.full(n, np.nan)
    iterations, status = np.zeros(n, np.int32), np.zeros(n, np.uint8)
    size = design[0].shape[1]
    signal, p = np.zeros(size), np.zeros(_WIDE)
    grid_room, room = _room_for_grids(size), _room_for_descent(size)
    for v in range(n):
        status[v], s0 = read_voxel(signals[v], is_b0, signal)
        if status[v] != _FITTED:
            continue
        status[v], f = _search_grids(design, scale, signal, s0, g, p, grid_room)
        if status[v] == _SINGULAR or status[v] == _NO_TISSUE:
            continue
        p[6], p[7] = -math.log(s0), f
        sse[v] = _residuals(design, signal, g, p, room[1][0], room[2][0])
        if descends and status[v] == _FITTED:
            sse[v], iterations[v], converged = _descend(design, signal, g, p, room)
            status[v] = _FITTED if converged else _NOT_CONVERGED
        for k in range(g):
            if signal[k] <= 0.0 and status[v] == _FITTED:
                status[v] = _CLIPPED
        for i in range(6):
            parameters[v, i] = p[i] / scale
        parameters[v, 6], parameters[v, 7] = math.exp(-p[6]), p[7]
    return parameters, sse, iterations, status


@_jit
def _room_for_grids(size):  # type: ignore[no-untyped-def]
    """Return room for weighted rows, the least squares matrix, logarithms, solutions, residuals and sums of squares."""
    return (
        np.zeros((size, _WIDE)),
        np.zeros((size, _WIDE)),
        np.zeros((_ROWS, size)),
        np.zeros((_ROWS, _WIDE)),
        np.zeros(size),
        np.zeros(_ROWS),
        np.zeros(_ROWS),
    )


# More parameters than elsewhere: compiled, it is handed the arrays that it writes into.
@_jit
def _search_grids(design, scale, signal, s0, g, p, room):  # type: ignore[no-untyped-def]
    """Set p to the tensor of the best fraction of three grids; return a status and the fraction."""
    rows = design[0]
    weighted, least_squares, logs, solutions, _, sums, fractions = room
    if not _solve_for_all(rows, signal, weighted, least_squares):
        return _SINGULAR, np.nan
    total = 0.0
    for k in range(g):
        total += signal[k]
        logs[0, k] = log(signal[k] if signal[k] > MIN_SIGNAL else MIN_SIGNAL)
    p[:] = 0.0
    _SUM8(p, 0, _WIDE, logs, 0, 0, 1, least_squares, 0, _WIDE, len(signal))
    diffusivity = (p[0] + p[2] + p[5]) / (3.0 * scale)
    if diffusivity > MD_WATER:
        p[:] = 0.0
        return _WATER, 1.0
    if not (diffusivity < MD_WATER and total / g > MIN_SIGNAL and s0 > MIN_SIGNAL):
        return _NO_TISSUE, np.nan
    width, low, high, n_fractions, best = 1.0, 0.0, 1.0, _COARSE, 0
    for _ in range(3):
        width *= 0.1
        for q in range(n_fractions):
            fractions[q] = low + width + (high - low - 2.0 * width) / (n_fractions - 1) * q
        _try_fractions(design, signal, s0, g, n_fractions, room)
        best = int(np.argmin(sums[:n_fractions]))
        low, high, n_fractions = fractions[best] - width, fractions[best] + width, _FINE
    for i in range(6):
        p[i] = solutions[best, i]
    return _WATER if fractions[best] >= F_WATER else _FITTED, fractions[best]


@_jit
def _solve_for_all(rows, signal, weighted, least_squares):  # type: ignore[no-untyped-def]
    """Set `least_squares` to S^2 W (W'S^2 W)^-1, which makes solutions of logarithms; False if it does not exist."""
    size = len(signal)
    A, inverse, unit = np.zeros((_WIDE, _WIDE)), np.zeros((_WIDE, _WIDE)), np.zeros(_WIDE)
    for k in range(size):
        for i in range(_WIDE):
            weighted[k, i] = signal[k] * rows[i, k]
    for i in range(0, _WIDE, 4):
        _SUM48(A, i * _WIDE, _WIDE, weighted, i, 1, _WIDE, weighted, 0, _WIDE, size)
    if not factorise(A, 7):
        return False
    for i in range(7):
        unit[:] = 0.0
        unit[i] = 1.0
        substitute(A, unit, 7)
        for j in range(7):
            inverse[i, j] = unit[j]
    for k in range(size):
        for i in range(_WIDE):
            weighted[k, i] *= signal[k]
    least_squares[:] = 0.0
    for k in range(0, size, 4):
        _SUM48(least_squares, k * _WIDE, _WIDE, weighted, k * _WIDE, _WIDE, 1, inverse, 0, _WIDE, _WIDE)
    return True


@_jit
def _try_fractions(design, signal, s0, g, n_fractions, room):  # type: ignore[no-untyped-def]
    """Find the tensor of every fraction, and the sum of squares of its prediction."""
    rows, _, water = design
    _, least_squares, logs, solutions, residuals, sums, fractions = room
    size = len(signal)
    for q in range(n_fractions):
        f = fractions[q]
        log_tissue = math.log(1.0 - f)
        for k in range(g):
            left = signal[k] - f * s0 * water[k]
            logs[q, k] = log(left if left > 0.0 else MIN_SIGNAL) - log_tissue
    solutions[:] = 0.0
    for q in range(0, n_fractions, 4):
        _SUM48(solutions, q * _WIDE, _WIDE, logs, q * size, size, 1, least_squares, 0, _WIDE, size)
    for q in range(n_fractions):
        f = fractions[q]
        predict_log_signals(rows, solutions[q], residuals)
        for k in range(g):
            residuals[k] = signal[k] - (1.0 - f) * exp(residuals[k]) - f * s0 * water[k]
        # The padding predicts exp(0).
        for k in range(g, size):
            residuals[k] = 0.0
        sums[q] = dot(residuals, 0, residuals, 0, size)


@_jit
def _room_for_descent(size):  # type: ignore[no-untyped-def]
    """Return room for parameters, tissue signals and residuals, each of now and of a step, and for the equations."""
    return (
        np.zeros(_WIDE),
        np.zeros((2, size)),
        np.zeros((2, size)),
        np.zeros((size, _JACOBIAN)),
        np.zeros((_WIDE, _JACOBIAN)),
        np.zeros((_WIDE, _WIDE)),
        np.zeros(_WIDE),
    )


@_jit
def _descend(design, signal, g, p, room):  # type: ignore[no-untyped-def]
    """Descend from p to a minimum; return the sum of squares, the number of steps, and whether it got there."""
    there, tissue, residuals, jacobian, products, A, way = room
    now, damping = 0, _DAMPING
    sse = _residuals(design, signal, g, p, tissue[now], residuals[now])
    _products(design, g, p, tissue[now], residuals[now], jacobian, products)
    for step in range(1, MOST_STEPS + 1):
        tried = np.inf
        if _solve_step(products, damping, p[7], A, way):
            for i in range(8):
                there[i] = p[i] + way[i]
            there[7] = min(max(there[7], 0.0), 1.0)
            tried = _residuals(design, signal, g, there, tissue[1 - now], residuals[1 - now])
        if tried <= sse:
            gain, sse, now = sse - tried, tried, 1 - now
            for i in range(8):
                p[i] = there[i]
            if gain <= _TOLERANCE * sse:
                return sse, step, True
            damping = max(0.1 * damping, _LEAST_DAMPING)
            _products(design, g, p, tissue[now], residuals[now], jacobian, products)
        else:
            damping *= 10.0
            if damping > _MOST_DAMPING:
                return sse, step, True
    return sse, MOST_STEPS, False


@_jit
def _residuals(design, signal, g, p, tissue, residuals):  # type: ignore[no-untyped-def]
    """Set the signals of undiluted tissue and the residuals; return the sum of squares."""
    f, s0 = p[7], math.exp(-p[6])
    predict_log_signals(design[0], p, tissue)
    for k in range(g):
        tissue[k] = exp(tissue[k])
        residuals[k] = signal[k] - (1.0 - f) * tissue[k] - f * s0 * design[2][k]
    return dot(residuals, 0, residuals, 0, len(residuals))


@_jit
def _products(design, g, p, tissue, residuals, jacobian, products):  # type: ignore[no-untyped-def]
    """Set `products` to J'J, with J'r in column 8, where J is the Jacobian of the prediction."""
    columns, water = design[1], design[2]
    f, s0 = p[7], math.exp(-p[6])
    for k in range(g):
        factor = (1.0 - f) * tissue[k]
        for i in range(_WIDE):
            jacobian[k, i] = factor * columns[k, i]
        jacobian[k, 6] -= f * s0 * water[k]
        jacobian[k, 7] = s0 * water[k] - tissue[k]
        jacobian[k, 8] = residuals[k]
    products[:] = 0.0
    for i in range(0, _WIDE, 4):
        _SUM412(products, i * _JACOBIAN, _JACOBIAN, jacobian, i, 1, _JACOBIAN, jacobian, 0, _JACOBIAN, len(residuals))


@_jit
def _solve_step(products, damping, f, A, way):  # type: ignore[no-untyped-def]
    """Set `way` to the damped step that keeps f between its bounds; False if the equations have no solution."""
    slope = products[7, 8]
    held = (f <= 0.0 and slope <= 0.0) or (f >= 1.0 and slope >= 0.0)
    if not held:
        way[7] = 0.0
        if not _solve_damped(products, damping, 8, A, way):
            return False
        if 0.0 <= f + way[7] <= 1.0:
            return True
        held, way[7] = True, (0.0 if way[7] < 0.0 else 1.0) - f
    else:
        way[7] = 0.0
    return _solve_damped(products, damping, 7, A, way)


@_jit
def _solve_damped(products, damping, n, A, way):  # type: ignore[no-untyped-def]
    """Solve for the first n parameters, the others' steps being what they are."""
    for i in range(n):
        for j in range(i + 1):
            A[i, j] = products[i, j]
        A[i, i] = products[i, i] * (1.0 + damping) + _TINY
        right = products[i, 8]
        if n < 8:
            right -= products[i, 7] * way[7]
        way[i] = right
    if not factorise(A, n):
        return False
    substitute(A, way, n)
    return True

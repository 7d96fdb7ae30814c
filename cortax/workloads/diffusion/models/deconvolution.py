"""Constrained spherical deconvolution of one shell.

The signals of a voxel are X c: the fibres' orientation distribution, c in even spherical harmonics, convolved with the
signal of a single fibre (the response). Minimised is

    |X c - s|^2 + |H c|^2,

where H are the rows of B, which has the distribution's amplitude on a sphere (times a weight), at which the amplitude
is below tau times the mean of the unconstrained solution. As H depends on c, it is taken from the last solution, until
it stays the same (Tournier, Calamante and Connelly 2007, NeuroImage; X, B and the first H as DIPY has them).

Each step solves (X'X + H'H) c = X's by a Cholesky factorisation. H'H is not summed up anew: rows that come are added,
rows that go are subtracted. The right-hand side stands as one more column beside the matrix, so that the factorisation
is its forward substitution, too.
"""

from __future__ import annotations

import math
import warnings
from dataclasses import dataclass
from typing import Any

import numpy as np

from cortax.lanes.products import add_products, dot, padded, subtract_products
from cortax.learning.arrays import Bools, Floats
from cortax.learning.search.compiled import compiled
from cortax.workloads.diffusion.models.fit import Fit, Status
from cortax.workloads.diffusion.models.gradients import Gradients, shell_mask
from cortax.workloads.diffusion.models.harmonics import harmonic_names
from cortax.workloads.diffusion.models.response import Response
from cortax.workloads.diffusion.models.tensor import read_voxel

__all__ = ["DeconvolutionModel", "deconvolution", "dipy_deconvolution"]

_jit = compiled(__name__)

# DIPY's own: the highest number of steps.
MOST_STEPS = 50
# Coefficients up to order 4: the smooth solution of which the first H is made.
_SMOOTH = 15
# Columns of a tile.
_TILE = 12

_SUM12, _SUM44, _SUM48, _SUM412 = (add_products[shape] for shape in ((1, 3), (4, 1), (4, 2), (4, 3)))
_LESS44, _LESS48, _LESS412 = (subtract_products[shape] for shape in ((4, 1), (4, 2), (4, 3)))
_FITTED, _NOT_CONVERGED, _SINGULAR = int(Status.FITTED), int(Status.NOT_CONVERGED), int(Status.SINGULAR)


@dataclass(frozen=True, eq=False)
class DeconvolutionModel:
    """Constrained spherical deconvolution.

    Attributes
    ----------
    gradients : Gradients
    weighted : bool array of shape (g,)
        Which measurements are deconvolved: those of the shell.
    X : float64 array of shape (n_weighted, c)
    B : float64 array of shape (n_directions, c)
    tau : float
    names : tuple of str
        Coefficients in the basis of `cortax.workloads.diffusion.models.harmonics`.
    """

    gradients: Gradients
    weighted: Bools
    X: Floats
    B: Floats
    tau: float
    names: tuple[str, ...]

    def fit(self, signals: Floats) -> Fit:
        """Fit signals of shape (n, g). `sse` is over the shell."""
        n_coefficients = self.X.shape[1]
        # One more column, for the right-hand side.
        size = padded(n_coefficients + 1, _TILE)
        X = np.zeros((len(self.X), size))
        X[:, :n_coefficients] = self.X
        B = np.zeros((len(self.B), size))
        B[:, :n_coefficients] = self.B
        across = np.zeros((n_coefficients, padded(len(B), _TILE)))
        across[:, : len(B)] = self.B.T
        found = _fit(
            np.ascontiguousarray(signals, dtype=np.float64),
            self.gradients.is_b0,
            np.flatnonzero(self.weighted),
            X,
            (B, across),
            (n_coefficients, self.tau, MOST_STEPS),
        )
        return Fit(*found)

    def predict(self, parameters: Floats) -> Floats:
        """Return the signals of the shell for parameters of shape (n, c), as (n, g); NaN for other measurements."""
        predicted = np.full((len(parameters), len(self.weighted)), np.nan)
        predicted[:, self.weighted] = np.einsum("nc,gc->ng", parameters, self.X)
        return predicted


def dipy_deconvolution(
    gradients: Gradients, response: Response, *, sh_order: int = 8, tau: float = 0.1, shell: float | None = None
) -> tuple[Any, Bools]:
    """Return DIPY's model of the measurements of a shell, and which those are, unweighted ones included."""
    from dipy.reconst.csdeconv import ConstrainedSphericalDeconvModel

    used = shell_mask(gradients, shell)
    with warnings.catch_warnings():
        # Of the basis, which is stated in `harmonics`; too few directions are refused by `check_model`.
        warnings.simplefilter("ignore")
        model = ConstrainedSphericalDeconvModel(
            gradients.select(used).table(),
            (np.array(response.evals), response.s0),
            sh_order_max=sh_order,
            tau=tau,
            convergence=MOST_STEPS,
        )
    return model, used


def deconvolution(
    gradients: Gradients, response: Response, *, sh_order: int = 8, tau: float = 0.1, shell: float | None = None
) -> DeconvolutionModel:
    """Return the model of the measurements of a shell, or of all that are weighted; DIPY makes its matrices."""
    model, used = dipy_deconvolution(gradients, response, sh_order=sh_order, tau=tau, shell=shell)
    X = np.diagonal(model.R) * model.B_dwi
    return DeconvolutionModel(gradients, used & ~gradients.is_b0, X, model.B_reg, tau, harmonic_names(sh_order))


@_jit
def _fit(signals, is_b0, places, X, constraint, settings):  # type: ignore[no-untyped-def]
    """Fit all voxels; X and the matrices of `constraint` have rows that are padded with 0."""
    n_coefficients = settings[0]
    n, size = len(signals), X.shape[1]
    parameters, sse = np.full((n, n_coefficients), np.nan), np.full(n, np.nan)
    iterations, status = np.zeros(n, np.int32), np.zeros(n, np.uint8)
    signal, s = np.empty(signals.shape[1]), np.empty(len(places))
    z, c, y = np.zeros(size), np.zeros(size), np.zeros(size)
    P, all_rows, factor = np.zeros((size, size)), np.zeros((size, size)), np.zeros((size, size))
    _add_squares(P, X, X, len(X))
    _copy(all_rows, P)
    _add_squares(all_rows, constraint[0], constraint[0], len(constraint[0]))
    determined = _factorise(P, z, factor, n_coefficients)
    room = _room(size, constraint[1].shape[1])
    for v in range(n):
        status[v] = read_voxel(signals[v], is_b0, signal)[0]
        if status[v] == _FITTED and not determined:
            status[v] = _SINGULAR
        if status[v] != _FITTED:
            continue
        for k in range(len(places)):
            s[k] = signal[places[k]]
        z[:] = 0.0
        for j in range(0, size, _TILE):
            _SUM12(z, j, _TILE, s, 0, 0, 1, X, j, size, len(s))
        _substitute_forward(factor, z, y, n_coefficients)
        _substitute_back(factor, y, c, n_coefficients)
        status[v], iterations[v] = _constrain((P, all_rows), z, c, constraint, settings, room)
        if status[v] == _SINGULAR:
            continue
        sse[v] = 0.0
        for k in range(len(s)):
            left = s[k] - dot(X, k * size, c, 0, size)
            sse[v] += left * left
        for i in range(n_coefficients):
            parameters[v, i] = c[i]
    return parameters, sse, iterations, status


@_jit
def _room(size, n_rows):  # type: ignore[no-untyped-def]
    """Return what a voxel is worked out in: a matrix, its factor, rows, rows with a sign, amplitudes."""
    return (
        np.zeros((size, size)),
        np.zeros((size, size)),
        np.zeros((n_rows, size)),
        np.zeros((n_rows, size)),
        np.zeros(n_rows),
    )


@_jit
def _constrain(squares, z, c, constraint, settings, room):  # type: ignore[no-untyped-def]
    """Replace the unconstrained solution c by the constrained one; return a status and the number of steps.

    `squares`: X'X, and X'X + B'B.
    """
    n_coefficients, tau, most_steps = settings
    B, across = constraint
    Q, U, rows, signed, amplitudes = room
    m, size = B.shape
    y = np.zeros(size)
    threshold = B[0, 0] * c[0] * tau
    small, last = np.zeros(m, np.bool_), np.zeros(m, np.bool_)
    n_small = _find_small(across, c, min(_SMOOTH, n_coefficients), threshold, amplitudes, small)
    if n_small == 0:
        n_small = _find_small(across, c, n_coefficients, threshold, amplitudes, small)
    if n_small == 0:
        return _FITTED, 0
    # From all rows or from none, whatever is nearer.
    from_all = 2 * n_small > m
    last[:] = from_all
    _copy(Q, squares[1] if from_all else squares[0])
    for step in range(1, most_steps + 1):
        n_changed = 0
        for k in range(m):
            if small[k] != last[k]:
                for i in range(size):
                    rows[n_changed, i] = B[k, i]
                    signed[n_changed, i] = B[k, i] if small[k] else -B[k, i]
                n_changed += 1
                last[k] = small[k]
        _add_squares(Q, signed, rows, n_changed)
        if not _factorise(Q, z, U, n_coefficients):
            return _SINGULAR, step
        for i in range(n_coefficients):
            y[i] = U[i, n_coefficients]
        _substitute_back(U, y, c, n_coefficients)
        _find_small(across, c, n_coefficients, threshold, amplitudes, small)
        same = True
        for k in range(m):
            same &= small[k] == last[k]
        if same:
            return _FITTED, step
    return _NOT_CONVERGED, most_steps


@_jit
def _copy(to, matrix):  # type: ignore[no-untyped-def]
    """Copy what is on and above the diagonal."""
    for i in range(len(matrix)):
        for j in range(i, len(matrix)):
            to[i, j] = matrix[i, j]


@_jit
def _find_small(across, c, n_coefficients, threshold, amplitudes, small):  # type: ignore[no-untyped-def]
    """Mark where the amplitudes of the first coefficients are below a threshold; return at how many places."""
    width = across.shape[1]
    amplitudes[:] = 0.0
    for j in range(0, width, _TILE):
        _SUM12(amplitudes, j, width, c, 0, 0, 1, across, j, width, n_coefficients)
    n_small = 0
    for k in range(len(small)):
        small[k] = amplitudes[k] < threshold
        n_small += small[k]
    return n_small


@_jit
def _add_squares(C, left, right, n):  # type: ignore[no-untyped-def]
    """Add left'right, of n rows, to C: on and above the diagonal, in tiles of four rows."""
    size = len(C)
    for i in range(0, size, 4):
        j = i
        while size - j >= 12:
            _SUM412(C, i * size + j, size, left, i, 1, size, right, j, size, n)
            j += 12
        if size - j == 8:
            _SUM48(C, i * size + j, size, left, i, 1, size, right, j, size, n)
        elif size - j == 4:
            _SUM44(C, i * size + j, size, left, i, 1, size, right, j, size, n)


@_jit
def _factorise(Q, z, U, n):  # type: ignore[no-untyped-def]
    """Set U to the factor of Q = U'U with 1 / U_ii on its diagonal, and its column n to the solution y of U'y = z.

    U is worked out in bands of four rows, of which each is first rid of what the bands above explain. False if Q is not
    positive definite.
    """
    size = len(Q)
    for i in range(0, n, 4):
        for r in range(i, i + 4):
            for j in range(i, size):
                U[r, j] = Q[r, j]
            U[r, n] = z[r]
        j = i
        while size - j >= 12:
            _LESS412(U, i * size + j, size, U, i, 1, size, U, j, size, i)
            j += 12
        if size - j == 8:
            _LESS48(U, i * size + j, size, U, i, 1, size, U, j, size, i)
        elif size - j == 4:
            _LESS44(U, i * size + j, size, U, i, 1, size, U, j, size, i)
        for r in range(i, min(i + 4, n)):
            for above in range(i, r):
                factor = U[above, r]
                for j in range(r, size):
                    U[r, j] -= factor * U[above, j]
            # Not `<= 0`: NaN must not pass.
            if not (U[r, r] > 0.0 and U[r, r] < math.inf):
                return False
            inverse = 1.0 / math.sqrt(U[r, r])
            for j in range(r, size):
                U[r, j] *= inverse
            U[r, r] = inverse
    return True


@_jit
def _substitute_forward(U, z, y, n):  # type: ignore[no-untyped-def]
    """Set y to the solution of U'y = z."""
    for i in range(n):
        y[i] = z[i]
    for i in range(n):
        y[i] *= U[i, i]
        factor = y[i]
        for j in range(i + 1, n):
            y[j] -= factor * U[i, j]


@_jit
def _substitute_back(U, y, c, n):  # type: ignore[no-untyped-def]
    """Set c to the solution of U c = y."""
    size = len(U)
    c[:] = 0.0
    for i in range(n - 1, -1, -1):
        # From the left end of the row's band on: coefficients that are not known yet are 0.
        start = i - i % 4
        c[i] = (y[i] - dot(U, i * size + start, c, start, size - start)) * U[i, i]

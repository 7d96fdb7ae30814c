"""L2 logistic regression of any number of targets and penalties, in the eigenbasis of the regions' covariance.

There the penalised loss is nearly separable: second derivatives are close to scale * eigenvalue + penalty on the
diagonal and to 0 beside it, whatever the target. L-BFGS that starts from this diagonal needs a dozen products with the
rotated regions, and fits in step share these.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
from scipy.linalg import eigh

from cortax.search.linear.lockstep import Asking, in_step
from cortax.search.linear.logistic_compiled import PAIRS, descend
from cortax.search.linear.logistic_loss import Classes, Penalty, loss_at, search_line

__all__ = ["RidgeFit", "Rotation", "fit_rotated", "rotation"]

Floats = npt.NDArray[np.float64]

_AT_ONCE = 64
# Numbers that a processor keeps at hand: 2 MiB.
_IN_CACHE = 2**18


@dataclass(frozen=True, eq=False)
class Rotation:
    """Columns Z = (X - means) @ basis that are orthogonal to each other.

    Attributes
    ----------
    Z_T : float64 array of shape (rank, n_train)
    squares : float64 array of shape (rank,)
        Sums of squares of the columns of Z.
    back : float64 array of shape (n_regions, rank)
        Orthonormal: coefficients of X are back @ coefficients of Z.
    means : float64 array of shape (n_regions,)
    """

    Z_T: Floats
    squares: Floats
    back: Floats
    means: Floats


@dataclass(eq=False)
class RidgeFit:
    """One fit: what is asked for, and what is found.

    Attributes
    ----------
    classes : Classes
    penalty : Penalty
        With l1 = 0.
    coef : float64 array of shape (rank,)
    intercept : float
    iterations : int
    converged : bool
    """

    classes: Classes
    penalty: Penalty
    coef: Floats = field(init=False)
    intercept: float = 0.0
    iterations: int = 0
    converged: bool = False


def rotation(X: Floats) -> Rotation:
    """Rotate the columns of X of shape (n_train, n_regions) to be orthogonal; those that are nothing are dropped."""
    means = X.mean(axis=0)
    centred = X - means
    wide = X.shape[1] > X.shape[0]
    squares, vectors = eigh(centred @ centred.T if wide else centred.T @ centred, overwrite_a=True, check_finite=False)
    kept = squares > max(X.shape) * np.finfo(np.float64).eps * max(float(squares[-1]), 0.0)
    squares, vectors = squares[kept], np.ascontiguousarray(vectors[:, kept])
    if wide:
        back = centred.T @ (vectors / np.sqrt(squares))
        return Rotation(np.ascontiguousarray((vectors * np.sqrt(squares)).T), squares, back, means)
    return Rotation(np.ascontiguousarray((centred @ vectors).T), squares, vectors, means)


def fit_rotated(rotated: Rotation, fits: Sequence[RidgeFit]) -> None:
    """Fit all in place: one after the other where that costs less than being in step."""
    if rotated.Z_T.size <= _IN_CACHE:
        for fit in fits:
            at, fit.iterations, fit.converged = descend(rotated.Z_T, rotated.squares, fit.classes, fit.penalty)
            fit.coef, fit.intercept = at[:-1], float(at[-1])
        return
    in_step(rotated.Z_T, (_descend(rotated, fit) for fit in fits), _AT_ONCE)


def _descend(rotated: Rotation, fit: RidgeFit) -> Asking:
    """L-BFGS; the intercept is the last coefficient."""
    at = np.append(np.zeros(len(rotated.squares)), fit.classes.log_odds())
    penalty = np.append(np.full(len(at) - 1, fit.penalty.l2), 0.0)
    loss = loss_at(np.full(rotated.Z_T.shape[1], at[-1]), fit.classes)
    squares = np.append(rotated.squares, float(len(loss.odds)))
    gradient = np.append(rotated.Z_T @ loss.residuals, loss.residuals.sum())
    null, most, scale = float(np.linalg.norm(gradient)), loss.size, float(loss.curved.mean())
    rounding = 1e-13 * float(np.abs(loss.residuals).sum())
    pairs: deque[tuple[Floats, Floats]] = deque(maxlen=PAIRS)
    for iteration in range(fit.penalty.max_iter + 1):
        step = _direction(gradient, scale * squares + penalty, pairs)
        slope, found = float(gradient @ step), float(np.linalg.norm(gradient))
        fit.converged = found <= loss.size / most * max(fit.penalty.tol * null, rounding)
        if fit.converged or iteration == fit.penalty.max_iter:
            break
        change = (yield step[:-1]) + step[-1]
        towards = loss.residuals @ change
        length, loss = search_line(loss, change, fit.classes, slope, _along(at, step, penalty))
        moved, before = length * step, gradient
        at = at + moved
        gradient = np.append((yield loss.residuals), loss.residuals.sum()) + penalty * at
        turned = gradient - before
        if moved @ turned > 1e-14 * np.linalg.norm(moved) * np.linalg.norm(turned):
            pairs.append((moved, turned))
        modelled = squares @ step**2 * length
        if modelled > 0:
            scale = float(np.clip((loss.residuals @ change - towards) / modelled, scale / 4, scale * 4))
    fit.coef, fit.intercept, fit.iterations = at[:-1], float(at[-1]), iteration


def _along(at: Floats, step: Floats, penalty: Floats) -> Callable[[float], float]:
    """Return the penalty as a function of the length of the step."""
    constant, linear, square = (float(a @ (penalty * b)) for a, b in ((at, at), (at, step), (step, step)))
    return lambda length: constant / 2 + length * (linear + length * square / 2)


def _direction(gradient: Floats, diagonal: Floats, pairs: deque[tuple[Floats, Floats]]) -> Floats:
    """Minus the inverse of the remembered second derivatives, times the gradient."""
    step = -gradient
    shares = []
    for moved, turned in reversed(pairs):
        share = (moved @ step) / (moved @ turned)
        step = step - share * turned
        shares.append(share)
    step = step / diagonal
    for (moved, turned), share in zip(pairs, reversed(shares), strict=True):
        step = step + (share - (turned @ step) / (moved @ turned)) * moved
    return step

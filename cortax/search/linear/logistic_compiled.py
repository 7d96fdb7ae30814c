"""L2 logistic regression on few rows: the descent of `logistic_ridge`, compiled, one fit after the other.

Where the rotated regions stay in the processor's cache, what a step costs is not the products but the dozens of calls
around them.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from cortax.search.compiled import compiled
from cortax.search.linear.logistic_loss import Classes, Penalty

__all__ = ["PAIRS", "descend"]

Floats = npt.NDArray[np.float64]

_jit = compiled(__name__)

PAIRS = 12  # of steps and changes of gradient that L-BFGS remembers

# As in `logistic_loss.search_line`.
_ARMIJO = 1e-4
_SHORTEST = 1e-10


def descend(Z_T: Floats, squares: Floats, classes: Classes, penalty: Penalty) -> tuple[Floats, int, bool]:
    """Fit one penalty to one target.

    Parameters
    ----------
    Z_T : float64 array of shape (rank, n_train), C-contiguous
    squares : float64 array of shape (rank,)
        Sums of squares of its rows.
    classes : Classes
    penalty : Penalty
        With l1 = 0.

    Returns
    -------
    coef : float64 array of shape (rank + 1,)
        The intercept is the last one.
    iterations : int
    converged : bool
    """
    start = classes.log_odds()
    y, weights = np.ascontiguousarray(classes.y), np.ascontiguousarray(classes.weights)
    coef, iterations, converged = _descend(
        Z_T, np.append(squares, float(len(y))), y, weights, penalty.l2, penalty.tol, penalty.max_iter, start
    )
    return coef, int(iterations), bool(converged)


@_jit
def _loss(odds: Floats, y: Floats, weights: Floats, residuals: Floats) -> tuple[float, float, float]:
    """Write first derivatives; return the loss, and the sums of their sizes and of second derivatives."""
    value = size = curved = 0.0
    for i in range(len(y)):
        sign = 1.0 - 2.0 * y[i]
        against = sign * odds[i]
        small = math.exp(-abs(against))
        wrong = (1.0 if against > 0 else small) / (1.0 + small)
        value += weights[i] * (math.log1p(small) + max(against, 0.0))
        residuals[i] = sign * weights[i] * wrong
        size += weights[i] * wrong
        curved += weights[i] * wrong * (1.0 - wrong)
    return value, size, curved


@_jit
def _direction(gradient: Floats, diagonal: Floats, moved: Floats, turned: Floats, products: Floats, n: int) -> Floats:
    """Minus the inverse of the remembered second derivatives, times the gradient; the newest pair is number n - 1."""
    step = -gradient
    shares = np.zeros(len(products))
    for back in range(1, min(n, len(products)) + 1):
        at = (n - back) % len(products)
        shares[at] = np.dot(moved[at], step) / products[at]
        step -= shares[at] * turned[at]
    step /= diagonal
    for back in range(min(n, len(products)), 0, -1):
        at = (n - back) % len(products)
        step += (shares[at] - np.dot(turned[at], step) / products[at]) * moved[at]
    return step


@_jit
def _gradient(Z_T: Floats, residuals: Floats, at: Floats, l2: float) -> Floats:
    found = np.empty(len(at))
    found[:-1] = np.dot(Z_T, residuals) + l2 * at[:-1]
    found[-1] = residuals.sum()
    return found


@_jit
def _descend(
    Z_T: Floats, squares: Floats, y: Floats, weights: Floats, l2: float, tol: float, max_iter: int, start: float
) -> tuple[Floats, int, bool]:
    at = np.zeros(len(squares))
    at[-1] = start
    odds, residuals, there = np.full(len(y), start), np.empty(len(y)), np.empty(len(y))
    value, size, curved = _loss(odds, y, weights, residuals)
    gradient = _gradient(Z_T, residuals, at, l2)
    null, most, rounding = np.linalg.norm(gradient), np.linalg.norm(residuals), 1e-13 * size
    scale = curved / len(y)
    moved, turned, products, n_pairs = np.empty((PAIRS, len(at))), np.empty((PAIRS, len(at))), np.empty(PAIRS), 0
    diagonal = np.empty(len(at))
    for iteration in range(max_iter + 1):
        diagonal[:] = scale * squares
        diagonal[:-1] += l2
        step = _direction(gradient, diagonal, moved, turned, products, n_pairs)
        converged = np.linalg.norm(gradient) <= np.linalg.norm(residuals) / most * max(tol * null, rounding)
        if converged or iteration == max_iter:
            return at, iteration, converged
        slope = np.dot(gradient, step)
        change = np.dot(step[:-1], Z_T) + step[-1]
        towards = np.dot(residuals, change)
        constant, linear, square = np.dot(at[:-1], at[:-1]), np.dot(at[:-1], step[:-1]), np.dot(step[:-1], step[:-1])
        before = value + l2 * constant / 2
        length = 1.0
        while True:
            there[:] = odds + length * change
            value = _loss(there, y, weights, residuals)[0]
            penalised = value + l2 * (constant / 2 + length * (linear + length * square / 2))
            if penalised <= before + _ARMIJO * length * slope + 1e-13 * abs(before) or length < _SHORTEST:
                break
            length /= 2
        odds[:] = there
        place = n_pairs % PAIRS
        moved[place] = length * step
        at += moved[place]
        old = gradient
        gradient = _gradient(Z_T, residuals, at, l2)
        turned[place] = gradient - old
        products[place] = np.dot(moved[place], turned[place])
        if products[place] > 1e-14 * np.linalg.norm(moved[place]) * np.linalg.norm(turned[place]):
            n_pairs += 1
        modelled = np.dot(squares, step * step) * length
        if modelled > 0:
            scale = min(max((np.dot(residuals, change) - towards) / modelled, scale / 4), scale * 4)
    return at, max_iter, False

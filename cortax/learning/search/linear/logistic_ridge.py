"""L2 logistic regression of any number of targets and penalties, in the eigenbasis of the regions' covariance.

There the penalised loss is nearly separable: second derivatives are close to scale * eigenvalue + penalty on the
diagonal and to 0 beside it, whatever the target. L-BFGS that starts from this diagonal needs a dozen products with the
rotated regions, and fits in step share these. Where the rotated regions stay in the processor's cache, what a step
costs is not the products but the dozens of calls around them: there a compiled descent makes one fit after the other.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import numpy as np
from scipy.linalg import eigh

from cortax.learning.arrays import Floats
from cortax.learning.search.compiled import compiled
from cortax.learning.search.linear.logistic_loss import (
    ARMIJO,
    SHORTEST,
    Asking,
    Classes,
    Penalty,
    in_step,
    loss_at,
    search_line,
)

__all__ = ["RidgeFit", "Rotation", "fit_rotated", "rotation"]

_jit = compiled(__name__)

_PAIRS = 12  # of steps and changes of gradient that L-BFGS remembers
_AT_ONCE = 64
# Numbers that a processor keeps at hand: 2 MiB.
_IN_CACHE = 2**18


@dataclass(frozen=True, eq=False)
class Rotation:
    """Columns Z = (X - means) @ basis that are orthogonal to each other."""

    Z_T: Floats  # (rank, n_train)
    squares: Floats  # (rank,): sums of squares of the columns of Z
    back: Floats  # (n_regions, rank), orthonormal: coefficients of X are back @ coefficients of Z
    means: Floats  # (n_regions,)


@dataclass(eq=False)
class RidgeFit:
    """One fit: what is asked for, a penalty with l1 = 0, and what is found."""

    classes: Classes
    penalty: Penalty
    coef: Floats = field(init=False)  # (rank,)
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
            _descend(rotated, fit)
    else:
        in_step(rotated.Z_T, (_descend_in_step(rotated, fit) for fit in fits), _AT_ONCE)


def _descend(rotated: Rotation, fit: RidgeFit) -> None:
    y, weights = np.ascontiguousarray(fit.classes.y), np.ascontiguousarray(fit.classes.weights)
    squares, how = np.append(rotated.squares, float(len(y))), fit.penalty
    start = fit.classes.log_odds()
    at, n, converged = _compiled_descent(rotated.Z_T, squares, y, weights, how.l2, how.tol, how.max_iter, start)
    fit.coef, fit.intercept, fit.iterations, fit.converged = at[:-1], float(at[-1]), int(n), bool(converged)


def _descend_in_step(rotated: Rotation, fit: RidgeFit) -> Asking:
    """L-BFGS; the intercept is the last coefficient."""
    at = np.append(np.zeros(len(rotated.squares)), fit.classes.log_odds())
    penalty = np.append(np.full(len(at) - 1, fit.penalty.l2), 0.0)
    loss = loss_at(np.full(rotated.Z_T.shape[1], at[-1]), fit.classes)
    squares = np.append(rotated.squares, float(len(loss.odds)))
    gradient = np.append(rotated.Z_T @ loss.residuals, loss.residuals.sum())
    null, most, scale = float(np.linalg.norm(gradient)), loss.size, float(loss.curved.mean())
    rounding = 1e-13 * float(np.abs(loss.residuals).sum())
    pairs: deque[tuple[Floats, Floats]] = deque(maxlen=_PAIRS)
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


@_jit
def _loss(odds, y, weights, residuals):  # type: ignore[no-untyped-def]
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
def _compiled_direction(gradient, diagonal, moved, turned, products, n):  # type: ignore[no-untyped-def]
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
def _gradient(Z_T, residuals, at, l2):  # type: ignore[no-untyped-def]
    found = np.empty(len(at))
    found[:-1] = np.dot(Z_T, residuals) + l2 * at[:-1]
    found[-1] = residuals.sum()
    return found


# Longer than other functions: it is compiled, and all of its steps share the arrays that they write into.
@_jit
def _compiled_descent(Z_T, squares, y, weights, l2, tol, max_iter, start):  # type: ignore[no-untyped-def]
    """Return coefficients, the intercept last; the number of steps; and whether they converged."""
    at = np.zeros(len(squares))
    at[-1] = start
    odds, residuals, there = np.full(len(y), start), np.empty(len(y)), np.empty(len(y))
    value, size, curved = _loss(odds, y, weights, residuals)
    gradient = _gradient(Z_T, residuals, at, l2)
    null, most, rounding = np.linalg.norm(gradient), np.linalg.norm(residuals), 1e-13 * size
    scale = curved / len(y)
    moved, turned, products, n_pairs = np.empty((_PAIRS, len(at))), np.empty((_PAIRS, len(at))), np.empty(_PAIRS), 0
    diagonal = np.empty(len(at))
    for iteration in range(max_iter + 1):
        diagonal[:] = scale * squares
        diagonal[:-1] += l2
        step = _compiled_direction(gradient, diagonal, moved, turned, products, n_pairs)
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
            if penalised <= before + ARMIJO * length * slope + 1e-13 * abs(before) or length < SHORTEST:
                break
            length /= 2
        odds[:] = there
        place = n_pairs % _PAIRS
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

"""What the logistic solvers share: the loss, its minimum along a line, and iterations in step.

The loss is that of weighted samples, as a function of their log odds. Each of the iterations in step is a generator
that yields a vector of coefficients and is sent X @ coefficients, then yields a vector of residuals and is sent
X' @ residuals, and so on in turn: many matrix-vector products become one matrix product, and a product of two dozen
vectors costs little more than that of one, since X is read from memory once.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable
from dataclasses import dataclass

import numpy as np

from cortax.learning.arrays import Floats

__all__ = ["ARMIJO", "SHORTEST", "Asking", "Classes", "Loss", "Penalty", "in_step", "loss_at", "search_line"]

# Of the fall that the slope promises, what a step must bring.
ARMIJO = 1e-4
SHORTEST = 1e-10

Asking = Generator[Floats, Floats, None]


@dataclass(frozen=True)
class Penalty:
    """l1 |coef|_1 + l2 |coef|^2 / 2, beside a sum of losses; and when to stop.

    A fit has converged when its gradient, or the smallest of its subgradients, is no longer than `tol` times what it is
    at coefficients of 0, in proportion to the length of the residuals. Without that proportion a fit to classes that
    can be told apart would stop before its penalty counts. Paths look at decisions, too. `max_iter` bounds the steps.
    """

    l1: float
    l2: float
    tol: float
    max_iter: int

    def of(self, coef: Floats) -> float:
        """Return the penalty of some coefficients."""
        return float(self.l1 * np.abs(coef).sum() + self.l2 / 2 * coef @ coef)


@dataclass(frozen=True, eq=False)
class Classes:
    """Classes of the training rows: 0 and 1, both of them; their weights are above 0."""

    y: Floats  # (n_train,), as weights
    weights: Floats

    def log_odds(self) -> float:
        """Return those of class 1, where nothing else is known."""
        share = np.average(self.y, weights=self.weights)
        return float(np.log(share / (1 - share)))


@dataclass(frozen=True, eq=False)
class Loss:
    """The loss at some log odds, and its first and second derivatives by them."""

    odds: Floats  # (n_train,), as residuals and curved
    value: float
    residuals: Floats
    curved: Floats

    @property
    def size(self) -> float:
        """Length of the residuals: what the size of a gradient is to be compared with."""
        return float(np.linalg.norm(self.residuals))


def loss_at(odds: Floats, classes: Classes) -> Loss:
    """Return the loss at log odds of any size, without overflow."""
    sign = 1 - 2 * classes.y
    against = sign * odds
    small = np.exp(-np.abs(against))
    wrong = np.where(against > 0, 1.0, small) / (1 + small)
    value = classes.weights @ (np.log1p(small) + np.maximum(against, 0))
    residuals = classes.weights * wrong
    return Loss(odds, float(value), sign * residuals, residuals * (1 - wrong))


def search_line(
    loss: Loss, change: Floats, classes: Classes, slope: float, penalty: Callable[[float], float]
) -> tuple[float, Loss]:
    """Return how far to go, at most 1, for the penalised loss to fall; and the loss there.

    Parameters
    ----------
    loss : Loss
    change : float64 array of shape (n_train,)
        Of the log odds, over a length of 1.
    classes : Classes
    slope : float
        Bound of the change of the penalised loss over a length of 1, below 0.
    penalty : function of the length
    """
    start = loss.value + penalty(0.0)
    length = 1.0
    while True:
        there = loss_at(loss.odds + length * change, classes)
        allowed = start + ARMIJO * length * slope + 1e-13 * abs(start)
        if there.value + penalty(length) <= allowed or length < SHORTEST:
            return length, there
        length /= 2


def in_step(X_T: Floats, iterations: Iterable[Asking], at_once: int) -> None:
    """Run iterations to their ends, some at a time: as one ends, the next begins.

    X_T is of shape (n_columns, n_train).
    """
    waiting = iter(iterations)
    live: list[tuple[Asking, Floats]] = []
    while True:
        while len(live) < at_once and (asking := next(waiting, None)) is not None:
            live += _ask(asking, None)
        if not live:
            return
        live = _serve(live, _predict(np.stack([vector for _, vector in live]), X_T))
        live = _serve(live, np.stack([vector for _, vector in live]) @ X_T.T)


def _serve(live: list[tuple[Asking, Floats]], products: Floats) -> list[tuple[Asking, Floats]]:
    return [pair for (asking, _), product in zip(live, products, strict=True) for pair in _ask(asking, product)]


def _ask(asking: Asking, product: Floats | None) -> list[tuple[Asking, Floats]]:
    try:
        return [(asking, next(asking) if product is None else asking.send(product))]
    except StopIteration:
        return []


def _predict(coefficients: Floats, X_T: Floats) -> Floats:
    used = np.flatnonzero(coefficients.any(axis=0))
    return np.asarray(coefficients @ X_T if 2 * len(used) > len(X_T) else coefficients[:, used] @ X_T[used])

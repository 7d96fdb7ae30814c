"""The logistic loss of weighted samples, as a function of their log odds, and its minimum along a line."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

__all__ = ["Classes", "Loss", "Penalty", "loss_at", "search_line"]

Floats = npt.NDArray[np.float64]

# Of the fall that the slope promises, what a step must bring.
_ARMIJO = 1e-4
_SHORTEST = 1e-10


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
    """Classes of the training rows.

    Attributes
    ----------
    y : float64 array of shape (n_train,)
        0 and 1, both of them.
    weights : float64 array of shape (n_train,)
        Above 0.
    """

    y: Floats
    weights: Floats

    def log_odds(self) -> float:
        """Return those of class 1, where nothing else is known."""
        share = np.average(self.y, weights=self.weights)
        return float(np.log(share / (1 - share)))


@dataclass(frozen=True, eq=False)
class Loss:
    """The loss at some log odds.

    Attributes
    ----------
    odds : float64 array of shape (n_train,)
    value : float
    residuals, curved : float64 arrays of shape (n_train,)
        First and second derivatives by the log odds.
    """

    odds: Floats
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
        allowed = start + _ARMIJO * length * slope + 1e-13 * abs(start)
        if there.value + penalty(length) <= allowed or length < _SHORTEST:
            return length, there
        length /= 2

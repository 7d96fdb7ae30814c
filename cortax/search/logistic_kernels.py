"""Compiled loops of the logistic solvers: weighted columns, and coordinate descent on a quadratic model."""

from __future__ import annotations

from typing import Any

import numpy as np

from cortax.search.compiled import compiled

__all__ = ["sweep", "violation", "weigh", "weighted_means"]

_jit = compiled(__name__)


@_jit
def weighted_means(X_T: Any, regions: Any, weights: Any) -> Any:
    """Return the weighted means of some rows of X_T, of shape (n_regions, n_train)."""
    means, total = np.empty(regions.size), weights.sum()
    for k in range(regions.size):
        means[k] = np.dot(X_T[regions[k]], weights) / total
    return means


@_jit
def weigh(X_T: Any, regions: Any, means: Any, roots: Any, out: Any) -> None:
    """Fill in (X_T - means) * roots of some rows."""
    for k in range(regions.size):
        row, mean = X_T[regions[k]], means[k]
        for i in range(roots.size):
            out[k, i] = (row[i] - mean) * roots[i]


@_jit
def violation(gradient: Any, coef: Any, l1: float) -> float:
    """Return the largest distance of 0 from a subgradient of f(coef) + l1 |coef|_1, over coordinates."""
    worst = 0.0
    for j in range(coef.size):
        sign = (coef[j] > 0) - (coef[j] < 0)
        worst = max(worst, abs(gradient[j] + sign * l1) if sign else abs(gradient[j]) - l1)
    return worst


@_jit
def sweep(H: Any, scale: float, gradient: Any, coef: Any, l1: float, l2: float, n_sweeps: int, tol: float) -> None:
    """Descend a quadratic model by coordinates, in place, until no coordinate violates optimality by more than tol.

    The model's curvature is scale * H + l2 on the diagonal; `gradient` is its gradient at coef, kept up to date.
    The coordinates that are 0 are looked at in every fourth sweep.
    """
    for number in range(n_sweeps):
        everything = number % 4 == 0 or number == n_sweeps - 1
        worst = 0.0
        for j in range(coef.size):
            old = coef[j]
            if old == 0.0:
                if not everything:
                    continue
                found = abs(gradient[j]) - l1
            else:
                found = abs(gradient[j] + (l1 if old > 0 else -l1))
            worst = max(worst, found)
            curved = scale * H[j, j] + l2
            if found <= 0.3 * tol or curved <= 0:
                continue
            target = curved * old - gradient[j]
            if target > l1:
                coef[j] = (target - l1) / curved
            elif target < -l1:
                coef[j] = (target + l1) / curved
            else:
                coef[j] = 0.0
            moved = coef[j] - old
            if moved != 0.0:
                step = scale * moved
                row = H[j]
                for k in range(coef.size):
                    gradient[k] += step * row[k]
                gradient[j] += l2 * moved
        if worst <= tol and everything:
            break

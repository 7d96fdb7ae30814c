"""Compiled loops of the logistic solvers: weighted columns, and how far from its optimum a fit is."""

from __future__ import annotations

from typing import Any

import numpy as np

from cortax.search.compiled import compiled

__all__ = ["mirror", "violation", "weigh", "weighted_means"]

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
def mirror(M: Any) -> None:
    """Copy what is above the diagonal to below it, tile by tile, which is kinder to the cache than line by line."""
    n, tile = len(M), 32
    for top in range(0, n, tile):
        for left in range(top, n, tile):
            for i in range(top, min(top + tile, n)):
                for k in range(max(left, i + 1), min(left + tile, n)):
                    M[k, i] = M[i, k]

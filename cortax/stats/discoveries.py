"""Many tests at once: which of them still count, within a family of tests that is named."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.stats import false_discovery_control

from cortax.errors import SearchError, choices

__all__ = ["CORRECTIONS", "adjust"]

Floats = NDArray[np.float64]


def _benjamini_hochberg(p: Floats) -> Floats:
    return np.asarray(false_discovery_control(p, method="bh"), dtype=np.float64)


def _benjamini_yekutieli(p: Floats) -> Floats:
    return np.asarray(false_discovery_control(p, method="by"), dtype=np.float64)


def _holm(p: Floats) -> Floats:
    order = np.argsort(p, kind="stable")
    steps = np.maximum.accumulate(p[order] * np.arange(len(p), 0, -1))
    adjusted = np.empty_like(p)
    adjusted[order] = np.minimum(steps, 1)
    return adjusted


CORRECTIONS: dict[str, Callable[[Floats], Floats]] = {
    "bh": _benjamini_hochberg,
    "by": _benjamini_yekutieli,
    "holm": _holm,
}


def adjust(p: ArrayLike, families: Sequence[str], correction: str) -> Floats:
    """Adjust p-values, each within its family of tests.

    Rejecting what is at most 0.05 keeps, within every family, with "bh" and "by" the expected share of false
    discoveries below 5 % (Benjamini & Hochberg 1995, valid for tests that are independent or depend positively;
    Benjamini & Yekutieli 2001, valid however they depend, and stricter), with "holm" the probability of any false
    discovery (Holm 1979, valid however they depend).

    Parameters
    ----------
    p : array of shape (n_tests,), float64
        NaN is no test: it stays NaN and does not count.
    families : sequence of str, of length n_tests
    correction : {"bh", "by", "holm"}

    Returns
    -------
    float64 array of shape (n_tests,)

    Raises
    ------
    SearchError
        An unknown correction.
    """
    if correction not in CORRECTIONS:
        raise SearchError(f"correction of p-values: {choices(correction, CORRECTIONS)}")
    values, names = np.asarray(p, dtype=np.float64), np.asarray(families, dtype=np.str_)
    adjusted = np.full(values.shape, np.nan)
    for family in np.unique(names):
        tests = (names == family) & ~np.isnan(values)
        if tests.any():
            adjusted[tests] = CORRECTIONS[correction](values[tests])
    return adjusted

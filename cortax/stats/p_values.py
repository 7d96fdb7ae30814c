"""P-values from statistics and their null distributions: of each test, and of the best of many.

p = (b + 1) / (m + 1), where b of m permutations do at least as well: never 0, and valid for permutations drawn with
replacement (Phipson & Smyth 2010, Stat. Appl. Genet. Mol. Biol. 9, 39). It cannot be below 1 / (m + 1).
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

__all__ = ["max_p", "p_values"]

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

# What rounding may make of equal statistics, as a share of the largest.
_ROUNDING = 1e-9


def p_values(observed: npt.ArrayLike, nulls: npt.ArrayLike) -> tuple[Floats, Ints]:
    """Compare statistics with those of permuted targets.

    Parameters
    ----------
    observed : float array of shape (n_tests,)
        Greater is better.
    nulls : float array of shape (n_tests, n_permutations)
        NaN where a permutation has no value: it is left out, as if it had not been drawn.

    Returns
    -------
    p : float64 array of shape (n_tests,)
        NaN where the statistic is, or every permutation.
    n_permutations : int array of shape (n_tests,)
        How many p rests on.
    """
    values, drawn = np.asarray(observed, dtype=np.float64), np.asarray(nulls, dtype=np.float64)
    counted = (~np.isnan(drawn)).sum(axis=1)
    # A permutation that gives the same statistic must count, whatever order its sums were taken in.
    sizes = np.abs(np.column_stack([values, drawn]))
    slack = _ROUNDING * np.where(np.isnan(sizes), 0.0, sizes).max(axis=1)
    as_good = (drawn >= (values - slack)[:, None]).sum(axis=1)
    tested = ~np.isnan(values) & (counted > 0)
    return np.where(tested, (as_good + 1) / (counted + 1), np.nan), counted


def max_p(observed: npt.ArrayLike, nulls: npt.ArrayLike) -> tuple[Floats, int]:
    """Compare each statistic with the best that permutation finds in any of the tests.

    The chance that any true null is rejected is held, however the tests depend on each other (Westfall & Young 1993;
    single step; for neuroimaging Nichols & Holmes 2002, Hum. Brain Mapp. 15, 1-25). Tests may differ in scale, so
    each is standardised by mean and standard deviation of its permutations and its own statistic together: this treats
    all of them alike, which an exact test needs.

    Parameters
    ----------
    observed : float array of shape (n_tests,)
        Greater is better.
    nulls : float array of shape (n_tests, n_permutations)
        Column k is of the same permutation in all tests.

    Returns
    -------
    p : float64 array of shape (n_tests,)
        NaN where the statistic is, where no permutation has a value, or where all are the same.
    n_joint : int
        How many permutations they rest on: those that have a value in every test that can be made.
    """
    everything = np.column_stack([observed, nulls]).astype(np.float64)
    p = np.full(len(everything), np.nan)
    possible = ~np.isnan(everything[:, 0]) & ~np.isnan(everything[:, 1:]).all(axis=1)
    joint = ~np.isnan(everything[possible]).any(axis=0)
    if not possible.any() or joint.sum() < 2:
        return p, 0
    kept = everything[:, joint]
    possible &= np.ptp(np.where(possible[:, None], kept, 0.0), axis=1) > _ROUNDING * np.abs(kept).max(axis=1)
    kept = kept[possible]
    if len(kept):
        scaled = (kept - kept.mean(axis=1, keepdims=True)) / kept.std(axis=1, keepdims=True)
        best = scaled[:, 1:].max(axis=0)
        p[possible] = p_values(scaled[:, 0], np.tile(best, (len(scaled), 1)))[0]
    return p, int(joint.sum()) - 1

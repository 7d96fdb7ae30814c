"""All scores of a study against their null distributions: one row a test, corrected for how many there are.

p = (b + 1) / (m + 1), where b of m permutations do at least as well: never 0, and valid for permutations drawn with
replacement (Phipson & Smyth 2010, Stat. Appl. Genet. Mol. Biol. 9, 39). It cannot be below 1 / (m + 1).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.stats import false_discovery_control

from cortax.learning.arrays import Floats, Ints
from cortax.learning.scores import metric_sign
from cortax.learning.stats.nulls import Nulls

__all__ = ["COLUMNS", "NullsPart", "join_nulls", "max_p", "p_values", "permutation_table", "warnings_of"]


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


COLUMNS = {
    "parcellation": "str",
    "pipeline": "str",
    "target": "str",
    "metric": "str",
    "value": "float64",
    "p": "float64",
    "p_max": "float64",
    "q": "float64",
    "n_permutations": "int64",
    "n_joint": "int64",
    "n_distinct": "float64",
    "null_mean": "float64",
    "null_sd": "float64",
    "exchange": "str",
}


_TESTED = ("p", "p_max", "q", "n_permutations", "n_joint")


@dataclass(frozen=True, eq=False)
class NullsPart:
    """Null distributions of some targets, of some permutations, and perhaps of one fold only.

    Attributes
    ----------
    take : sequence of str
        The targets that are taken from it.
    n_parts : int
        How many such parts make a permutation whole, see `join_nulls`.
    """

    parcellation: str
    pipeline: str
    take: Sequence[str]
    n_parts: int
    nulls: Nulls


def join_nulls(parts: Iterable[Nulls], target: str, *, n_parts: int) -> Floats:
    """Put the null distributions of one target together that were made apart: by fold, or more permutations later.

    Parameters
    ----------
    n_parts : int
        How many parts make a permutation whole: 1, or the number of folds where each was made apart.

    Returns
    -------
    float64 array of shape (n_permutations, n_metrics)
        Row k is of permutation k, of those up to the last; NaN where it is not whole.
    """
    found = [(part, part.targets.index(target)) for part in parts if target in part.targets]
    shape = max((int(part.numbers.max()) + 1 for part, _ in found), default=0), _n_metrics(found)
    total, n_folds, times = np.zeros(shape), np.zeros(shape), np.zeros(shape[0])
    for part, row in found:
        n = part.n_folds[row]
        total[part.numbers] += np.where(n > 0, part.values[row] * n, 0.0)
        n_folds[part.numbers] += n
        times[part.numbers] += 1
    n_folds[times < n_parts] = 0
    joined: Floats = np.divide(total, n_folds, out=np.full(shape, np.nan), where=n_folds > 0)
    return joined


def _n_metrics(found: Sequence[tuple[Nulls, int]]) -> int:
    return max((part.values.shape[2] for part, _ in found), default=0)


def permutation_table(
    scores: Mapping[tuple[str, str], pd.DataFrame], parts: Sequence[NullsPart], *, exchange: str
) -> pd.DataFrame:
    """Test every score of evaluations against its null distribution.

    Parameters
    ----------
    scores : mapping of (parcellation, pipeline) to DataFrame
        See `score_table`; the mean over folds is tested.
    exchange : str
        See `permuted_rows`.

    Returns
    -------
    DataFrame with `COLUMNS`
        One row a parcellation, pipeline, target and metric. `p` is of this test alone; `p_max` and `q` (Benjamini &
        Hochberg 1995) are corrected for all rows of the same metric: parcellations, pipelines and targets. NaN, with
        `n_permutations` of 0, where nothing was permuted; and NaN where permutation cannot change the target.
    """
    rows: list[dict[str, Any]] = []
    nulls: list[Floats] = []
    for (parcellation, pipeline), table in scores.items():
        own = [part for part in parts if (part.parcellation, part.pipeline) == (parcellation, pipeline)]
        means = table[table["fold"] == "mean"]
        for target, metric, value in zip(means["target"], means["metric"], means["value"], strict=True):
            about = {"parcellation": parcellation, "pipeline": pipeline, "target": target, "metric": metric}
            drawn, distinct = _null_of(own, target, metric)
            nulls.append(drawn)
            spread = {"null_mean": _or_nan(np.mean, drawn), "null_sd": _or_nan(np.std, drawn)}
            rows.append({**about, "value": value, **spread, "n_distinct": distinct, "exchange": exchange})
    found = pd.DataFrame(rows, columns=[name for name in COLUMNS if name not in _TESTED])
    found = found.astype({"value": "float64", "n_distinct": "float64"})
    metrics = found["metric"].to_numpy()
    tested: dict[str, Floats] = {name: np.full(len(found), np.nan) for name in _TESTED}
    for metric in dict.fromkeys(metrics):
        at = np.flatnonzero(metrics == metric)
        for name, results in _test(found.iloc[at], [nulls[row] for row in at], metric).items():
            tested[name][at] = results
    found = found.assign(**tested)[list(COLUMNS)]
    return found.astype({name: kind for name, kind in COLUMNS.items() if kind != "str"})


def _null_of(parts: Sequence[NullsPart], target: str, metric: str) -> tuple[Floats, float]:
    """Null distribution of one score, by number of the permutation, and how many different ones there can be."""
    taken = [part for part in parts if target in part.take and target in part.nulls.targets]
    if not taken:
        return np.zeros(0), np.nan
    first = taken[0].nulls
    row = first.targets.index(target)
    joined = join_nulls([part.nulls for part in taken], target, n_parts=taken[0].n_parts)
    return joined[:, list(first.metrics[first.tasks[row]]).index(metric)], float(first.n_distinct[row])


def _or_nan(of: Callable[[Floats], Any], values: Floats) -> float:
    known = values[~np.isnan(values)]
    return float(of(known)) if len(known) else float("nan")


def _test(rows: pd.DataFrame, nulls: Sequence[Floats], metric: str) -> dict[str, Any]:
    """Test the rows of one metric."""
    drawn = np.full((len(rows), max(len(null) for null in nulls)), np.nan)
    for row, null in enumerate(nulls):
        drawn[row, : len(null)] = null
    sign = metric_sign(metric)
    values = sign * rows["value"].to_numpy(np.float64)
    # Where permutation leaves the target as it is, there is nothing to compare with.
    values[~(rows["n_distinct"].to_numpy(np.float64) > 1)] = np.nan
    p, counted = p_values(values, sign * drawn)
    p_max, n_joint = max_p(values, sign * drawn)
    q, tested = np.full(len(p), np.nan), ~np.isnan(p)
    q[tested] = false_discovery_control(p[tested])
    return {"p": p, "p_max": p_max, "q": q, "n_permutations": counted, "n_joint": n_joint}


def warnings_of(table: pd.DataFrame) -> list[str]:
    """Say what about tests, of `permutation_table`, their reader must know: that there is none, or that p is coarse."""
    found = []
    for (target, exchange), rows in table.groupby(["target", "exchange"]):
        untested = rows[rows["p"].isna()]
        distinct, most = rows["n_distinct"].min(), int(rows["n_permutations"].max())
        if distinct <= 1:
            found.append(f"{target}: {exchange} permutation cannot change this target; there is no test of it")
        elif len(untested):
            where = sorted({f"{a}/{b} {c}" for a, b, c in untested[["parcellation", "pipeline", "metric"]].to_numpy()})
            found.append(f"{target}: no p-value for {', '.join(where[:5])}{' ...' if len(where) > 5 else ''}")
        if 1 < distinct <= most:
            found.append(f"{target}: only {distinct:.0f} different targets can be made by {exchange} permutation")
    if len(few := table[table["n_permutations"].between(1, 18)]):
        found.append(f"{few['n_permutations'].min()} permutations: no p-value can be below .05; make it 1000")
    return found

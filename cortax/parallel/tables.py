"""What was measured, as tables: medians over rounds, speed-up, efficiency, and scaling."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

__all__ = ["by_setting", "compare", "crossed", "deviation", "scaling", "summarise"]

SETTING = ["backend", "processes", "blas_threads", "jobs"]
WORK = ["pipeline", "size", "n_units"]


def summarise(runs: pd.DataFrame, n_cores: int) -> pd.DataFrame:
    """Return medians over rounds of every setting and case.

    Parameters
    ----------
    runs : DataFrame
        See `run_plan`.
    n_cores : int

    Returns
    -------
    DataFrame
        `elapsed`, `startup`, `cold`, `warm` (seconds), `cpu` (seconds) and `memory` (bytes) are medians, `spread` is
        half the range of elapsed by its median, NaN of one round. `speedup` is by how much the same work takes longer
        with one process, BLAS thread and job of slices, `efficiency` that by the threads there are, at most the cores.
        Where `over`, a load was ended at the limit: elapsed is less, and the speed-up more, than it would have been.
    """
    groups = runs.groupby([*SETTING, *WORK], sort=False)
    table = groups[["elapsed", "startup", "cpu", "cold", "warm", "memory"]].median()
    elapsed = groups["elapsed"]
    table.insert(1, "spread", ((elapsed.max() - elapsed.min()) / 2 / elapsed.median()).where(elapsed.size() > 1))
    table["over"] = groups["over"].any()
    table = table.reset_index()
    alone = (table[SETTING] == ["slices", 1, 1, 1]).all(axis=1)
    base = table[alone].set_index(WORK)["elapsed"]
    table["speedup"] = base.reindex(pd.MultiIndex.from_frame(table[WORK])).to_numpy() / table["elapsed"]
    threads = table["processes"] * table["blas_threads"] * table["jobs"]
    table["efficiency"] = table["speedup"] / threads.clip(upper=n_cores)
    return table


def by_setting(table: pd.DataFrame) -> pd.DataFrame:
    """Return one row a setting that has all cases, over those: sums of seconds, means of ratios.

    Parameters
    ----------
    table : DataFrame
        See `summarise`; of one number of units.

    Returns
    -------
    DataFrame
        Seconds are added up over cases, memory is the largest, speed-up and efficiency are geometric means.
    """
    n_cases = table.groupby(SETTING, sort=False).size()
    whole = table.set_index(SETTING).loc[n_cases[n_cases == n_cases.max()].index].groupby(SETTING, sort=False)
    found = whole[["elapsed", "startup", "cpu"]].agg(_sum)
    found["memory"], found["over"] = whole["memory"].max(), whole["over"].any()
    for ratio in ("speedup", "efficiency"):
        found[ratio] = np.exp(whole[ratio].agg(lambda values: np.log(values).mean()))
    return found.reset_index()


def _sum(seconds: pd.Series) -> float:
    # What a load that was ended would have taken is not known.
    return float(seconds.sum(skipna=False))


def crossed(table: pd.DataFrame, columns: str, pipelines: Sequence[str]) -> pd.DataFrame:
    """Return speed-ups of slices by number of processes, in rows, and of BLAS threads or jobs, in columns.

    Parameters
    ----------
    table : DataFrame
        See `summarise`.
    columns : {"blas_threads", "jobs"}
        The other of them is 1.
    pipelines : sequence of str
        Over whose cases the geometric mean is taken: those that every setting has.

    Returns
    -------
    DataFrame
        Text, with "<" where a load was ended at the limit; empty where nothing was crossed.
    """
    other = {"blas_threads": "jobs", "jobs": "blas_threads"}[columns]
    chosen = table[(table["backend"] == "slices") & (table[other] == 1) & table["pipeline"].isin(pipelines)]
    chosen = chosen.dropna(subset="speedup")
    if chosen[columns].nunique() < 2:
        return pd.DataFrame()
    rows = sorted(chosen.loc[chosen[columns] > 1, "processes"].unique())
    chosen = by_setting(chosen[chosen["processes"].isin(rows)])
    chosen["text"] = [
        "< " * over + f"{ratio:.2f}" for over, ratio in zip(chosen["over"], chosen["speedup"], strict=True)
    ]
    return chosen.pivot(index="processes", columns=columns, values="text").fillna("")


def scaling(table: pd.DataFrame, n_units: int, n_cores: int) -> pd.DataFrame:
    """Return how each case gets on with more workers, by the wall time of the whole.

    Parameters
    ----------
    table : DataFrame
        See `summarise`.
    n_units : int
        Of a fixed amount of work.
    n_cores : int
        With that many workers the growing amount is the fixed one.

    Returns
    -------
    DataFrame
        For `kind` "strong" (fixed work: speed-up by workers against one) and "weak" (work grows with workers: the time
        of one worker by theirs) `elapsed`, `speedup` (of weak scaling that by workers: work done in a time) and
        `efficiency`, 1 where workers do not hinder each other.
    """
    chosen = table[(table["blas_threads"] == 1) & (table["jobs"] == 1) & ~table["over"]]
    share = n_units // n_cores
    parts = []
    for kind, wanted in (
        ("strong", chosen["n_units"] == n_units),
        ("weak", chosen["n_units"] == share * chosen["processes"]),
    ):
        part = chosen[wanted & (chosen["processes"] <= n_cores)].copy()
        case = pd.MultiIndex.from_frame(part[["backend", "pipeline", "size"]])
        alone = part[part["processes"] == 1].set_index(["backend", "pipeline", "size"])["elapsed"]
        gain = alone.reindex(case).to_numpy() / part["elapsed"]
        part["kind"] = kind
        part["speedup"] = gain if kind == "strong" else gain * part["processes"]
        part["efficiency"] = part["speedup"] / part["processes"]
        parts.append(
            part[["kind", "backend", "pipeline", "size", "processes", "n_units", "elapsed", "speedup", "efficiency"]]
        )
    found = pd.concat(parts, ignore_index=True).dropna(subset="speedup")
    curve = ["kind", "backend", "pipeline", "size"]
    several = found.groupby(curve)["processes"].transform("nunique") > 1
    return found[several].sort_values([*curve, "processes"], ignore_index=True)


def compare(table: pd.DataFrame, first: Sequence[Any], second: Sequence[Any]) -> tuple[float, bool]:
    """Return how many times as fast one setting is as another: the geometric mean over the cases that both have.

    Parameters
    ----------
    table : DataFrame
        See `summarise`; of one number of units.
    first, second : (backend, processes, BLAS threads, jobs)

    Returns
    -------
    float
        NaN where they have no case in common.
    bool
        Whether the second was ended at the limit, so that it is more.
    """
    one, other = (table[(table[SETTING] == list(key)).all(axis=1)] for key in (first, second))
    both = one[[*WORK, "elapsed"]].merge(other[[*WORK, "elapsed", "over"]], on=WORK, suffixes=("", "_other"))
    if both.empty:
        return float("nan"), False
    return float(np.exp(np.log(both["elapsed_other"] / both["elapsed"]).mean())), bool(both["over"].any())


def deviation(runs: pd.DataFrame) -> float:
    """Return by how much what cells found differs between settings, at most and by its size: rounding, and no more."""
    found: Any = runs.dropna(subset="value").groupby(["pipeline", "size"])["value"]
    return float(((found.max() - found.min()) / found.agg(lambda values: values.abs().max()).clip(lower=1e-9)).max())

"""How long networks took, as one table: medians of repeats, speed-up, scaling, throughput and what it costs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from cortax.errors import ProjectError

__all__ = ["timing_table"]

_WORK = ["solver", "n_genes", "n_targets"]
_SETTING = ["processes", "jobs"]


def timing_table(rows: Sequence[Mapping[str, Any]], n_cores: int, prices: Mapping[str, float]) -> pd.DataFrame:
    """Put timings together.

    Parameters
    ----------
    rows : sequence of mapping
        What was asked for and what `time_network` found, one for each repeat.
    n_cores : int
        Of the machine.
    prices : mapping of str to float
        Of a core for an hour.

    Returns
    -------
    DataFrame, one row for each solver, number of genes and targets, processes and estimator jobs
        - repeats; elapsed (seconds of the whole, the median), spread (half its range by the median, NaN of one repeat),
          startup (of elapsed, before the first gene began), compute (what is left), cpu (seconds), memory (bytes);
        - genes_per_second: targets by elapsed;
        - speedup: by how much the whole is faster than with one process and one job, efficiency: that by processes x
          jobs, at most the cores; compute_speedup: the same of compute alone;
        - weak_efficiency: the time of one process on its share of genes by that of this setting on as many for each of
          its processes; 1 where they do not hinder each other, NaN where the work is not so;
        - for each price `cost_<name>`: of one network, of the cores that it can use for as long as it takes.

    Raises
    ------
    ProjectError
        Settings of one work found something different.
    """
    found = pd.DataFrame(rows)
    found["compute"] = found["elapsed"] - found["startup"]
    groups = found.groupby([*_WORK, *_SETTING], sort=True)
    _check_same(found)
    table = groups[["elapsed", "startup", "compute", "cpu", "memory"]].median()
    elapsed = groups["elapsed"]
    table.insert(0, "repeats", elapsed.size())
    table.insert(2, "spread", ((elapsed.max() - elapsed.min()) / 2 / elapsed.median()).where(elapsed.size() > 1))
    table = table.reset_index()
    used = (table["processes"] * table["jobs"]).clip(upper=n_cores)
    table["genes_per_second"] = table["n_targets"] / table["elapsed"]
    table["speedup"] = _alone(table, table["n_targets"]) / table["elapsed"]
    table["efficiency"] = table["speedup"] / used
    table["compute_speedup"] = _alone(table, table["n_targets"], "compute") / table["compute"]
    share = table["n_targets"] // table["processes"]
    fits = (share * table["processes"] == table["n_targets"]) & (table["jobs"] == 1)
    table["weak_efficiency"] = np.where(fits, _alone(table, share) / table["elapsed"], np.nan)
    for name, price in prices.items():
        table[f"cost_{name}"] = used * table["elapsed"] / 3600 * price
    return table


def _check_same(found: pd.DataFrame) -> None:
    """Raise a ProjectError unless all settings did the same work: a time of other work would tell nothing."""
    totals = found.groupby(_WORK)["total"].agg(["min", "max"])
    apart = totals[~np.isclose(totals["min"], totals["max"], rtol=1e-9, atol=0)]
    if len(apart):
        raise ProjectError(f"settings found different importances: {apart.reset_index().to_dict('records')}")


def _alone(
    table: pd.DataFrame, n_targets: pd.Series[int], what: str = "elapsed"
) -> np.ndarray[Any, np.dtype[np.float64]]:
    """Seconds of one process with one job on so many targets, for each row; NaN where that was not timed."""
    alone = table[(table["processes"] == 1) & (table["jobs"] == 1)].set_index(_WORK)[what]
    wanted = pd.MultiIndex.from_arrays([table["solver"], table["n_genes"], n_targets], names=_WORK)
    return alone.reindex(wanted).to_numpy(dtype=np.float64)

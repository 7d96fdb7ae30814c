"""How long networks take, from the start of the interpreter to the last gene, and the table of all timings."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from joblib import parallel_config

from cortax.errors import ProjectError
from cortax.workflow.task import Unit
from cortax.workloads.bench.measure import Setting, measure, medians, note
from cortax.workloads.network.forests import ForestOptions, Regressions, Regulators, regress_gene, warm_up
from cortax.workloads.network.reference import reference_importances
from cortax.workloads.network.store import open_genes, some_genes

__all__ = ["NetworkTask", "time_network", "timing_table"]

_WORK = ["solver", "n_genes", "n_targets"]
Asked = Mapping[str, Any]


@dataclass(frozen=True, eq=False)
class NetworkTask:
    """See `Task`: each unit is a gene, and its value, of `note`, the sum of the importances of its regulators."""

    given: dict[str, Any]
    targets: tuple[str, ...]
    total: Callable[[int], float]

    @classmethod
    def of(cls, asked: Asked, folder: str, options: Mapping[str, Any]) -> NetworkTask:
        """Read the genes, and compile what all regressions share; see `time_network`."""
        genes, forest = some_genes(open_genes(folder), None), ForestOptions(**options)
        names, values = genes.names[: asked["n_genes"]], np.asarray(genes.values[: asked["n_genes"]])
        targets = names[: asked["n_targets"]]
        given = {"asked": dict(asked), "folder": folder, "options": dict(options)}
        if asked["solver"] == "cortax":
            problem = Regressions(Regulators.prepare(values.T, names), targets, values[: len(targets)], forest)
            warm_up(problem)
            return cls(given, targets, lambda number: float(regress_gene(problem, number).sum()))
        samples = np.ascontiguousarray(values.T, dtype=np.float32)

        def total(number: int) -> float:
            with parallel_config(backend="threading", n_jobs=asked["jobs"]):
                return float(reference_importances(samples, number, values[number], forest, seed=number).sum())

        return cls(given, targets, total)

    def units(self) -> list[Unit]:
        """Return a unit for each target."""
        return [Unit((name,)) for name in self.targets]

    def do(self, unit: int) -> list[bytes]:
        """Regress a gene."""
        return note(lambda: self.total(unit))

    def pack(self) -> tuple[dict[str, npt.NDArray[Any]], dict[str, Any]]:
        """See `Task`."""
        return {}, self.given

    @classmethod
    def unpack(cls, arrays: Mapping[str, npt.NDArray[Any]], about: Mapping[str, Any]) -> NetworkTask:  # noqa: ARG003
        """See `Task`."""
        return cls.of(**about)


def time_network(asked: Asked, folder: Path, options: ForestOptions, root: Path, *, limit: float) -> dict[str, float]:
    """Time the regressions of a network, whose matrix `save_genes` wrote into a folder.

    Asked for are `solver` ("cortax" or "scikit-learn"), `n_genes` that are regulators, `n_targets` of them that are
    regressed, `processes`, and `jobs` of the estimator itself (1 with cortax's). It is ended so many seconds after the
    first worker was hired.

    Returns
    -------
    dict
        elapsed: seconds of the whole; startup: those before the first gene began (imports, reading, compiling, starting
        workers); cpu: seconds of all processes; memory: most bytes that they held together; total: the sum of all
        importances, by which settings are seen to do the same work.

    Raises
    ------
    ProjectError
        It failed, or did not end within the limit.
    """
    load = {"asked": dict(asked), "folder": str(folder.resolve()), "options": asdict(options)}
    setting = Setting("slices", asked["processes"])
    (row,) = measure(setting, f"{__name__}:NetworkTask.of", [load], root, limit=limit)
    if row["over"]:
        raise ProjectError("not done within the limit; raise timings.limit, or time fewer genes or trees")
    return {
        "elapsed": row["before"] + row["elapsed"],
        "startup": row["before"] + row["startup"],
        "cpu": row["cpu_before"] + row["cpu"],
        "memory": max(row["memory"], row["memory_before"]),
        "total": row["value"] * asked["n_targets"],
    }


def timing_table(rows: Sequence[Mapping[str, Any]], n_cores: int, prices: Mapping[str, float]) -> pd.DataFrame:
    """Put together what was asked for and what `time_network` found, one row for each repeat.

    Parameters
    ----------
    rows : sequence of mapping
    n_cores : int
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
        Settings of one work found something different: a time of other work would tell nothing.
    """
    runs = pd.DataFrame(rows)
    runs["compute"] = runs["elapsed"] - runs["startup"]
    totals = runs.groupby(_WORK)["total"].agg(["min", "max"])
    apart = totals[~np.isclose(totals["min"], totals["max"], rtol=1e-9, atol=0)]
    if len(apart):
        raise ProjectError(f"settings found different importances: {apart.reset_index().to_dict('records')}")
    table = medians(runs, [*_WORK, "processes", "jobs"], ["startup", "compute", "cpu", "memory"]).sort_index()
    table.insert(0, "repeats", runs.groupby(table.index.names).size())
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


def _alone(table: pd.DataFrame, n_targets: pd.Series[int], what: str = "elapsed") -> npt.NDArray[np.float64]:
    """Seconds of one process with one job on so many targets, for each row; NaN where that was not timed."""
    alone = table[(table["processes"] == 1) & (table["jobs"] == 1)].set_index(_WORK)[what]
    wanted = pd.MultiIndex.from_arrays([table["solver"], table["n_genes"], n_targets], names=_WORK)
    return alone.reindex(wanted).to_numpy(dtype=np.float64)

"""All that a measurement found, as one value: what is printed, written, and advised."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from cortax.parallel.advice import Advice, advise
from cortax.parallel.cases import FOREST
from cortax.parallel.figures import draw_scaling
from cortax.parallel.plan import BLAS_PIPELINES, Scope
from cortax.parallel.session import load_warning
from cortax.parallel.setting import Setting
from cortax.parallel.tables import by_setting, compare, crossed, deviation, scaling, summarise

__all__ = ["Findings", "as_json", "findings", "write_findings"]

# What BLAS and the order of sums may change in a score; an SVM stops within a tolerance.
ROUNDING = 1e-3


@dataclass(frozen=True, eq=False)
class Findings:
    """What was found.

    Attributes
    ----------
    machine : dict
        See `session.machine`.
    runs, cases, settings, scaling : DataFrame
        Every measurement; see `summarise`, `by_setting` and `tables.scaling`.
    blas, jobs : DataFrame
        See `crossed`.
    advice : Advice
    remarks : tuple of str
        What threads and jobs inside a process gain or cost.
    warnings : tuple of str
    """

    machine: dict[str, Any]
    runs: pd.DataFrame
    cases: pd.DataFrame
    settings: pd.DataFrame
    scaling: pd.DataFrame
    blas: pd.DataFrame
    jobs: pd.DataFrame
    advice: Advice
    remarks: tuple[str, ...]
    warnings: tuple[str, ...]


def findings(
    runs: pd.DataFrame,
    scope: Scope,
    machine: dict[str, Any],
    *,
    left_out: Sequence[Setting] = (),
    missing: Sequence[str] = (),
) -> Findings:
    """Make the tables of what was measured.

    Parameters
    ----------
    runs : DataFrame
        See `run_plan`.
    scope : Scope
    machine : dict
        As it was before anything was measured.
    left_out : sequence of Setting
        That there was no time for.
    missing : sequence of str
        Why back-ends are not there.

    Raises
    ------
    ProjectError
        How a build works now was not measured.
    """
    n_cores = scope.n_cores
    table = summarise(runs, n_cores)
    fixed = table[table["n_units"] == scope.n_units]
    return Findings(
        machine=machine,
        runs=runs,
        cases=fixed.reset_index(drop=True),
        settings=by_setting(fixed),
        scaling=scaling(table if "scaling" in scope.parts else table[:0], scope.n_units, n_cores),
        blas=crossed(fixed, "blas_threads", BLAS_PIPELINES),
        jobs=crossed(fixed, "jobs", [FOREST]),
        advice=advise(runs, scope.current, scope.n_units, doubt="the machine is loaded" * bool(_loaded(machine))),
        remarks=tuple(_remarks(fixed, n_cores)),
        warnings=tuple(_warnings(runs, machine, left_out, missing)),
    )


def _remarks(table: pd.DataFrame, n: int) -> Iterator[str]:
    """Say how processes alone do against BLAS threads, and against jobs of a forest itself."""
    blas, forest = table[table["pipeline"].isin(BLAS_PIPELINES)], table[table["pipeline"] == FOREST]
    for what, place, part in (("BLAS thread", 2, blas), ("job of the forest itself", 3, forest)):
        said = []
        for processes in (1, n):
            other = ["slices", processes, 1, 1]
            other[place] = n
            ratio, over = compare(part, ("slices", n, 1, 1), tuple(other))
            if ratio == ratio:
                said.append(f"{'more than ' * over}{ratio:.2f} times as fast as {processes} x {n}")
        if n > 1 and said:
            yield f"{n} processes x 1 {what}: {', '.join(said)}"


def _loaded(machine: dict[str, Any]) -> str:
    return load_warning(machine["n_cores"], machine["load"])


def _warnings(
    runs: pd.DataFrame, machine: dict[str, Any], left_out: Sequence[Setting], missing: Sequence[str]
) -> Iterator[str]:
    if said := _loaded(machine):
        yield said
    if (differs := deviation(runs)) > ROUNDING:
        yield f"settings found different scores, by {differs:.1e} of their size"
    if left_out:
        yield f"no time was left for {'; '.join(map(str, left_out))}: measure without --quick"
    if n_over := int(runs["over"].sum()):
        yield f"{n_over} measurements were ended at the limit: < and > mark what rests on them"
    yield from missing


def write_findings(found: Findings, folder: Path) -> list[Path]:
    """Write what was found into a folder: tables as CSV and Parquet, scaling as a picture, everything as JSON.

    Returns
    -------
    list of Path
        The files.
    """
    folder.mkdir(parents=True, exist_ok=True)
    for name in ("runs", "cases", "scaling"):
        table: pd.DataFrame = getattr(found, name)
        # Which libraries had how many threads is for JSON.
        flat = table.drop(columns="threads", errors="ignore")
        flat.to_csv(folder / f"{name}.csv", index=False)
        flat.to_parquet(folder / f"{name}.parquet", index=False)
    draw_scaling(found.scaling, folder / "scaling.svg")
    (folder / "findings.json").write_text(as_json(found))
    return sorted(folder.iterdir())


def as_json(found: Findings) -> str:
    """Return everything as JSON; NaN is null."""
    tables = {name: _records(getattr(found, name)) for name in ("runs", "cases", "settings", "scaling")}
    grids = {name: _records(getattr(found, name).reset_index()) for name in ("blas", "jobs")}
    advice = {**asdict(found.advice), "says": str(found.advice)}
    content = {
        "machine": found.machine,
        **tables,
        **grids,
        "advice": advice,
        "remarks": found.remarks,
        "warnings": found.warnings,
    }
    return json.dumps(_plain(content), indent=1, allow_nan=False)


def _records(table: pd.DataFrame) -> list[dict[str, Any]]:
    records: list[dict[str, Any]] = json.loads(table.rename(columns=str).to_json(orient="records"))
    return records


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(one) for key, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(one) for one in value]
    return None if isinstance(value, float) and value != value else value

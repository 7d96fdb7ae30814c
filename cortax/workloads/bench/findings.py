"""All that a measurement found, as one value: what is printed, drawn, written, and advised."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pandas as pd

from cortax.report.figures import marks_of, new_figure, style
from cortax.terminal import console, print_table
from cortax.workloads.bench.cases import BLAS_PIPELINES, FOREST, Scope
from cortax.workloads.bench.measure import Setting
from cortax.workloads.bench.tables import SETTING, Advice, advise, by_setting, crossed, deviation, scaling, summarise

__all__ = ["LOADED", "as_json", "findings", "load_warning", "print_findings", "write_findings"]

# What BLAS and the order of sums may change in a score; an SVM stops within a tolerance.
ROUNDING = 1e-3
# A machine that is busy for more than this share of its cores before anything is measured misleads.
LOADED = 0.25

# Of the tables: what is said above each, where columns of a terminal have other names.
_TITLES = {
    "settings": "Sums over all cases",
    "cases": "By case: medians over rounds",
    "blas": "Speed-up by processes (rows) and BLAS threads (columns), geometric mean over ridge, elastic and svm",
    "jobs": "Speed-up of a forest by processes (rows) and its own jobs (columns)",
    "scaling": "Scaling, by the wall time of the whole",
}
_HEADS = {"blas_threads": "BLAS", "n_units": "units", "elapsed": "seconds", "startup": "start-up", "memory": "MB"}
_DIGITS = {"memory": 0, "spread": 2, "speedup": 2, "efficiency": 2}
_SIGNS = {"elapsed": "> ", "speedup": "< ", "efficiency": "< "}
_LINES = ("-", "--", ":", "-.", (0, (1, 3)))


Findings = dict[str, Any]


def findings(
    runs: pd.DataFrame,
    scope: Scope,
    machine: dict[str, Any],
    *,
    left_out: Sequence[Setting] = (),
    missing: Sequence[str] = (),
) -> Findings:
    """Return what `run_plan` measured, by name, on a machine as it was before.

    Tables are `runs`, every measurement; `cases`, `settings` and `scaling`, see `summarise`, `by_setting` and
    `tables.scaling`; `blas` and `jobs`, see `crossed`. There are the `advice`, and texts: `remarks` on what threads and
    jobs inside a process gain or cost, and `warnings`, also of settings that there was no time for and of missing
    back-ends. A ProjectError is raised if how a build works now was not measured.
    """
    n_cores = scope.n_cores
    table = summarise(runs, n_cores)
    fixed = table[table["n_units"] == scope.n_units]
    warnings = [load_warning(n_cores, machine["load"])]
    doubt = "the machine is loaded" * bool(warnings[0])
    if (differs := deviation(runs)) > ROUNDING:
        warnings.append(f"settings found different scores, by {differs:.1e} of their size")
    if left_out:
        warnings.append(f"no time was left for {'; '.join(map(str, left_out))}: measure without --quick")
    if n_over := int(runs["over"].sum()):
        warnings.append(f"{n_over} measurements were ended at the limit: < and > mark what rests on them")
    return {
        "machine": machine,
        "runs": runs,
        "cases": fixed.reset_index(drop=True),
        "settings": by_setting(fixed),
        "scaling": scaling(table if "scaling" in scope.parts else table[:0], scope.n_units, n_cores),
        "blas": crossed(fixed, "blas_threads", BLAS_PIPELINES),
        "jobs": crossed(fixed, "jobs", [FOREST]),
        "advice": advise(runs, scope.current, scope.n_units, doubt=doubt),
        "remarks": list(_remarks(fixed, n_cores)),
        "warnings": [text for text in (*warnings, *missing) if text],
    }


def load_warning(n_cores: int, average: float) -> str:
    """Return what is to be said of the load average of the last minute, where other work takes notable part."""
    if average <= LOADED * n_cores:
        return ""
    return (
        f"the machine is loaded: {average:.1f} of {n_cores} cores were busy before anything was measured "
        f"(more than {LOADED:.0%}); the figures mislead"
    )


def _remarks(table: pd.DataFrame, n: int) -> Iterator[str]:
    """Say how processes alone do against BLAS threads, and against jobs of a forest itself."""
    for what, place, pipelines in (("BLAS thread", 2, BLAS_PIPELINES), ("job of the forest itself", 3, [FOREST])):
        part = by_setting(table[table["pipeline"].isin(pipelines)]).set_index(SETTING)
        settings: dict[Any, Any] = part[["speedup", "over"]].to_dict("index")
        ratios = []
        for processes in (1, n):
            key = ["slices", processes, 1, 1]
            key[place] = n
            many, other = settings.get(("slices", n, 1, 1)), settings.get(tuple(key))
            if many and other:
                ratio, more = many["speedup"] / other["speedup"], "more than " * bool(other["over"])
                ratios.append(f"{more}{ratio:.2f} times as fast as {processes} x {n}")
        if n > 1 and ratios:
            yield f"{n} processes x 1 {what}: {', '.join(ratios)}"


def write_findings(found: Findings, folder: Path) -> list[Path]:
    """Write tables as CSV and Parquet, scaling as a picture and everything as JSON into a folder; return its files."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in ("runs", "cases", "scaling"):
        # Which libraries had how many threads is for JSON.
        flat = found[name].drop(columns="threads", errors="ignore")
        flat.to_csv(folder / f"{name}.csv", index=False)
        flat.to_parquet(folder / f"{name}.parquet", index=False)
    if len(found["scaling"]):
        _draw_scaling(found["scaling"], folder / "scaling.svg")
    (folder / "findings.json").write_text(as_json(found))
    return sorted(folder.iterdir())


def as_json(found: Findings) -> str:
    """Return everything as JSON; NaN is null."""
    advice: Advice = found["advice"]
    noise = None if math.isnan(advice.noise) else advice.noise
    content = {**found, "advice": {**asdict(advice), "noise": noise, "says": str(advice)}}
    return json.dumps(content, indent=1, allow_nan=False, default=_records)


def _records(table: pd.DataFrame) -> Any:
    flat = table.reset_index() if table.index.name else table
    return json.loads(flat.rename(columns=str).to_json(orient="records"))


def _draw_scaling(table: pd.DataFrame, path: Path) -> None:
    """Draw strong scaling on the left and weak scaling on the right, of the large size if it is there."""
    drawn = table[table["size"] == ("large" if (table["size"] == "large").any() else "small")]
    marks = marks_of(list(drawn["pipeline"].unique()))
    lines = dict(zip(drawn["backend"].unique(), _LINES, strict=False))
    workers = sorted(drawn["processes"].unique())
    with style():
        figure = new_figure(9, 4)
        axes = figure.subplots(1, 2)
        for axis, kind, value in ((axes[0], "strong", "speedup"), (axes[1], "weak", "efficiency")):
            axis.plot(workers, workers if kind == "strong" else [1.0] * len(workers), color="0.7", label="ideal")
            curves = drawn[drawn["kind"] == kind].groupby(["backend", "pipeline"], sort=False)
            for (backend, pipeline), curve in curves:
                colour, marker = marks[str(pipeline)]
                look = {"color": colour, "marker": marker, "linestyle": lines[backend]}
                axis.plot(curve["processes"], curve[value], label=f"{pipeline}, {backend}", **look)
            axis.set_xticks(workers)
            axis.set_xlabel("workers")
            axis.set_ylim(bottom=0)
        axes[0].set(ylabel="speed-up", title="Strong scaling: the same work")
        axes[1].set(ylabel="efficiency", title="Weak scaling: as much work for every worker")
        figure.legend(*axes[0].get_legend_handles_labels(), loc="outside right center")
        figure.savefig(path, format="svg", metadata={"Date": None, "Title": "Scaling on this machine"})


def print_findings(found: Findings) -> None:
    """Print the tables, warnings, remarks and the advice."""
    about = found["machine"]
    console().print(f"{about['n_cores']} cores, {about['memory'] / 1e9:.0f} GB, {about['processor']}\n")
    for name, title in _TITLES.items():
        table = found[name]
        if len(table):
            shown = table.reset_index() if table.index.name else _measured(table)
            console().print(title, style="bold", soft_wrap=True)
            print_table(shown)
            console().print()
    for text in (*(f"warning: {warning}" for warning in found["warnings"]), *found["remarks"], str(found["advice"])):
        console().print(text, soft_wrap=True)


def _measured(table: pd.DataFrame) -> pd.DataFrame:
    """Return text, with < and > where a load was ended at the limit, so that it took longer."""
    over = table["over"] if "over" in table else pd.Series(False, index=table.index)
    shown = table.drop(columns="over", errors="ignore").copy()
    if "memory" in shown:
        shown["memory"] /= 1e6
    for name in map(str, shown.select_dtypes(float)):
        digits, sign = _DIGITS.get(name, 3), _SIGNS.get(name, "")
        shown[name] = [
            "" if pd.isna(value) else f"{sign * bool(ended)}{value:.{digits}f}"
            for value, ended in zip(shown[name], over, strict=True)
        ]
    return shown.rename(columns=_HEADS)

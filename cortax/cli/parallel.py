"""Sub-command that measures this machine: processes, BLAS threads, estimator jobs and back-ends."""

from __future__ import annotations

import functools
import sys
from pathlib import Path
from typing import Annotated, Any

import pandas as pd
import typer
from rich.table import Table

from cortax import project
from cortax.cli.app import app, console
from cortax.grid.guarding.server import server_up
from cortax.parallel.advice import Advice, write_settings
from cortax.parallel.asking import measure
from cortax.parallel.cases import PIPELINE_NAMES, SIZES
from cortax.parallel.findings import Findings, as_json, findings, write_findings
from cortax.parallel.jobs import run_as_jobs
from cortax.parallel.plan import PARTS, Scope, make_plan
from cortax.parallel.session import current_setting, installed, machine, run_plan
from cortax.parallel.setting import BACKENDS
from cortax.project import find_root

__all__ = ["bench_parallel"]

# A quick run begins nothing new after so many seconds, and ends a load after so many, on two cores: the work grows with
# the cores.
_QUICK_SECONDS, _QUICK_LIMIT, _QUICK_BACKENDS = 45.0, 4.0, ("slices", "loky", "threads")
_HEADS = {"blas_threads": "BLAS", "n_units": "units", "elapsed": "seconds", "startup": "start-up", "memory": "MB"}


@app.command("bench-parallel")
def bench_parallel(
    part: Annotated[list[str] | None, typer.Option(help=f"one of {', '.join(PARTS)}; repeatable; all of them")] = None,
    backend: Annotated[list[str] | None, typer.Option(help="repeatable; all that are installed")] = None,
    pipeline: Annotated[
        list[str] | None, typer.Option(help=f"one of {', '.join(PIPELINE_NAMES)}; repeatable; all of them")
    ] = None,
    size: Annotated[list[str] | None, typer.Option(help="of the matrix: small or large; repeatable; both")] = None,
    quick: Annotated[bool, typer.Option("--quick", help="a minute: the chief settings, on small matrices")] = False,
    rounds: Annotated[int, typer.Option(min=1, help="how often everything is measured")] = 3,
    limit: Annotated[
        float | None, typer.Option(min=0.1, help="seconds after which one measurement is ended; 30 a core")
    ] = None,
    keep: Annotated[bool, typer.Option("--keep", help="measure in jobs of Exax, which keep what was found")] = False,
    write: Annotated[bool, typer.Option("--write", help="write what is recommended to cortax.toml")] = False,
    as_text: Annotated[bool, typer.Option("--json", help="print everything as JSON")] = False,
    to: Annotated[Path | None, typer.Option(help="folder for tables and picture; results/bench-parallel")] = None,
) -> None:
    """Measure how fast this machine is by processes, BLAS threads, estimator jobs and back-ends; recommend settings."""
    root, about = find_root(), machine()
    backends, missing = installed(backend or (_QUICK_BACKENDS if quick else BACKENDS))
    scope = Scope(
        about["n_cores"],
        current_setting(root),
        parts=part or (["engines"] if quick else PARTS),
        backends=backends,
        pipelines=pipeline or PIPELINE_NAMES,
        sizes=size or (["small"] if quick else SIZES),
        quick=quick,
    )
    pairs = max(1.0, scope.n_cores / 2)
    how: dict[str, Any] = (
        {"rounds": 2, "brief": True, "seconds": _QUICK_SECONDS * pairs} if quick else {"rounds": rounds}
    )
    limit = limit or (_QUICK_LIMIT * pairs if quick else 30.0 * scope.n_cores)
    with project.build_lock(root, "`cortax bench-parallel`"):
        if keep:
            server_up(root)
            runs, left_out = run_as_jobs(root, make_plan(scope), limit=limit, **how)
        else:
            one = functools.partial(measure, root=root, limit=limit)
            runs, left_out = run_plan(make_plan(scope), one, say=_say, **how)
    found = findings(runs, scope, about, left_out=left_out, missing=missing)
    files = write_findings(found, to or root / "results" / "bench-parallel")
    if as_text:
        print(as_json(found))
    else:
        _print(found)
        console.print(f"written: {', '.join(str(file) for file in files)}", soft_wrap=True, markup=False)
    if write:
        _say(_write(root, found.advice))


def _write(root: Path, advice: Advice) -> str:
    if advice.setting == advice.current:
        return "cortax.toml stays as it is"
    return f"{write_settings(root, advice)}: {advice.words}"


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def _print(found: Findings) -> None:
    about = found.machine
    console.print(f"{about['n_cores']} cores, {about['memory'] / 1e9:.0f} GB, {about['processor']}\n")
    _table("Sums over all cases", _readable(found.settings))
    _table("By case: medians over rounds", _readable(found.cases))
    _grid(
        "Speed-up by processes (rows) and BLAS threads (columns), geometric mean over ridge, elastic and svm",
        found.blas,
    )
    _grid("Speed-up of a forest by processes (rows) and its own jobs (columns)", found.jobs)
    if len(found.scaling):
        _table("Scaling, by the wall time of the whole", _readable(found.scaling))
    for warning in found.warnings:
        console.print(f"warning: {warning}", soft_wrap=True, markup=False)
    for remark in (*found.remarks, str(found.advice)):
        console.print(remark, soft_wrap=True, markup=False)


def _readable(table: pd.DataFrame) -> pd.DataFrame:
    """Return text, with < and > where a load was ended at the limit, so that it took longer."""
    over = table["over"] if "over" in table else pd.Series(False, index=table.index)
    shown = table.drop(columns="over", errors="ignore").copy()
    shown["memory"] = shown["memory"] / 1e6 if "memory" in shown else None
    for name in shown.columns:
        if shown[name].dtype == float:
            digits = {"memory": 0, "spread": 2, "speedup": 2, "efficiency": 2}.get(name, 3)
            sign = {"elapsed": "> ", "speedup": "< ", "efficiency": "< "}.get(name, "")
            shown[name] = [
                "" if pd.isna(value) else f"{sign * bool(ended)}{value:.{digits}f}"
                for value, ended in zip(shown[name], over, strict=True)
            ]
    return shown.dropna(axis="columns", how="all").rename(columns=_HEADS)


def _table(title: str, shown: pd.DataFrame) -> None:
    console.print(title, style="bold", soft_wrap=True)
    table = Table(*map(str, shown.columns), box=None, pad_edge=False)
    for row in shown.itertuples(index=False):
        table.add_row(*map(str, row))
    console.print(table)
    console.print()


def _grid(title: str, crossed: pd.DataFrame) -> None:
    if len(crossed):
        _table(title, crossed.reset_index())

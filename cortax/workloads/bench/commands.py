"""Commands that measure this machine; what they compute with is imported when they run."""

from __future__ import annotations

import functools
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from cortax.terminal import console, print_heading, print_table

__all__ = ["commands", "print_timings"]

# A quick run begins nothing new after so many seconds, and ends a case after so many, on two cores.
_QUICK_SECONDS, _QUICK_LIMIT, _QUICK_BACKENDS = 45.0, 4.0, ("slices", "loky", "threads")

commands = typer.Typer()


@commands.command("bench-parallel")
def bench_parallel(
    part: Annotated[
        list[str] | None, typer.Option(help="engines, blas, jobs or scaling; repeatable; all of them")
    ] = None,
    backend: Annotated[list[str] | None, typer.Option(help="repeatable; all that are installed")] = None,
    pipeline: Annotated[list[str] | None, typer.Option(help="such as ridge; repeatable; all of them")] = None,
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
    from cortax.project import build_lock, find_root
    from cortax.workflow.guarding.server import server_up
    from cortax.workloads.bench import findings, machine
    from cortax.workloads.bench.cases import PARTS, PIPELINE_NAMES, SIZES, Scope, make_plan, measure_cases
    from cortax.workloads.bench.measure import BACKENDS
    from cortax.workloads.bench.tables import write_settings

    root, about = find_root(), machine.machine()
    backends, missing = machine.installed(backend or (_QUICK_BACKENDS if quick else BACKENDS))
    scope = Scope(
        about["n_cores"],
        machine.current_setting(root),
        parts=part or (["engines"] if quick else PARTS),
        backends=backends,
        pipelines=pipeline or PIPELINE_NAMES,
        sizes=size or (["small"] if quick else SIZES),
        quick=quick,
    )
    # The work grows with the cores.
    pairs = max(1.0, scope.n_cores / 2)
    how: dict[str, Any] = (
        {"rounds": 2, "brief": True, "seconds": _QUICK_SECONDS * pairs} if quick else {"rounds": rounds}
    )
    limit = limit or (_QUICK_LIMIT * pairs if quick else 30.0 * scope.n_cores)
    with build_lock(root, "`cortax bench-parallel`"):
        if keep:
            server_up(root)
            runs, left_out = machine.run_as_jobs(root, scope, limit=limit, **how)
        else:
            measured = functools.partial(measure_cases, root=root, limit=limit)
            runs, left_out = machine.run_plan(make_plan(scope), measured, say=_say, **how)
    found = findings.findings(runs, scope, about, left_out=left_out, missing=missing)
    files = findings.write_findings(found, to or root / "results" / "bench-parallel")
    if as_text:
        print(findings.as_json(found))
    else:
        findings.print_findings(found)
        console().print(f"written: {', '.join(str(file) for file in files)}", soft_wrap=True)
    if write:
        path = write_settings(root, found["advice"])
        _say(f"{path}: {found['advice']}" if path else "cortax.toml stays as it is")


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def print_timings(root: Path, study: str) -> None:
    """How long networks took, in what fits a terminal: bytes as MB, and prices, which may be very small."""
    from cortax.workflow.lookup.results import read_table

    print_heading(study, "seconds of the whole, from start to last gene")
    table = read_table(root, study, "timings").drop(columns=["repeats", "spread", "efficiency"], errors="ignore")
    costs = [name for name in table if str(name).startswith("cost_")]
    table = table.assign(**{str(name): [f"{value:.3g}" for value in table[name]] for name in costs})
    print_table(table.assign(memory=[f"{value / 1e6:.0f} MB" for value in table["memory"]]))
    console().print(f"cortax results {study} --to timings.csv")

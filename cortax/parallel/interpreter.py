"""One setting measured, in an interpreter of its own: `python -m cortax.parallel.interpreter ASKED ANSWER ROOT PARENT`.

It is told what to measure by a file of JSON and answers with lines of another, as it gets on: whatever a library prints
is no answer. It ends with its parent.
"""

from __future__ import annotations

import json
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from joblib import Parallel, delayed

from cortax.errors import CortaxError, ProjectError
from cortax.grid.engines.capsule import Ticket
from cortax.grid.engines.remote_main import end_with
from cortax.grid.work.checkpoint import Checkpoint
from cortax.grid.work.crews import crews
from cortax.grid.work.pool import run_units
from cortax.grid.work.settings import Settings
from cortax.grid.work.units import Unit, check_failures
from cortax.grid.work.worker import check_threads
from cortax.parallel.cases import Units, make_cell, make_problem, make_units, write_case
from cortax.parallel.setting import Load, Setting, read_load
from cortax.parallel.tree import cpu_seconds, descendants, memory

__all__ = ["main", "run_load"]

Notes = list[dict[str, Any]]


def run_load(
    setting: Setting,
    load: Load,
    root: Path,
    begins: Callable[[float], object] = lambda at: None,  # noqa: ARG005
) -> dict[str, Any]:
    """Do all units of a load, and return what it took, of `asking.measure` the columns that are known here.

    Parameters
    ----------
    setting : Setting
    load : Load
    root : Path
        The project.
    begins : callable
        Told when data are made and solvers compiled, so that the work begins.

    Raises
    ------
    SearchError
        A unit failed.
    ProjectError
        The back-end does not start, or its workers have another number of threads than they should.
    """
    problem = make_problem(load.case)
    units = make_units(make_cell(problem, load.case))
    here = os.getpid()
    cpu, started = cpu_seconds(descendants(here)), time.monotonic()
    begins(started)
    if setting.backend == "threads":
        run = _in_threads(setting, load, units)
    else:
        run = _by_crew(setting, load, units, lambda folder: write_case(folder, problem, load.case), root)
    with run as (notes, threads):
        ended, below = time.monotonic(), descendants(here)
        spent, held = cpu_seconds(below) - cpu, memory(below)
    return {
        "elapsed": ended - started,
        "startup": min(note["began"] for note in notes) - started,
        "cpu": spent,
        "memory": held,
        "threads": threads,
        "began": started,
        "ended": ended,
        **_cold_and_warm(notes),
    }


def _cold_and_warm(notes: Notes) -> dict[str, Any]:
    """Tell the first unit of every worker from its later ones."""
    by_worker: dict[str, Notes] = {}
    for note in sorted(notes, key=lambda note: float(note["began"])):
        by_worker.setdefault(note["worker"], []).append(note)
    cold = [found[0] for found in by_worker.values()]
    warm = [note for found in by_worker.values() for note in found[1:]]
    seconds = [[note["ended"] - note["began"] for note in found] for found in (cold, warm)]
    return {
        "cold": statistics.median(seconds[0]),
        "warm": statistics.median(seconds[1]) if warm else None,
        "n_workers": len(by_worker),
        "value": statistics.median(note["value"] for note in notes),
    }


@contextmanager
def _by_crew(
    setting: Setting, load: Load, units: Units, capsule: Callable[[Path], Ticket], root: Path
) -> Iterator[tuple[Notes, dict[str, int]]]:
    """Have a crew do it as a job has: with the same workers, each unit kept on disk as soon as it is done."""
    settings = Settings(backend=setting.backend, workers=setting.processes)
    work = [Unit(((load.case.pipeline, number),)) for number in range(load.n_units)]
    with (
        tempfile.TemporaryDirectory() as folder,
        Checkpoint(Path(folder) / "units.sqlite") as kept,
        crews(settings, root, units, capsule, [1.0] * load.n_units, n_threads=setting.blas_threads) as hire,
    ):
        report = run_units(work, kept, hire, n_workers=setting.processes, memory=settings.memory)
        check_failures(report.failed)
        if set(report.done) != {setting.processes}:
            raise ProjectError(f"{setting}: only fewer workers could do it, as {report.done}: is memory short?")
        yield [json.loads(value) for value in kept.values().values()], report.threads


@contextmanager
def _in_threads(setting: Setting, load: Load, units: Units) -> Iterator[tuple[Notes, dict[str, int]]]:
    """Have threads of joblib do it, in this process."""
    threads = check_threads(setting.blas_threads)
    done = Parallel(n_jobs=setting.processes, backend="threading", batch_size=1)(
        delayed(units)(number) for number in range(load.n_units)
    )
    yield [json.loads(value) for found in done for value in found], threads


def main() -> None:
    """Measure what is asked for."""
    asked, answer, root = map(Path, sys.argv[1:4])
    end_with(int(sys.argv[4]))
    content = json.loads(asked.read_text())
    setting = Setting(**content["setting"])
    with open(answer, "w", buffering=1) as lines:

        def tell(**about: Any) -> None:
            print(json.dumps(about), file=lines)

        for load in map(read_load, content["loads"]):
            try:
                tell(row=run_load(setting, load, root, lambda at: tell(begins=at)))
            except CortaxError as error:
                tell(error=str(error))


if __name__ == "__main__":
    main()

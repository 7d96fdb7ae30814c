"""Work measured in one setting, in an interpreter that is started for it: BLAS reads its threads when it is loaded.

The interpreter, `python -m cortax.workloads.bench.measure FOLDER PARENT`, is told what to do by a file of JSON and
answers with lines of another: whatever a library prints is no answer. It ends with its parent.
"""

from __future__ import annotations

import json
import os
import pkgutil
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, Any

import pandas as pd
import psutil
from joblib import Parallel, delayed

from cortax.errors import CortaxError, ProjectError, choices
from cortax.workflow.task import Task
from cortax.workflow.work.backends import BACKEND_MODULES
from cortax.workflow.work.checkpoint import Checkpoint
from cortax.workflow.work.hire import hire_workers
from cortax.workflow.work.pool import run_units
from cortax.workflow.work.process_tree import cpu_seconds, descendants, memory
from cortax.workflow.work.remote_main import end_with
from cortax.workflow.work.scratch import backends_folder, clear_scratch
from cortax.workflow.work.settings import BACKEND_VARIABLES, Settings
from cortax.workflow.work.units import check_failures
from cortax.workflow.work.worker import THREADS, check_threads

__all__ = ["BACKENDS", "Row", "Setting", "measure", "medians", "note"]

# Where workers may come from on one machine: those of builds, and threads of one process, which builds do not use.
BACKENDS = ("slices", "threads", *(name for name in BACKEND_MODULES if name != "slurm"))
_LOOK_EVERY = 0.1
# What an interpreter may take to import, to make its data and to compile solvers, before work begins.
_START_SECONDS = 300.0
_MEASURED = ("startup", "cpu", "cold", "warm", "memory", "memory_before", "n_workers", "value", "before", "cpu_before")

Row = dict[str, Any]


@dataclass(frozen=True, order=True)
class Setting:
    """What a fresh interpreter is needed for, as libraries read it when they are loaded.

    So many `processes` of a back-end (of "threads" they are threads) work on a unit at once, and BLAS and OpenMP have
    so many threads in each.
    """

    backend: str
    processes: int
    blas_threads: int = 1

    def __post_init__(self) -> None:
        if self.backend not in BACKENDS:
            raise ProjectError(f"backend: {choices(self.backend, BACKENDS)}")
        if min(self.processes, self.blas_threads) < 1:
            raise ProjectError(f"processes and BLAS threads must be 1 or more; got {self}")

    def __str__(self) -> str:
        return f"{self.backend}, {self.processes} x {self.blas_threads}"


def measure(setting: Setting, make: str, loads: Sequence[Mapping[str, Any]], root: Path, *, limit: float) -> list[Row]:
    """Measure loads in one setting, one after the other.

    `make`, as "module:name", makes the task of a load from JSON values; the values of its units are of `note`. A load
    is ended after `limit` seconds: threads that wait for each other may take hundreds of times as long.

    Returns
    -------
    list of dict
        For each load what was asked for by name, and

        - elapsed: seconds from the hiring of workers to the last unit's end, of which `startup` passed before the first
          began;
        - over: whether it was ended at the limit; `elapsed` is that then, and the rest is None;
        - cpu: seconds of all processes in that time;
        - cold, warm: median seconds of the first unit of every worker, and of its later ones (None: there is none);
        - memory: most bytes that all processes held together, looked at ten times a second and at the end;
          memory_before: the same of the interpreter before workers were hired;
        - threads: of each BLAS and OpenMP library, as the workers found it;
        - n_workers: how many worked;
        - value: the mean of what the units found, the same in every setting but for rounding;
        - before, cpu_before: seconds and CPU seconds of the interpreter before workers were hired.

    Raises
    ------
    ProjectError
        It could not be measured: the message says why.
    """
    rows: list[Row] = []
    left = list(loads)
    while left:
        found = _attempt(setting, make, left, root, limit)
        rows += [{**asdict(setting), **load, **row} for load, row in zip(left, found, strict=False)]
        left = left[len(found) :]
    return rows


def _attempt(setting: Setting, make: str, loads: Sequence[Mapping[str, Any]], root: Path, limit: float) -> list[Row]:
    """Measure until all is done, or a load has to be ended at the limit: that is the last one then."""
    with tempfile.TemporaryDirectory() as name:
        started, answer = time.monotonic(), Path(name) / "answer.jsonl"
        answer.touch()
        asked = {"setting": asdict(setting), "make": make, "loads": loads, "root": str(root), "started": started}
        (Path(name) / "asked.json").write_text(json.dumps(asked))
        held: list[tuple[float, int]] = []
        with _interpreter(setting, root, Path(name)) as (process, output):
            while True:
                ended = process.poll() is not None
                held.append((time.monotonic(), memory(descendants(process.pid))))
                # One when a load begins, one when it is done; a line that is just being written has no end.
                messages = [json.loads(line) for line in answer.read_text().split("\n")[:-1]]
                rows = [_row(*pair, held) for pair in zip(messages[::2], messages[1::2], strict=False)]
                if len(rows) == len(loads):
                    return rows
                waited = held[-1][0] - (messages[-1]["at"] if messages else started)
                busy = len(messages) % 2 == 1
                if busy and waited > limit:
                    return [*rows, {"elapsed": limit, "over": True, "threads": {}, **dict.fromkeys(_MEASURED)}]
                if ended or (not busy and waited > max(limit, _START_SECONDS)):
                    output.seek(0)
                    status = f"ended with exit status {process.returncode}" if ended else f"waited for {waited:.0f} s"
                    raise ProjectError(f"{setting}: the interpreter {status}: {output.read()[-2000:].strip()}")
                time.sleep(_LOOK_EVERY)


def _row(begun: Row, done: Row, held: Sequence[tuple[float, int]]) -> Row:
    seen = [n_bytes for at, n_bytes in held if begun["at"] <= at <= done["at"]]
    before = max((n_bytes for at, n_bytes in held if at < begun["at"]), default=0)
    return {**done["row"], "over": False, "memory": max([done["row"]["memory"], *seen]), "memory_before": before}


@contextmanager
def _interpreter(setting: Setting, root: Path, folder: Path) -> Iterator[tuple[subprocess.Popen[bytes], IO[str]]]:
    """Start one; at the end it is gone, with all that it started."""
    environment = {name: value for name, value in os.environ.items() if name not in BACKEND_VARIABLES}
    with open(folder / "output.txt", "w+") as output:
        process = subprocess.Popen(
            [sys.executable, "-m", "cortax.workloads.bench.measure", str(folder), str(os.getpid())],
            env=environment | dict.fromkeys(THREADS, str(setting.blas_threads)),
            cwd=root,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=output,
            start_new_session=True,
        )
        try:
            yield process, output
        finally:
            for each in descendants(process.pid) if process.poll() is None else ():
                with suppress(psutil.NoSuchProcess):
                    each.kill()
            process.wait()
            clear_scratch(backends_folder(root))


def medians(runs: pd.DataFrame, keys: list[str], columns: list[str]) -> pd.DataFrame:
    """Return medians over what was measured again: `elapsed`, its `spread`, and some columns, by their keys.

    The spread is half the range of elapsed by its median; NaN of one measurement.
    """
    groups = runs.groupby(keys, sort=False)
    table, elapsed = groups[["elapsed", *columns]].median(), groups["elapsed"]
    table.insert(1, "spread", ((elapsed.max() - elapsed.min()) / 2 / elapsed.median()).where(elapsed.size() > 1))
    return table


def note(work: Callable[[], float]) -> list[bytes]:
    """Do a unit; its value says who did it, when, and what came out."""
    began = time.monotonic()
    value = work()
    worker = f"{os.getpid()}-{threading.get_ident()}"
    return [json.dumps({"worker": worker, "began": began, "ended": time.monotonic(), "value": value}).encode()]


def _do_load(setting: Setting, task: Task, root: Path, started: float) -> Row:
    """Do all units of a load now and return its row; `started` is when the interpreter did."""
    here = os.getpid()
    cpu, began = cpu_seconds(descendants(here)), time.monotonic()
    run = _in_threads(setting, task) if setting.backend == "threads" else _by_workers(setting, task, root)
    with run as (values, threads):
        ended, below = time.monotonic(), descendants(here)
        spent, held = cpu_seconds(below) - cpu, memory(below)
    units = pd.DataFrame(list(map(json.loads, values))).sort_values("began")
    seconds, first = units["ended"] - units["began"], ~units["worker"].duplicated()
    return {
        "elapsed": ended - began,
        "startup": float(units["began"].min()) - began,
        "cpu": spent,
        "cold": float(seconds[first].median()),
        "warm": None if first.all() else float(seconds[~first].median()),
        "memory": held,
        "threads": threads,
        "n_workers": int(first.sum()),
        "value": float(units["value"].mean()),
        "before": began - started,
        "cpu_before": cpu,
    }


@contextmanager
def _by_workers(setting: Setting, task: Task, root: Path) -> Iterator[tuple[list[bytes], dict[str, int]]]:
    """Have workers do it as a job has: with the same workers, each unit kept on disk as soon as it is done."""
    settings = Settings(backend=setting.backend, workers=setting.processes)
    with (
        tempfile.TemporaryDirectory() as folder,
        Checkpoint(Path(folder) / "units.sqlite") as kept,
        hire_workers(settings, root, task, n_threads=setting.blas_threads) as hire,
    ):
        report = run_units(task.units(), kept, hire, n_workers=setting.processes, memory=settings.memory)
        check_failures(report.failed)
        if set(report.done) != {setting.processes}:
            raise ProjectError(f"{setting}: only fewer workers could do it, as {report.done}: is memory short?")
        yield list(kept.values().values()), report.threads


@contextmanager
def _in_threads(setting: Setting, task: Task) -> Iterator[tuple[list[bytes], dict[str, int]]]:
    """Have threads of joblib do it, in this process."""
    threads = check_threads(setting.blas_threads)
    done = Parallel(n_jobs=setting.processes, backend="threading", batch_size=1)(
        delayed(task.do)(number) for number in range(len(task.units()))
    )
    yield [value for values in done for value in values], threads


def main() -> None:
    """Measure what is asked for."""
    folder = Path(sys.argv[1])
    end_with(int(sys.argv[2]))
    asked = json.loads((folder / "asked.json").read_text())
    make = pkgutil.resolve_name(asked["make"])
    with open(folder / "answer.jsonl", "w", buffering=1) as lines:

        def tell(**message: Any) -> None:
            print(json.dumps({"at": time.monotonic(), **message}), file=lines)

        try:
            for load in asked["loads"]:
                task = make(**load)
                tell()
                tell(row=_do_load(Setting(**asked["setting"]), task, Path(asked["root"]), asked["started"]))
        except CortaxError as error:
            sys.exit(str(error))


if __name__ == "__main__":
    main()

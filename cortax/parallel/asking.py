"""Measuring settings, each in an interpreter that is started for it: BLAS reads its threads when it is loaded."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict
from pathlib import Path
from typing import IO, Any

from cortax.errors import ProjectError
from cortax.grid.engines.scratch import clear_scratch, engines_folder
from cortax.grid.work.settings import OF_ENGINES
from cortax.grid.work.worker import THREADS
from cortax.parallel.setting import Load, Setting, write_load
from cortax.parallel.tree import descendants, memory

__all__ = ["measure"]

_LOOK_EVERY = 0.1
# What an interpreter may take to import, to make its data and to compile solvers, before a load begins.
_START_SECONDS = 300.0
_UNKNOWN = ("startup", "cpu", "cold", "warm", "memory", "n_workers", "value")

Row = dict[str, Any]


def measure(setting: Setting, loads: Sequence[Load], root: Path, *, limit: float) -> list[Row]:
    """Measure loads in one setting, one after the other.

    Parameters
    ----------
    setting : Setting
    loads : sequence of Load
    root : Path
        The project.
    limit : float
        Seconds after which a load is ended: threads that wait for each other may take hundreds of times as long.

    Returns
    -------
    list of dict
        For each load setting and case by name, and

        - elapsed: seconds from the hiring of workers to the last unit's end, of which `startup` passed before the first
          began;
        - over: whether it was ended at the limit; `elapsed` is that then, and the rest is None;
        - cpu: seconds of all processes in that time;
        - cold, warm: median seconds of the first unit of every worker, and of its later ones (None: there is none);
        - memory: most bytes that all processes held together, looked at ten times a second and at the end;
        - threads: of each BLAS and OpenMP library, as the workers found it;
        - n_workers: how many worked;
        - value: what the cells found, the same in every setting but for rounding.

    Raises
    ------
    ProjectError
        It could not be measured: the message says why.
    """
    rows: list[Row] = []
    left = list(loads)
    while left:
        found = _attempt(setting, left, root, limit)
        for load, row in zip(left, found, strict=False):
            rows.append({**asdict(setting), **asdict(load.case), "n_units": load.n_units, **row})
        left = left[len(found) :]
    return rows


def _attempt(setting: Setting, loads: Sequence[Load], root: Path, limit: float) -> list[Row]:
    """Measure until all is done, or a load has to be ended at the limit: that is the last one then."""
    with tempfile.TemporaryDirectory() as name, _interpreter(setting, loads, root, Path(name)) as (process, said):
        answer, held, started = Path(name) / "answer.jsonl", [], time.monotonic()
        while process.poll() is None:
            held.append((time.monotonic(), memory(descendants(process.pid))))
            rows, since, busy = _read(answer, setting, held)
            if held[-1][0] - (since or started) > (limit if busy else _START_SECONDS):
                if busy:
                    return [*rows, _ended(limit)]
                if len(rows) == len(loads):
                    return rows  # it has nothing more to do, and does not end
                raise ProjectError(f"{setting}: the interpreter did not go on within {_START_SECONDS:.0f} s")
            time.sleep(_LOOK_EVERY)
        rows, _, _ = _read(answer, setting, held)
        if process.returncode or len(rows) != len(loads):
            said.seek(0)
            told = said.read()[-2000:].strip()
            raise ProjectError(f"{setting}: the interpreter ended with exit status {process.returncode}: {told}")
    return rows


def _ended(limit: float) -> Row:
    return {"elapsed": limit, "over": True, "threads": {}, **dict.fromkeys(_UNKNOWN)}


def _read(answer: Path, setting: Setting, held: Sequence[tuple[float, int]]) -> tuple[list[Row], float | None, bool]:
    """Return what has been measured so far, when that last changed, and whether a load is being measured."""
    rows, since, busy = [], None, False
    for line in answer.read_text().splitlines(keepends=True) if answer.exists() else ():
        if not line.endswith("\n"):
            break  # it is just being written
        told = json.loads(line)
        if "error" in told:
            raise ProjectError(f"{setting}: {told['error']}")
        busy = "begins" in told
        if busy:
            since = told["begins"]
            continue
        row = told["row"]
        began, since = row.pop("began"), row.pop("ended")
        seen = [n for at, n in held if began <= at <= since]
        rows.append({**row, "over": False, "memory": max([row["memory"], *seen])})
    return rows, since, busy


@contextmanager
def _interpreter(
    setting: Setting, loads: Sequence[Load], root: Path, folder: Path
) -> Iterator[tuple[subprocess.Popen[bytes], IO[str]]]:
    """Start one; at the end it is gone, with all that it started."""
    asked = folder / "asked.json"
    asked.write_text(json.dumps({"setting": asdict(setting), "loads": [write_load(load) for load in loads]}))
    environment = {name: value for name, value in os.environ.items() if name not in OF_ENGINES}
    files = [str(asked), str(folder / "answer.jsonl"), str(root), str(os.getpid())]
    with open(folder / "said.txt", "w+") as said:
        process = subprocess.Popen(
            [sys.executable, "-m", "cortax.parallel.interpreter", *files],
            env=environment | dict.fromkeys(THREADS, str(setting.blas_threads)),
            cwd=root,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=said,
            start_new_session=True,
        )
        try:
            yield process, said
        finally:
            for pid in descendants(process.pid) if process.poll() is None else ():
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            process.wait()
            clear_scratch(engines_folder(root))

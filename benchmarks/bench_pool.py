"""What a unit of work costs beyond its work: the pool with its checkpoint, and plain joblib, which keeps nothing.

python benchmarks/bench_pool.py [n_units [milliseconds [n_workers]]]

A unit spins for as long as it says, in CPU time, and returns 800 bytes. Overhead is the CPU time of all processes, and
the wall time times the workers, beyond the work itself, a unit. "chunks" is joblib as it is used by default, which
puts units together; "one by one" is what a checkpoint of every unit needs.
"""

from __future__ import annotations

import os
import resource
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import _one_thread  # noqa: F401 - before numpy
import joblib
import numpy as np

from cortax.grid.work.checkpoint import Checkpoint
from cortax.grid.work.forks import ForkCrew
from cortax.grid.work.pool import run_units
from cortax.grid.work.units import Unit


def work(number: int, seconds: float) -> bytes:
    end = time.process_time() + seconds
    while time.process_time() < end:
        pass
    return np.full(100, number, np.float64).tobytes()


def pool(n: int, seconds: float, n_workers: int) -> list[bytes]:
    units = [Unit(((f"t{number}", 0),)) for number in range(n)]
    with tempfile.TemporaryDirectory(dir=".") as folder, Checkpoint(Path(folder) / "job.sqlite") as checkpoint:
        run_units(
            units,
            checkpoint,
            lambda level: ForkCrew(lambda number: [work(number, seconds)], level),
            n_workers=n_workers,
            memory=4 << 30,
        )
        kept = checkpoint.values()
    return [kept[f"t{number}", 0] for number in range(n)]


def loky(n: int, seconds: float, n_workers: int, batch: str | int) -> list[bytes]:
    found = joblib.Parallel(n_jobs=n_workers, batch_size=batch)(
        joblib.delayed(work)(number, seconds) for number in range(n)
    )
    joblib.externals.loky.get_reusable_executor().shutdown(wait=True)  # or its CPU time is not counted
    return found


def cpu() -> float:
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(each.ru_utime + each.ru_stime for each in used)


def measure(run: Callable[[], list[bytes]], expected: list[bytes]) -> tuple[float, float]:
    started, used = time.perf_counter(), cpu()
    found = run()
    wall, spent = time.perf_counter() - started, cpu() - used
    assert found == expected
    return spent, wall


def main(n: int = 10_000, milliseconds: float = 1.0, n_workers: int = 2) -> None:
    seconds = milliseconds / 1000
    expected = [work(number, 0) for number in range(n)]
    runs = {
        "cortax pool": lambda: pool(n, seconds, n_workers),
        "joblib loky, one by one": lambda: loky(n, seconds, n_workers, 1),
        "joblib loky, chunks": lambda: loky(n, seconds, n_workers, "auto"),
    }
    print(
        f"{n} units of {milliseconds:g} ms, {n_workers} workers, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}"
    )
    print(f"{'':24} {'CPU s':>8} {'wall s':>8} {'CPU us a unit':>15} {'wall us a unit':>15}")
    for name, run in runs.items():
        spent, wall = measure(run, expected)
        over = (spent - n * seconds) / n * 1e6, (wall * n_workers - n * seconds) / n * 1e6
        print(f"{name:24} {spent:8.1f} {wall:8.1f} {over[0]:15.0f} {over[1]:15.0f}", flush=True)


if __name__ == "__main__":
    given = sys.argv[1:]
    main(int(given[0]) if given else 10_000, *(float(x) for x in given[1:2]), *(int(x) for x in given[2:3]))

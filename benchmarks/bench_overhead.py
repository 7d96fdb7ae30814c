"""What a cell costs beyond its work: cortax, joblib, Ray, Dask and Snakemake with cells of 1 ms, all in one run.

    python benchmarks/bench_overhead.py [--cells 10000] [--ms 1] [--workers 2] [--rounds 2] [--snakemake PATH]
    python benchmarks/bench_overhead.py --engine NAME --cells N

A cell spins for as long as it says, in its own CPU time, and returns 800 bytes. Every engine runs in a process of its
own, in turn, round after round. Overhead is the CPU time of all processes of an engine from the first cell to the last,
and the wall time times the workers, beyond the work itself and divided by the cells; what it takes to start is apart,
but for cortax, whose workers are hired with the first cell. Snakemake gets a tenth of the cells, which do nothing
but write a file: it cannot be measured with all of them in reasonable time. Needs the packages of `cortax[ray]`
and `cortax[dask]`; `--snakemake` names the command of an environment that has it.
"""

from __future__ import annotations

import _one_thread  # noqa: F401  isort: skip
import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path

import numpy as np

MARK = "CORTAX_BENCH_OVERHEAD"
SNAKEFILE = """
rule all:
    input: expand("cells/{{i}}.txt", i=range({n}))

rule cell:
    output: "cells/{{i}}.txt"
    shell: "echo {{wildcards.i}} > {{output}}"
"""


def work(number, seconds):
    end = time.thread_time() + seconds
    while time.thread_time() < end:
        pass
    return np.full(100, number, np.float64).tobytes()


def meter():
    """CPU seconds of this process and all that it has started, with those of children that have ended; and the time."""
    mark, ours, parents, ticks = f"{MARK}={os.environ[MARK]}".encode(), {os.getpid()}, {}, {}
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            fields = (folder / "stat").read_text().rpartition(")")[2].split()
            number = int(folder.name)
            parents[number], ticks[number] = int(fields[1]), sum(map(int, fields[11:15]))
            # A daemon is no child; a process that has given itself another name has no environment to be seen.
            if mark in (folder / "environ").read_bytes():
                ours.add(number)
    while more := {number for number, parent in parents.items() if parent in ours} - ours:
        ours |= more
    spent = sum(ticks.get(number, 0) for number in ours)
    return np.array([spent / os.sysconf("SC_CLK_TCK"), time.perf_counter()])


def check(found):
    assert found == [np.full(100, number, np.float64).tobytes() for number in range(len(found))]


def cortax(n, seconds, n_workers):
    from cortax.workflow.work.checkpoint import Checkpoint
    from cortax.workflow.work.forks import ForkedWorkers
    from cortax.workflow.work.pool import run_units
    from cortax.workflow.work.units import Unit

    with tempfile.TemporaryDirectory(dir=".") as folder, Checkpoint(Path(folder) / "job.sqlite") as checkpoint:
        before = meter()
        run_units(
            [Unit((f"t{number}",)) for number in range(n)],
            checkpoint,
            lambda level: ForkedWorkers(lambda number: [work(number, seconds)], level),
            n_workers=n_workers,
            memory=4 << 30,
        )
        after = meter()
        kept = checkpoint.values()
    check([kept[f"t{number}"] for number in range(n)])
    return before, after


def joblib_parallel(n, seconds, n_workers, **how):
    import joblib

    with joblib.Parallel(n_jobs=n_workers, **how) as parallel:
        parallel(joblib.delayed(work)(number, 0) for number in range(n_workers))
        before = meter()
        found = parallel(joblib.delayed(work)(number, seconds) for number in range(n))
        after = meter()
    check(found)
    return before, after


def ray(n, seconds, n_workers):
    import ray

    ray.init(num_cpus=n_workers, include_dashboard=False, log_to_driver=False, logging_level="ERROR")
    cell = ray.remote(work)
    ray.get([cell.remote(number, 0) for number in range(n_workers)])
    before = meter()
    found = ray.get([cell.remote(number, seconds) for number in range(n)])
    after = meter()
    ray.shutdown()
    check(found)
    return before, after


def dask(n, seconds, n_workers):
    from distributed import Client, LocalCluster

    with (
        LocalCluster(n_workers=n_workers, threads_per_worker=1, dashboard_address=None) as cluster,
        Client(cluster) as client,
    ):
        client.gather(client.map(work, range(n_workers), seconds=0, pure=False))
        before = meter()
        found = client.gather(client.map(work, range(n), seconds=seconds, pure=False))
        after = meter()
    check(found)
    return before, after


def snakemake(n, n_workers, command):
    for n_cells in (1, n):  # the first is what it takes to start
        with tempfile.TemporaryDirectory(dir=".") as folder:
            Path(folder, "Snakefile").write_text(SNAKEFILE.format(n=n_cells))
            before = meter()
            done = subprocess.run(
                [command, "--cores", str(n_workers), "--quiet", "all"], cwd=folder, capture_output=True, text=True
            )
            after = meter()
            if done.returncode or len(list(Path(folder).glob("cells/*.txt"))) != n_cells:
                raise SystemExit(done.stdout + done.stderr)
        if n_cells == 1:
            alone = after - before
    return before, after - alone


BACKEND_MODULES = {
    "cortax": (cortax, "every cell on disk at once"),
    "joblib loky, one by one": (lambda *how: joblib_parallel(*how, backend="loky", batch_size=1), "nothing"),
    "joblib loky, in chunks": (lambda *how: joblib_parallel(*how, backend="loky"), "nothing"),
    "joblib threads": (lambda *how: joblib_parallel(*how, backend="threading", batch_size=1), "nothing"),
    "Ray": (ray, "nothing"),
    "Dask": (dask, "nothing"),
}


def measure(name, n, asked):
    """Run an engine in a process; return CPU and wall seconds of its start, and of the cells."""
    command = [sys.executable, __file__, "--engine", name, "--cells", str(n), "--ms", str(asked.ms)]
    command += ["--workers", str(asked.workers), "--snakemake", str(asked.snakemake)]
    mark = {MARK: f"{os.getpid()}-{time.monotonic_ns()}"}
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True, env=os.environ | mark)
    return json.loads(done.stdout.splitlines()[-1])


def run_one(asked):
    started = meter()
    if asked.engine == "Snakemake":
        before, after = snakemake(asked.cells, asked.workers, asked.snakemake)
    else:
        before, after = BACKEND_MODULES[asked.engine][0](asked.cells, asked.ms / 1000, asked.workers)
    print(json.dumps([*(before - started), *(after - before)]))


def row(name, kept, n, milliseconds, rounds, n_workers):
    cpu_start, wall_start, cpu, wall = map(statistics.median, zip(*rounds, strict=True))
    own = [seconds / n * 1e6 - 1000 * milliseconds for seconds in (cpu, wall * n_workers)]
    took = f"{cpu:.1f} | {wall:.1f} | {cpu_start:.1f} | {wall_start:.1f}"
    print(f"| {name} | {kept} | {n:,} | {own[0]:,.0f} | {own[1]:,.0f} | {took} |", flush=True)


def compare(asked):
    rounds = {name: [] for name in (*BACKEND_MODULES, "Snakemake") if name != "Snakemake" or asked.snakemake}
    for number in range(asked.rounds):
        for name, found in rounds.items():
            if name == "Snakemake" and number:
                continue
            found.append(measure(name, asked.cells // 10 if name == "Snakemake" else asked.cells, asked))
            print(f"{name}: {found[-1]}, load {os.getloadavg()[0]:.1f}", file=sys.stderr, flush=True)
    print(
        f"{asked.workers} workers, {os.cpu_count()} cores, median of {asked.rounds} rounds; cells of {asked.ms:g} ms\n"
    )
    print("| engine | kept | cells | CPU us a cell | wall us a cell | CPU s | wall s | start, CPU s | start, wall s |")
    print("| --- | --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |")
    for name, found in rounds.items():
        if name == "Snakemake":
            row(name, "a file a cell", asked.cells // 10, 0.0, found, asked.workers)
        else:
            row(name, BACKEND_MODULES[name][1], asked.cells, asked.ms, found, asked.workers)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cells", type=int, default=10_000)
    parser.add_argument("--ms", type=float, default=1.0)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--snakemake", default="", help="the command snakemake; without it, it is left out")
    parser.add_argument("--engine", choices=[*BACKEND_MODULES, "Snakemake"], help="this one alone, in this process")
    asked = parser.parse_args()
    if asked.engine:
        os.environ.setdefault(MARK, "")
        run_one(asked)
    else:
        compare(asked)


if __name__ == "__main__":
    main()

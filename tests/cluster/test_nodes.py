"""Clusters of several nodes: one dies, one joins; and a build that was killed leaves nothing to the next."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from conftest import ROOT, SLURM, dask_worker, doing, kill, of_folder, parent, run, wait_until

from cortax.grid.work.checkpoint import Cell
from cortax.grid.work.pool import Report

PLAN = [("sum", 0.05)] * 10


def _check(report: Report, kept: dict[Cell, bytes]) -> None:
    assert not report.failed
    assert kept["0", 0] == b"second time"
    assert len(kept) == 21


def _kill_node_of(worker: int, _: str) -> None:
    """Kill what keeps a worker, then the worker: before it could be replaced or call for help."""
    keeper = parent(worker)
    kill(keeper)
    if os.path.exists(f"/proc/{worker}"):
        kill(worker)


def test_a_node_of_ray_dies(place: Path, ray_nodes: Any) -> None:
    for _ in range(2):
        ray_nodes.add_node(num_cpus=1, object_store_memory=80 << 20)
    ray_nodes.wait_for_nodes()
    with doing(place / "note", _kill_node_of):
        _check(*run("ray", place, [("once", str(place / "note")), *PLAN]))


def test_a_node_of_dask_dies(place: Path, dask_address: str) -> None:
    with (
        dask_worker(dask_address, place),
        dask_worker(dask_address, place),
        doing(place / "note", _kill_node_of),
    ):
        _check(*run("dask", place, [("once", str(place / "note")), *PLAN]))


def test_a_node_of_slurm_dies(place: Path, slurm: Path) -> None:
    def deed(_: int, where: str) -> None:
        node = where.split()[0]
        subprocess.run([SLURM, "kill", slurm, node], check=True)
        nodes.append(node)

    nodes: list[str] = []
    with doing(place / "note", deed):
        _check(*run("slurm", place, [("once", str(place / "note")), *PLAN]))
    subprocess.run([SLURM, "node", slurm, *nodes], check=True)
    wait_until(lambda: subprocess.check_output(["sinfo", "-h", "-t", "idle", "-o", "%D"], text=True).strip() == "2")


def test_a_cancelled_job_of_slurm_is_replaced(place: Path, slurm: Path) -> None:
    def cancel(_: int, where: str) -> None:
        subprocess.run(["scancel", where.split()[1]], check=True)

    # The only one: without another there is nobody to go on.
    with doing(place / "note", cancel):
        _check(*run("slurm", place, [("once", str(place / "note")), *PLAN], n_workers=1))


def test_a_node_joins_ray(place: Path, ray_nodes: Any) -> None:
    def join(done: int, _: int) -> None:
        if done == 1:
            ray_nodes.add_node(num_cpus=1, object_store_memory=80 << 20)

    ray_nodes.add_node(num_cpus=1, object_store_memory=80 << 20)
    ray_nodes.wait_for_nodes()
    report, kept = run("ray", place, [("worker", 1.5)] * 16, progress=join)
    assert not report.failed
    assert len(set(kept.values())) == 2


def test_a_worker_joins_dask(place: Path, dask_address: str) -> None:
    with ExitStack() as workers:

        def join(done: int, _: int) -> None:
            if done == 1:
                workers.enter_context(dask_worker(dask_address, place))

        workers.enter_context(dask_worker(dask_address, place))
        report, kept = run("dask", place, [("worker", 1.5)] * 16, progress=join)
    assert not report.failed
    assert len(set(kept.values())) == 2


_BUILD = """
    import sys, time
    from pathlib import Path
    from cortax.grid.engines import Setup, start_engine
    engine = start_engine("ray", Setup(1, 1 << 20, Path(sys.argv[1])))
    print("up", flush=True)
    time.sleep(600)
"""


@pytest.fixture
def ray_build(place: Path) -> Iterator[subprocess.Popen[str]]:
    """A process with a Ray of its own, that spills into the scratch folder."""
    command = [sys.executable, "-c", textwrap.dedent(_BUILD), str(place / "scratch")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT, start_new_session=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "up\n"
        yield process
        process.kill()


def test_spilled_files_of_a_killed_build_go_with_the_next(place: Path, ray_build: subprocess.Popen[str]) -> None:
    (spill,) = (place / "scratch").glob("ray-*")
    session = Path(json.loads((spill / "owner.json").read_text())["session"])
    (spill / "spilled").write_bytes(b"x" * 1000)
    # One that runs is left alone.
    run("ray", place, [("sum", 0.0)])
    assert (spill / "spilled").exists()
    assert of_folder(session)
    assert ray_build.poll() is None
    ray_build.kill()
    ray_build.wait()
    (place / "cells.sqlite").unlink()
    (place / "capsule").rename(place / "before")
    run("ray", place, [("sum", 0.0)])
    assert not spill.exists()
    assert not session.exists()
    assert not of_folder(session)


def test_workers_of_a_killed_build_end_by_themselves(place: Path, slurm: Path) -> None:
    build = _BUILD.replace(
        '"ray", Setup(1, 1 << 20, Path(sys.argv[1]))', '"slurm", Setup(1, 1 << 20, Path(sys.argv[1]), seconds=5)'
    )
    command = [sys.executable, "-c", textwrap.dedent(build), str(place / "scratch")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "up\n"
        wait_until(lambda: " R " in subprocess.check_output(["squeue"], text=True))
        time.sleep(3)
        process.kill()
    wait_until(lambda: not subprocess.check_output(["squeue", "-h"], text=True), 60)
    for left in (place / "scratch").iterdir():
        subprocess.run(["rm", "-r", left], check=True)

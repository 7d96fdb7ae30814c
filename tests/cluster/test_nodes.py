"""Clusters of several nodes: one dies, one joins; and a build that was killed leaves nothing to the next."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np
from conftest import ROOT, SLURM, cmdline, dask_worker, doing, kill, of_folder, parent, run, wait_until
from units import PlannedTask

from cortax.workflow.work.forks import is_alive
from cortax.workflow.work.payload import write_payload
from cortax.workflow.work.pool import Report
from cortax.workflow.work.scratch import abandoned, clear_scratch

PLAN = [("sum", 0.05)] * 10


def _check(report: Report, kept: dict[str, bytes]) -> None:
    assert not report.failed
    assert kept["0/0"] == b"second time"
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
    import sys
    from pathlib import Path
    from cortax.workflow.work.backends import Setup, start_backend
    from cortax.workflow.work.payload import PayloadRef
    from cortax.workflow.work.remote import WorkerSetup, work

    if __name__ == "__main__":
        backend, place, token = sys.argv[1:]
        backend = start_backend(backend, Setup(2, 100 << 20, Path(place, "scratch"), seconds=5))
        setup = WorkerSetup(PayloadRef(f"{place}/payload", token), 100 << 20)
        backend.wait([backend.submit(work, setup, [unit]) for unit in range(2)], 600)
"""


def kill_a_build(backend: str, place: Path) -> list[Path]:
    """Kill a build with its session while a back-end does two units for it; return the folders that are left."""
    plan = [("once", str(place / "note")), ("once", str(place / "note2"))]
    ref = write_payload(place / "payload", PlannedTask(plan, np.zeros((2, 2))))
    (place / "build.py").write_text(textwrap.dedent(_BUILD))
    command = [sys.executable, place / "build.py", backend, place, ref.token]
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    with subprocess.Popen(command, cwd=ROOT, env=env, start_new_session=True) as process:
        wait_until(lambda: (place / "note").exists() and (place / "note2").exists(), 120)
        clear_scratch(place / "scratch")  # as another build does, which must let this one alone
        assert process.poll() is None
        os.killpg(process.pid, signal.SIGKILL)
    return list((place / "scratch").glob("*"))


def test_what_a_killed_build_leaves_goes_with_the_next(backend: str, place: Path) -> None:
    left = kill_a_build(backend, place)
    assert abandoned(place / "scratch") == left
    assert len(left) == 1
    (left[0] / "spilled").write_bytes(b"x" * 1000)
    (place / "payload").rename(place / "before")
    run("loky", place, [("sum", 0.0)])
    assert list((place / "scratch").iterdir()) == []
    assert not list(Path("/tmp").glob(f"cortax-{backend}-{left[0].name.split('-')[1]}-*"))
    if backend == "slurm":
        wait_until(lambda: not subprocess.check_output(["squeue", "-h"], text=True), 20)


def test_workers_of_a_killed_build_end_by_themselves(backend: str, place: Path) -> None:
    kill_a_build(backend, place)
    wait_until(lambda: not of_folder(place), 60)
    if backend == "slurm":
        wait_until(lambda: not subprocess.check_output(["squeue", "-h"], text=True), 60)
    clear_scratch(place / "scratch")


def test_a_call_that_nobody_wants_any_more_ends(place: Path, dask_address: str) -> None:
    """A cluster that was there before would go on with what it was given, whatever becomes of the build."""
    with dask_worker(dask_address, place) as first, dask_worker(dask_address, place) as second:
        assert kill_a_build("dask", place) == []
        helpers = [pid for pid in of_folder(place) if b"remote_main" in cmdline(pid)]
        assert len(helpers) == 2
        (place / "payload").rename(place / "before")  # what clearing does to the inputs of a job
        wait_until(lambda: not any(map(is_alive, helpers)), 20)
        assert first.poll() is None
        assert second.poll() is None

"""Real back-ends for the contract suite, and what must be left of them afterwards: nothing."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from units import PlannedTask

from cortax.provenance.closure.places import ROOT_VARIABLE
from cortax.workflow.work import remote
from cortax.workflow.work.backend_workers import hire_from_backend
from cortax.workflow.work.checkpoint import Checkpoint
from cortax.workflow.work.payload import write_payload
from cortax.workflow.work.pool import Report, run_units

ROOT = Path(__file__).resolve().parents[2]
SLURM = ROOT / "scripts" / "slurm"
BACKENDS = ("loky", "dask", "ray", "slurm")
# Ray and Dask leave sockets and files to the garbage collector.
QUIET = (
    "ignore::ResourceWarning",
    "ignore::DeprecationWarning",
    "ignore::FutureWarning",
    "ignore::pytest.PytestUnraisableExceptionWarning",
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.cluster)
            for warning in QUIET:
                item.add_marker(pytest.mark.filterwarnings(warning))


def cmdline(pid: int) -> bytes:
    """The arguments of a process; none where there is no such process."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""


def descendants(pid: int) -> set[int]:
    """All processes below one that live, but Python's own tracker, which ends with the process."""
    found: set[int] = set()
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        with suppress(OSError):
            for child in map(int, task.read_text().split()):
                found |= descendants(child)
                if (title := cmdline(child)) and b"resource_tracker" not in title:
                    found.add(child)
    return found


def of_folder(folder: Path) -> set[int]:
    """Processes with a folder among their arguments, wherever they come from."""
    pids = [int(entry.name) for entry in os.scandir("/proc") if entry.name.isdigit()]
    return {pid for pid in pids if os.fsencode(folder) in cmdline(pid)}


def wait_until(condition: Callable[[], Any], seconds: float = 60.0) -> Any:
    deadline = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.05)
    return found


def unused_memory() -> set[str]:
    """Names of shared memory and semaphores that no process has open: whoever made them is gone."""
    used = set()
    for maps in Path("/proc").glob("[0-9]*/maps"):
        with suppress(OSError):
            used |= {int(line.split()[4]) for line in maps.read_text().splitlines() if "/dev/shm/" in line}
    return {entry.name for entry in os.scandir("/dev/shm") if entry.is_file() and entry.inode() not in used}


@pytest.fixture
def place(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A project with a short name that has the code of `units`; in the end nobody works in it, and nothing is left."""
    folder = Path(tempfile.mkdtemp(prefix="cx-", dir="/tmp"))
    (folder / "accelerator.conf").touch()
    shutil.copy(Path(__file__).with_name("units.py"), folder)
    monkeypatch.setenv(ROOT_VARIABLE, str(folder))
    shared = unused_memory()
    below = descendants(os.getpid())
    try:
        yield folder
        remote._end_helpers()
        wait_until(lambda: not descendants(os.getpid()) - below, 20)
        wait_until(lambda: not of_folder(folder), 20)
        assert unused_memory() <= shared
        assert not list(Path("/tmp").glob(f"cortax-*-{os.getpid()}-*"))
        assert not (folder / "scratch").exists() or not os.listdir(folder / "scratch")
    finally:
        shutil.rmtree(folder)


def free_ports(n: int) -> int:
    """The first of so many ports in a row that nobody listens to, nor is likely to at the same moment."""
    for first in range(20000 + os.getpid() % 3000 * n, 32000, n):
        with ExitStack() as sockets:
            try:
                for port in range(first, first + n):
                    sockets.enter_context(socket.socket()).bind(("127.0.0.1", port))
            except OSError:
                continue
        return first
    raise AssertionError("no ports are free")


@pytest.fixture(scope="session")
def slurm() -> Iterator[Path]:
    """A SLURM of two nodes."""
    if os.environ.get("CORTAX_WITHOUT_SLURM"):
        pytest.skip("SLURM IS NOT TESTED: it is not installed, and CORTAX_WITHOUT_SLURM says that it need not be")
    if os.geteuid() or shutil.which("slurmctld") is None:
        pytest.fail("needs root and `scripts/slurm install`")
    folder = Path(tempfile.mkdtemp(prefix="sl-", dir="/tmp"))
    env = {**os.environ, "CORTAX_SLURM_PORT": str(free_ports(3))}
    done = subprocess.run([SLURM, "start", folder], env=env, check=False, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    os.environ |= {"SLURM_CONF": done.stdout.strip(), "CORTAX_SLURM_HOST": "127.0.0.1"}
    yield folder
    subprocess.run([SLURM, "stop", folder], check=True, timeout=60)
    del os.environ["SLURM_CONF"], os.environ["CORTAX_SLURM_HOST"]
    assert not of_folder(folder)


@pytest.fixture(params=BACKENDS)
def backend(request: pytest.FixtureRequest) -> str:
    """The name of each back-end, which can be started."""
    if request.param == "slurm":
        request.getfixturevalue("slurm")
    return str(request.param)


@contextmanager
def ray_cluster() -> Iterator[Any]:
    """A Ray whose head does no work; nodes can be added to it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER", "0")
        from ray.cluster_utils import Cluster

        head = {"num_cpus": 0, "object_store_memory": 80 << 20, "include_dashboard": False}
        cluster = Cluster(initialize_head=True, head_node_args=head)
        patch.setenv("CORTAX_RAY_ADDRESS", cluster.address)
        try:
            yield cluster
        finally:
            cluster.shutdown()


@pytest.fixture
def ray_nodes(place: Path) -> Iterator[Any]:
    """A Ray of several nodes; more can be added to it."""
    with ray_cluster() as cluster:
        yield cluster


@contextmanager
def dask_worker(address: str, scratch: Path) -> Iterator[subprocess.Popen[bytes]]:
    command = [sys.executable, "-m", "distributed.cli.dask_worker", address, "--nthreads", "1", "--no-dashboard"]
    command += ["--local-directory", str(scratch)]
    # Elsewhere: what lies here would be imported before what PYTHONPATH says.
    with subprocess.Popen(command, stderr=subprocess.DEVNULL, cwd=scratch) as process:
        try:
            yield process
        finally:
            process.terminate()


@contextmanager
def dask_scheduler(folder: Path) -> Iterator[str]:
    """The address of a Dask scheduler without workers, see `dask_worker`."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"tcp://127.0.0.1:{free.getsockname()[1]}"
    command = [sys.executable, "-m", "distributed.cli.dask_scheduler", "--host", "127.0.0.1", "--no-dashboard"]
    command += ["--port", address.rpartition(":")[2]]
    with (
        subprocess.Popen(command, stderr=subprocess.DEVNULL, cwd=folder) as process,
        pytest.MonkeyPatch.context() as patch,
    ):
        patch.setenv("CORTAX_DASK_ADDRESS", address)
        try:
            yield address
        finally:
            process.terminate()


@pytest.fixture
def dask_address(place: Path) -> Iterator[str]:
    """A Dask scheduler without workers, see `dask_worker`."""
    with dask_scheduler(place) as address:
        yield address


def run(
    backend: str,
    place: Path,
    plan: list[tuple[str, Any]],
    *,
    n_workers: int = 2,
    memory: int = 400 << 20,
    seconds: float | None = None,
    progress: Callable[[int, int], None] = lambda done, n: None,
) -> tuple[Report, dict[str, bytes]]:
    """Have units of `units` done, level after level, as a job would; for keys see `PlannedTask`."""
    task = PlannedTask(plan, np.arange(10_000.0).reshape(100, 100))
    ref, units = write_payload(place / "payload", task), task.units()
    costs = [unit.cost for unit in units]
    with (
        Checkpoint(place / "units.sqlite") as checkpoint,
        hire_from_backend(backend, ref, place / "scratch", costs, seconds=seconds) as hire,
    ):
        report = run_units(units, checkpoint, hire, n_workers=n_workers, memory=memory, progress=progress)
        return report, checkpoint.values()


@contextmanager
def doing(note: Path, deed: Callable[[int, str], None]) -> Iterator[None]:
    """While a unit called "once" runs: do something, given its worker, and SLURM's names of its node and job."""
    failed = []

    def watch() -> None:
        try:
            wait_until(note.exists, 120)
            worker, _, node = note.read_text().partition(" ")
            deed(int(worker), node)
        except BaseException as error:
            failed.append(error)

    thread = threading.Thread(target=watch)
    thread.start()
    yield
    thread.join()
    assert not failed, failed


def kill(pid: int) -> None:
    os.kill(pid, signal.SIGKILL)


def parent(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])

"""Whole builds by every back-end: the same bytes; killed at any place they go on; and in the end nothing is left."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
from conftest import cmdline, dask_scheduler, dask_worker, ray_cluster, unused_memory, wait_until

from tests.e2e.conftest import SOURCE, Project, toy_project

pytestmark = pytest.mark.timeout(900, func_only=True)

# A pipeline whose fits wait as long as a file is there, and note that they were begun.
CALM = """
import time
from pathlib import Path

from sklearn.linear_model import LogisticRegression, Ridge

HOLD = Path(__file__).parents[1] / "hold"


def wait():
    with open(HOLD.with_name("begun"), "a") as file:
        file.write(".")
    while HOLD.exists():
        time.sleep(0.05)


class CalmRidge(Ridge):
    def fit(self, X, y):
        wait()
        return super().fit(X, y)


class CalmLogistic(LogisticRegression):
    def fit(self, X, y):
        wait()
        return super().fit(X, y)
"""
RIDGE = """[pipelines.ridge]
kind = "ridge"
n_configs = 3
"""
PIPELINE = """[pipelines.calm]
kind = "sklearn"
regression = "dev.calm:CalmRidge"
classification = "dev.calm:CalmLogistic"
n_configs = 2
"""
SOFT = """[parcellations.soft]
kind = "weights"
file = "input/mini/soft.npy"

"""
N_JOBS = 2  # a search and an evaluation
BUILD = [sys.executable, "-c", "from cortax.cli import main; main()", "build", "mini"]


class Study:
    """A project whose searches and evaluations can be made to run again."""

    def __init__(self, root: Path) -> None:
        self.project, self.root, self._round = Project(root), root, 0
        self.project.write("dev/calm.py", CALM)
        self.project.edit("studies/mini.toml", RIDGE, PIPELINE)
        self.project.edit("studies/mini.toml", SOFT, "")
        self.hold, self._begun = root / "hold", root / "begun"
        self.wanted: dict[str, str] = {}
        self.scores = b""

    def note(self) -> None:
        """Take what there is now for what every other build must find."""
        self.wanted = digests(self.root)
        self.scores = (self.root / "results/mini/scores.parquet").read_bytes()

    def another_round(self) -> None:
        """Have all of `tune` and `evaluate` run again, with no other result."""
        self._round += 1
        for name in ("methods/regions/a_tune.py", "methods/regions/a_evaluate.py"):
            self.project.write(name, f"{(SOURCE / name).read_text()}\n\nROUND = {self._round}\n")

    def begun(self) -> int:
        return self._begun.stat().st_size if self._begun.exists() else 0

    def build(self) -> str:
        done = subprocess.run(
            BUILD, cwd=self.root, env=self.project.env, capture_output=True, text=True, check=False, timeout=500
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    @contextmanager
    def building(self) -> Iterator[subprocess.Popen[str]]:
        """A build whose cells wait; it goes on when `hold` is removed."""
        self.hold.touch()
        begun = self.begun()
        with subprocess.Popen(
            BUILD,
            cwd=self.root,
            env=self.project.env,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        ) as process:
            try:
                wait_until(lambda: self.begun() >= begun + 2, 300)
                yield process
            finally:
                self.hold.unlink(missing_ok=True)
                process.kill()

    def server(self) -> int:
        return int((self.root / ".cortax/server.pid").read_text())

    def drivers(self) -> list[int]:
        """Processes of Exax that have an engine."""
        pids = [int(entry.name) for entry in os.scandir("/proc") if entry.name.isdigit()]
        return [pid for pid in pids if b" analysis(0)" in cmdline(pid) and str(self.root) in _cwd(pid)]


def digests(root: Path) -> dict[str, str]:
    """Of the results of a project's jobs, the newest of each name, but for the page: it names the jobs of its build."""
    found = {}
    folders = (root / "workdirs/main").glob("main-[0-9]*/outputs.json")
    for path in sorted(folders, key=lambda path: int(path.parent.name.partition("-")[2])):
        record = json.loads(path.read_text())
        found[record["name"]] = record["digest"]
    return {name: digest for name, digest in found.items() if not name.endswith("/report")}


def backends(root: Path, n_jobs: int) -> set[str]:
    """Which back-ends worked for a project's newest jobs that had units."""
    paths = sorted((root / "workdirs/main").glob("main-*/pool.json"), key=lambda path: path.stat().st_mtime)
    return {json.loads(path.read_text())["backend"] for path in paths[-n_jobs:]}


def _cwd(pid: int) -> str:
    try:
        return os.readlink(f"/proc/{pid}/cwd")
    except OSError:
        return ""


def workers_of(root: Path) -> set[int]:
    """All processes that were started for a project, however they call themselves and whoever adopted them."""
    found = set()
    for entry in os.scandir("/proc"):
        try:
            if entry.name.isdigit() and int(entry.name) != os.getpid():
                text = b"".join(Path(entry.path, name).read_bytes() for name in ("cmdline", "environ"))
                if os.fsencode(root) in text or str(root) in _cwd(int(entry.name)):
                    found.add(int(entry.name))
        except OSError:
            continue
    return found


@pytest.fixture(scope="module")
def study(request: pytest.FixtureRequest) -> Iterator[Study]:
    """A study that was built once by forks; its results are the wanted ones."""
    if not os.environ.get("CORTAX_WITHOUT_SLURM"):
        request.getfixturevalue("slurm")  # its address must be in the server's environment
    root = Path(tempfile.mkdtemp(prefix="cx-", dir="/tmp"))
    made = Study(root)
    try:
        made.build()
        made.note()
        yield made
    finally:
        made.hold.unlink(missing_ok=True)
        made.project.cortax("down", "--force", check=False)
        subprocess.run(["rm", "-rf", root], check=True)


@contextmanager
def backend(name: str, project: Project, request: pytest.FixtureRequest) -> Iterator[None]:
    """What a user sets and has running; and afterwards nothing of it is left."""
    engine, _, address = name.partition(" ")
    if engine == "slurm":
        request.getfixturevalue("slurm")
    project.cortax("down")
    others, shared, sockets = workers_of(project.root), unused_memory(), _sockets()
    with ExitStack() as stack, pytest.MonkeyPatch.context() as patch:
        patch.setenv("CORTAX_BACKEND", engine)
        patch.setenv("CORTAX_MEMORY", "2GB")
        if address:
            stack.enter_context(_cluster(engine, project))
        yield
        project.cortax("down")
    assert not _sockets() - sockets
    _check_nothing_left(project, others, shared)


@contextmanager
def _cluster(engine: str, project: Project) -> Iterator[None]:
    if engine == "ray":
        with ray_cluster() as cluster:
            for _ in range(2):
                cluster.add_node(num_cpus=1, object_store_memory=80 << 20)
            cluster.wait_for_nodes()
            yield
    else:
        with (
            tempfile.TemporaryDirectory(dir="/tmp") as folder,
            dask_scheduler(project.root) as address,
            dask_worker(address, Path(folder)),
            dask_worker(address, Path(folder)),
        ):
            yield


def _sockets() -> set[Path]:
    """Folders for sockets whose processes have ended; those of another project on this machine live."""
    folders = Path("/tmp").glob("cortax-*-*-*-*")
    return {folder for folder in folders if not os.path.exists(f"/proc/{folder.name.split('-')[2]}")}


def _check_nothing_left(project: Project, others: set[int], shared: set[str]) -> None:
    wait_until(lambda: not workers_of(project.root) - others, 30)
    assert unused_memory() <= shared
    assert not list((project.root / ".cortax/backends").glob("*"))
    assert not list((project.root / ".cortax/running").glob("*"))
    assert not list((project.root / ".socket.dir").glob("*"))
    if "SLURM_CONF" in os.environ:
        assert not subprocess.check_output(["squeue", "-h"], text=True)


def _check_same(study: Study, name: str) -> None:
    assert backends(study.root, N_JOBS) == {name.partition(" ")[0]}
    assert digests(study.root) == study.wanted
    assert (study.root / "results/mini/scores.parquet").read_bytes() == study.scores


@pytest.mark.parametrize("name", ["loky", "dask", "ray", "slurm"])
def test_a_build_that_is_killed_with_all_its_processes(name: str, study: Study, request: pytest.FixtureRequest) -> None:
    study.another_round()
    with backend(name, study.project, request):
        with study.building() as build:
            os.killpg(study.server(), signal.SIGKILL)
            os.killpg(build.pid, signal.SIGKILL)
            # The cells still wait: whoever works on them must be ended.
            study.project.cortax("down")
            wait_until(lambda: not workers_of(study.root) - {build.pid}, 30)
            assert not list((study.root / ".cortax/backends").glob("*"))
        assert study.build().count("same results as") == N_JOBS
    _check_same(study, name)


@pytest.mark.parametrize("name", ["dask at an address", "ray at an address"])
def test_a_job_and_a_server_that_are_killed(name: str, study: Study, request: pytest.FixtureRequest) -> None:
    study.another_round()
    with backend(name, study.project, request), study.building() as build:
        begun = study.begun()
        os.kill(wait_until(study.drivers)[0], signal.SIGKILL)
        wait_until(lambda: study.begun() >= begun + 2, 300)
        os.kill(study.server(), signal.SIGKILL)
        study.hold.unlink()
        said, _ = build.communicate(timeout=500)
        assert build.returncode == 0, said
        assert "was killed: going on from" in said
        assert "the Exax server is gone: going on" in said
    _check_same(study, name)


@pytest.fixture(scope="module")
def toy(request: pytest.FixtureRequest) -> Iterator[Project]:
    """A project of a workload that another package has, built once by forks."""
    if not os.environ.get("CORTAX_WITHOUT_SLURM"):
        request.getfixturevalue("slurm")
    root = Path(tempfile.mkdtemp(prefix="cx-", dir="/tmp"))
    project = toy_project(root)
    try:
        project.cortax("build", "toy")
        yield project
    finally:
        project.cortax("down", "--force", check=False)
        shutil.rmtree(root)


@pytest.mark.parametrize("name", ["slurm", "dask at an address", "ray at an address"])
def test_a_workload_of_another_package(name: str, toy: Project, request: pytest.FixtureRequest) -> None:
    wanted = digests(toy.root)
    toy.write("toy/task.py", f"{(SOURCE / 'tests/toy/toy/task.py').read_text()}\n\nBACKEND = {name!r}\n")
    with backend(name, toy, request):
        toy.cortax("build", "toy")
    counts = ["count/1", "count/2", "count/3"]
    assert sorted(toy.build_log()["ran"]) == [*counts, "report"]
    assert backends(toy.root, len(counts)) == {name.partition(" ")[0]}
    assert digests(toy.root) == wanted

"""A whole small project in a short path, with its own Exax server, for tests that build."""

import fcntl
import json
import os
import re
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import psutil
import pytest

SOURCE = Path(__file__).resolve().parents[2]
BIN = Path(sys.executable).parent

FIRST = "first-build.json"

STUDY = """
name = "mini"
title = "Twenty-four subjects of noise"
simulated = true
seed = 7

[images]
root = "input/mini"
space = "fsaverage3"
max_missing = 0.05
maps = { thickness = "{participant_id}/{participant_id}_hemi-{hemi}_thickness.npy" }

[phenotypes]
file = "input/mini/participants.tsv"
group = "family_id"
confounds = ["age"]

[targets.fluid]
kind = "regression"

[targets.sex]
kind = "classification"
positive = "F"

[splits]
n_outer = 3
n_inner = 2

[parcellations.blocks]
kind = "labels"
file = "input/mini/blocks.npy"

[parcellations.soft]
kind = "weights"
file = "input/mini/soft.npy"

[pipelines.ridge]
kind = "ridge"
n_configs = 3

[report]
enabled = false # most tests look at other jobs, and it takes seconds

[evaluate]
confidence = 0.90
metrics = { regression = ["r2"], classification = ["roc_auc"] }
"""


@dataclass
class Run:
    """What one build printed: for each job its name's method and whether it was made or linked."""

    code: int
    text: str
    seconds: float

    @property
    def made(self) -> list[str]:
        """Methods that ran, in order."""
        return re.findall(r"^   - (\S+)\s+(?:DONE|MAKE)", self.text, re.M)

    @property
    def linked(self) -> list[str]:
        """Methods that were reused, in order."""
        return re.findall(r"^   - (\S+)\s+link", self.text, re.M)


class Project:
    """A copy of the code, a small study, and a server on it."""

    study = "mini"  # which one is built and looked at

    first: Run  # the build that it began with

    def __init__(self, root: Path, built: Path | None = None) -> None:
        """Begin anew, or as a copy of a project that has been built."""
        self.root = root
        self.started: list[subprocess.Popen[str]] = []
        if built:
            shutil.copytree(built, root, symlinks=True, dirs_exist_ok=True)
            self.first = Run(**json.loads((root / FIRST).read_text()))
            return
        ignore = shutil.ignore_patterns("__pycache__")
        for folder in ("cortax", "methods", "dev"):
            shutil.copytree(SOURCE / folder, root / folder, ignore=ignore)
        for file in ("accelerator.conf", "requirements.lock", "requirements-data.lock"):
            shutil.copy(SOURCE / file, root / file)
        (root / "workdirs" / "main").mkdir(parents=True)
        (root / "studies").mkdir()
        (root / "overlay").mkdir()
        self.write("studies/mini.toml", STUDY)
        write_cohort(root / "input" / "mini")

    @property
    def env(self) -> dict[str, str]:
        path = os.pathsep.join([str(self.root / "overlay"), str(self.root)])
        return {**os.environ, "PYTHONPATH": path, "CORTAX_STUDIES": f"studies/{self.study}.toml", "COLUMNS": "200"}

    def write(self, name: str, text: str) -> None:
        (self.root / name).write_text(text)

    def edit(self, name: str, old: str, new: str) -> None:
        text = (self.root / name).read_text()
        assert text.count(old) >= 1, f"{old!r} not in {name}"
        self.write(name, text.replace(old, new, 1))

    def cortax(self, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-c", "from cortax.cli import main; main()", *arguments]
        done = subprocess.run(command, cwd=self.root, env=self.env, capture_output=True, text=True, timeout=240)
        assert not check or done.returncode == 0, done.stdout + done.stderr
        return done

    def ax(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [BIN / "ax", *arguments], cwd=self.root, env=self.env, capture_output=True, text=True, timeout=240
        )

    def start(self, *command: str | Path) -> subprocess.Popen[str]:
        """Begin a build, which can be harmed meanwhile: `ax run studies`, or another command."""
        build = subprocess.Popen(
            command or [BIN / "ax", "run", "studies"],
            cwd=self.root,
            env=self.env,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        self.started.append(build)
        return build

    def start_build(self, study: str = "mini") -> subprocess.Popen[str]:
        """Begin `cortax build`."""
        return self.start(sys.executable, "-c", "from cortax.cli import main; main()", "build", study)

    def n_kept(self) -> int:
        """How many units of the running job are kept."""
        for path in (self.root / ".cortax/running").glob("*.sqlite"):
            with suppress(sqlite3.Error), closing(sqlite3.connect(path, timeout=5)) as base:
                return base.execute("SELECT count(*) FROM finished").fetchone()[0]
        return 0

    def kill(self, build: subprocess.Popen[str]) -> None:
        """Kill a build, the server, which would go on with its job, and whatever works here."""
        os.killpg(build.pid, signal.SIGKILL)
        build.communicate()
        os.killpg(int((self.root / ".cortax/server.pid").read_text()), signal.SIGKILL)
        for process in psutil.process_iter(["cwd"]):
            if str(process.info["cwd"]).startswith(str(self.root)):
                process.kill()

    def assert_resumed(self, *names: str) -> None:
        """One of these jobs began with some of its units, not with all."""
        pools = [json.loads((self.job(name) / "pool.json").read_text()) for name in names]
        assert any(0 < pool["n_resumed"] < pool["n_units"] for pool in pools)

    @staticmethod
    def wait_for(condition, seconds: float = 150):
        """Wait until a condition holds, and return what it returned."""
        deadline = time.monotonic() + seconds
        while time.monotonic() < deadline:
            if found := condition():
                return found
            time.sleep(0.02)
        raise AssertionError("did not happen in time")

    def run(self, *flags: str, check: bool = True) -> Run:
        """Build the study through `ax run`."""
        started = time.monotonic()
        done = self.ax("run", "--quiet", *flags, "studies")
        text = re.sub(r"\x1b\[[0-9;]*[mK]", "", done.stdout + done.stderr)
        assert not check or done.returncode == 0, text
        return Run(done.returncode, text, time.monotonic() - started)

    def build_log(self) -> dict:
        return json.loads((self.root / f"results/{self.study}/build.json").read_text())

    def scores(self) -> pd.DataFrame:
        return pd.read_parquet(self.root / f"results/{self.study}/scores.parquet")

    def job(self, name: str) -> Path:
        """Folder of a job of the last build that ran anything."""
        return self.root / "workdirs/main" / self.build_log()["jobs"][name]

    def jobs(self) -> dict[str, str]:
        return self.build_log()["jobs"]


def toy_project(root: Path) -> Project:
    """A project that has the toy, as its package and methods would be installed, and one line in its settings."""
    project = Project(root)
    for name in ("toy", "toy_methods", "toy-1.0.dist-info"):
        shutil.copytree(SOURCE / "tests/toy" / name, root / name)
    shutil.copy(SOURCE / "tests/toy/toy.toml", root / "studies")
    project.edit("accelerator.conf", "method packages:\n", "method packages:\n\ttoy_methods auto-discover\n")
    project.study = "toy"
    return project


def write_cohort(folder: Path, n_subjects: int = 24) -> None:
    """Write maps of 2 x 642 vertices, a table with families and two parcellations of 10 and 4 regions."""
    folder.mkdir(parents=True)
    rng = np.random.default_rng(0)
    families = np.arange(n_subjects) // 2
    fluid = rng.normal(size=n_subjects)
    sex = np.array(["F", "M"])[rng.permutation(np.arange(n_subjects) % 2)]
    for i in range(n_subjects):
        subject = f"sub-{i:03d}"
        (folder / subject).mkdir()
        for hemi in "LR":
            values = rng.normal(2.5, 0.5, 642) + 0.2 * fluid[i]
            np.save(folder / subject / f"{subject}_hemi-{hemi}_thickness.npy", values.astype(np.float32))
    table = pd.DataFrame(
        {
            "participant_id": [f"sub-{i:03d}" for i in range(n_subjects)],
            "family_id": [f"fam-{family:02d}" for family in families],
            "age": rng.uniform(9, 11, n_subjects).round(2),
            "fluid": fluid.round(4),
            "sex": sex,
        }
    )
    table.to_csv(folder / "participants.tsv", sep="\t", index=False)
    np.save(folder / "blocks.npy", (np.arange(1284) * 10 // 1284 + 1).astype(np.int32))
    np.save(folder / "soft.npy", rng.uniform(size=(1284, 4)))
    # Digests of files that changed a moment ago are not remembered; make these look settled.
    past = time.time() - 60
    for path in folder.rglob("*.npy"):
        os.utime(path, (past, past))


@pytest.fixture(scope="session")
def built_once(tmp_path_factory):
    """Folder of a project with one finished build: made once for all processes of pytest, and copied."""
    base = tmp_path_factory.getbasetemp()
    folder = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "built"
    with open(folder.with_suffix(".lock"), "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (folder / FIRST).exists():
            made = Project(folder)
            made.cortax("up")
            try:
                first = made.run()
            finally:
                made.cortax("down", "--force")
            made.write(FIRST, json.dumps(vars(first)))
    return folder


@pytest.fixture(scope="module")
def project(built_once):
    """A project with a running server and one finished build."""
    root = Path(tempfile.mkdtemp(prefix="cx"))
    made = Project(root, built_once)
    try:
        made.cortax("up")
        yield made
    finally:
        made.cortax("down", "--force", check=False)
        shutil.rmtree(root, ignore_errors=True)

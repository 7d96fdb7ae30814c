"""A job whose processes die or whose units fail keeps what is done, goes on, and ends with the same bytes."""

import json
import os
import re
import signal
import subprocess
from contextlib import suppress
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

# Each unit of `tune` notes that it was begun, waits a while, and fails where it is told to.
HARM = """
import os, time
from pathlib import Path

FOLDER = Path({folder!r})
ROUND = 0

def harm(key):
    name = key.replace(", outer fold ", "@")
    with open(FOLDER / "begun", "a") as file:
        file.write(f"{{os.getpid()}} {{name}}\\n")
    time.sleep(float((FOLDER / "seconds").read_text()))
    if (FOLDER / name).exists():
        exec((FOLDER / name).read_text())

__all__"""
UNIT = "self.units()[unit].keys[0]"
N_UNITS = 6  # of each of two jobs: two tasks, three outer folds


class Harm:
    """Slows a task down (that of `tune`) and makes units of it fail; how, is no part of its key."""

    def __init__(self, project, file, what, unit=UNIT):
        self.folder, self.project, self._n = project.root / "harm", project, 0
        self.file = file
        self.folder.mkdir()
        (self.folder / "seconds").write_text("0")
        code = HARM.format(folder=str(self.folder))
        project.edit(file, "\n__all__", code)
        project.edit(file, what, f"harm({unit})")

    def another_round(self, seconds=0.0):
        """Make all jobs of the method run again, with no other result."""
        self.project.edit(self.file, f"ROUND = {self._n}", f"ROUND = {self._n + 1}")
        self._n += 1
        self.calm(seconds)

    def calm(self, seconds=0.0):
        for path in self.folder.iterdir():
            path.unlink()
        (self.folder / "seconds").write_text(str(seconds))

    def cell(self, name, code):
        (self.folder / name).write_text(code)

    @property
    def begun(self):
        path = self.folder / "begun"
        return [line.split() for line in path.read_text().splitlines()] if path.exists() else []

    def wait(self, n, seconds=60):
        """Wait until so many units were begun."""
        self.project.wait_for(lambda: len(self.begun) >= n, seconds)


@pytest.fixture(scope="module")
def harm(project):
    unit = "self.units()[self.cut.batches.index(batch)].keys[0]"
    return Harm(project, "cortax/workloads/regions/tasks/search.py", '"""Search a batch."""', unit)


@pytest.fixture(autouse=True)
def nothing_goes_on(project):
    """End what a test that failed has left: the next one would find its build, not its own."""
    yield
    for build in project.started:
        if build.poll() is None:
            project.cortax("down", "--force", check=False)
            os.killpg(build.pid, signal.SIGKILL)
            build.communicate()
            project.cortax("up")
            for path in (project.root / ".cortax" / "running").iterdir():
                path.unlink()
    project.started.clear()


@pytest.fixture(scope="module")
def undisturbed(project, harm):
    """Digests of all results of a build that nothing happened to."""
    project.run()
    return digests(project)


def digests(project):
    """Of the results of all jobs but the page, which names the jobs of its build."""
    jobs = [name for name in project.jobs() if name != "report"]
    return {name: json.loads((project.job(name) / "outputs.json").read_text())["digest"] for name in jobs}


def finish(build, *, good=True):
    """Wait for a build and return what it printed; `good` None where it may end either way."""
    text, _ = build.communicate(timeout=120)
    text = re.sub(r"\x1b\[[0-9;]*[mK]", "", text)
    assert good is None or (build.returncode == 0) == good, text
    return text


def job_processes(project):
    """Slices and their workers: those at home in a job's folder."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                state = (entry / "stat").read_text().rpartition(")")[2].split()
                if state[0] != "Z" and os.readlink(entry / "cwd").startswith(f"{project.root}/workdirs/main/main-"):
                    found.append((int(entry.name), int(state[1])))
            except OSError:
                continue
    return found


def parent_of(pid):
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


def running(project):
    return sorted(path.name for path in (project.root / ".cortax/running").glob("*.sqlite"))


def test_nothing_is_left_of_a_build_that_ended_well(project, undisturbed):
    assert list((project.root / ".cortax/running").iterdir()) == []
    assert job_processes(project) == []


def test_the_job_tells_how_it_was_run(project, undisturbed):
    told = json.loads((project.job("tune/blocks/ridge") / "pool.json").read_text())
    assert (told["n_units"], told["n_resumed"], told["failed"]) == (N_UNITS, 0, [])
    assert told["done"] == {"2": N_UNITS}
    assert told["threads"]
    assert set(told["threads"].values()) == {1}


def test_any_number_of_workers_finds_the_same(project, harm, undisturbed, monkeypatch):
    harm.another_round()
    monkeypatch.setenv("CORTAX_WORKERS", "5")
    run = project.run()
    assert run.made == ["tune", "tune"]
    assert run.text.count("same results as") == 2
    assert digests(project) == undisturbed
    told = [json.loads((job / "pool.json").read_text()) for job in newest(project, "tune", 2)]
    assert [job["done"] for job in told] == [{"5": N_UNITS}] * 2


def newest(project, method, n):
    """Folders of the newest finished jobs of a method."""
    found = []
    for path in (project.root / "workdirs/main").glob("main-[0-9]*/post.json"):
        if json.loads((path.parent / "setup.json").read_text())["method"] == method:
            found.append(path.parent)
    return sorted(found, key=lambda folder: int(folder.name.rpartition("-")[2]))[-n:]


def test_a_worker_is_killed(project, harm, undisturbed):
    harm.another_round(0.3)
    build = project.start()
    harm.wait(3)
    os.kill(int(harm.begun[-1][0]), signal.SIGKILL)
    text = finish(build)
    assert text.count("same results as") == 2
    assert len(harm.begun) == 2 * N_UNITS + 1
    told = json.loads((newest(project, "tune", 2)[0] / "pool.json").read_text())
    assert told["done"] == {"1": 1, "2": N_UNITS - 1}
    assert running(project) == []


def test_a_slice_is_killed(project, harm, undisturbed):
    harm.another_round(0.3)
    build = project.start()
    harm.wait(4)
    worker = int(harm.begun[-1][0])
    os.kill(parent_of(worker), signal.SIGKILL)
    project.wait_for(lambda: worker not in [pid for pid, _ in job_processes(project)], 30)
    text = finish(build)
    assert text.count("same results as") == 2
    assert "was killed: going on from" in text
    # Two were in flight, and two more at most were done and not counted yet.
    assert 2 * N_UNITS < len(harm.begun) <= 2 * N_UNITS + 2
    assert digests(project) == undisturbed
    assert running(project) == []


def test_the_server_is_killed(project, harm, undisturbed):
    harm.another_round(0.3)
    build = project.start()
    harm.wait(4)
    os.kill(int((project.root / ".cortax/server.pid").read_text()), signal.SIGKILL)
    project.wait_for(lambda: not job_processes(project), 30)
    os.killpg(build.pid, signal.SIGKILL)
    build.communicate()
    assert len(running(project)) == 1
    project.cortax("up")
    run = project.run()
    assert run.text.count("same results as") == 2
    assert "units were done before" in outputs_of(project)
    assert len(harm.begun) <= 2 * N_UNITS + 2
    assert digests(project) == undisturbed
    assert running(project) == []


def test_a_second_script_costs_the_first_no_more_than_a_moment(project, harm, undisturbed):
    """Two `ax run` at once: the second waits, is refused, or kills a job of the first, which is asked for again.

    Exax lets it wait while a job runs, and loads the methods anew, which ends what runs, if it finds the server idle
    between two of them. Only then does it come to our lock.
    """
    harm.another_round()
    harm.cell("fluid@2", "while not (FOLDER / 'go').exists(): time.sleep(0.02)")
    build = project.start()
    harm.wait(4)
    second = project.start()
    with suppress(subprocess.TimeoutExpired):
        second.wait(timeout=5)
    harm.cell("go", "")
    text = finish(build)
    refused = finish(second, good=None)
    assert second.returncode == 0 or "another build is running" in refused
    assert "tune" not in [line.split()[1] for line in refused.splitlines() if " MAKE " in line]
    n_again = len(harm.begun) - 2 * N_UNITS
    assert 0 <= n_again <= 2
    assert "was killed: going on from" in text or not n_again  # it may be killed before it begins a batch
    assert digests(project) == undisturbed
    assert running(project) == []


def outputs_of(project):
    """What the newest searches printed."""
    printed = []
    for folder in newest(project, "tune", 2):
        printed += [path.read_text() for path in (folder / "OUTPUT").iterdir()]
    return "".join(printed)


def test_an_interrupted_build_keeps_its_cells(project, harm, undisturbed):
    harm.another_round(0.3)
    build = project.start()
    harm.wait(4)
    os.killpg(build.pid, signal.SIGINT)
    finish(build, good=False)
    project.wait_for(lambda: not job_processes(project), 30)
    assert len(running(project)) == 1
    n_begun = len(harm.begun)
    project.run()
    assert len(harm.begun) <= 2 * N_UNITS + 2
    assert len(harm.begun) - n_begun <= 2 * N_UNITS - 2
    assert digests(project) == undisturbed


def test_units_that_fail_are_told_and_the_next_build_tries_just_those(project, harm, undisturbed):
    harm.another_round()
    harm.cell("fluid@1", "raise ValueError('cannot be')")
    harm.cell("sex@0", "os._exit(3)")
    failed = project.run(check=False)
    assert failed.code != 0
    assert "2 units failed; the others are kept:" in failed.text
    assert "fluid, outer fold 1: ValueError: cannot be" in failed.text
    assert "sex, outer fold 0: exit: the process ended with exit status 3 (tried 2 times)" in failed.text
    assert job_processes(project) == []
    harm.calm()
    run = project.run()
    assert run.text.count("same results as") == 2
    assert sorted(cell for _, cell in harm.begun) == ["fluid@1"] * 2 + ["sex@0"] * 2
    assert digests(project) == undisturbed
    assert running(project) == []


def test_memory_that_is_not_enough_is_told(project, harm, undisturbed, monkeypatch):
    harm.another_round()
    harm.cell("sex@2", "import numpy as np; np.ones(500_000_000, np.uint8)")
    monkeypatch.setenv("CORTAX_MEMORY", "400MB")
    failed = project.run(check=False)
    assert failed.code != 0
    assert re.search(r"sex, outer fold 2: .*MemoryError.*needs at least 5\d\d MB, and had 400 MB", failed.text)
    harm.cell("sex@2", "import numpy as np; np.ones(300_000_000, np.uint8)")
    project.run()
    assert digests(project) == undisturbed


def test_a_unit_that_hangs_is_told(project, harm, undisturbed, monkeypatch):
    harm.another_round()
    harm.cell("fluid@0", "time.sleep(60)")
    monkeypatch.setenv("CORTAX_CELL_SECONDS", "1.5")
    failed = project.run(check=False)
    assert failed.code != 0
    assert "fluid, outer fold 0: timeout: not done after 1.5 s (tried 2 times)" in failed.text
    harm.calm()
    project.run()
    assert digests(project) == undisturbed


def test_a_damaged_checkpoint_is_set_aside(project, harm, undisturbed):
    harm.another_round()
    harm.cell("fluid@1", "raise ValueError('cannot be')")
    project.run(check=False)
    for name in running(project):
        path = project.root / ".cortax/running" / name
        path.write_bytes(b"not a database, but long enough to be looked at".ljust(8192, b"."))
    harm.calm()
    project.run()
    assert len(harm.begun) == 2 * N_UNITS
    assert outputs_of(project).count("damaged (file is not a database); set aside as") == 2
    assert digests(project) == undisturbed


def test_a_wrong_setting_is_refused(project, undisturbed, monkeypatch):
    monkeypatch.setenv("CORTAX_BACKEND", "slcies")
    failed = project.run(check=False)
    assert failed.code != 0
    allowed = ["dask", "loky", "ray", "slices", "slurm"]
    assert f"CORTAX_BACKEND: got 'slcies', must be one of {allowed}; did you mean 'slices'?" in failed.text

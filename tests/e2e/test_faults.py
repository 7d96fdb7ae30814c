"""A build that is killed, starved or misused says so, loses nothing that was finished, and goes on."""

import json
import os
import re
import shutil
import signal
import subprocess
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow


def _slow_evaluate(project):
    """Make `evaluate` wait before its cells, so that there is time to harm it."""
    project.edit(
        "methods/regions/a_evaluate.py",
        "    run_task(",
        "    import os, time\n    while not sliceno and os.path.exists(WAIT):\n        time.sleep(0.05)\n    run_task(",
    )
    wait = project.root / "wait"
    project.edit("methods/regions/a_evaluate.py", 'jobs = ("regions"', f'WAIT = "{wait}"\njobs = ("regions"')
    wait.touch()
    return wait


def _analysis_processes(project):
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                title = (entry / "cmdline").read_bytes()
                cwd = os.readlink(entry / "cwd")
            except OSError:
                continue
            if b" analysis(0)" in title and cwd.startswith(str(project.root)):
                found.append(int(entry.name))
    return found


@pytest.fixture
def waiting(project):
    wait = _slow_evaluate(project)
    yield wait
    wait.unlink(missing_ok=True)
    project.cortax("up", check=False)


def test_killed_slice(project, waiting):
    build = project.start()
    slices = project.wait_for(lambda: _analysis_processes(project))
    os.kill(slices[0], signal.SIGKILL)
    waiting.unlink()
    text, _ = build.communicate(timeout=120)
    assert build.returncode == 0, text
    assert "a process of evaluate/blocks/ridge was killed: going on from 0 finished cells" in text
    assert project.run().made == []


def test_killed_build_script_and_server(project, waiting):
    project.edit("methods/regions/a_evaluate.py", "refits not converged", "refits that did not converge")
    build = project.start()
    project.wait_for(lambda: _analysis_processes(project))
    os.killpg(build.pid, signal.SIGKILL)
    build.communicate()
    pid = int((project.root / ".cortax/server.pid").read_text())
    os.killpg(pid, signal.SIGKILL)
    for process in _analysis_processes(project):
        os.kill(process, signal.SIGKILL)
    waiting.unlink()
    project.cortax("up")
    run = project.run()
    assert set(run.made) == {"evaluate"}
    assert project.run().made == []


def _finished(project, method):
    """Ids of finished jobs of a method."""
    folders = sorted((project.root / "workdirs/main").glob("main-[0-9]*/post.json"))
    return [f.parent.name for f in folders if json.loads((f.parent / "setup.json").read_text())["method"] == method]


def test_an_interrupted_search_is_not_half_recorded(project):
    wait = project.root / "wait"
    wait.touch()
    slow = f"    import os, time\n    while os.path.exists({str(wait)!r}):\n        time.sleep(0.05)\n"
    project.edit("methods/regions/a_tune.py", "    run_task(", slow + "    run_task(")
    before = _finished(project, "tune")
    build = project.start()
    project.wait_for(lambda: _analysis_processes(project))
    os.killpg(build.pid, signal.SIGINT)
    text, _ = build.communicate(timeout=60)
    assert build.returncode != 0
    assert "interrupted; the running job was stopped" in text
    project.wait_for(lambda: not _analysis_processes(project))
    wait.unlink()
    assert _finished(project, "tune") == before
    run = project.run()
    assert run.made == ["tune", "tune"]


HUNGRY = """
import numpy as np
from sklearn.linear_model import Ridge, RidgeClassifier

class Calm(RidgeClassifier):
    pass

class Hungry(Ridge):
    def fit(self, X, y):
        if self.alpha > 1 and ENOUGH < 1:
            np.empty(1 << 50)
        return super().fit(X, y)
"""
PIPELINE = """[pipelines.hungry]
kind = "sklearn"
regression = "dev.hungry:Hungry"
classification = "dev.hungry:Calm"
n_configs = 3
space = { alpha = [2.0, 3.0] }

"""


def test_a_search_without_memory_is_not_half_recorded(project):
    project.write("dev/hungry.py", HUNGRY + "ENOUGH = 0\n")
    project.edit("studies/mini.toml", "[evaluate]", PIPELINE + "[evaluate]")
    before = _finished(project, "tune")
    failed = project.run(check=False)
    assert failed.code != 0
    assert "MemoryError" in failed.text
    assert _finished(project, "tune") == before
    project.write("dev/hungry.py", HUNGRY + "ENOUGH = 1\n")
    run = project.run()
    assert run.made == ["tune", "tune", "evaluate", "evaluate", "scores"]
    project.edit("studies/mini.toml", PIPELINE, "")


def test_two_builds_at_once(project):
    held = subprocess.Popen(["flock", str(project.root / ".cortax/build.lock"), "sleep", "60"], start_new_session=True)
    try:
        project.wait_for(
            lambda: subprocess.run(["flock", "-n", str(project.root / ".cortax/build.lock"), "true"]).returncode
        )
        second = project.cortax("build", "mini", check=False)
        assert second.returncode == 1
        assert "another build is running" in second.stderr
        direct = project.run(check=False)
        assert direct.code != 0
        assert "another build is running" in direct.text
    finally:
        os.killpg(held.pid, signal.SIGKILL)
        held.wait()


def test_disk_full(project):
    """A file size limit stands in for a full disk: the write fails with an error, as it does there."""
    project.edit("methods/regions/a_load.py", "def synthesis(job):", "OTHER = 1\n\n\ndef synthesis(job):")
    limit = "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))"
    project.edit("methods/regions/a_load.py", "    files = find_images", f"    {limit}\n    files = find_images")
    failed = project.run(check=False)
    assert failed.code != 0
    assert "File too large" in failed.text
    project.edit("methods/regions/a_load.py", f"    {limit}\n", "")
    run = project.run()
    assert run.made == ["load"]


def test_a_path_too_long_for_sockets(project, tmp_path):
    deep = tmp_path / ("x" * 60) / ("y" * 60)
    (deep / "workdirs/main").mkdir(parents=True)
    (deep / "accelerator.conf").write_text("")
    done = subprocess.run(
        [os.sys.executable, "-c", "from cortax.cli import main; main()", "up"],
        cwd=deep,
        env={**project.env, "PYTHONPATH": str(project.root)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 1
    assert "too long for the server's sockets" in done.stderr
    assert not (deep / ".socket.dir").exists()


def test_nothing_listens_beyond_the_machine_and_sockets_are_private(project):
    assert (project.root / ".socket.dir").stat().st_mode & 0o777 == 0o700
    pid = int((project.root / ".cortax/server.pid").read_text())
    inodes = set()
    for entry in Path("/proc").iterdir():
        try:
            group = int((entry / "stat").read_text().rpartition(")")[2].split()[2]) if entry.name.isdigit() else 0
            if group == pid:
                inodes |= {os.readlink(fd) for fd in (entry / "fd").iterdir()}
        except OSError:
            continue
    sockets = {re.sub(r"\D", "", name) for name in inodes if name.startswith("socket:")}
    assert sockets
    for table in ("tcp", "tcp6", "udp", "udp6"):
        for line in Path("/proc/net", table).read_text().splitlines()[1:]:
            assert line.split()[9] not in sockets, line


def test_down_leaves_no_process(project):
    pid = int((project.root / ".cortax/server.pid").read_text())
    project.cortax("down")
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                stat = (entry / "stat").read_text().rpartition(")")[2].split()
            except OSError:
                continue
            assert int(stat[2]) != pid or stat[0] == "Z"
    project.cortax("up")


def test_a_parcellation_file_that_changes_during_the_build(project):
    """The key was made of the old bytes: a job that finds others must not file its results under it."""
    path = project.root / "input/mini/soft.npy"
    good = path.read_bytes()
    project.edit(
        "methods/regions/a_parcellate.py",
        "    maps = open_maps",
        "    if options.name == 'soft':\n"
        f"        with open({str(path)!r}, 'r+b') as file:\n"
        "            file.seek(-1, 2)\n"
        "            file.write(b'0')\n"
        "    maps = open_maps",
    )
    failed = project.run(check=False)
    assert failed.code != 0
    assert "parcellation 'soft': a file of ['input/mini/soft.npy'] changed; build again" in failed.text
    path.write_bytes(good)
    shutil.copy(
        Path(__file__).resolve().parents[2] / "methods/regions/a_parcellate.py", project.root / "methods/regions"
    )
    assert project.run().code == 0


@pytest.mark.parametrize("harm", ["folder", "null", "cut"])
def test_what_is_remembered_between_builds_may_be_harmed(project, harm):
    """Caches, settings, manifests: a build makes them anew and runs nothing again."""
    project.run()
    home = project.root / ".cortax"
    kept = [*home.glob("*.json"), *home.glob("manifests/*.txt")]
    assert {"digests.json", "packages.json", "settings.json", "sizes.json", "progress.json"} <= {p.name for p in kept}
    for path in kept:
        content = path.read_bytes()
        path.unlink()
        if harm == "folder":
            path.mkdir()
            (path / "x").write_text("in the way")
        else:
            path.write_bytes(b"null" if harm == "null" else content[: len(content) // 2])
    done = project.cortax("build", "mini")
    assert "0 jobs ran" in done.stdout, done.stdout + done.stderr
    assert "Traceback" not in done.stdout + done.stderr
    assert all(path.is_file() for path in kept)

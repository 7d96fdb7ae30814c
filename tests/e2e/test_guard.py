"""What keeps Exax from starting is mended; a build goes on after its server was killed; gc takes only what it may."""

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from cortax.project import is_up
from cortax.workflow.guarding.processes import left_behind, live_servers
from cortax.workflow.guarding.urd_lists import entries

pytestmark = pytest.mark.slow


def _server(project):
    return int((project.root / ".cortax/server.pid").read_text())


def _kill_server(project):
    """Only the server itself: what it started lives on, as after an out-of-memory kill."""
    pid = _server(project)
    os.kill(pid, signal.SIGKILL)
    project.wait_for(lambda: not live_servers(project.root))


def _processes_of(project):
    """Pids of all that works in the project, such as a server, its board and its jobs."""
    found = []
    for entry in Path("/proc").iterdir():
        try:
            if entry.name.isdigit() and os.readlink(entry / "cwd").startswith(str(project.root)):
                found.append(int(entry.name))
        except OSError:
            continue
    return found


def _quarantined(project):
    folder = project.root / ".cortax/quarantine"
    return {path.name for path in folder.rglob("*") if path.is_file()}


@pytest.fixture
def stopped(project):
    """The project, built, without its server."""
    project.cortax("down")
    yield project
    project.cortax("up")


def _cut(path):
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def _refuses(project):
    """Without the doctor, Exax does not start."""
    server = [Path(sys.executable).parent / "ax", "server"]
    done = subprocess.run(
        server, cwd=project.root, env=project.env, capture_output=True, timeout=60, start_new_session=True
    )
    return b"Serving on" not in done.stderr


def test_a_cut_post_is_written_as_it_was(stopped):
    path = stopped.job("tune/blocks/ridge") / "post.json"
    before = json.loads(path.read_text())
    _cut(path)
    assert _refuses(stopped)
    started = stopped.cortax("up")
    assert f"job {path.parent.name}: post.json is damaged" in started.stderr
    after = json.loads(path.read_text())
    assert after.pop("exectime").keys() == before.pop("exectime").keys()
    assert after == before
    assert stopped.run().made == []


def test_the_post_of_a_build_script_is_written_as_it_was(stopped):
    path = stopped.root / "workdirs/main" / entries(stopped.root)[-1].build_job / "post.json"
    before = json.loads(path.read_text())
    _cut(path)
    stopped.cortax("up")
    assert json.loads(path.read_text())["files"] == before["files"]
    assert stopped.run().made == []
    assert "scores" in stopped.cortax("results", "mini", "--why").stdout


def test_a_cut_setup_costs_one_job_and_what_depends_on_it(stopped):
    scores = stopped.scores()
    job = stopped.job("tune/soft/ridge")
    kept = sorted(path.name for path in job.iterdir() if path.name not in ("setup.json", "post.json"))
    _cut(job / "setup.json")
    assert _refuses(stopped)
    told = stopped.cortax("doctor", "--dry-run", check=False)
    assert told.returncode == 1
    assert f"BAD  job {job.name}: setup.json is damaged" in told.stdout
    assert (job / "setup.json").exists()
    mended = stopped.cortax("doctor")
    assert f"FIX  job {job.name}: setup.json is damaged" in mended.stdout
    assert sorted(path.name for path in job.iterdir()) == kept
    assert {"setup.json", "post.json", "what.txt"} <= _quarantined(stopped)
    # Results stay where they were linked from, and can be read before the next build, too.
    assert stopped.scores().equals(scores)
    stopped.cortax("up")
    run = stopped.run()
    assert set(run.made) == {"tune", "evaluate", "scores"} or set(run.made) == {"tune", "evaluate"}
    assert run.made.count("tune") == 1
    assert stopped.scores().equals(scores)


def test_a_cut_setup_under_a_running_server_is_told_and_mended(project):
    project.run()
    _cut(project.job("tune/soft/ridge") / "setup.json")
    refused = project.cortax("build", "mini", check=False)
    assert refused.returncode == 1
    assert "setup.json: not readable" in refused.stdout + refused.stderr
    assert "Traceback" not in refused.stdout + refused.stderr
    project.cortax("doctor")
    assert "tune" in project.run().made


def test_a_cut_list_keeps_its_good_builds(stopped):
    stopped.edit("studies/mini.toml", "confidence = 0.90", "confidence = 0.91")
    stopped.cortax("up")
    stopped.run()
    stopped.cortax("down")
    path = next((stopped.root / "urd.db").glob("*/mini.urd"))
    text = path.read_bytes()
    path.write_bytes(text[:-25])
    assert _refuses(stopped)
    assert "urd list" in stopped.cortax("up").stderr
    lines = text.splitlines(keepends=True)
    assert path.read_bytes() == b"".join(lines[:-1])
    # The build is entered again, from jobs that are all there.
    assert stopped.run().made == []
    assert len(path.read_bytes().splitlines()) == len(lines)
    stopped.edit("studies/mini.toml", "confidence = 0.91", "confidence = 0.90")


def test_the_doctor_mends_under_a_running_server_and_starts_it_again(project):
    project.cortax("up")
    project.run()
    pid = _server(project)
    path = project.job("evaluate/soft/ridge") / "post.json"
    _cut(path)
    mended = project.cortax("doctor")
    assert f"FIX  job {path.parent.name}" in mended.stdout
    assert "started again" in mended.stdout
    assert _server(project) != pid
    assert project.run().made == []
    assert "FIX" not in project.cortax("doctor").stdout


def test_other_slices_are_no_reason_not_to_start(stopped, monkeypatch):
    monkeypatch.setenv("AX_SLICES", "3")
    assert _refuses(stopped)
    assert "made with '2' slices, now there are 3" in stopped.cortax("up").stderr
    assert stopped.run().made == []
    assert "roc_auc" in stopped.ax("grep", "roc_auc", ":mini:scores", "metric").stdout
    stopped.cortax("down")
    monkeypatch.delenv("AX_SLICES")
    stopped.cortax("up")
    assert stopped.run().made == []


def test_workdir_and_sockets_elsewhere(stopped, monkeypatch, tmp_path):
    workdir = stopped.root / "elsewhere"
    (workdir / "main").mkdir(parents=True)
    monkeypatch.setenv("AX_WORKDIR", str(workdir))
    monkeypatch.setenv("AX_SOCK", "s")
    (stopped.root / "s").mkdir()
    (stopped.root / "s").chmod(0o755)
    assert "made private" in stopped.cortax("up").stderr
    assert stopped.run().linked == []
    stopped.cortax("down")
    job = (stopped.root / "results/mini/scores.parquet").resolve().parent
    assert job.parent == workdir / "main"
    _cut(job / "post.json")
    assert f"job {job.name}" in stopped.cortax("up").stderr
    assert stopped.run().made == []
    stopped.cortax("down")
    assert os.listdir(stopped.root / "s") == []


def test_a_broken_method_and_an_unknown_key_are_named(stopped):
    stopped.write("methods/a_broken.py", "def synthesis(:\n")
    found = stopped.cortax("doctor", check=False)
    assert found.returncode == 1
    assert "BAD  code methods/a_broken.py: invalid syntax" in found.stdout
    (stopped.root / "methods/a_broken.py").unlink()
    conf = (stopped.root / "accelerator.conf").read_text()
    stopped.write("accelerator.conf", conf + "colour: blue\n")
    failed = stopped.cortax("up", check=False)
    assert failed.returncode == 1
    assert "Unknown key 'colour'" in failed.stderr
    stopped.write("accelerator.conf", conf)


def test_down_leaves_no_process_socket_or_lock(project):
    project.cortax("up")
    assert len(_processes_of(project)) >= 2
    project.cortax("down")
    assert _processes_of(project) == []
    assert os.listdir(project.root / ".socket.dir") == []
    assert not (project.root / ".cortax/server.pid").exists()
    # The same after a server that was killed: its board lives on.
    project.cortax("up")
    _kill_server(project)
    assert project.wait_for(lambda: left_behind(project.root))
    assert project.cortax("down").stdout == "no server was running\n"
    assert _processes_of(project) == []
    assert os.listdir(project.root / ".socket.dir") == []
    project.cortax("up")


def test_a_server_without_work_ends(stopped, monkeypatch):
    monkeypatch.setenv("CORTAX_SERVER_IDLE", "2s")
    stopped.cortax("up")
    stopped.wait_for(lambda: not is_up(stopped.root))
    log = stopped.root / ".cortax/server.log"
    stopped.wait_for(lambda: "the server had no work for 2 s and was ended (server_idle)" in log.read_text())
    assert stopped.cortax("down").stdout == "no server was running\n"


def test_a_server_of_another_shell_is_ended_only_by_force(stopped):
    server = stopped.start(Path(sys.executable).parent / "ax", "server")
    try:
        stopped.wait_for(lambda: is_up(stopped.root))
        refused = stopped.cortax("down", check=False)
        assert refused.returncode == 1
        assert re.search(rf"\(process {server.pid}, started .*\) that `cortax up` did not start", refused.stderr)
        ended = stopped.cortax("down", "--force")
        assert ended.stdout == "server ended\n"
        assert f"it was process {server.pid}, started" in ended.stderr
        assert f"(process {os.getpid()}) in {stopped.root}, " in ended.stderr
        assert not _processes_of(stopped)
    finally:
        server.kill()
        server.communicate()


def test_two_at_once_start_one_server(stopped):
    command = [sys.executable, "-c", "from cortax.cli import main; main()", "up"]
    started = [
        subprocess.Popen(command, cwd=stopped.root, env=stopped.env, stdout=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    said = sorted(each.communicate(timeout=120)[0] for each in started)
    assert said == ["server is running already\n", "server started\n"]
    assert [server.pid for server in live_servers(stopped.root)] == [_server(stopped)]


WAIT = "    import os, time\n    while os.path.exists({wait!r}):\n        time.sleep(0.05)\n"


@pytest.fixture
def slow(project):
    """The project with jobs of `evaluate` that are to run and wait for a file to go."""
    wait = project.root / f"wait{time.time_ns()}"  # other code than in every earlier test
    text = (project.root / "methods/regions/a_evaluate.py").read_text()
    head, _, body = text.partition("def analysis(")
    signature, _, rest = body.partition(":\n")
    project.write(
        "methods/regions/a_evaluate.py", f"{head}def analysis({signature}:\n{WAIT.format(wait=str(wait))}{rest}"
    )
    wait.touch()
    yield wait
    wait.unlink(missing_ok=True)
    project.write("methods/regions/a_evaluate.py", text)
    project.cortax("down", "--force", check=False)
    project.cortax("up")
    assert project.run().code == 0


def _analyses(project):
    found = []
    for pid in _processes_of(project):
        try:
            if b"analysis(" in Path(f"/proc/{pid}/cmdline").read_bytes():
                found.append(pid)
        except OSError:
            continue
    return found


def test_a_killed_server_is_started_again_and_the_build_goes_on(project, slow):
    scores = project.scores()
    build = project.start_build()
    orphans = project.wait_for(lambda: _analyses(project))
    _kill_server(project)
    after = project.wait_for(lambda: (found := _analyses(project)) and not set(found) & set(orphans) and found)
    slow.unlink()
    text, _ = build.communicate(timeout=200)
    assert build.returncode == 0, text
    assert "the Exax server is gone: going on from" in text
    assert "left behind by a server that is gone" in text
    assert not set(orphans) & set(_processes_of(project)), after
    assert project.scores().equals(scores)
    assert project.run().made == []


def _parts(project, title):
    """Processes of the server with such a title, the first started first."""
    found = []
    for pid in _processes_of(project):
        with contextlib.suppress(OSError):
            if re.search(title, Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode()):
                found.append(pid)
    return sorted(found)


@pytest.mark.parametrize(
    ("title", "part"),
    [(r"/runner\.py ", "the process that runs its jobs"), (r"^main iowrapper", "the process that takes its output")],
)
def test_a_server_that_can_do_no_job_any_more_is_started_anew(project, slow, title, part):
    """It answers, and every job fails."""
    scores = project.scores()
    build = project.start_build()
    project.wait_for(lambda: _analyses(project))
    os.kill(_parts(project, title)[0], signal.SIGKILL)
    slow.unlink()
    text, _ = build.communicate(timeout=200)
    assert build.returncode == 0, text
    assert f"the Exax server had lost {part}, and was ended: going on from" in text
    assert project.scores().equals(scores)
    assert project.run().made == []


def test_a_server_that_waits_for_a_job_in_vain_is_started_anew(project, slow):
    """Of a runner's two processes the second is to tell the server that the job has ended."""
    scores = project.scores()
    build = project.start_build()
    project.wait_for(lambda: _analyses(project))
    _, waiter = project.wait_for(lambda: len(found := _parts(project, r"/runner\.py ")) == 2 and found)
    os.kill(waiter, signal.SIGKILL)
    slow.unlink()
    text, _ = build.communicate(timeout=200)
    assert build.returncode == 0, text
    assert "the Exax server is gone: going on from" in text
    assert project.scores().equals(scores)


def test_the_doctor_finds_a_server_that_can_do_no_job_any_more(project):
    project.cortax("up")
    os.kill(_parts(project, r"/runner\.py ")[0], signal.SIGKILL)
    project.wait_for(lambda: not _parts(project, r"/runner\.py "))
    told = project.cortax("doctor", "--dry-run", check=False)
    assert "BAD  server: has lost the process that runs its jobs; would be: ended" in told.stdout
    assert "FIX  server: has lost the process that runs its jobs" in project.cortax("doctor").stdout
    assert project.run().made == []


def test_a_killed_script_waits_for_its_job_and_goes_on(project, slow):
    before = _finished(project, "evaluate")
    build = project.start_build()
    project.wait_for(lambda: _analyses(project))
    (script,) = _scripts(build)
    os.kill(script, signal.SIGKILL)
    for line in build.stdout:
        if "waiting for the job that is running" in line:
            break
    slow.unlink()
    text, _ = build.communicate(timeout=200)
    assert build.returncode == 0, text
    assert "the build script was killed (signal 9): going on from" in text
    # What ran meanwhile was kept: each of the two ran once.
    assert len(_finished(project, "evaluate")) == len(before) + 2


def _scripts(build):
    """The `ax run` of a build."""
    found = []
    with contextlib.suppress(OSError):  # any of them may end meanwhile
        for pid in Path(f"/proc/{build.pid}/task/{build.pid}/children").read_text().split():
            if b"run studies" in Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" "):
                found.append(int(pid))
    return found


def _finished(project, method):
    folders = sorted((project.root / "workdirs/main").glob("main-[0-9]*/post.json"))
    return [f.parent.name for f in folders if json.loads((f.parent / "setup.json").read_text())["method"] == method]


def test_a_build_that_gets_nowhere_gives_up(project):
    build = project.start_build()
    killed = set()
    while build.poll() is None:
        if (live := {server.pid for server in live_servers(project.root)} - killed) and _scripts(build):
            os.kill(*live, signal.SIGKILL)
            killed |= live
        time.sleep(0.1)
    text, _ = build.communicate()
    assert build.returncode == 1, text
    assert "5 times in a row without any progress" in text
    assert len(killed) == 5


def test_a_study_that_is_wrong_is_tried_once(project):
    project.edit("studies/mini.toml", 'group = "family_id"', 'group = "famly_id"')
    build = project.start_build()
    text, _ = build.communicate(timeout=200)
    project.edit("studies/mini.toml", 'group = "famly_id"', 'group = "family_id"')
    assert build.returncode == 1
    assert text.count("did you mean 'family_id'") == 1
    assert "going on" not in text


def test_an_interrupted_build_is_not_started_again(project, slow):
    build = project.start_build()
    project.wait_for(lambda: _analyses(project))
    os.killpg(build.pid, signal.SIGINT)
    text, _ = build.communicate(timeout=60)
    assert build.returncode == 130
    assert "going on" not in text
    project.wait_for(lambda: not _analyses(project))


def test_nothing_is_pulled_away_from_a_build(project, slow):
    build = project.start_build()
    project.wait_for(lambda: _analyses(project))
    for command in ("down", "gc"):
        refused = project.cortax(command, check=False)
        assert refused.returncode == 1
        assert f"another build is running (process {build.pid}); wait for it" in refused.stderr
    # The variable by which a build tells its script of its lock, copied from elsewhere, opens nothing.
    path = project.root / ".cortax/build.lock"
    with open(path) as stolen:
        code = f"import os; os.environ['CORTAX_BUILD_LOCK_HELD'] = '{stolen.fileno()}'"
        command = [sys.executable, "-c", f"{code}; from cortax.cli import main; main()", "build", "mini"]
        again = subprocess.run(
            command, cwd=project.root, env=project.env, pass_fds=(stolen.fileno(),), capture_output=True, text=True
        )
    assert "another build is running" in again.stderr
    told = project.cortax("doctor", check=False)
    assert told.returncode == 0, told.stdout
    assert len(_analyses(project)) == 2
    slow.unlink()
    build.communicate(timeout=200)
    assert build.returncode == 0


def test_a_forced_end_ends_the_build_and_leaves_nothing(project, slow):
    build = project.start_build()
    project.wait_for(lambda: _analyses(project))
    assert project.cortax("down", "--force").stdout == "server ended\n"
    build.communicate(timeout=60)
    assert build.returncode == -signal.SIGKILL
    assert _processes_of(project) == []


def test_gc_keeps_all_that_the_latest_build_needs(project):
    """Three versions of a study: with one build each to count, all that is left is reused, whatever was older goes."""
    project.cortax("up")
    project.run()
    project.edit("studies/mini.toml", "n_configs = 3", "n_configs = 4")
    project.run()
    project.edit("studies/mini.toml", "confidence = 0.90", "confidence = 0.92")
    run = project.run()
    assert "evaluate" in run.made
    assert "tune" in run.linked
    jobs = project.jobs()
    before = set(os.listdir(project.root / "workdirs/main"))
    # An early cut-off: what is below was made from the older of two jobs with the same results.
    told = project.cortax("gc", "--builds", "1").stdout
    assert re.search(r"^main-\d+: no build needs it", told, re.M)
    assert "with --yes it does" in told
    assert set(os.listdir(project.root / "workdirs/main")) == before
    size = sum(path.stat().st_size for path in (project.root / "workdirs/main").rglob("*") if path.is_file())
    done = project.cortax("gc", "--builds", "1", "--yes").stdout
    listed = re.findall(r"^(main-\d+): no build needs it", told, re.M)
    assert listed == re.findall(r"^(main-\d+): no build needs it", done, re.M)
    after = set(os.listdir(project.root / "workdirs/main"))
    assert before - after == set(listed)
    assert sum(path.stat().st_size for path in (project.root / "workdirs/main").rglob("*") if path.is_file()) < size
    # The server that ran meanwhile knows what is gone, and one that starts now, too.
    assert project.run().made == []
    assert project.jobs() == jobs
    # An older study that was removed is made again, under numbers that were never given.
    project.edit("studies/mini.toml", "n_configs = 4", "n_configs = 3")
    rerun = project.run()
    assert "tune" in rerun.made
    assert not set(project.jobs().values()) & set(listed)
    project.cortax("down")
    project.cortax("up")
    assert project.run().made == []
    assert project.cortax("verify").returncode == 0


def test_gc_without_limits_keeps_every_build_that_is_listed(project):
    project.cortax("up")
    project.run()
    project.cortax("gc", "--yes")
    assert "would remove 0 things" in project.cortax("gc").stdout
    before = set(os.listdir(project.root / "workdirs/main"))
    for study in ("confidence = 0.90", "confidence = 0.92"):
        text = re.sub(r"confidence = 0\.\d+", study, (project.root / "studies/mini.toml").read_text())
        project.write("studies/mini.toml", text)
        project.run()
    made = set(os.listdir(project.root / "workdirs/main")) - before
    told = project.cortax("gc").stdout
    gone = set(re.findall(r"^(main-\d+): no build needs it", told, re.M))
    jobs = {
        json.loads((project.root / "workdirs/main" / job / "setup.json").read_text())["method"] for job in gone & made
    }
    assert jobs <= {"dev.build_studies", "build_studies"}

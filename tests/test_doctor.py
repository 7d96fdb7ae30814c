"""The doctor finds what stops Exax, mends it, and keeps what was in the way; Exax itself says whether it can read."""

import json
import multiprocessing
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest
from accelerator.urd import DB
from accelerator.urd import Entry as UrdEntry

from cortax.errors import ProjectError
from cortax.workflow.guarding.faults import job_faults, process_faults, server_faults, socket_faults
from cortax.workflow.guarding.mending import mend
from cortax.workflow.guarding.processes import _processes, end, left_behind, live_servers, lost_parts, works
from cortax.workflow.guarding.project_faults import code_faults, folder_faults, setting_faults
from cortax.workflow.guarding.quarantine import Quarantine
from cortax.workflow.guarding.urd_lists import entries, urd_faults

TIMES = ("starttime", "endtime", "exectime")
SETUP = {
    "version": 4,
    "jobid": "main-7",
    "method": "load",
    "hash": "0" * 40,
    "starttime": 1.0,
    "endtime": 2.0,
    "exectime": {"total": 1.0},
    "options": {},
    "datasets": {},
    "jobs": {},
}
POST = {
    "version": 1,
    "files": ["maps.npy"],
    "subjobs": {},
    "starttime": 1.0,
    "endtime": 2.0,
    "exectime": {"total": 1.0},
}


def treated(faults, root):
    return list(mend(faults, Quarantine(root)))


def quarantined(root):
    """Content by name of what was moved away, without the notes."""
    found = (root / ".cortax/quarantine").rglob("*")
    return {path.name: path.read_bytes() for path in found if path.is_file() and path.name != "what.txt"}


@pytest.fixture
def urd(tmp_path):
    """A list of three builds and another of one, written by Exax's own urd."""
    base = DB(str(tmp_path / "urd.db"), verbose=False)
    for name, day in (("mini", 1), ("mini", 2), ("other", 3), ("mini", 4)):
        jobs = [["load", f"main-{day}1"], ["scores", f"main-{day}2"]]
        about = {"timestamp": f"2026-11-0{day}T10:00:00.000001", "user": "me", "build": name, "caption": "two, said"}
        base.add(UrdEntry(joblist=jobs, deps={}, flags=[], build_job=f"main-{day}0", **about))
    return tmp_path


def read_by_exax(root):
    base = DB(str(root / "urd.db"), verbose=False)
    return {name: sorted(known) for name, known in base.db.items()}


def test_a_list_cut_at_any_byte_keeps_its_good_entries(urd):
    path = urd / "urd.db/me/mini.urd"
    text = path.read_bytes()
    days = ["2026-11-01T10:00:00.000001", "2026-11-02T10:00:00.000001", "2026-11-04T10:00:00.000001"]
    ends = [place for place, byte in enumerate(text) if byte == 10]
    for n_bytes in range(ends[0] - 5, len(text)):
        path.write_bytes(text[:n_bytes])
        n_whole = sum(end <= n_bytes for end in ends)  # a line is whole when only its end is missing
        treated(urd_faults(urd), urd)
        known = read_by_exax(urd)
        assert known.get("me/mini", []) == days[:n_whole], n_bytes
        assert known["me/other"] == ["2026-11-03T10:00:00.000001"]
        assert [entry.timestamp for entry in entries(urd) if entry.name == "me/mini"] == days[:n_whole]
        assert path.read_bytes() == text[: ends[n_whole - 1] + 1 if n_whole else 0]
        assert not list(urd_faults(urd))


def test_what_is_cut_off_is_kept(urd):
    path = urd / "urd.db/me/mini.urd"
    path.write_bytes(path.read_bytes()[:-20])
    before = path.read_bytes()
    (fault,) = treated(urd_faults(urd), urd)
    assert fault.subject == "urd list me/mini"
    assert "line 3" in fault.problem
    assert quarantined(urd) == {"mini.urd": before}


@pytest.mark.parametrize(
    "harm",
    [
        b"\0" * 300,
        b"\xff\xfe not text",
        b"4\t2026-11-05T10:00:00.000001\tadd\t",
        b'4\t2026-11-05T10:00:00.000001\tadd\tnever\tme/mini\t{}\t[]\t\t""\t"main-1"',
        b"4\t2026-11-05T10:00:00.000001\tgrow\t2026-11-01\tme/mini",
    ],
)
def test_a_bad_line_in_the_middle(urd, harm):
    path = urd / "urd.db/me/mini.urd"
    known = read_by_exax(urd)
    first, *others = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(first + harm + b"\n" + b"".join(others))
    with pytest.raises((AssertionError, ValueError, IndexError)):
        read_by_exax(urd)
    treated(urd_faults(urd), urd)
    assert read_by_exax(urd) == known


def test_a_copied_list_does_not_stop_the_server(urd):
    known = read_by_exax(urd)
    (urd / "urd.db/a").mkdir()
    text = (urd / "urd.db/me/mini.urd").read_bytes()
    (urd / "urd.db/a/mini.urd").write_bytes(text)
    with pytest.raises(AssertionError):
        read_by_exax(urd)
    treated(urd_faults(urd), urd)
    assert (urd / "urd.db/me/mini.urd").read_bytes() == text
    assert read_by_exax(urd) == known


def test_entries_are_those_that_hold(urd):
    base = DB(str(urd / "urd.db"), verbose=False)
    base.truncate("me/mini", "2026-11-02T10:00:00.000001")
    about = {"user": "me", "build": "other", "caption": "", "deps": {}, "flags": ["update"], "build_job": "main-90"}
    base.add(UrdEntry(timestamp="2026-11-03T10:00:00.000001", joblist=[["scores", "main-91"]], **about))
    found = {(entry.name, entry.timestamp): (entry.jobs, entry.build_job) for entry in entries(urd)}
    assert {(name, time) for name, times in read_by_exax(urd).items() for time in times} == set(found)
    assert found["me/other", "2026-11-03T10:00:00.000001"] == (("main-91",), "main-90")
    assert found["me/mini", "2026-11-01T10:00:00.000001"] == (("main-11", "main-12"), "main-10")


@pytest.fixture
def job(tmp_path):
    folder = tmp_path / "workdirs/main/main-7"
    folder.mkdir(parents=True)
    (folder / "setup.json").write_text(json.dumps(SETUP))
    (folder / "post.json").write_text(json.dumps(POST))
    (folder / "maps.npy").write_bytes(b"results")
    return folder


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("", "setup.json is damaged (Expecting value"),
        (json.dumps(SETUP)[:100], "setup.json is damaged"),
        ("\0" * 200, "setup.json is damaged"),
        ("[]", "setup.json is damaged (not an object)"),
        (json.dumps(SETUP | {"version": 9}), "setup.json is of version 9"),
        (json.dumps(SETUP | {"options": None}), "setup.json is damaged (no good options)"),
        (json.dumps(SETUP | {"exectime": {}}), "setup.json is damaged (no good exectime.total)"),
        (json.dumps(SETUP | {"jobid": "main-5"}), "setup.json is that of job main-5: the folder was copied or renamed"),
        (None, "setup.json is missing"),
    ],
)
def test_a_job_whose_setup_is_gone_is_passed_over_and_keeps_its_results(tmp_path, job, content, said):
    (job / "setup.json").unlink()
    if content is not None:
        (job / "setup.json").write_text(content)
    (fault,) = treated(job_faults(job.parent), tmp_path)
    assert fault.problem.startswith(said)
    assert sorted(os.listdir(job)) == ["maps.npy"]
    assert json.loads(quarantined(tmp_path)["post.json"]) == POST
    assert quarantined(tmp_path).get("setup.json", b"").decode() == (content or "")
    assert not list(job_faults(job.parent))


@pytest.mark.parametrize("content", ["", json.dumps(POST)[:40], "{}", "[1]", json.dumps(POST | {"subjobs": 3})])
def test_a_damaged_post_is_written_anew(tmp_path, job, content):
    (job / "post.json").write_text(content)
    (fault,) = treated(job_faults(job.parent), tmp_path)
    assert "post.json is damaged" in fault.problem
    assert json.loads((job / "post.json").read_text()) == POST
    assert quarantined(tmp_path) == {"post.json": content.encode()}


def test_a_job_that_did_not_end_well_is_left_alone(tmp_path, job):
    (job / "post.json").unlink()
    (job / "setup.json").write_text("")
    assert not list(job_faults(job.parent))


def test_what_only_a_person_can_mend_is_an_error(tmp_path, job):
    (job / "setup.json").unlink()
    (job / "setup.json").mkdir()
    with pytest.raises(ProjectError, match=r"job main-7: .*setup.json|cannot be read \(Is a directory\); make"):
        treated(job_faults(job.parent), tmp_path)
    assert (job / "post.json").exists()


def test_sockets(tmp_path, monkeypatch):
    folder = tmp_path / ".socket.dir"
    folder.mkdir(mode=0o755)
    folder.chmod(0o755)
    (folder / "urd").write_text("not a socket")
    with socket.socket(socket.AF_UNIX) as stale, socket.socket(socket.AF_UNIX) as live:
        monkeypatch.chdir(tmp_path)  # sockets have short names
        stale.bind(".socket.dir/server")
        live.bind(".socket.dir/board")
        live.listen()
        said = [fault.remedy for fault in treated(socket_faults(tmp_path), tmp_path)]
        assert said == ["made private (700)", "removed", "moved to quarantine"]
        assert sorted(os.listdir(folder)) == ["board"]
    assert folder.stat().st_mode & 0o777 == 0o700
    assert quarantined(tmp_path) == {"urd": b"not a socket"}


def test_a_folder_that_is_not_only_for_sockets_is_not_made_private(tmp_path, monkeypatch):
    monkeypatch.setenv("AX_SOCK", "shared")
    (tmp_path / "shared").mkdir()
    (tmp_path / "shared").chmod(0o755)
    (tmp_path / "shared/thesis.tex").write_text("")
    with pytest.raises(ProjectError, match="set AX_SOCK to a folder for sockets only"):
        treated(socket_faults(tmp_path), tmp_path)
    assert (tmp_path / "shared").stat().st_mode & 0o777 == 0o755


CONF = """
slices: ${AX_SLICES=2}
workdirs:
	main ./workdirs/main
method packages:
	methods auto-discover
listen: .socket.dir/server
"""


@pytest.fixture
def conf(tmp_path, job):
    (tmp_path / "methods").mkdir()
    (tmp_path / "methods/__init__.py").write_text("")
    (tmp_path / "accelerator.conf").write_text(CONF)
    return tmp_path


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("listen:", "lissen:", "line 7 .*Unknown key 'lissen'"),
        ("slices: ${AX_SLICES=2}\n", "", "KeyError: 'slices'"),
        ("${AX_SLICES=2}", "many", "invalid literal for int.*many"),
        (
            "methods auto",
            "methodz auto",
            "names the method package 'methodz', of which there is no",
        ),
    ],
)
def test_settings_that_are_wrong_are_named(conf, old, new, said):
    assert not list(setting_faults(conf))
    (conf / "accelerator.conf").write_text(CONF.replace(old, new))
    with pytest.raises(ProjectError, match=f"accelerator.conf: .*{said}"):
        treated(setting_faults(conf), conf)


@pytest.mark.parametrize("noted", ["5\n", "", "two\n"])
def test_another_number_of_slices_is_noted(conf, noted):
    slices = conf / "workdirs/main/.slices"
    slices.write_text(noted)
    treated(setting_faults(conf), conf)
    assert slices.read_text() == "2\n"
    assert not list(setting_faults(conf))


def test_datasets_that_would_lose_rows_are_in_the_way(conf, job):
    write = "from accelerator import blob; blob.save({'lines': [3, 0, 4]}, 'default.p', temp=False, _hidden=True)"
    (job / "DS").mkdir()
    subprocess.run([sys.executable, "-c", write], cwd=job / "DS", check=True)
    (conf / "workdirs/main/.slices").write_text("3\n")
    with pytest.raises(ProjectError, match=r"made with '3' slices, now there are 2.*would lose rows \(main-7\)"):
        treated(setting_faults(conf), conf)
    assert (conf / "workdirs/main/.slices").read_text() == "3\n"


def test_code_that_is_not_python_is_named(conf):
    (conf / "methods/a_broken.py").write_text("def synthesis(:\n")
    with pytest.raises(ProjectError, match=r"code methods/a_broken.py: invalid syntax .*line 1"):
        treated(code_faults(conf), conf)


def test_folders_that_are_not_writable():
    """As a user whom permissions bind, which root is not; in a folder that such a user can reach."""
    root = Path(tempfile.mkdtemp(prefix="cx"))
    workdir, results = root / "workdirs/main", root / "results"
    workdir.mkdir(parents=True)
    results.mkdir()
    user = 65534 if os.geteuid() == 0 else os.geteuid()
    for path in (root, *root.rglob("*")):
        os.chown(path, user, -1)
    workdir.chmod(0o500)
    results.chmod(0o500)

    def as_user(queue):
        os.setuid(user)
        said = [fault.problem for fault in treated(folder_faults(root), root)]
        queue.put((said, list(folder_faults(root))))

    try:
        context = multiprocessing.get_context("fork")
        queue = context.SimpleQueue()
        child = context.Process(target=as_user, args=(queue,))
        child.start()
        child.join()
        assert child.exitcode == 0
        assert queue.get() == (["not writable for you (mode 500)"] * 2, [])
        assert [path.stat().st_mode & 0o777 for path in (workdir, results)] == [0o700] * 2
    finally:
        shutil.rmtree(root)


# Calls itself by the first argument, and starts a process for each other one.
NAMED = """
import subprocess, sys, time
from setproctitle import setproctitle
for title in sys.argv[3:]:
    subprocess.Popen([sys.executable, "-c", sys.argv[1], sys.argv[1], title])
setproctitle(sys.argv[2])
time.sleep(600)
"""


def test_only_processes_left_behind_are_ended(tmp_path, job):
    """A job of a killed server goes, with what it started; that of a live server and a person's own stay."""

    def start(*titles, **more):
        return subprocess.Popen([sys.executable, "-c", NAMED, NAMED, *titles], cwd=job, start_new_session=True, **more)

    def titles():
        return {process.title.strip() for process in _processes() if process.session in sessions}

    killed = start("ax server", "main-7 analysis(0) (load)", "some worker")
    mine, ran = start("vim setup.json"), start("main-8 build iowrapper.reader")
    sessions = {killed.pid, mine.pid, ran.pid}
    try:
        _until(lambda: len(titles()) == 5 and not any("-c" in title for title in titles()))
        job_process = next(p for p in _processes() if p.session in sessions and "analysis" in p.title)
        os.kill(killed.pid, signal.SIGKILL)  # and not waited for: it is still listed
        _until(lambda: len(titles()) == 4)
        lost = {process.title.strip() for process in left_behind(tmp_path)}
        assert lost == {"main-7 analysis(0) (load)", "some worker"}
        (fault,) = treated(process_faults(tmp_path), tmp_path)
        assert f"{job_process.pid} (main-7 analysis(0) (load))" in fault.problem
        assert titles() == {"vim setup.json", "main-8 build iowrapper.reader"}
        assert left_behind(tmp_path) == []
    finally:
        for process in (killed, mine, ran):
            process.kill()
            process.wait()


def test_processes_of_a_live_server_are_not_left_behind(tmp_path, job):
    titles = ["/venv/bin/ax server", "main-7 launch (load)", "ax board-server for x on y"]
    server = subprocess.Popen([sys.executable, "-c", NAMED, NAMED, *titles], cwd=tmp_path, start_new_session=True)
    try:
        here = lambda: sorted(p.title.strip() for p in _processes() if p.session == server.pid)  # noqa: E731
        _until(lambda: here() == sorted(titles))
        assert [process.pid for process in live_servers(tmp_path)] == [server.pid]
        assert left_behind(tmp_path) == []
        server.kill()
        _until(lambda: len(left_behind(tmp_path)) == 2)
        assert len(treated(process_faults(tmp_path), tmp_path)) == 1
    finally:
        server.kill()
        server.wait()


@pytest.mark.parametrize("dies", [None, "runner", "reader"])
def test_a_server_without_what_it_needs_is_told_from_a_whole_one(tmp_path, job, dies):
    """It answers all the same, and every job fails."""
    parts = {"runner": "/venv/bin/python /venv/accelerator/runner.py 18 x", "reader": "main iowrapper.reader"}
    titles = ["/venv/bin/ax server", *parts.values(), "ax board-server for x on y"]
    assert lost_parts(tmp_path) == []
    server = subprocess.Popen([sys.executable, "-c", NAMED, NAMED, *titles], cwd=tmp_path, start_new_session=True)
    try:
        here = lambda: {p.title.strip(): p for p in _processes() if p.session == server.pid}  # noqa: E731
        _until(lambda: sorted(here()) == sorted(titles))
        if dies:
            end([here()[parts[dies]]])
        wanted = {
            None: [],
            "runner": ["the process that runs its jobs"],
            "reader": ["the process that takes its output"],
        }
        assert lost_parts(tmp_path) == wanted[dies]
        assert [fault.offline for fault in server_faults(tmp_path)] == [True] * bool(dies)
        assert not works(tmp_path)
    finally:
        os.killpg(server.pid, signal.SIGKILL)
        server.wait()


@pytest.mark.parametrize(
    "title", ["main-7 launch (load)", "main-7 analysis(1) (tune)", "main-7 prepare", "main-7 synthesis"]
)
def test_a_job_at_work_is_seen(tmp_path, job, title):
    with subprocess.Popen([sys.executable, "-c", NAMED, NAMED, title], cwd=job, start_new_session=True) as process:
        _until(lambda: works(tmp_path))
        process.kill()


def _until(condition, seconds=30):
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "did not happen in time"
        time.sleep(0.05)

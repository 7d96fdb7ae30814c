"""Folders of engines: whose they are, and what goes with them once that process has ended, and never before."""

import json
import multiprocessing
import os
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path

import pytest

from cortax.workflow.guarding.faults import backend_faults
from cortax.workflow.guarding.quarantine import Quarantine
from cortax.workflow.work.scratch import Scratch, abandoned, backends_folder, clear_scratch

OWNER = """
import json, multiprocessing, subprocess, sys, time
from pathlib import Path
from cortax.workflow.work.scratch import Scratch

if __name__ == "__main__":
    scratch = Scratch(Path(sys.argv[1]), sys.argv[2])
    lock = multiprocessing.get_context("spawn").Lock()
    scratch.note()
    scratch.sockets.mkdir()
    sleeper = [sys.executable, "-c", "import time; time.sleep(600)"]
    pids = [subprocess.Popen([*sleeper, str(path)]).pid for path in (scratch.path, scratch.sockets)]
    print(json.dumps([str(scratch.path), str(scratch.sockets), pids, lock._semlock.name]), flush=True)
    time.sleep(600)
"""


@contextmanager
def owned(folder, kind):
    """A process with a scratch folder, a semaphore and two processes that outlive it."""
    command = [sys.executable, "-c", OWNER, folder, kind]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, start_new_session=True) as owner:
        path, sockets, pids, name = json.loads(owner.stdout.readline())
        # What removes semaphores otherwise goes first, as when all of a session is killed.
        for child in Path(f"/proc/{owner.pid}/task/{owner.pid}/children").read_text().split():
            if b"resource_tracker" in Path(f"/proc/{child}/cmdline").read_bytes():
                os.kill(int(child), signal.SIGKILL)
        try:
            yield owner, Path(path), Path(sockets), pids, Path("/dev/shm", f"sem.{name.strip('/')}")
        finally:
            owner.kill()
            for pid in pids:
                if os.path.exists(f"/proc/{pid}"):
                    os.kill(pid, signal.SIGKILL)


def ended(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True


def test_all_of_a_process_that_was_killed_goes(tmp_path):
    folder = tmp_path / "engines"
    with owned(folder, "ray") as (owner, path, sockets, pids, semaphore):
        assert semaphore.exists()
        owner.kill()
        owner.wait()
        assert abandoned(folder) == [path]
        clear_scratch(folder)
        assert abandoned(folder) == []
        assert not path.exists()
        assert not sockets.exists()
        assert not semaphore.exists()
        deadline = time.monotonic() + 5
        while not all(map(ended, pids)):
            assert time.monotonic() < deadline


def test_nothing_goes_while_its_process_works(tmp_path):
    folder = tmp_path / "engines"
    with owned(folder, "dask") as (owner, path, sockets, pids, semaphore):
        clear_scratch(folder)
        Scratch(folder, "loky").remove()
        assert abandoned(folder) == []
        assert owner.poll() is None
        assert path.exists()
        assert sockets.exists()
        assert semaphore.exists()
        assert not any(map(ended, pids))
        owner.kill()
        owner.wait()
        clear_scratch(folder)


def test_what_may_belong_to_another_machine_stays(tmp_path):
    mine = Scratch(tmp_path, "ray")
    other = tmp_path / mine.path.name.replace(str(os.getpid()), "999999999").replace(os.uname().nodename, "elsewhere")
    strange = tmp_path / "notes"
    other.mkdir()
    strange.mkdir()
    clear_scratch(tmp_path)
    assert sorted(tmp_path.iterdir()) == sorted([mine.path, other, strange])
    mine.remove()
    assert sorted(tmp_path.iterdir()) == sorted([other, strange])


def test_a_number_of_a_process_that_is_used_again_is_another_process(tmp_path):
    mine = Scratch(tmp_path, "ray")
    kind, pid, started, *rest = mine.path.name.split("-")
    before = tmp_path / "-".join([kind, pid, str(int(started) - 1), *rest])
    before.mkdir()
    assert abandoned(tmp_path) == [before]
    mine.remove()


def test_two_of_one_process_are_two(tmp_path):
    first, second = Scratch(tmp_path, "inputs"), Scratch(tmp_path, "inputs")
    first.remove()
    assert second.path.exists()
    assert first.name != second.name
    second.remove()


def test_only_semaphores_since_it_was_made_are_noted(tmp_path):
    spawn = multiprocessing.get_context("spawn")
    before = spawn.Lock()
    scratch = Scratch(tmp_path, "dask")
    scratch.note()
    assert not (scratch.path / "semaphores").exists()
    since = spawn.Lock()
    scratch.note()
    assert (scratch.path / "semaphores").read_text() == f"sem.{since._semlock.name.strip('/')}"
    assert before._semlock.name != since._semlock.name
    scratch.remove()


def test_the_doctor_tells_and_mends(tmp_path):
    path = backends_folder(tmp_path) / f"slurm-999999999-1-0-{os.uname().nodename}"
    path.mkdir(parents=True)
    (fault,) = backend_faults(tmp_path)
    assert path.name in fault.problem
    fault.mend(Quarantine(tmp_path))
    assert list(backend_faults(tmp_path)) == []
    assert not path.exists()


@pytest.mark.parametrize("kind", ["ray", "inputs"])
def test_names_of_sockets_are_short(tmp_path, kind):
    scratch = Scratch(tmp_path, kind)
    ray = "session_2026-01-31_23-59-59_123456_4194304/sockets/plasma_store"
    longest = len("-4194304") - len(f"-{os.getpid()}")
    assert len(str(scratch.sockets / ray)) + longest <= 107
    scratch.remove()

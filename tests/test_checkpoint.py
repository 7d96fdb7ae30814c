"""Finished work is there whatever happened to the process, the file or the disk; or it is said that they are not."""

import json
import os
import resource
import signal
import sqlite3
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

from cortax.errors import ProjectError
from cortax.provenance import outputs
from cortax.workflow.work.checkpoint import Checkpoint
from cortax.workflow.work.running import checkpoint_path, clear_checkpoint, count_finished, failed_units, job_key
from cortax.workflow.work.units import UnitFailure

FAILURE = UnitFailure(("fluid, 0", "sex, 0"), 2, "MemoryError", "no", "Traceback ...", 1.5, 7, 2**40, 5, 3, True)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "running" / "a.sqlite"


def add(checkpoint, n, size=10, start=0):
    for number in range(start, start + n):
        checkpoint.add({f"t{number}": bytes([number % 256]) * size}, seconds=0.1, peak=5, attempt=1)


def test_what_was_kept_is_there_again(path):
    with Checkpoint(path) as checkpoint:
        assert (checkpoint.done(), checkpoint.values(), checkpoint.failures()) == (set(), {}, [])
        checkpoint.add({"fluid, 0": b"one", "sex, 0": b""}, seconds=3.0, peak=5, attempt=2)
        checkpoint.add({"fluid, 1": b"two"}, seconds=1.0, peak=6, attempt=1)
        checkpoint.add({"fluid, 1": b"three"}, seconds=1.0, peak=6, attempt=1)
        checkpoint.fail(FAILURE)
    with Checkpoint(path) as checkpoint:
        assert checkpoint.done() == {"fluid, 0", "sex, 0", "fluid, 1"}
        assert checkpoint.values() == {"fluid, 0": b"one", "sex, 0": b"", "fluid, 1": b"three"}
        assert checkpoint.failures() == [FAILURE]
    assert sorted(file.name for file in path.parent.iterdir()) == ["a.sqlite", "a.sqlite.lock"]


def test_a_new_build_forgets_the_failures_and_no_value(path):
    with Checkpoint(path, build="one") as checkpoint:
        add(checkpoint, 3)
        checkpoint.fail(FAILURE)
    with Checkpoint(path, build="one") as checkpoint:
        assert checkpoint.failures() == [FAILURE]
    with Checkpoint(path, build="two") as checkpoint:
        assert checkpoint.failures() == []
        assert len(checkpoint.done()) == 3


KILLED = """
import os, signal, sys
from pathlib import Path
from cortax.workflow.work.checkpoint import Checkpoint
checkpoint = Checkpoint(Path(sys.argv[1]))
for number in range(50):
    checkpoint.add({f"t{number}": bytes([number]) * 5000}, seconds=0, peak=0, attempt=1)
    if number == 41:
        os.kill(os.getpid(), signal.SIGKILL)
"""


def test_every_value_survives_the_end_of_the_process(path):
    ended = subprocess.run([sys.executable, "-c", KILLED, path])
    assert ended.returncode == -signal.SIGKILL
    with Checkpoint(path) as checkpoint:
        assert checkpoint.values() == {f"t{number}": bytes([number]) * 5000 for number in range(42)}


def test_what_the_system_lost_after_the_last_sync_costs_no_more(path, tmp_path):
    """A copy of the files as they were synced is what a loss of power leaves."""
    with Checkpoint(path) as checkpoint:
        add(checkpoint, 20, size=3000)
        checkpoint.sync()
        left = tmp_path / "left"
        left.mkdir()
        for file in (path, path.with_name("a.sqlite-wal")):
            (left / file.name).write_bytes(file.read_bytes())
        add(checkpoint, 20, size=3000, start=20)
    # Half a commit more made it to the disk, too.
    with open(left / "a.sqlite-wal", "ab") as file:
        file.write(os.urandom(5000))
    with Checkpoint(left / path.name) as checkpoint:
        assert checkpoint.done() == {f"t{number}" for number in range(20)}


def test_syncing_is_soon_and_takes_a_tenth_of_the_time_at_most(path, monkeypatch):
    now, synced, real = [100.0], [], os.fdatasync

    def slow(handle):
        real(handle)
        now[0] += 0.02
        synced.append(now[0])

    def add_after(seconds):
        now[0] += seconds
        add(checkpoint, 1)

    with Checkpoint(path) as checkpoint:
        monkeypatch.setattr(os, "fdatasync", slow)
        monkeypatch.setattr(time, "monotonic", lambda: now[0])
        assert checkpoint.sync_due is None
        add_after(0)
        assert (len(synced), checkpoint.sync_due) == (1, None)
        for _ in range(1000):
            add_after(0.001)
            assert checkpoint.sync_due is None or 0 < checkpoint.sync_due <= 0.2
        assert 0.08 < len(synced) * 0.02 / (now[0] - 100) <= 0.11
        checkpoint.sync()
        assert checkpoint.sync_due is None
        add_after(0.01)
        assert checkpoint.sync_due == pytest.approx(0.19)
        n = len(synced)
        add_after(10)  # what took long is synced at once
        assert (len(synced), checkpoint.sync_due) == (n + 1, None)


@pytest.mark.parametrize("harm", ["header", "middle", "short", "empty", "foreign"])
def test_a_damaged_file_is_set_aside(path, harm):
    with Checkpoint(path) as checkpoint:
        add(checkpoint, 200, size=2000)
    content = path.read_bytes()
    damaged = {
        "header": b"\0" * 100 + content[100:],
        "middle": content[:40_000] + os.urandom(40_000) + content[80_000:],
        "short": content[:100_000],
        "empty": b"",
        "foreign": b"something else altogether",
    }[harm]
    path.write_bytes(damaged)
    said = []
    with Checkpoint(path, say=said.append) as checkpoint:
        assert checkpoint.done() == set()
        add(checkpoint, 2)
        assert len(checkpoint.done()) == 2
    aside = [file for file in path.parent.iterdir() if "damaged" in file.name]
    if harm == "empty":  # as if it had never been
        assert (said, aside) == ([], [])
    else:
        assert aside[0].read_bytes() == damaged
        assert f"set aside as {aside[0].name}, what was in it is computed again" in said[0]


def test_a_value_whose_bytes_changed_is_computed_again(path):
    with Checkpoint(path) as checkpoint:
        add(checkpoint, 3, size=1000)
    content = path.read_bytes()
    place = content.index(b"\1" * 500)
    path.write_bytes(content[:place] + b"\7" + content[place + 1 :])
    said = []
    with Checkpoint(path, say=said.append) as checkpoint:
        with pytest.raises(ProjectError, match="t1: damaged"):
            checkpoint.values()
        assert checkpoint.done() == {"t0", "t2"}
        assert "t1: damaged; it is computed again" in said[0]
        add(checkpoint, 1, size=1000, start=1)
        assert len(checkpoint.values()) == 3


def test_a_full_disk_is_told_and_what_was_kept_stays(path):
    """A limit of the size of files stands in for it; see `test_a_full_file_system`."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    checkpoint = Checkpoint(path)
    try:
        add(checkpoint, 10, size=2000)
        resource.setrlimit(resource.RLIMIT_FSIZE, (60_000, before[1]))
        with pytest.raises(ProjectError, match=r"finished work cannot be kept \(.*\): is the disk full\?"):
            add(checkpoint, 100, size=2000, start=10)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        n_kept = len(checkpoint.done())
        checkpoint.close()
    with Checkpoint(path) as checkpoint:
        assert len(checkpoint.done()) == n_kept >= 10
        add(checkpoint, 110, size=2000)
        assert len(checkpoint.done()) == 110


@pytest.mark.skipif(os.getuid() != 0, reason="only root may mount")
def test_a_full_file_system(tmp_path):
    small = tmp_path / "small"
    small.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=400k", "tmpfs", small], capture_output=True).returncode:
        pytest.skip("may not mount here")
    try:
        checkpoint = Checkpoint(small / "a.sqlite")
        with pytest.raises(ProjectError, match=r"cannot be kept \(database or disk is full\)"):
            add(checkpoint, 1000, size=2000)
        n_kept = len(checkpoint.done())
        assert n_kept > 20
        checkpoint.close()
        subprocess.run(["mount", "-o", "remount,size=20m", small], check=True)
        with Checkpoint(small / "a.sqlite") as checkpoint:
            assert len(checkpoint.done()) == n_kept
            add(checkpoint, 1000, size=2000)
            assert len(checkpoint.values()) == 1000
    finally:
        subprocess.run(["umount", small], check=True)


def test_a_folder_that_cannot_be_written(tmp_path):
    (tmp_path / "running").write_text("a file where the folder should be")
    with pytest.raises(ProjectError, match="finished work cannot be kept"):
        Checkpoint(tmp_path / "running" / "a.sqlite")


def test_two_at_once_are_refused(path):
    with Checkpoint(path), pytest.raises(ProjectError, match="another process computes the same values"):
        Checkpoint(path, patience=0.2)
    with Checkpoint(path, patience=0.2) as checkpoint:
        assert checkpoint.done() == set()


def job(folder, number, *, jobs=None, digest="d", **changed):
    made = folder / f"main-{number}"
    made.mkdir(parents=True, exist_ok=True)
    setup = {"method": "tune", "hash": "h", "options": {"seed": 1, "kind": "ridge"}, "jobs": jobs or {}} | changed
    (made / "setup.json").write_text(json.dumps(setup))
    (made / "result.txt").write_text(digest)
    outputs.record(made, ["result.txt"], method="parcellate", name="mini/blocks")
    return made


def test_a_key_is_of_content(tmp_path):
    job(tmp_path, 1)
    job(tmp_path, 2)
    job(tmp_path, 3, digest="other")
    base = job_key(job(tmp_path, 10, jobs={"regions": "main-1", "targets": ["main-1", "main-3"]}))
    # Other ids, the same content; a list that is empty.
    assert job_key(job(tmp_path, 11, jobs={"targets": ["main-2", "main-3"], "regions": "main-2"})) == base
    assert job_key(job(tmp_path, 12, options={"kind": "ridge", "seed": 1}, jobs=_base_jobs())) == base
    different = [
        job(tmp_path, 13, jobs={"regions": "main-3", "targets": ["main-1", "main-3"]}),
        job(tmp_path, 14, jobs={"regions": "main-1", "targets": ["main-3", "main-1"]}),
        job(tmp_path, 15, jobs={"regions": "main-1", "targets": ["main-1"]}),
        job(tmp_path, 16, hash="i", jobs=_base_jobs()),
        job(tmp_path, 17, method="evaluate", jobs=_base_jobs()),
        job(tmp_path, 18, options={"seed": 2, "kind": "ridge"}, jobs=_base_jobs()),
    ]
    keys = {job_key(folder) for folder in different} | {base}
    assert len(keys) == 1 + len(different)
    (tmp_path / "main-1" / "outputs.json").write_text("{")
    with pytest.raises(ProjectError, match="no readable record"):
        job_key(tmp_path / "main-10")
    (tmp_path / "main-10" / "setup.json").write_text("{")
    with pytest.raises(ProjectError, match="not readable"):
        job_key(tmp_path / "main-10")


def _base_jobs():
    return {"regions": "main-1", "targets": ["main-1", "main-3"]}


def test_others_look_at_a_running_job_and_clear_a_finished_one(tmp_path):
    root, folder = tmp_path, job(tmp_path / "jobs", 1)
    assert (count_finished(root, folder), failed_units(root, folder)) == (0, [])
    clear_checkpoint(root, folder)
    with Checkpoint(checkpoint_path(root, folder)) as checkpoint:
        add(checkpoint, 5)
        checkpoint.fail(FAILURE)
        assert (count_finished(root, folder), failed_units(root, folder)) == (5, [FAILURE])
    other = job(tmp_path / "jobs", 2, hash="i")
    clear_checkpoint(root, other)
    assert count_finished(root, folder) == 5
    clear_checkpoint(root, folder)
    assert list((root / ".cortax/running").iterdir()) == []
    checkpoint_path(root, folder).write_text("no database")
    assert (count_finished(root, folder), failed_units(root, folder)) == (0, [])
    (folder / "setup.json").unlink()
    assert (count_finished(root, folder), failed_units(root, folder)) == (0, [])


def test_failures_compare_as_they_were(path):
    with Checkpoint(path) as checkpoint:
        for number in range(3):
            checkpoint.fail(replace(FAILURE, attempt=number, final=number == 2))
        assert [(failure.attempt, failure.final) for failure in checkpoint.failures()] == [
            (0, False),
            (1, False),
            (2, True),
        ]


def test_a_table_is_readable_by_anybody(path):
    with Checkpoint(path) as checkpoint:
        checkpoint.add({"fluid, 3": b"xyz"}, seconds=2.0, peak=9, attempt=1)
    base = sqlite3.connect(path)
    try:
        assert base.execute("SELECT key, seconds, peak, attempt, value FROM finished").fetchall() == [
            ("fluid, 3", 2.0, 9, 1, b"xyz")
        ]
    finally:
        base.close()
    assert Path(path).stat().st_size < 100_000

"""The build lock: one build at a time, and one clear message where there cannot be any."""

import fcntl
import os
import signal
import subprocess
import sys
from contextlib import suppress

import pytest

from cortax.errors import ProjectError
from cortax.project import LOCK_HELD, build_lock, check_root, lock_holder

# Without what a build tells its own children of its lock.
OTHER = {key: value for key, value in os.environ.items() if key != LOCK_HELD}


@pytest.fixture
def mounted(tmp_path):
    """Mounts a small file system on a folder of a project."""
    if os.getuid() != 0:
        pytest.skip("only root may mount")
    folders = []

    def mount(folder, options):
        folder.mkdir(parents=True)
        subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", folder], check=True)
        folders.append(folder)
        return folder

    yield mount
    for folder in folders:
        subprocess.run(["umount", folder], check=True)


def test_who_holds_it_is_told_and_it_ends_with_them(tmp_path):
    assert lock_holder(tmp_path) is None
    with build_lock(tmp_path, "`cortax gc`"):
        assert lock_holder(tmp_path) == os.getpid()
        code = "import pathlib, sys; from cortax.project import *; build_lock(pathlib.Path(sys.argv[1])).__enter__()"
        other = subprocess.run([sys.executable, "-c", code, tmp_path], capture_output=True, text=True, env=OTHER)
        assert f"`cortax gc` is running (process {os.getpid()}); wait for it" in other.stderr
    assert lock_holder(tmp_path) is None


def test_what_a_killed_build_had_started_is_told_from_it(tmp_path):
    code = """
import os, pathlib, subprocess, sys
from cortax.project import LOCK_HELD, build_lock
with build_lock(pathlib.Path(sys.argv[1])):
    lock = int(os.environ[LOCK_HELD])
    print(subprocess.Popen(["sleep", "60"], stdout=subprocess.DEVNULL, pass_fds=[lock]).pid, flush=True)
    os.kill(os.getpid(), 9)
"""
    killed = subprocess.Popen([sys.executable, "-c", code, tmp_path], stdout=subprocess.PIPE, text=True, env=OTHER)
    child = int(killed.communicate()[0])
    try:
        with pytest.raises(ProjectError, match=rf"started by process {killed.pid}, which has ended\); wait for it"):
            build_lock(tmp_path).__enter__()
    finally:
        os.kill(child, signal.SIGKILL)


def test_a_project_that_cannot_be_written(tmp_path):
    (tmp_path / ".cortax").touch()
    with pytest.raises(ProjectError, match=r"build.lock: the build lock cannot be written \(File exists\)$"):
        build_lock(tmp_path).__enter__()


def test_a_read_only_workdir(tmp_path, mounted):
    workdir = mounted(tmp_path / "workdirs/main", "ro,size=1m")
    with pytest.raises(ProjectError, match="the workdir is not writable") as caught:
        check_root(tmp_path)
    assert str(workdir) in str(caught.value)


def test_a_read_only_project(tmp_path, mounted):
    mounted(tmp_path / ".cortax", "ro,size=1m")
    with pytest.raises(ProjectError, match=r"cannot be written \(Read-only file system\)$"):
        build_lock(tmp_path).__enter__()


def test_a_full_disk_keeps_nobody_from_locking(tmp_path, mounted):
    """Otherwise it would keep people from ending the server, too."""
    folder = mounted(tmp_path / ".cortax", "size=64k")
    with open(folder / "ballast", "wb", buffering=0) as file, suppress(OSError):
        while file.write(bytes(4096)):
            pass
    assert os.statvfs(folder).f_bavail == 0
    with build_lock(tmp_path), open(folder / "build.lock") as other, pytest.raises(BlockingIOError):
        fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)

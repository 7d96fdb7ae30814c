"""Folders of back-ends: each belongs to a process, and goes with all that was started for it once that has ended."""

from __future__ import annotations

import itertools
import os
import re
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import psutil

__all__ = ["Scratch", "abandoned", "backends_folder", "clear_scratch"]

_SEMAPHORES = "semaphores"
_SHARED = Path("/dev/shm")  # noqa: S108 - only looked for what ended processes left
_NAME = re.compile(r"(?P<kind>[a-z]+)-(?P<pid>\d+)-(?P<started>\d+)-\d+-(?P<host>.+)")
_numbers = itertools.count()


def backends_folder(root: Path) -> Path:
    """Return the folder of a project in which its back-ends have theirs."""
    return root / ".cortax" / "backends"


class Scratch:
    """A folder of this process's own; those of processes that have ended are cleared first.

    Its name says whose it is, so that it is never without an owner: the process, when that began, and the machine. No
    two processes have all of these in common.

    Parameters
    ----------
    folder : Path
        Of all of them; on a file system that all workers see.
    kind : str
        Lower-case letters: what it is for.
    """

    def __init__(self, folder: Path, kind: str) -> None:
        clear_scratch(folder)
        self._known = _mapped_semaphores()
        owner = f"{os.getpid()}-{_started(os.getpid())}-{next(_numbers)}"
        self.path = folder.resolve() / f"{kind}-{owner}-{socket.gethostname()}"
        self.path.mkdir(parents=True)

    @property
    def name(self) -> str:
        """What other programs are to call what they hold for it, such as jobs of SLURM."""
        return _called(self.path)

    @property
    def sockets(self) -> Path:
        """A folder with a short name, as sockets need; whoever makes it need not remove it."""
        return _sockets(self.path)

    def note(self) -> None:
        """Note which named semaphores this process has come to use: their names alone do not say whose they are."""
        if mine := _mapped_semaphores() - self._known:
            (self.path / _SEMAPHORES).write_text("\n".join(sorted(mine)))

    def remove(self) -> None:
        """Remove it, and end what still works with it."""
        _remove(self.path)


def _called(path: Path) -> str:
    return f"cortax-{path.name}"


def _sockets(path: Path) -> Path:
    # Ray makes it, closed to others; sockets need a short path.
    return Path("/tmp", f"cortax-{'-'.join(path.name.split('-')[:4])}")  # noqa: S108


def abandoned(folder: Path) -> list[Path]:
    """Return what belongs to processes of this machine that have ended, however they did."""
    found = []
    for path in sorted(folder.glob("*")):
        owner = _NAME.fullmatch(path.name)
        if owner and owner["host"] == socket.gethostname() and _started(int(owner["pid"])) != int(owner["started"]):
            found.append(path)
    return found


def clear_scratch(folder: Path) -> None:
    """End and remove what is abandoned; never what belongs to a build that runs."""
    for path in abandoned(folder):
        with suppress(FileNotFoundError):
            for name in (path / _SEMAPHORES).read_text().split():
                (_SHARED / name).unlink(missing_ok=True)
        if _is_slurms(path):
            _cancel(path)
        _remove(path)


def _is_slurms(path: Path) -> bool:
    return path.name.startswith("slurm-")


def _cancel(path: Path) -> None:
    """Cancel jobs of SLURM, which would end by themselves some time after they have found nobody to work for."""
    # A controller that does not answer is no reason not to go on.
    with suppress(OSError, subprocess.TimeoutExpired):
        command = ["scancel", f"--name={_called(path)}"]
        subprocess.run(command, capture_output=True, check=False, timeout=30)


def _remove(path: Path, patience: float = 10.0) -> None:
    """First end the processes: never remove a folder under one that runs. SLURM ends its own, children first."""
    deadline = time.monotonic() + (0.0 if _is_slurms(path) else patience)
    while (left := [*_processes_with(path, _sockets(path))]) and time.monotonic() < deadline:
        for pid in left:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(0.02)
    shutil.rmtree(_sockets(path), ignore_errors=True)
    shutil.rmtree(path, ignore_errors=True)


def _started(pid: int) -> int | None:
    """When a process began, in ticks since the machine did; None if it is not there.

    Ticks since the epoch would differ after the clock was set: that of psutil adds the start of the machine.
    """
    try:
        process = psutil.Process(pid)
        if process.status() in (psutil.STATUS_ZOMBIE, psutil.STATUS_DEAD):
            return None
        return round((process.create_time() - psutil.boot_time()) * os.sysconf("SC_CLK_TCK"))
    except psutil.NoSuchProcess:
        return None


def _processes_with(*folders: Path) -> Iterator[int]:
    """Yield the other processes of this user that have one of the folders among their arguments."""
    for pid in psutil.pids():
        with suppress(psutil.Error):
            process = psutil.Process(pid)
            if process.uids().effective == os.geteuid() and pid != os.getpid():
                arguments = "\0".join(process.cmdline())
                if any(str(folder) in arguments for folder in folders):
                    yield pid


def _mapped_semaphores() -> set[str]:
    """Return the semaphores that this process has open and that still have a name."""
    maps = [line.split() for line in Path("/proc/self/maps").read_text().splitlines()]
    # Under another name: that which each had for the moment of its making.
    inodes = {int(fields[4]) for fields in maps if len(fields) > 5 and fields[5].startswith(f"{_SHARED}/sem.")}
    return {entry.name for entry in os.scandir(_SHARED) if inodes and entry.inode() in inodes}

"""Processes of a project's servers: which live, which were left behind by a server that is gone."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

import psutil

from cortax.project import jobs_folder, lock_holder
from cortax.workflow.work.process_tree import memory

__all__ = [
    "Process",
    "boards",
    "builders",
    "end",
    "end_builders",
    "is_alive",
    "left_behind",
    "live_servers",
    "lost_parts",
    "memory_of",
    "watchers",
    "works",
]

# Titles of Exax's own processes. Those of a person, such as a shell in a job's folder, have other titles, and so have
# those of an `ax run`.
_PART = re.compile(
    r"ax board-server for (?!.* on http://)|main iowrapper\.reader\s*$|\S+ \S*/accelerator/runner\.pyc? \d+ "
    r"|\S+-\d+ (launch|prepare|synthesis|analysis\(\d+\)|iowrapper\.reader)( \(\w+\))?\s*$"
)
_SCRIPT = re.compile(r"(^|/)ax run\b|^\S+-\d+ build iowrapper\.reader\s*$")
# A board of its own outlives the server, which may be started again; until Exax sets its title, that is the command.
_BOARD = re.compile(r"(^|/)ax board-server (?:for .* on http://)?127\.0\.0\.1:(\d+)")
_WATCHER = re.compile(r" -m cortax\.workflow\.guarding\.idle ")
# Of processes that are still listed because their parents have not asked how they ended.
_ENDED = (psutil.STATUS_ZOMBIE, psutil.STATUS_DEAD)
_AT_WORK = re.compile(r"\S+-\d+ (launch|prepare|synthesis|analysis\(\d+\))( \(\w+\))?\s*$")
# What a server cannot work without and does not start again by itself; the first only at the next `ax run`.
_NEEDED = {
    "the process that runs its jobs": re.compile(r"\S+ \S*/accelerator/runner\.pyc? \d+ "),
    "the process that takes its output": re.compile(r"main iowrapper\.reader\s*$"),
}


@dataclass(frozen=True)
class Process:
    """A running process of this user.

    Attributes
    ----------
    handle : psutil.Process
        The pid with the time of its start: it never stands for a later process with the same pid.
    parent : int
    session : int
        The pid of the process that began the session.
    title : str
        The command line, or what the process has set in its place.
    folder : Path
        The working directory.
    """

    handle: psutil.Process
    parent: int
    session: int
    title: str
    folder: Path

    @property
    def pid(self) -> int:
        """Number of the process; the system uses it again once the process has ended."""
        return self.handle.pid


def live_servers(root: Path) -> list[Process]:
    """Return the Exax servers of a project, however they were started."""
    return [process for process in _processes() if _is_server(process) and process.folder == root.resolve()]


def builders(root: Path) -> list[Process]:
    """Return the process that holds the build lock, and the build scripts of this project.

    The process that takes a script's output is listed too: it holds the lock until it notices that the script ended.
    """
    holder = lock_holder(root)
    if holder is None:
        return []
    return [process for process in _processes_in(root) if process.pid == holder or _SCRIPT.search(process.title)]


def lost_parts(root: Path) -> list[str]:
    """Name the parts that a running server of this project has lost: it answers, but every job fails."""
    here = _processes_in(root)
    servers = {process.pid for process in here if _is_server(process)}
    parts = [process.title for process in here if process.parent in servers]
    return [name for name, title in _NEEDED.items() if servers and not any(map(title.match, parts))]


def works(root: Path) -> bool:
    """Say whether any process of a job of this project is running."""
    return any(_AT_WORK.match(process.title) for process in _processes_in(root))


def boards(root: Path) -> dict[str, Process]:
    """Return by address the boards of this project that people can open: those on a port, not on a socket."""
    matches = [(process, _BOARD.search(process.title)) for process in _processes_in(root)]
    return {f"http://127.0.0.1:{match[2]}": process for process, match in matches if match}


def left_behind(root: Path) -> list[Process]:
    """Return the processes of servers of this project that have ended: jobs that nobody waits for, and boards.

    A process belongs to a running server if it descends from it or is in the session that the server began.
    Only processes of this user count whose working directory is the project's or one of its jobs'.
    """
    here = _processes_in(root)
    servers = {process.pid for process in live_servers(root)}
    parents = {process.pid: process.parent for process in here}
    lost = [p for p in here if _PART.match(p.title) and p.session not in servers and not _below(p, parents, servers)]
    # What a job started is recognised by the session of its dead server, whatever its title.
    sessions = {p.session for p in lost if not _runs(p.session)}
    return [p for p in here if p in lost or p.session in sessions]


def watchers(root: Path) -> list[Process]:
    """Return the processes that wait for the end of a server of this project (see `idle`), but not this process."""
    return [p for p in _processes_in(root) if _WATCHER.search(p.title) and p.pid != os.getpid()]


def memory_of(root: Path) -> int:
    """Return the bytes that all processes of a project hold together; what they share is counted once."""
    return memory(process.handle for process in _processes_in(root))


def _is_server(process: Process) -> bool:
    # `ax` is a script that some Python runs.
    return bool(re.search(r"(^|/)ax server\s*$", process.title))


def _below(process: Process, parents: dict[int, int], servers: set[int]) -> bool:
    pid = process.parent
    while pid in parents and pid not in servers:
        pid = parents[pid]
    return pid in servers


def _processes_in(root: Path) -> list[Process]:
    homes = (root.resolve(), jobs_folder(root))
    return [process for process in _processes() if any(map(process.folder.is_relative_to, homes))]


def _processes() -> Iterator[Process]:
    """Yield the running processes of this user."""
    for pid in psutil.pids():
        # Any of them may end at any time, and details of some are not for this user.
        with suppress(psutil.Error, ProcessLookupError):
            handle = psutil.Process(pid)
            with handle.oneshot():
                if handle.uids().effective == os.geteuid() and handle.status() not in _ENDED:
                    title, folder = " ".join(handle.cmdline()), Path(handle.cwd())
                    yield Process(handle, handle.ppid(), os.getsid(pid), title, folder)


def _runs(pid: int) -> bool:
    """Say whether there is a process with this pid that has not ended."""
    try:
        return psutil.Process(pid).status() not in _ENDED
    except psutil.NoSuchProcess:
        return False


def is_alive(process: Process) -> bool:
    """Say whether this process runs; another one that got its pid does not count."""
    return process.handle.is_running() and _runs(process.pid)


def end(processes: Iterable[Process], *, patience: float = 10.0) -> None:
    """Kill processes, and wait until they have ended: until then they may write and hold memory."""
    waiting = list(processes)
    deadline = time.monotonic() + patience
    while (waiting := [process for process in waiting if is_alive(process)]) and time.monotonic() < deadline:
        for process in waiting:
            with suppress(psutil.NoSuchProcess):
                process.handle.kill()
        time.sleep(0.02)


def end_builders(root: Path, *, patience: float = 10.0) -> None:
    """Kill the build of a project, and wait until its lock is free.

    A process with threads counts as ended when its first thread has: the others hold its files a moment longer.
    """
    end(builders(root), patience=patience)
    deadline = time.monotonic() + patience
    while lock_holder(root) is not None and time.monotonic() < deadline:
        time.sleep(0.02)

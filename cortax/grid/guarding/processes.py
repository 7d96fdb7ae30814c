"""Processes of a project's servers: which live, which were left behind by a server that is gone."""

from __future__ import annotations

import os
import re
import signal
import time
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from cortax.project import jobs_folder, lock_holder

__all__ = [
    "Process",
    "boards",
    "builders",
    "end",
    "is_alive",
    "left_behind",
    "live_servers",
    "lost_parts",
    "memory_of",
    "works",
]

# What Exax calls its processes. A person's own, such as a shell in a job's folder, is called otherwise, and so is
# what belongs to an `ax run`.
_PART = re.compile(
    r"ax board-server for (?!.* on http://)|main iowrapper\.reader\s*$|\S+ \S*/accelerator/runner\.pyc? \d+ "
    r"|\S+-\d+ (launch|prepare|synthesis|analysis\(\d+\)|iowrapper\.reader)( \(\w+\))?\s*$"
)
_SCRIPT = re.compile(r"(^|/)ax run\b|^\S+-\d+ build iowrapper\.reader\s*$")
# A board of its own outlives the server, which may be started again; until Exax has named it, it is a command.
_BOARD = re.compile(r"(^|/)ax board-server (?:for .* on http://)?127\.0\.0\.1:(\d+)")
_AT_WORK = re.compile(r"\S+-\d+ (launch|prepare|synthesis|analysis\(\d+\))( \(\w+\))?\s*$")
# What a server cannot work without, and never starts again by itself: of the first, only for the next `ax run`.
_NEEDED = {
    "the process that runs its jobs": re.compile(r"\S+ \S*/accelerator/runner\.pyc? \d+ "),
    "the process that takes its output": re.compile(r"main iowrapper\.reader\s*$"),
}


@dataclass(frozen=True)
class Process:
    """A running process of this user in a folder of the project.

    Attributes
    ----------
    pid, parent, session : int
        Of its session the number is that of the process which began it.
    title : str
        Its command line, or what it calls itself.
    started : int
        When it began, in ticks since the machine did: with the pid this names one process for good.
    """

    pid: int
    parent: int
    session: int
    title: str
    started: int


def live_servers(root: Path) -> list[Process]:
    """Return the Exax servers of a project, however they were started."""
    home = root.resolve()
    return [process for process, folder in _processes() if _is_server(process) and folder == home]


def builders(root: Path) -> list[Process]:
    """Return the process that holds the build lock, and the build scripts of this project.

    With a script goes the process that takes its output: it has the lock, too, until it has noticed the script's end.
    """
    holder = lock_holder(root)
    if holder is None:
        return []
    found = [process for process, folder in _processes() if _is_in(root, folder)]
    return [p for p in found if p.pid == holder or _SCRIPT.search(p.title)]


def lost_parts(root: Path) -> list[str]:
    """Name what a server of this project has lost without which every job fails, although it answers."""
    here = [process for process, folder in _processes() if _is_in(root, folder)]
    servers = {process.pid for process in here if _is_server(process)}
    parts = [process.title for process in here if process.parent in servers]
    return [what for what, title in _NEEDED.items() if servers and not any(map(title.match, parts))]


def works(root: Path) -> bool:
    """Say whether any process of a job is there."""
    return any(_AT_WORK.match(process.title) for process, folder in _processes() if _is_in(root, folder))


def boards(root: Path) -> dict[str, Process]:
    """Return the boards of this project that people look at, by their address: those on a port, not on a socket."""
    here = [process for process, folder in _processes() if _is_in(root, folder)]
    return {f"http://127.0.0.1:{found[2]}": process for process in here if (found := _BOARD.search(process.title))}


def left_behind(root: Path) -> list[Process]:
    """Return the processes of servers of this project that are gone: jobs that nobody waits for, and boards.

    A process belongs to a server that is there if it descends from it or is in the session that it began.
    Only this user's processes count, which work in the project's folder or among its jobs.
    """
    here = [process for process, folder in _processes() if _is_in(root, folder)]
    servers = {process.pid for process in live_servers(root)}
    parents = {process.pid: process.parent for process in here}
    lost = [p for p in here if _PART.match(p.title) and p.session not in servers and not _below(p, parents, servers)]
    # What a job started is found by the session of its dead server, whatever it is called.
    sessions = {p.session for p in lost if not _exists(p.session)}
    return [p for p in here if p in lost or p.session in sessions]


def memory_of(root: Path) -> int:
    """Return the bytes that all processes of a project hold together; what they share is counted once."""
    return sum(_share(process.pid) for process, folder in _processes() if _is_in(root, folder))


def _share(pid: int) -> int:
    with suppress(OSError):
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1]) * 1024
    return 0


def _is_in(root: Path, folder: Path) -> bool:
    return any(folder.is_relative_to(home) for home in (root.resolve(), jobs_folder(root)))


def _is_server(process: Process) -> bool:
    # `ax` is a script that some Python runs.
    return bool(re.search(r"(^|/)ax server\s*$", process.title))


def _below(process: Process, parents: dict[int, int], servers: set[int]) -> bool:
    pid = process.parent
    while pid in parents and pid not in servers:
        pid = parents[pid]
    return pid in servers


def _processes() -> Iterator[tuple[Process, Path]]:
    """Yield this user's processes, without those that have ended, each with the folder that it works in."""
    for pid in map(int, filter(str.isdigit, os.listdir("/proc"))):
        home = Path(f"/proc/{pid}")
        # Any of them may end while it is looked at, and those of others cannot be.
        with suppress(OSError):
            if home.stat().st_uid == os.geteuid():
                parent, session, started = _stat(pid)
                title = (home / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
                folder = os.readlink(home / "cwd").removesuffix(" (deleted)")
                yield Process(pid, parent, session, title, started), Path(folder)


def _stat(pid: int) -> tuple[int, int, int]:
    """Return parent, session and start of a process; one that has ended but is still listed is not there."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    if fields[0] in "ZX":
        raise ProcessLookupError(pid)
    return int(fields[1]), int(fields[3]), int(fields[19])


def _exists(pid: int) -> bool:
    try:
        _stat(pid)
    except OSError:
        return False
    return True


def is_alive(process: Process) -> bool:
    """Say whether this very process is there, and not another that got its number."""
    try:
        return _stat(process.pid)[2] == process.started
    except OSError:
        return False


def end(processes: Iterable[Process], *, patience: float = 10.0) -> None:
    """Kill processes, and wait until they are gone: until then they may write and hold memory."""
    waiting = list(processes)
    deadline = time.monotonic() + patience
    while waiting and time.monotonic() < deadline:
        waiting = [process for process in waiting if is_alive(process)]
        for process in waiting:
            with suppress(ProcessLookupError):
                os.kill(process.pid, signal.SIGKILL)
        time.sleep(0.02)

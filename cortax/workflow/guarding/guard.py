"""A build that is watched: when its server or its script is killed, they are started again and it goes on."""

from __future__ import annotations

import signal
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from cortax.errors import ProjectError
from cortax.project import ax, jobs_folder
from cortax.workflow.guarding.processes import Process, end, is_alive, live_servers, lost_parts, works
from cortax.workflow.guarding.room import check_room
from cortax.workflow.guarding.server import is_idle, log_tail, server_up

__all__ = ["progress", "run_studies"]

# How often in a row a build is started that makes no progress.
N_TRIES = 5
# Seconds for a script to notice that its server has ended, and for a server to notice that of its job.
PATIENCE = 20.0
_LOOK_EVERY = 5.0
_KILLED = {signal.SIGKILL, signal.SIGSEGV, signal.SIGBUS, signal.SIGABRT, signal.SIGILL, signal.SIGFPE}


def run_studies(root: Path, studies: str, run: Callable[..., subprocess.Popen[bytes]] = ax) -> int:
    """Build studies with Exax's own command, and start it again when the server or the script was killed.

    A build that ends by itself, with or without success, is not repeated; neither is one that a user interrupts.

    Parameters
    ----------
    root : Path
        The project; the caller holds its build lock.
    studies : str
        The study files, as CORTAX_STUDIES has them.
    run : callable
        Starts `ax`; it may process the output.

    Returns
    -------
    int
        The exit code of `ax`; 128 and the number of the signal if one ended it, as in a shell.

    Raises
    ------
    ProjectError
        The build was killed several times in a row without progress, the server does not start, or there is no room.
    """
    check_room(root)
    if lost := _end_broken(root):
        print(f"cortax: the Exax server had lost {lost}: it is started again", file=sys.stderr, flush=True)
    server_up(root)
    n_vain, reached = 0, progress(root)
    while True:
        try:
            server_up(root)
        except ProjectError:
            # It did start before: either it was killed again, or somebody has broken the project since.
            n_vain += 1
            if n_vain == N_TRIES:
                raise
            continue
        servers = live_servers(root)
        code = _watch(run(root, "run", "studies", env={"CORTAX_STUDIES": studies}), servers, _Standstill(root))
        killed = _killed(root, code, servers)
        if not killed:
            return code if code >= 0 else 128 - code
        _let_finish(root)
        now = progress(root)
        n_vain, reached = (0, now) if now > reached else (n_vain + 1, reached)
        if n_vain == N_TRIES:
            raise ProjectError(
                f"{root}: {killed}, {N_TRIES} times in a row without any progress; is there too little memory? "
                f"The end of the server's log:\n{log_tail(root)}"
            )
        print(f"cortax: {killed}: going on from {now[0]} finished jobs and {now[1]} units", file=sys.stderr, flush=True)


def progress(root: Path) -> tuple[int, int]:
    """Return how many jobs of the workdir have finished, and how many units of unfinished jobs are done."""
    n_jobs = sum(1 for _ in jobs_folder(root).glob("main-[0-9]*/post.json"))
    n_units = 0
    for path in (root / ".cortax" / "running").glob("*.sqlite"):
        try:
            with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=5)) as base:
                n_units += base.execute("SELECT count(*) FROM finished").fetchone()[0]
        except sqlite3.Error:
            continue  # just made, or damaged: the job starts without it
    return n_jobs, n_units


def _end_broken(root: Path) -> str:
    """End a server that cannot run jobs any more; return which of its parts it has lost."""
    lost = " and ".join(lost_parts(root))
    if lost:
        end(live_servers(root))
    return lost


@dataclass
class _Standstill:
    """How long the server has waited for a job that has no process left: it would wait for ever.

    This happens when the process is killed that reports the end of the job to the server.
    """

    root: Path
    since: float | None = None
    job: int = -1
    looked: float = 0.0

    def lasts(self) -> bool:
        """Look every few seconds; say whether it has lasted longer than the start or the end of a job takes."""
        now = time.monotonic()
        if now - self.looked < _LOOK_EVERY:
            return False
        self.looked = now
        job = max((int(path.name[5:]) for path in jobs_folder(self.root).glob("main-[0-9]*")), default=-1)
        if works(self.root) or is_idle(self.root) is not False:
            self.since = None
        elif self.since is None or job != self.job:
            self.since, self.job = now, job
        return self.since is not None and now - self.since >= PATIENCE


def _watch(script: subprocess.Popen[bytes], servers: list[Process], standstill: _Standstill) -> int:
    """Wait for a script, whenever a user interrupts it."""
    try:
        return _wait(script, servers, standstill)
    except KeyboardInterrupt:
        return _interrupted(script)


def _wait(script: subprocess.Popen[bytes], servers: list[Process], standstill: _Standstill) -> int:
    """Wait for a script; end it if it does not notice that its server has ended, or end a server that waits in vain."""
    gone_since: float | None = None
    while True:
        try:
            return script.wait(timeout=1.0)
        except subprocess.TimeoutExpired:
            if any(map(is_alive, servers)):
                if standstill.lasts():
                    end(servers)
                continue
            gone_since = gone_since or time.monotonic()
            if time.monotonic() - gone_since > PATIENCE:
                script.kill()


def _interrupted(script: subprocess.Popen[bytes]) -> int:
    """Let it stop the running job: a terminal sends the signal to both processes, other senders only to this one."""
    try:
        script.wait(timeout=PATIENCE)
    except subprocess.TimeoutExpired:
        script.send_signal(signal.SIGINT)
        script.wait()
    return 128 + signal.SIGINT


def _killed(root: Path, code: int, servers: list[Process]) -> str:
    """Say what was killed; empty if the build ended by itself."""
    if code == 0 or (code < 0 and -code not in _KILLED):
        return ""
    if not any(map(is_alive, servers)):
        return "the Exax server is gone"
    if lost := _end_broken(root):
        return f"the Exax server had lost {lost}, and was ended"
    return f"the build script was killed (signal {-code})" if code < 0 else ""


def _let_finish(root: Path) -> None:
    """Wait until the server has finished its job, if it runs one: it would stop the job for a new script."""
    announced, standstill = False, _Standstill(root)
    while is_idle(root) is False:
        if standstill.lasts():
            end(live_servers(root))
        if not announced:
            print("cortax: waiting for the job that is running", file=sys.stderr, flush=True)
        announced = True
        time.sleep(0.2)

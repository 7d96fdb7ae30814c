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
from cortax.grid.guarding.processes import Process, end, is_alive, live_servers, lost_parts, works
from cortax.grid.guarding.server import is_idle, log_tail, server_up
from cortax.project import ax, jobs_folder

__all__ = ["progress", "run_studies"]

# So often in a row a build is started again that gets no further.
N_TRIES = 5
# What a script gets to notice by itself that its server is gone, and a server that its job is.
PATIENCE = 20.0
_LOOK_EVERY = 5.0
_KILLED = {signal.SIGKILL, signal.SIGSEGV, signal.SIGBUS, signal.SIGABRT, signal.SIGILL, signal.SIGFPE}


def run_studies(root: Path, studies: str, run: Callable[..., subprocess.Popen[bytes]] = ax) -> int:
    """Build studies with Exax's own command, and go on where a kill interrupted them.

    A build that ends by itself, well or not, is not repeated; neither is one that somebody asked to stop.

    Parameters
    ----------
    root : Path
        The project, whose build lock is held.
    studies : str
        The study files, as CORTAX_STUDIES has them.
    run : callable
        Starts `ax`, and may show what it prints in another way.

    Returns
    -------
    int
        The exit code, that of a shell where a signal ended it.

    Raises
    ------
    ProjectError
        It was killed again and again without getting further, or the server does not start.
    """
    if lost := _end_maimed(root):
        print(f"cortax: the Exax server had lost {lost}: it is started again", file=sys.stderr, flush=True)
    server_up(root)
    n_vain, reached = 0, progress(root)
    while True:
        try:
            server_up(root)
        except ProjectError:
            # It has started before: it was killed again, and says nothing of why, or somebody broke something.
            n_vain += 1
            if n_vain == N_TRIES:
                raise
            continue
        servers = live_servers(root)
        code = _watch(run(root, "run", "studies", env={"CORTAX_STUDIES": studies}), servers, _Stillness(root))
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
        print(f"cortax: {killed}: going on from {now[0]} finished jobs and {now[1]} cells", file=sys.stderr, flush=True)


def progress(root: Path) -> tuple[int, int]:
    """Return how many jobs of the workdir have ended well, and how many cells of those that have not."""
    n_jobs = sum(1 for _ in jobs_folder(root).glob("main-[0-9]*/post.json"))
    n_cells = 0
    for path in (root / ".cortax" / "running").glob("*.sqlite"):
        try:
            with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=5)) as base:
                n_cells += base.execute("SELECT count(*) FROM cells").fetchone()[0]
        except sqlite3.Error:
            continue  # just made, or damaged: nothing to go on from
    return n_jobs, n_cells


def _end_maimed(root: Path) -> str:
    """End a server that can do no job any more; return what it has lost."""
    lost = " and ".join(lost_parts(root))
    if lost:
        end(live_servers(root))
    return lost


@dataclass
class _Stillness:
    """A job that the server waits for, although none of its processes is there: it would wait for ever.

    That is so where the one process was killed that was to tell the server of the job's end.
    """

    root: Path
    since: float | None = None
    job: int = -1
    looked: float = 0.0

    def lasts(self) -> bool:
        """Look now and then; say whether it has been so for longer than it takes to begin and to file a job."""
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


def _watch(script: subprocess.Popen[bytes], servers: list[Process], stillness: _Stillness) -> int:
    """Wait for a script; end it where it does not notice that its server is gone, and a server that waits in vain."""
    gone_since: float | None = None
    while True:
        try:
            return script.wait(timeout=1.0)
        except KeyboardInterrupt:
            return _interrupted(script)
        except subprocess.TimeoutExpired:
            if any(map(is_alive, servers)):
                if stillness.lasts():
                    end(servers)
                continue
            gone_since = gone_since or time.monotonic()
            if time.monotonic() - gone_since > PATIENCE:
                script.kill()


def _interrupted(script: subprocess.Popen[bytes]) -> int:
    """Let it stop the running job: a terminal has sent the signal to it, too; another sender may not have."""
    try:
        script.wait(timeout=PATIENCE)
    except subprocess.TimeoutExpired:
        script.send_signal(signal.SIGINT)
        script.wait()
    return 128 + signal.SIGINT


def _killed(root: Path, code: int, servers: list[Process]) -> str:
    """Say what was killed; nothing where the build ended by itself."""
    if code == 0 or (code < 0 and -code not in _KILLED):
        return ""
    if not any(map(is_alive, servers)):
        return "the Exax server is gone"
    if lost := _end_maimed(root):
        return f"the Exax server had lost {lost}, and was ended"
    return f"the build script was killed (signal {-code})" if code < 0 else ""


def _let_finish(root: Path) -> None:
    """Wait until the server has ended its job, if there still is one: a new script would make it throw that away."""
    said, stillness = False, _Stillness(root)
    while is_idle(root) is False:
        if stillness.lasts():
            end(live_servers(root))
        if not said:
            print("cortax: waiting for the job that is running", file=sys.stderr, flush=True)
        said = True
        time.sleep(0.2)

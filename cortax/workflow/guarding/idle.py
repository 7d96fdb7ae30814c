"""The end of a server that nobody uses any more.

`python -m cortax.workflow.guarding.idle PROJECT PROCESS SECONDS` runs beside the server that `server_up` starts, and
ends when that does.
"""

from __future__ import annotations

import os
import select
import subprocess
import sys
import time
from pathlib import Path

from cortax.errors import ProjectError
from cortax.project import build_lock, jobs_folder, log_file, without_lock

__all__ = ["watch_idle"]

_LOOK_EVERY = 60.0


def watch_idle(root: Path, pid: int, seconds: float) -> None:
    """Have a server ended once it has had no work for so many seconds."""
    subprocess.Popen(
        [sys.executable, "-m", __name__, str(root.resolve()), str(pid), str(seconds)],
        cwd=root,
        env=without_lock(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )


def _watch(root: Path, pid: int, seconds: float) -> None:
    from cortax.workflow.guarding.server import is_idle, server_down, server_pid

    ended = select.poll()
    try:
        ended.register(os.pidfd_open(pid), select.POLLIN)
    except ProcessLookupError:
        return
    used = time.time()
    while not ended.poll(1000 * min(_LOOK_EVERY, seconds / 4)):
        # Every build begins with a new job.
        used = max(used, jobs_folder(root).stat().st_mtime, time.time() if is_idle(root) is False else 0.0)
        if time.time() - used < seconds:
            continue
        try:
            with build_lock(root, "the end of an idle server"):
                if server_pid(root) == pid and server_down(root):
                    _tell(root, seconds)
        except ProjectError:
            used = time.time()  # somebody builds


def _tell(root: Path, seconds: float) -> None:
    with open(log_file(root), "a") as log:
        log.write(f"cortax: the server had no work for {seconds:.0f} s and was ended (server_idle)\n")


if __name__ == "__main__":
    _watch(Path(sys.argv[1]), int(sys.argv[2]), float(sys.argv[3]))

"""The Exax server of a project: starting it once faults are mended, and ending it with its processes and sockets."""

from __future__ import annotations

import datetime
import fcntl
import http.client
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import psutil

from cortax.errors import ProjectError
from cortax.project import ax_command, check_root, is_up, log_file, socket_folder, without_lock
from cortax.workflow.guarding.faults import Fault, backend_faults, process_faults, socket_faults
from cortax.workflow.guarding.idle import watch_idle
from cortax.workflow.guarding.mending import mend, start_faults
from cortax.workflow.guarding.processes import end, left_behind, live_servers, watchers
from cortax.workflow.guarding.quarantine import Quarantine
from cortax.workflow.guarding.room import check_room
from cortax.workflow.work.settings import settle

__all__ = ["is_idle", "log_tail", "server_down", "server_origin", "server_pid", "server_up"]


def server_pid(root: Path) -> int | None:
    """Return the process of the server that `server_up` started, or None if it does not run."""
    pid_file = root / ".cortax" / "server.pid"
    text = pid_file.read_text() if pid_file.exists() else ""
    # The system uses pids again: it must be a server of this project.
    return next((server.pid for server in live_servers(root) if str(server.pid) == text), None)


def server_up(root: Path, *, patience: float = 60.0) -> bool:
    """Start the Exax server unless it runs; return whether it was started.

    Faults that would keep it from starting are mended first, with a message for each. The server gets a session of its
    own, because it ends by killing its process group. Its sockets lie in a folder that only this user can enter;
    nothing listens on the network.

    Parameters
    ----------
    root : Path
        The project.
    patience : float
        Seconds to wait for it.

    Raises
    ------
    ProjectError
        There is a fault that only a person can mend; or the server does not start, and the message has the last
        lines of its log; or the server of another project answers.
    """
    check_root(root)
    idle = settle(root).server_idle
    (root / ".cortax").mkdir(exist_ok=True)
    with _only_one(root):
        if is_up(root):
            _check_owner(root)
            return False
        check_room(root)
        for fault in mend(start_faults(root), Quarantine(root)):
            print(f"{fault.subject}: {fault.problem}: {fault.remedy}", file=sys.stderr)
        folder = socket_folder(root)
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        _start(root, patience, idle)
    return True


@contextmanager
def _only_one(root: Path) -> Iterator[None]:
    """Let one process start the server at a time: two servers in one workdir would give the same job numbers."""
    with open(root / ".cortax" / "server.lock", "a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def server_origin(root: Path) -> str:
    """Say which server of a project runs, and when, where and from which shell it was started; nothing if none does."""
    server = next(iter(live_servers(root)), None)
    if server is None:
        return ""
    noted = _origin_file(root).read_text() if _origin_file(root).exists() else ""
    pid, _, origin = noted.partition(" ")
    if pid != str(server.pid):
        origin = "of which nothing is known"
        with suppress(psutil.Error):
            origin = _origin(server.handle, server.folder)
    return f"process {server.pid}, {origin}"


def _origin(process: psutil.Process, folder: Path) -> str:
    """Say when, where and from which shell a process was started."""
    parent = process.parent()
    shell = f"{parent.name()} (process {parent.pid})" if parent else "no shell"
    begun = datetime.datetime.fromtimestamp(process.create_time())
    return f"started {begun:%Y-%m-%d %H:%M} from {shell} in {folder}, {process.terminal() or 'no terminal'}"


def _origin_file(root: Path) -> Path:
    return root / ".cortax" / "server.origin"


def _start(root: Path, patience: float, idle: float | None) -> None:
    log = log_file(root)
    if log.exists():
        log.replace(log.with_name("server.log.before"))
    with open(log, "wb") as file:
        server = subprocess.Popen(
            [ax_command(), "server"],
            cwd=root,
            env=without_lock(),
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=file,
            start_new_session=True,
        )
    # At once: even if this process is killed now, `cortax down` finds the server.
    pid_file = root / ".cortax" / "server.pid"
    pid_file.write_text(str(server.pid))
    _origin_file(root).write_text(f"{server.pid} {_origin(psutil.Process(), Path.cwd())}")
    deadline = time.monotonic() + patience
    while time.monotonic() < deadline and server.poll() is None:
        # The socket answers before the workdirs have been read, which is where a start can still fail.
        if is_up(root) and "Serving on" in log.read_text(errors="replace"):
            if idle is not None:
                watch_idle(root, server.pid, idle)
            return
        time.sleep(0.05)
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(server.pid, signal.SIGKILL)
    server.wait()
    pid_file.unlink(missing_ok=True)
    _clear(root)
    raise ProjectError(f"the Exax server did not start; the end of {log}:\n{log_tail(root)}")


def log_tail(root: Path, n_lines: int = 20) -> str:
    """Return the last lines that the server printed."""
    text = log_file(root).read_text(errors="replace")
    return "\n".join(re.sub(r"\x1b\[[0-9;]*m", "", text).strip().splitlines()[-n_lines:])


class _Local(http.client.HTTPConnection):
    def __init__(self, path: Path) -> None:
        super().__init__("server", timeout=10)
        self._path = str(path)

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)


def _ask(root: Path, path: str) -> dict[str, Any]:
    """Return the server's answer; empty if it does not answer."""
    connection = _Local(socket_folder(root) / "server")
    try:
        connection.request("GET", path)
        answer = json.loads(connection.getresponse().read())
    except (OSError, ValueError, http.client.HTTPException):
        return {}
    finally:
        connection.close()
    return answer if isinstance(answer, dict) else {}


def is_idle(root: Path) -> bool | None:
    """Say whether the server waits for work; None if no server answers."""
    return _ask(root, "/status").get("idle")


def _check_owner(root: Path) -> None:
    """Make sure that the server that answers is this project's: two may share a folder of sockets by mistake."""
    folder = _ask(root, "/config").get("project_directory")
    if folder and Path(folder) != root.resolve():
        raise ProjectError(f"{socket_folder(root)}: the server of another project answers ({folder}); change AX_SOCK")


def server_down(root: Path, *, force: bool = False, patience: float = 15.0) -> bool:
    """End the server that `server_up` started, with all its processes and sockets; return whether there was one.

    `force`: also one of this user that something else started. Raises ProjectError: there is one, without `force`.
    """
    pid_file = root / ".cortax" / "server.pid"
    pid = server_pid(root)
    if pid is None and is_up(root) and (others := live_servers(root)):
        pid = others[0].pid
        if not force:
            raise ProjectError(
                f"{root}: a server runs ({server_origin(root)}) that `cortax up` did not start; "
                "end it where it was started, or by `cortax down --force`"
            )
    if pid is not None:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGTERM)
        deadline = time.monotonic() + patience
        while live_servers(root) and time.monotonic() < deadline:
            time.sleep(0.05)
        with suppress(ProcessLookupError, PermissionError):
            os.killpg(pid, signal.SIGKILL)
    pid_file.unlink(missing_ok=True)
    _clear(root)
    return pid is not None


def _clear(root: Path) -> None:
    """End processes that outlived the server, such as its board, and remove its sockets."""
    end([*left_behind(root), *watchers(root)])
    faults: list[Fault] = [*process_faults(root), *backend_faults(root), *socket_faults(root)]
    for fault in faults:
        if fault.mend is not None:
            fault.mend(Quarantine(root))

"""The Exax project on this machine: where it is, its server, its lock."""

from __future__ import annotations

import fcntl
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from cortax.errors import ProjectError

__all__ = [
    "ax",
    "build_lock",
    "check_root",
    "find_root",
    "is_up",
    "jobs_folder",
    "log_file",
    "server_down",
    "server_up",
]

# What the system allows, without the final zero.
LONGEST_SOCKET = 107

LOCK_HELD = "CORTAX_BUILD_LOCK_HELD"


def find_root(start: str | os.PathLike[str] = ".") -> Path:
    """Return the project that a folder belongs to: the nearest one up that has `accelerator.conf`.

    Raises
    ------
    ProjectError
        There is none.
    """
    here = Path(start).resolve()
    for folder in (here, *here.parents):
        if (folder / "accelerator.conf").is_file():
            return folder
    raise ProjectError(f"{here}: not inside a cortax project (no accelerator.conf here or above)")


def check_root(root: Path) -> None:
    """Make sure that Exax can work in this folder.

    Raises
    ------
    ProjectError
        The path is too long for a socket, or the workdir cannot be written.
    """
    length = len(os.fsencode(_socket_folder(root.resolve()) / "server"))
    if length > LONGEST_SOCKET:
        raise ProjectError(
            f"{root}: too long for the server's sockets (a name of {length} bytes, {LONGEST_SOCKET} are allowed): "
            f"shorten the project's path by {length - LONGEST_SOCKET}, or set AX_SOCK to a short folder"
        )
    workdir = jobs_folder(root)
    if not os.access(workdir, os.W_OK | os.X_OK):
        state = "is not writable" if workdir.exists() else "does not exist"
        raise ProjectError(f"{workdir}: the workdir {state}")


def jobs_folder(root: Path) -> Path:
    """Return the folder that holds the jobs."""
    return (root / os.environ.get("AX_WORKDIR", "workdirs") / "main").resolve()


def _socket_folder(root: Path) -> Path:
    return root / os.environ.get("AX_SOCK", ".socket.dir")


def log_file(root: Path) -> Path:
    """Return the file that the server prints into."""
    return root / ".cortax" / "server.log"


def ax(root: Path, *arguments: str, env: dict[str, str] | None = None) -> subprocess.Popen[bytes]:
    """Start Exax's own command, `ax`, in the project."""
    lock = os.environ.get(LOCK_HELD)
    return subprocess.Popen(
        [_ax_command(), *arguments],
        cwd=root,
        env={**os.environ, **(env or {})},
        # With its lock: it stays locked for as long as this child works, whatever happens to its parent.
        pass_fds=(int(lock),) if lock else (),
    )


def _ax_command() -> str:
    beside = Path(sys.executable).with_name("ax")
    command = str(beside) if beside.exists() else shutil.which("ax")
    if command is None:
        raise ProjectError("the command `ax` is not installed beside this Python; run `make build` first")
    return command


def is_up(root: Path) -> bool:
    """Say whether a server answers."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as client:
        try:
            client.connect(str(_socket_folder(root) / "server"))
        except OSError:
            return False
    return True


def server_up(root: Path, *, patience: float = 60.0) -> bool:
    """Start the Exax server unless it runs; return whether it was started.

    The server gets a session of its own, because it ends by killing its process group. Its sockets lie in a
    folder that only this user can enter; nothing listens on the network.

    Parameters
    ----------
    root : Path
        The project.
    patience : float
        Seconds to wait for it.

    Raises
    ------
    ProjectError
        It does not come up; the message holds the last lines that it printed.
    """
    check_root(root)
    folder = _socket_folder(root)
    if not folder.exists():
        folder.mkdir(parents=True)
        folder.chmod(0o700)
    if mode := folder.stat().st_mode & 0o077:
        raise ProjectError(f"{folder}: others may enter this folder of sockets (mode ..{mode:02o}): `chmod 700` it")
    if is_up(root):
        return False
    log = log_file(root)
    log.parent.mkdir(exist_ok=True)
    command = _ax_command()
    with open(log, "wb") as file:
        server = subprocess.Popen(
            [command, "server"],
            cwd=root,
            env={key: value for key, value in os.environ.items() if key != LOCK_HELD},
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=file,
            start_new_session=True,
        )
    # At once: whatever becomes of this process, `cortax down` finds the server.
    pid_file = root / ".cortax" / "server.pid"
    pid_file.write_text(str(server.pid))
    deadline = time.monotonic() + patience
    while time.monotonic() < deadline:
        if server.poll() is not None:
            break
        # The socket answers before the workdirs have been read, which is where a start can still fail.
        if is_up(root) and "Serving on" in log.read_text(errors="replace"):
            return True
        time.sleep(0.05)
    with _quiet():
        os.killpg(server.pid, signal.SIGKILL)
    pid_file.unlink(missing_ok=True)
    raise ProjectError(f"the Exax server did not start; the end of {log}:\n{_tail(log)}")


def _tail(log: Path, n_lines: int = 20) -> str:
    text = log.read_text(errors="replace")
    return "\n".join(re.sub(r"\x1b\[[0-9;]*m", "", text).strip().splitlines()[-n_lines:])


def server_down(root: Path, *, patience: float = 15.0) -> bool:
    """End the server that `server_up` started, with all its processes; return whether there was one.

    Raises
    ------
    ProjectError
        A server answers that was started in another way.
    """
    pid_file = root / ".cortax" / "server.pid"
    noted = pid_file.read_text() if pid_file.exists() else ""
    pid = int(noted) if noted.isdigit() else 0
    if not pid or not _is_server(pid, root):
        pid_file.unlink(missing_ok=True)
        if is_up(root):
            raise ProjectError(f"{root}: a server runs that `cortax up` did not start; end it where it was started")
        return False
    with _quiet():
        os.kill(pid, signal.SIGTERM)
    deadline = time.monotonic() + patience
    while _is_server(pid, root) and time.monotonic() < deadline:
        time.sleep(0.05)
    with _quiet():
        os.killpg(pid, signal.SIGKILL)
    pid_file.unlink(missing_ok=True)
    return True


def _is_server(pid: int, root: Path) -> bool:
    """Say whether a process is this project's server: numbers of processes are used again."""
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
        # Exax gives itself a title, in which the words are apart by blanks.
        command = Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ")
        folder = os.readlink(f"/proc/{pid}/cwd")
    except OSError:
        return False
    return state != "Z" and b"ax server" in command and folder == str(root.resolve())


@contextmanager
def _quiet() -> Iterator[None]:
    try:
        yield
    except (ProcessLookupError, PermissionError):
        return


@contextmanager
def build_lock(root: Path) -> Iterator[None]:
    """Hold the project's build lock; the system frees it when the process ends, however it ends.

    A build that `cortax build` started inherits its lock and does not ask again.

    Raises
    ------
    ProjectError
        Another build holds it; the message says which process.
    """
    if os.environ.get(LOCK_HELD):
        yield
        return
    path = root / ".cortax" / "build.lock"
    path.parent.mkdir(exist_ok=True)
    with open(path, "a+") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            file.seek(0)
            holder = file.read().strip() or "unknown"
            raise ProjectError(f"{root}: another build is running (process {holder}); wait for it") from error
        file.seek(0)
        file.truncate()
        file.write(str(os.getpid()))
        file.flush()
        os.environ[LOCK_HELD] = str(file.fileno())
        try:
            yield
        finally:
            del os.environ[LOCK_HELD]

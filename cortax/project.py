"""The Exax project on this machine: where it is, its commands, and who may build in it."""

from __future__ import annotations

import fcntl
import io
import os
import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil

from cortax.errors import ProjectError, choices
from cortax.provenance.closure.places import find_root, module_file

__all__ = [
    "ax",
    "ax_command",
    "build_lock",
    "check_path_length",
    "check_root",
    "find_root",
    "is_up",
    "jobs_folder",
    "lock_holder",
    "log_file",
    "method_file",
    "method_modules",
    "method_packages",
    "socket_folder",
    "without_lock",
]

# What the system allows, without the final zero.
LONGEST_SOCKET = 107

# The file descriptor of the lock, for children of the process that took it.
LOCK_HELD = "CORTAX_BUILD_LOCK_HELD"


def check_path_length(root: Path) -> None:
    """Make sure that the server's sockets can lie in this folder.

    Raises
    ------
    ProjectError
        Its path is too long for them.
    """
    length = len(os.fsencode(socket_folder(root.resolve()) / "server"))
    if length > LONGEST_SOCKET:
        raise ProjectError(
            f"{root}: too long for the server's sockets (a name of {length} bytes, {LONGEST_SOCKET} are allowed): "
            f"shorten the project's path by {length - LONGEST_SOCKET}, or set AX_SOCK to a short folder"
        )


def check_root(root: Path) -> None:
    """Make sure that Exax can work in this folder.

    Raises
    ------
    ProjectError
        The path is too long for a socket, or the workdir cannot be written.
    """
    check_path_length(root)
    workdir = jobs_folder(root)
    if not os.access(workdir, os.W_OK | os.X_OK):
        state = "is not writable" if workdir.exists() else "does not exist"
        raise ProjectError(f"{workdir}: the workdir {state}")


def method_packages(root: Path) -> list[str]:
    """Return the packages that hold the project's methods, as `accelerator.conf` lists them; none where it is missing.

    Build scripts lie in one of them, too.
    """
    try:
        lines = (root / "accelerator.conf").read_text().splitlines()
    except OSError:
        return []
    listed = False
    packages = []
    for line in lines:
        text = line.partition("#")[0].rstrip()
        if text and not text[0].isspace():
            listed = text.startswith("method packages:")
            text = text.partition(":")[2]
        if listed and text.strip():
            packages.append(text.split()[0])
    return packages


def method_file(module: str, root: Path) -> Path:
    """Return the file of a method, in the project or where it is installed.

    Raises
    ------
    ProjectError
        There is none.
    """
    if (path := module_file(module, root)) is None:
        raise ProjectError(f"{module}: neither in {root} nor installed, but a method package of accelerator.conf")
    return path


class MethodModules(dict[str, str]):
    """The module of every method of a project, by the method's name."""

    def __missing__(self, method: str) -> str:
        raise ProjectError(f"accelerator.conf: its method packages have no method {method!r}: {choices(method, self)}")


def method_modules(root: Path) -> MethodModules:
    """Return the module of every method of the project; asking it for another method is a ProjectError."""
    return MethodModules(
        (path.stem[2:], f"{package}.{path.stem}")
        for package in method_packages(root)
        if (init := module_file(package, root))
        for path in init.parent.glob("a_*.py")
    )


def jobs_folder(root: Path) -> Path:
    """Return the folder that holds the jobs."""
    return (root / os.environ.get("AX_WORKDIR", "workdirs") / "main").resolve()


def socket_folder(root: Path) -> Path:
    """Return the folder that holds the server's sockets."""
    return root / os.environ.get("AX_SOCK", ".socket.dir")


def log_file(root: Path) -> Path:
    """Return the file that the server prints into."""
    return root / ".cortax" / "server.log"


def is_up(root: Path, name: str = "server") -> bool:
    """Say whether a server answers, or another of the processes that have a socket: `board` or `urd`."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as client:
        try:
            client.connect(str(socket_folder(root) / name))
        except OSError:
            return False
    return True


def ax(
    root: Path, *arguments: str, env: dict[str, str] | None = None, stdout: int | None = None
) -> subprocess.Popen[bytes]:
    """Start Exax's own command, `ax`, in the project; with `stdout`, all that it prints goes there."""
    lock = os.environ.get(LOCK_HELD)
    return subprocess.Popen(
        [ax_command(), *arguments],
        cwd=root,
        env={**os.environ, **(env or {})},
        stdout=stdout,
        stderr=None if stdout is None else subprocess.STDOUT,
        # With its lock: it stays locked for as long as this child works, whatever happens to its parent.
        pass_fds=(int(lock),) if lock else (),
    )


def ax_command() -> str:
    """Return the path of `ax`, best the one beside this Python.

    Raises
    ------
    ProjectError
        It is not installed.
    """
    beside = Path(sys.executable).with_name("ax")
    command = str(beside) if beside.exists() else shutil.which("ax")
    if command is None:
        raise ProjectError("the command `ax` is not installed beside this Python; run `make build` first")
    return command


def without_lock() -> dict[str, str]:
    """Return the environment for a process that is to outlive the build."""
    return {key: value for key, value in os.environ.items() if key != LOCK_HELD}


@contextmanager
def build_lock(root: Path, what: str = "another build") -> Iterator[None]:
    """Hold the project's build lock; the system frees it when the process ends, however it ends.

    A build that `cortax build` started inherits its lock and does not ask again.

    Parameters
    ----------
    root : Path
        The project.
    what : str
        What others are told that is running, such as "`cortax gc`".

    Raises
    ------
    ProjectError
        Somebody else holds it; the message says who. Or the project cannot be written.
    """
    path = root / ".cortax" / "build.lock"
    if _inherited(path):
        yield
        return
    with _lock_file(path) as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise ProjectError(f"{root}: {_holder(path)}; wait for it") from error
        with suppress(OSError):  # of a full disk: the lock holds, others are only told less
            file.truncate(0)
            file.write(f"{os.getpid()} {what}".encode())
        os.environ[LOCK_HELD] = str(file.fileno())
        try:
            yield
        finally:
            del os.environ[LOCK_HELD]


def _lock_file(path: Path) -> io.FileIO:
    try:
        path.parent.mkdir(exist_ok=True)
        return open(path, "ab", buffering=0)
    except OSError as error:
        raise ProjectError(f"{path}: the build lock cannot be written ({error.strerror})") from error


def _inherited(path: Path) -> bool:
    """Say whether this process has the lock from its parent: the variable alone may have been copied."""
    held = os.environ.get(LOCK_HELD, "")
    try:
        with open(path) as file:
            if not held.isdigit() or not os.path.samestat(os.fstat(int(held)), os.fstat(file.fileno())):
                return False
        # Of one's own lock one more is granted; where another holds it, the inherited file was never locked.
        fcntl.flock(int(held), fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True


def lock_holder(root: Path) -> int | None:
    """Return the process that took the build lock, or None while nobody holds it."""
    path = root / ".cortax" / "build.lock"
    try:
        with open(path) as file:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except FileNotFoundError:
        return None
    except OSError:
        noted = path.read_text().partition(" ")[0]
        return int(noted) if noted.isdigit() else None
    return None


def _holder(path: Path) -> str:
    process, _, what = path.read_text().strip().partition(" ")
    # A process that was killed leaves its lock to what it had started.
    ended = process.isdigit() and not psutil.pid_exists(int(process))
    who = f"started by process {process}, which has ended" if ended else f"process {process or 'unknown'}"
    return f"{what or 'another build'} is running ({who})"

"""What `bench_storm.py` does to a project: processes of every kind are killed, and its disk is full once."""

from __future__ import annotations

import os
import re
import resource
import signal
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

# What processes call themselves, or what their command line ends in. A worker is told from its slice by its parent.
_SLICE = re.compile(r"\S+-\d+ (prepare|synthesis|analysis\(\d+\))")
KINDS = {
    "worker": re.compile(r"cortax\.workflow\.work\.remote_main "),
    "slice": _SLICE,
    "launcher of a job": re.compile(r"\S+-\d+ launch"),
    "reader of output": re.compile(r"(main|\S+-\d+) iowrapper\.reader"),
    "runner": re.compile(r"/accelerator/runner\.py"),
    "server": re.compile(r"/ax server\s*$"),
    "board": re.compile(r"ax board-server for "),
    "build script": re.compile(r"/ax run studies\s*$"),
    "cortax build": re.compile(r"import main; main\(\) build "),
    "Ray node": re.compile(r"/raylet "),
    "SLURM or Dask worker": re.compile(r"distributed\.cli\.dask_worker|dask-worker|dask worker"),
}
_BALLAST = "ballast"


@dataclass(frozen=True)
class Process:
    """A process, its parent, and what it calls itself."""

    pid: int
    parent: int
    title: str

    @property
    def kind(self) -> str:
        """One of `KINDS`; empty for others, such as the helpers of a helper."""
        found = next((kind for kind, title in KINDS.items() if title.search(self.title)), "")
        return "worker" if found == "slice" and _SLICE.search(_title(self.parent)) else found


def _title(pid: int) -> str:
    with suppress(OSError):
        return Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
    return ""


def processes(root: Path) -> Iterator[Process]:
    """Yield all processes that work in the project or were started on it, never this one."""
    for path in Path("/proc").glob("[0-9]*"):
        pid = int(path.name)
        with suppress(OSError):
            state, parent = (path / "stat").read_text().rpartition(")")[2].split()[:2]
            title = _title(pid)
            here = Path(os.readlink(path / "cwd")).is_relative_to(root) or f"{root}/" in title
            if here and state != "Z" and pid != os.getpid():
                yield Process(pid, int(parent), title)


def by_kind(root: Path) -> dict[str, list[int]]:
    """Return the processes that may be killed, by kind, in an order that depends on nothing."""
    found: dict[str, list[int]] = {}
    for process in processes(root):
        if process.kind:
            found.setdefault(process.kind, []).append(process.pid)
    return {kind: sorted(found[kind]) for kind in KINDS if kind in found}


@dataclass
class Disk:
    """The project's disk, which can be full for a while.

    Attributes
    ----------
    root : Path
    small : bool
        Whether it is a small file system in memory, which only root may mount; otherwise no file may be larger than
        a few bytes as long as it is full, which to a program that writes looks much the same.
    """

    root: Path
    small: bool = field(init=False)

    def mount(self, size: str) -> None:
        """Put a file system of this size at the project's place."""
        command = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", self.root]
        self.small = os.geteuid() == 0 and not subprocess.run(command, capture_output=True).returncode

    def fill(self) -> None:
        """Take all the space there is."""
        if not self.small:
            self._limit(100)
            return
        # Unbuffered: what was written last would be written again when the file is closed.
        with open(self.root / _BALLAST, "wb", buffering=0) as file, suppress(OSError):
            while file.write(bytes(1 << 16)):
                pass

    def free(self) -> None:
        """Give the space back."""
        if self.small:
            (self.root / _BALLAST).unlink(missing_ok=True)
        else:
            self._limit(resource.RLIM_INFINITY)

    def _limit(self, size: int) -> None:
        for process in processes(self.root):
            with suppress(ProcessLookupError):
                _, hard = resource.prlimit(process.pid, resource.RLIMIT_FSIZE)
                resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (size, hard))

    def unmount(self) -> None:
        """Remove the file system, with all that is on it."""
        if self.small:
            subprocess.run(["umount", self.root], check=True)


def kill(pid: int) -> bool:
    """End a process as the system does that has no memory left; say whether it was there."""
    try:
        os.kill(pid, signal.SIGKILL)
    except ProcessLookupError:
        return False
    return True

"""Examining what a build needs, before it needs it, and mending what can be mended."""

from __future__ import annotations

import importlib.metadata
import platform
import shutil
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import threadpoolctl
from packaging.requirements import Requirement

from cortax import project
from cortax.errors import ProjectError
from cortax.grid.guarding.board import board_address
from cortax.grid.guarding.faults import Fault
from cortax.grid.guarding.mending import all_faults
from cortax.grid.guarding.quarantine import Quarantine
from cortax.grid.guarding.server import server_down, server_pid, server_up

__all__ = ["Finding", "examine", "treat"]

ENOUGH_DISK = 2 << 30


@dataclass(frozen=True)
class Finding:
    """One thing that was examined, what was found, and whether it will do.

    Attributes
    ----------
    what, found : str
    good : bool
    mended : bool
        Whether it was not good before.
    """

    what: str
    found: str
    good: bool
    mended: bool = False


def examine(root: Path) -> Iterator[Finding]:
    """Examine the machine and the project's settings, one finding at a time; nothing is changed."""
    yield Finding("Python", platform.python_version(), sys.version_info >= (3, 10))
    yield from _packages(root)
    try:
        project.check_root(root)
        yield Finding("project", str(root), True)
    except ProjectError as error:
        yield Finding("project", str(error), False)
    free = shutil.disk_usage(root).free
    yield Finding("free disk", f"{free / 2**30:.1f} GiB (at least {ENOUGH_DISK / 2**30:.0f})", free >= ENOUGH_DISK)
    threads = {pool["num_threads"] for pool in threadpoolctl.threadpool_info()}
    yield Finding("BLAS threads here", f"{sorted(threads) or 'none loaded'} (jobs always use 1)", True)
    yield Finding("server", "up" if project.is_up(root) else "not running (a build starts it)", True)
    yield Finding("board", board_address(root) or "not running (`cortax up --board` starts it)", True)


def _packages(root: Path) -> Iterator[Finding]:
    """Compare the installed packages with the lock file."""
    wrong, n_packages = [], 0
    for line in (root / "requirements.lock").read_text().splitlines():
        if "==" not in line or line.startswith((" ", "#")):
            continue
        wanted = Requirement(line.rstrip("\\ "))
        if wanted.marker is not None and not wanted.marker.evaluate():
            continue
        n_packages += 1
        try:
            found = importlib.metadata.version(wanted.name)
        except importlib.metadata.PackageNotFoundError:
            found = "nothing"
        if found == "nothing" or not wanted.specifier.contains(found, prereleases=True):
            wrong.append(f"{wanted.name} {found} instead of {wanted.specifier}")
    yield Finding("packages", "; ".join(wrong) or f"all {n_packages} as locked", not wrong)


def treat(root: Path, *, dry_run: bool = False) -> Iterator[Finding]:
    """Mend what stops Exax from starting or misleads it, and say what was done.

    What was in the way is moved into `.cortax/quarantine`, never deleted. A server that runs is ended where that
    is needed, and started again.

    Parameters
    ----------
    root : Path
        The project. Where its workdir is not even there, nothing is looked for.
    dry_run : bool
        Only say what would be done. While a build runs, nothing else is done either.
    """
    if not project.jobs_folder(root).is_dir():
        return
    with ExitStack() as stack:
        busy = ""
        if not dry_run:
            try:
                stack.enter_context(project.build_lock(root, "`cortax doctor`"))
            except ProjectError as error:
                busy = str(error).rpartition(": ")[2].partition(";")[0]
        paused: bool | None = None
        quarantine = Quarantine(root)
        for fault in all_faults(root):
            if fault.mend is None or dry_run or busy:
                yield _told(fault, busy)
                continue
            if fault.offline and paused is None:
                paused = _pause(root)
            fault.mend(quarantine)
            yield Finding(fault.what, f"{fault.found}: {fault.remedy}", True, True)
        if paused:
            server_up(root)
            yield Finding("server", "was ended meanwhile, and started again", True, True)
        if quarantine.folder.exists():
            yield Finding("quarantine", f"{quarantine.folder}: what was moved, and a note of it", True)


def _told(fault: Fault, busy: str) -> Finding:
    would = "to do" if fault.mend is None else f"not mended, because {busy}" if busy else "would be"
    return Finding(fault.what, f"{fault.found}; {would}: {fault.remedy}", False)


def _pause(root: Path) -> bool:
    """End the server, if it is one that can be started again."""
    if project.is_up(root) and server_pid(root) is None:
        raise ProjectError(f"{root}: a server runs that `cortax up` did not start; end it, then ask again")
    return server_down(root)

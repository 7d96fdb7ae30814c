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
from cortax.workflow.guarding.board import board_address
from cortax.workflow.guarding.faults import Fault
from cortax.workflow.guarding.mending import all_faults
from cortax.workflow.guarding.quarantine import Quarantine
from cortax.workflow.guarding.server import server_down, server_pid, server_up

__all__ = ["Check", "examine", "treat"]

ENOUGH_DISK = 2 << 30


@dataclass(frozen=True)
class Check:
    """One thing that was examined, its state, and whether a build can work with it.

    Attributes
    ----------
    subject, state : str
    good : bool
    mended : bool
        Whether it was not good before.
    """

    subject: str
    state: str
    good: bool
    mended: bool = False


def examine(root: Path) -> Iterator[Check]:
    """Examine the machine and the project's settings, one check at a time; nothing is changed."""
    yield Check("Python", platform.python_version(), sys.version_info >= (3, 10))
    yield from _packages(root)
    try:
        project.check_root(root)
        yield Check("project", str(root), True)
    except ProjectError as error:
        yield Check("project", str(error), False)
    free = shutil.disk_usage(root).free
    yield Check("free disk", f"{free / 2**30:.1f} GiB (at least {ENOUGH_DISK / 2**30:.0f})", free >= ENOUGH_DISK)
    threads = {pool["num_threads"] for pool in threadpoolctl.threadpool_info()}
    yield Check("BLAS threads here", f"{sorted(threads) or 'none loaded'} (jobs always use 1)", True)
    yield Check("server", "up" if project.is_up(root) else "not running (a build starts it)", True)
    yield Check("board", board_address(root) or "not running (`cortax up --board` starts it)", True)


def _packages(root: Path) -> Iterator[Check]:
    """Compare the installed packages with the lock file."""
    differences, n_packages = [], 0
    for line in (root / "requirements.lock").read_text().splitlines():
        if "==" not in line or line.startswith((" ", "#")):
            continue
        requirement = Requirement(line.rstrip("\\ "))
        if requirement.marker is not None and not requirement.marker.evaluate():
            continue
        n_packages += 1
        try:
            version = importlib.metadata.version(requirement.name)
        except importlib.metadata.PackageNotFoundError:
            version = "nothing"
        if version == "nothing" or not requirement.specifier.contains(version, prereleases=True):
            differences.append(f"{requirement.name} {version} instead of {requirement.specifier}")
    yield Check("packages", "; ".join(differences) or f"all {n_packages} as locked", not differences)


def treat(root: Path, *, dry_run: bool = False) -> Iterator[Check]:
    """Mend what stops Exax from starting or misleads it, and say what was done.

    What was in the way is moved into `.cortax/quarantine`, never deleted. A running server is ended if that is
    needed, and started again afterwards.

    Parameters
    ----------
    root : Path
        The project. Without a workdir there is nothing to mend.
    dry_run : bool
        Only say what would be done, as is always so while a build runs.
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
                yield _left(fault, busy)
                continue
            if fault.offline and paused is None:
                paused = _pause(root)
            fault.mend(quarantine)
            yield Check(fault.subject, f"{fault.problem}: {fault.remedy}", True, True)
        if paused:
            server_up(root)
            yield Check("server", "was ended for the repair, and started again", True, True)
        if quarantine.folder.exists():
            yield Check("quarantine", f"{quarantine.folder}: what was moved, with notes of why", True)


def _left(fault: Fault, busy: str) -> Check:
    lead = "to do" if fault.mend is None else f"not mended, because {busy}" if busy else "would be"
    return Check(fault.subject, f"{fault.problem}; {lead}: {fault.remedy}", False)


def _pause(root: Path) -> bool:
    """End the server, unless it is one that cannot be started again from here."""
    if project.is_up(root) and server_pid(root) is None:
        raise ProjectError(f"{root}: a server runs that `cortax up` did not start; end it, then ask again")
    return server_down(root)

"""Examining what a build needs, before it needs it."""

from __future__ import annotations

import importlib.metadata
import platform
import shutil
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import threadpoolctl
from packaging.requirements import Requirement

from cortax import project
from cortax.errors import ProjectError

__all__ = ["Finding", "examine"]

ENOUGH_DISK = 2 << 30


@dataclass(frozen=True)
class Finding:
    """One thing that was examined, what was found, and whether it will do."""

    what: str
    found: str
    good: bool


def examine(root: Path) -> Iterator[Finding]:
    """Examine the machine and the project, one finding at a time."""
    yield Finding("Python", platform.python_version(), sys.version_info >= (3, 10))
    yield from _packages(root)
    try:
        project.check_root(root)
        yield Finding("project", str(root), True)
    except ProjectError as error:
        yield Finding("project", str(error), False)
    free = shutil.disk_usage(root).free
    yield Finding("free disk", f"{free / 2**30:.1f} GiB (at least {ENOUGH_DISK / 2**30:.0f})", free >= ENOUGH_DISK)
    sockets = root / ".socket.dir"
    if sockets.exists():
        mode = sockets.stat().st_mode & 0o777
        yield Finding("socket folder", f"mode {mode:o} (must be 700)", mode == 0o700)
    threads = {pool["num_threads"] for pool in threadpoolctl.threadpool_info()}
    yield Finding("BLAS threads here", f"{sorted(threads) or 'none loaded'} (jobs always use 1)", True)
    yield Finding("server", "up" if project.is_up(root) else "not running (a build starts it)", True)


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

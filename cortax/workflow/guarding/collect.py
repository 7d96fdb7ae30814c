"""Removing what is not needed any more: jobs, machine code that is not used, old quarantines and checkpoints."""

from __future__ import annotations

import os
import re
import shutil
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from cortax.errors import ProjectError
from cortax.project import jobs_folder
from cortax.provenance.closure.places import user_cache
from cortax.workflow.guarding.needed import inputs_of, job_number, needed_jobs, pending_jobs, with_inputs
from cortax.workflow.guarding.quarantine import quarantine_folder
from cortax.workflow.guarding.server import is_idle

__all__ = ["Waste", "check_idle", "find_waste", "remove", "seconds_of", "size_of"]

_AGES = {"m": 60, "h": 3600, "d": 86400, "w": 604800}
_SIZES = {"": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12, "KIB": 2**10, "MIB": 2**20, "GIB": 2**30}
_UNUSED = 30 * 86400.0  # seconds


@dataclass(frozen=True)
class Waste:
    """A file or folder that can be removed.

    Attributes
    ----------
    path : Path
        A job's folder, or a file or folder of `.cortax` or of the user's cache.
    why : str
    size : int
        Bytes on disk.
    age : float
        Seconds since it was last written to.
    """

    path: Path
    why: str
    size: int
    age: float


def seconds_of(text: str) -> float:
    """Read an age.

    >>> seconds_of("30d")
    2592000.0

    Raises
    ------
    ProjectError
        It is not a number with one of the units.
    """
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([mhdw])", text.strip())
    if not match:
        raise ProjectError(f"age {text!r}: must be a number and one of {', '.join(_AGES)}, such as 30d")
    return float(match[1]) * _AGES[match[2]]


def size_of(text: str) -> int:
    """Read a size, in units of 1000 or, with an i, 1024.

    >>> size_of("1.5GB")
    1500000000

    Raises
    ------
    ProjectError
        It is not a number with one of the units.
    """
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([A-Z]*)", text.strip().upper())
    if not match or match[2] not in _SIZES:
        raise ProjectError(f"size {text!r}: must be a number of bytes, or of {', '.join(filter(None, _SIZES))}")
    return int(float(match[1]) * _SIZES[match[2]])


def check_idle(root: Path) -> None:
    """Make sure that the server runs no job; the build lock only keeps away builds of cortax's own.

    Raises
    ------
    ProjectError
        It does.
    """
    if is_idle(root) is False:
        raise ProjectError(f"{root}: the server is running a job; wait for it, or `ax abort`")


def find_waste(
    root: Path,
    *,
    older_than: float | None = None,
    keep_size: int | None = None,
    n_builds: int | None = None,
) -> list[Waste]:
    """List what can be removed. A next build like one of those that count reuses the same jobs as without the removal.

    Parameters
    ----------
    root : Path
        The project.
    older_than : float, optional
        Seconds; nothing younger is listed. Only with it are quarantines, checkpoints and jobs of unfinished builds
        listed.
    keep_size : int, optional
        Bytes; jobs are listed, oldest first, only until the workdir would be as small as this.
    n_builds : int, optional
        How many of the newest builds of each study count; by default every build that urd lists.

    Raises
    ------
    ProjectError
        A job cannot be read.
    """
    jobs = _unneeded(root, older_than, keep_size, n_builds)
    return [*jobs, *(waste for waste in _cached(root) if waste.age >= (older_than or 0)), *_old(root, older_than)]


def _unneeded(root: Path, older_than: float | None, keep_size: int | None, n_builds: int | None) -> list[Waste]:
    home = jobs_folder(root)
    jobs = sorted((path.name for path in home.glob("main-[0-9]*") if path.name[5:].isdigit()), key=job_number)
    unneeded = set(jobs) - needed_jobs(root, n_builds)
    # Exax would give the highest number again, and keys and lists of builds tell jobs apart by number.
    unneeded -= set(jobs[-1:])
    if older_than is None:
        kept = pending_jobs(root, unneeded)
    else:
        kept = {job for job in unneeded if _age(home / job) < older_than}
    candidates = [job for job in jobs if job in unneeded - with_inputs(home, kept)]
    waste = {job: _waste(home / job, "no build needs it") for job in candidates}
    if keep_size is None:
        return list(waste.values())
    excess = sum(_size(home / job) for job in jobs) - keep_size
    inputs = {job: inputs_of(home / job) for job in candidates}
    chosen: dict[str, Waste] = {}
    for job in candidates:
        if excess > 0 and job not in chosen:
            new = {other: waste[other] for other in _dependents(job, inputs) if other not in chosen}
            excess -= sum(each.size for each in new.values())
            chosen |= new
    return list(chosen.values())


def _dependents(job: str, inputs: Mapping[str, set[str]]) -> list[str]:
    """Return a job and all that have it as an input, direct or not: without it no build could reuse them."""
    dependents = {job: None}
    for other, jobs in inputs.items():  # a job comes after its inputs
        if not jobs.isdisjoint(dependents):
            dependents[other] = None
    return list(dependents)


def _cached(root: Path) -> Iterator[Waste]:
    """Find machine code that no project has used for long, and manifests of methods that have been removed."""
    for parent in (user_cache(), root / ".cortax"):
        for folder in (parent / "numba").glob("*-*"):
            if _age(folder) > _UNUSED:
                yield _waste(folder, "machine code that nobody has used for a month")
    for note in (root / ".cortax" / "manifests").glob("*.txt"):
        if not (root / note.stem.replace(".", "/")).with_suffix(".py").exists():
            yield _waste(note, "its method is gone")


def _old(root: Path, older_than: float | None) -> Iterator[Waste]:
    for folder, why in ((quarantine_folder(root), "old quarantine"), (root / ".cortax" / "running", "old checkpoint")):
        groups: dict[str, list[Path]] = {}
        for path in folder.glob("*"):
            # A database has a journal and a lock beside it, and what was written last may be in any of them.
            groups.setdefault(path.name if path.is_dir() else path.name.partition(".")[0], []).append(path)
        for paths in groups.values():
            if older_than is not None and min(map(_age, paths)) >= older_than:
                yield from (_waste(path, why) for path in paths)


def _waste(path: Path, why: str) -> Waste:
    return Waste(path, why, _size(path), _age(path))


def _age(path: Path) -> float:
    paths = [path, *path.glob("*")] if path.is_dir() else [path]
    return time.time() - max(each.lstat().st_mtime for each in paths)


def _size(path: Path) -> int:
    files = [path, *(Path(folder, name) for folder, some, more in os.walk(path) for name in (*some, *more))]
    return sum(file.lstat().st_blocks * 512 for file in files)


def remove(waste: Iterable[Waste]) -> None:
    """Remove files and folders. A job whose removal is interrupted counts as unfinished: Exax ignores it."""
    for each in waste:
        if each.path.is_dir():
            (each.path / "post.json").unlink(missing_ok=True)
            shutil.rmtree(each.path)
        else:
            each.path.unlink(missing_ok=True)

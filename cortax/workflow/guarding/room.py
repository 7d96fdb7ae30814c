"""What Exax needs of the machine to write down what it does: space, open files and files of any size.

Without it Exax ends in a traceback, in the middle of its own lists. So a build looks first, and keeps some room for the
end.
"""

from __future__ import annotations

import errno
import os
import resource
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from cortax.errors import ProjectError
from cortax.project import jobs_folder

__all__ = ["FULL", "KEPT", "check_room", "is_full", "kept_room"]

# Errors of a disk, a quota or a limit that is reached.
FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EMFILE, errno.ENFILE}
# Exax's server and its processes hold some thirty; workers and libraries open more.
_N_FILES = 256
_FILE_SIZE = 16 << 20
KEPT = "results are as they were, and finished jobs are kept; make room and build again"
# What Exax writes of a build itself takes some kilobytes.
_RESERVE = 64 << 10
_NEEDED = 1 << 20


def check_room(root: Path) -> None:
    """Make sure that Exax can write in a project, before anything is begun.

    Raises
    ------
    ProjectError
        The disk is full, or this shell limits open files or their size too much.
    """
    for kind, option, least, what in (
        (resource.RLIMIT_NOFILE, "n", _N_FILES, "open files"),
        (resource.RLIMIT_FSIZE, "f", _FILE_SIZE, "bytes of a file"),
    ):
        limit = resource.getrlimit(kind)[0]
        if limit != resource.RLIM_INFINITY and limit < least:
            raise ProjectError(
                f"this shell allows {limit} {what}, a build needs at least {least}: raise it by `ulimit -{option}`"
            )
    for folder in (root / ".cortax", jobs_folder(root)):
        try:
            with _file(folder, _NEEDED):
                pass
        except OSError as error:
            raise ProjectError(
                f"{folder}: cannot be written ({error.strerror}; {shutil.disk_usage(root).free >> 10} kB are free, a "
                f"build needs at least {_NEEDED >> 10}): nothing was begun, and results are as they were"
            ) from error


@contextmanager
def kept_room(folder: Path) -> Iterator[None]:
    """Keep room for what Exax writes when a build ends, however full the disk is by then.

    Raises ProjectError: there is none.
    """
    try:
        with _file(folder, _RESERVE):
            yield
    except OSError as error:
        if error.errno not in FULL:
            raise
        raise ProjectError(f"{error.filename or folder}: {error.strerror}: {KEPT}") from error


def is_full(root: Path) -> bool:
    """Say whether nothing can be written in a project any more."""
    try:
        for folder in (root / ".cortax", jobs_folder(root)):
            with _file(folder, 2 * _RESERVE):  # more than what was kept, which is free by then
                pass
    except OSError as error:
        return error.errno in FULL
    return False


@contextmanager
def _file(folder: Path, size: int) -> Iterator[None]:
    """Have a file of so many bytes for as long as this lasts."""
    path = folder / f".room.{os.getpid()}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        path.write_bytes(os.urandom(size))  # some file systems store zeros as nothing
        yield
    finally:
        with suppress(OSError):
            path.unlink()

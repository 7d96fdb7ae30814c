"""Locks of files, and names of files that last."""

from __future__ import annotations

import fcntl
import os
import time
from pathlib import Path

from cortax.errors import ProjectError

__all__ = ["lock_file", "sync_folder"]


def sync_folder(folder: Path) -> None:
    """Make the names in a folder survive a loss of power."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def lock_file(path: Path, patience: float) -> int:
    """Lock a file; the system frees it when this process and its forks have ended, however they end.

    It is to be a file of its own: SQLite's locks of a database go when any handle of it is closed in the process.

    Parameters
    ----------
    path : Path
        Made where there is none.
    patience : float
        Seconds to wait for another process that holds it.

    Returns
    -------
    int
        A handle; to close it is to let go.

    Raises
    ------
    ProjectError
        Another process holds it.
    """
    handle = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
    deadline = time.monotonic() + patience
    while True:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            if time.monotonic() > deadline:
                os.close(handle)
                raise ProjectError(
                    f"{path}: another process computes the same values; wait for it, or end it (`cortax down`)"
                ) from error
            time.sleep(0.1)
        else:
            return handle

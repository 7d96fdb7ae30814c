"""Digests of input files, remembered as long as a file is provably the same."""

from __future__ import annotations

import hashlib
import os
import sqlite3
import time
from collections.abc import Iterable
from contextlib import closing, suppress
from pathlib import Path

from cortax.errors import InputError

__all__ = ["DigestMemory", "file_digest", "text_digest"]

# A file changed within this many nanoseconds before it was digested may change once more without
# its time stamps moving (they tick every few milliseconds, on some file systems every two seconds).
RACY_NS = 2_500_000_000

_SCHEMA = """CREATE TABLE IF NOT EXISTS digests (
    path TEXT PRIMARY KEY, size INTEGER, mtime_ns INTEGER, ctime_ns INTEGER, inode INTEGER, sha256 TEXT
) WITHOUT ROWID"""


def file_digest(path: str | os.PathLike[str]) -> str:
    """Return the SHA-256 of a file's bytes, in hexadecimal.

    Raises
    ------
    InputError
        The file is missing or cannot be read.
    """
    digest = hashlib.sha256()
    try:
        with open(path, "rb") as file:
            while block := file.read(1 << 20):
                digest.update(block)
    except OSError as error:
        raise InputError(f"{os.fspath(path)}: cannot be read ({error.strerror})") from error
    return digest.hexdigest()


def text_digest(text: str) -> str:
    """Return the SHA-256 of a text's UTF-8 bytes, in hexadecimal."""
    return hashlib.sha256(text.encode()).hexdigest()


class DigestMemory:
    """File digests, remembered by path, size, both time stamps and inode.

    `ctime` is part of it because no program can set it: a file that was changed and given its old
    modification time back is digested again. A file changed less than 2.5 seconds before it was
    digested is not remembered.

    Parameters
    ----------
    path : path
        The SQLite file. It is a cache: when damaged it is dropped and made anew.

    Attributes
    ----------
    n_read : int
        How many files had to be read so far.
    """

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self._path = Path(path)
        self.n_read = 0
        self._known: dict[str, tuple[tuple[int, int, int, int], str]] = {}
        self._new: dict[str, tuple[tuple[int, int, int, int], str]] = {}
        try:
            self._known = self._load()
        except sqlite3.DatabaseError:
            self._path.unlink(missing_ok=True)

    def _load(self) -> dict[str, tuple[tuple[int, int, int, int], str]]:
        if not self._path.exists():
            return {}
        with closing(sqlite3.connect(self._path)) as database:
            database.execute(_SCHEMA)
            rows = database.execute("SELECT path, size, mtime_ns, ctime_ns, inode, sha256 FROM digests")
            return {row[0]: (row[1:5], row[5]) for row in rows}

    def __call__(self, path: str | os.PathLike[str]) -> str:
        """Return the file's SHA-256, reading it only when it may have changed."""
        key = os.path.abspath(path)
        try:
            stat = os.stat(key)
        except OSError as error:
            raise InputError(f"{os.fspath(path)}: cannot be read ({error.strerror})") from error
        stamp = (stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns, stat.st_ino)
        known = self._known.get(key)
        if known is not None and known[0] == stamp:
            return known[1]
        before = time.time_ns()
        digest = file_digest(key)
        self.n_read += 1
        if max(stat.st_mtime_ns, stat.st_ctime_ns) < before - RACY_NS:
            self._known[key] = self._new[key] = (stamp, digest)
        return digest

    def save(self) -> None:
        """Write what was learnt since the last save."""
        if not self._new:
            return
        rows: Iterable[tuple[object, ...]] = ((key, *stamp, sha) for key, (stamp, sha) in self._new.items())
        # A cache that cannot be written (a full disk) costs time, and must not hide what else went wrong.
        with suppress(OSError, sqlite3.Error):
            self._path.parent.mkdir(parents=True, exist_ok=True)
            with closing(sqlite3.connect(self._path, timeout=30)) as database, database:
                database.execute(_SCHEMA)
                database.executemany("INSERT OR REPLACE INTO digests VALUES (?, ?, ?, ?, ?, ?)", rows)
        self._new = {}

"""What a running job has finished, kept at once: one SQLite file a job, named by what the job is made of.

A value that was written survives the end of every process at once, and a loss of power at the latest a moment later,
see `Checkpoint.add`. The file knows nothing of what a value means: it holds bytes by key, and digests of them.
"""

from __future__ import annotations

import hashlib
import json
import os
import sqlite3
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import fields
from pathlib import Path
from types import TracebackType
from typing import Any

from cortax.errors import ProjectError
from cortax.workflow.work.locks import lock_file, sync_folder
from cortax.workflow.work.units import UnitFailure

__all__ = ["Checkpoint", "read_failures"]

_TABLES = """
CREATE TABLE IF NOT EXISTS finished (
    key TEXT PRIMARY KEY, seconds REAL, peak INTEGER, attempt INTEGER, digest BLOB, value BLOB);
CREATE TABLE IF NOT EXISTS failures (
    keys TEXT, attempt INTEGER, kind TEXT, message TEXT, traceback TEXT, seconds REAL, peak INTEGER,
    needs INTEGER, allowed INTEGER, workers INTEGER, final INTEGER);
CREATE TABLE IF NOT EXISTS build (name TEXT);
CREATE TABLE IF NOT EXISTS begun (n INTEGER);
"""
_OF_FAILURE = [field.name for field in fields(UnitFailure)[1:]]
# Syncing may take this share of the time, and waits at most about so many seconds.
_SYNC_SHARE, _SYNC_WITHIN = 0.1, 0.05


class Checkpoint:
    """The finished values of one job, by key, and its failures.

    Parameters
    ----------
    path : Path
        Of the file, which is made where there is none. A damaged one is set aside.
    build : str
        Failures of other builds are forgotten: this one tries everything anew.
    say : callable
        Takes what people should know.
    patience : float
        Seconds to wait for another process that works with the same file.

    Raises
    ------
    ProjectError
        Another process works with it, or it cannot be written.
    """

    def __init__(
        self, path: Path, *, build: str = "", say: Callable[[str], None] = print, patience: float = 15.0
    ) -> None:
        self.path, self._say = path, say
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._lock = lock_file(path.with_name(path.name + ".lock"), patience)
        except OSError as error:
            raise self._cannot_write(error) from error
        try:
            self._base = self._open(build)
        except BaseException:
            os.close(self._lock)
            raise
        self._wal = os.open(path.with_name(path.name + "-wal"), os.O_RDONLY)
        sync_folder(path.parent)
        self._sync_took, self._synced, self.unsynced = 0.0, 0.0, False
        self._begun = 0

    def __enter__(self) -> Checkpoint:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _open(self, build: str) -> sqlite3.Connection:
        try:
            return self._connect(build)
        except sqlite3.OperationalError as error:
            raise self._cannot_write(error) from error
        except sqlite3.DatabaseError as error:
            aside = self.path.with_suffix(f".damaged-{time.time_ns()}")
            self.path.replace(aside)
            for ending in ("-wal", "-shm"):
                with suppress(FileNotFoundError):
                    self.path.with_name(self.path.name + ending).replace(aside.with_name(aside.name + ending))
            self._say(f"{self.path}: damaged ({error}); set aside as {aside.name}, what was in it is computed again")
            return self._connect(build)

    def _connect(self, build: str) -> sqlite3.Connection:
        base = sqlite3.connect(self.path, timeout=30, isolation_level=None)
        try:
            base.execute("PRAGMA journal_mode=WAL")
            # A commit is handed to the system, which keeps it whatever becomes of this process; `add` syncs.
            base.execute("PRAGMA synchronous=NORMAL")
            base.execute("PRAGMA wal_autocheckpoint=4000")
            if (found := base.execute("PRAGMA quick_check(1)").fetchone()[0]) != "ok":
                raise sqlite3.DatabaseError(found)
            base.executescript(_TABLES)
            with base:
                base.execute("BEGIN")
                if base.execute("SELECT name FROM build").fetchall() != [(build,)]:
                    base.execute("DELETE FROM build")
                    base.execute("DELETE FROM failures")
                    base.execute("INSERT INTO build VALUES (?)", (build,))
                if base.execute("SELECT count(*) FROM begun").fetchone()[0] == 0:
                    base.execute("INSERT INTO begun VALUES (0)")
        except BaseException:
            base.close()
            raise
        return base

    def _cannot_write(self, error: sqlite3.Error | OSError) -> ProjectError:
        return ProjectError(
            f"{self.path}: finished work cannot be kept ({error}): is the disk full? What was kept stays; build again"
        )

    def add(self, values: Mapping[str, bytes], *, seconds: float, peak: int, attempt: int) -> None:
        """Keep the values of a finished unit by key, all or none.

        They survive the end of this process at once. They survive a loss of power at once, too, unless syncing would
        take more than a tenth of the time; then they do a moment later.

        Raises
        ------
        ProjectError
            They cannot be written; what was kept before stays.
        """
        share = seconds / len(values)
        rows = [(key, share, peak, attempt, _digest(value), value) for key, value in values.items()]
        self._write("INSERT OR REPLACE INTO finished VALUES (?, ?, ?, ?, ?, ?)", rows)

    def fail(self, failure: UnitFailure) -> None:
        """Keep a failure."""
        row = [json.dumps(failure.keys), *(getattr(failure, name) for name in _OF_FAILURE)]
        self._write("INSERT INTO failures VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", [row])

    def begin(self, n_keys: int) -> None:
        """Count the keys of a unit that is handed to a worker; kept with whatever is kept next, or by `keep_count`."""
        self._begun += n_keys

    def keep_count(self) -> None:
        """Keep how many keys were handed to workers, unless that is kept already."""
        if self._begun:
            self._write("", [])

    @property
    def n_begun(self) -> int:
        """How many keys were ever handed to workers; those that were begun again count each time."""
        return int(self._base.execute("SELECT n FROM begun").fetchone()[0]) + self._begun

    def _write(self, statement: str, rows: Sequence[Sequence[Any]]) -> None:
        try:
            with self._base:
                self._base.execute("BEGIN IMMEDIATE")
                if rows:
                    self._base.executemany(statement, rows)
                self._base.execute("UPDATE begun SET n = n + ?", (self._begun,))
        except sqlite3.Error as error:
            raise self._cannot_write(error) from error
        self._begun, self.unsynced = 0, True
        if time.monotonic() - self._synced >= self._sync_took / _SYNC_SHARE:
            self.sync()

    @property
    def sync_due(self) -> float | None:
        """Seconds until `sync` should be called; None where there is nothing to sync."""
        if not self.unsynced:
            return None
        return max(0.0, self._synced + max(_SYNC_WITHIN, self._sync_took / _SYNC_SHARE) - time.monotonic())

    def sync(self) -> None:
        """Make what was kept survive a loss of power.

        Raises
        ------
        ProjectError
            The disk does not take it.
        """
        started = time.monotonic()
        try:
            os.fdatasync(self._wal)
        except OSError as error:
            raise self._cannot_write(error) from error
        self._synced, self.unsynced = time.monotonic(), False
        self._sync_took = self._synced - started

    def done(self) -> set[str]:
        """Return the keys whose values are there and intact; others are computed again, and a message says so."""
        keys = set()
        for key, digest, value in self._base.execute("SELECT key, digest, value FROM finished"):
            if _digest(value) == digest:
                keys.add(key)
            else:
                self._say(f"{self.path}: {key}: damaged; it is computed again")
        return keys

    def values(self) -> dict[str, bytes]:
        """Return every value that was kept, by key.

        Raises
        ------
        ProjectError
            The bytes of a value are not those that were kept.
        """
        values = {}
        for key, digest, value in self._base.execute("SELECT key, digest, value FROM finished"):
            if _digest(value) != digest:
                raise ProjectError(f"{self.path}: {key}: damaged; build again")
            values[key] = value
        return values

    def failures(self) -> list[UnitFailure]:
        """Return what failed in this build, in order."""
        return read_failures(self._base)

    def close(self) -> None:
        """Sync and let go of the file, which stays."""
        try:
            self.sync()
        finally:
            os.close(self._wal)
            self._base.close()
            os.close(self._lock)


def read_failures(base: sqlite3.Connection) -> list[UnitFailure]:
    """Return the failures that a checkpoint's file holds, in order."""
    found = []
    for keys, *rest in base.execute("SELECT * FROM failures ORDER BY rowid"):
        values = dict(zip(_OF_FAILURE, rest, strict=True))
        found.append(UnitFailure(tuple(json.loads(keys)), **{**values, "final": bool(values["final"])}))
    return found


def _digest(value: bytes) -> bytes:
    return hashlib.blake2b(value, digest_size=16).digest()

"""Checkpoints of the jobs of a project: which file is whose, and what others may ask of it."""

from __future__ import annotations

import hashlib
import json
import sqlite3
from contextlib import closing
from pathlib import Path

from cortax.errors import ProjectError
from cortax.provenance import outputs
from cortax.workflow.work.checkpoint import read_failures
from cortax.workflow.work.units import UnitFailure

__all__ = ["checkpoint_path", "clear_checkpoint", "count_finished", "failed_units", "job_key", "reads_path"]


def job_key(folder: Path) -> str:
    """Return a digest of all that a job's result depends on: method, code, options, and its inputs' results.

    Raises
    ------
    ProjectError
        The job or one of its inputs has no readable record.
    """
    path = folder / "setup.json"
    try:
        setup = json.loads(path.read_text())
        content = [setup["method"], setup["hash"], setup["options"]]
        jobs = sorted(setup["jobs"].items())
    except (OSError, ValueError, KeyError, AttributeError) as error:
        raise ProjectError(f"{path}: not readable ({error}); build again") from error
    inputs = {}
    for slot, ids in jobs:
        listed = ids if isinstance(ids, list) else [ids]
        inputs[slot] = [outputs.read(folder.parent / job).digest for job in listed if job]
    return hashlib.sha256(json.dumps([*content, inputs], sort_keys=True).encode()).hexdigest()[:40]


def checkpoint_path(root: Path, folder: Path) -> Path:
    """Return the file of a job's checkpoint, whether it exists or not."""
    return root / ".cortax" / "running" / f"{job_key(folder)}.sqlite"


def reads_path(checkpoint: Path) -> Path:
    """Return the file where the processes of a job note what the study's own code reads, see `provenance.reads`."""
    return checkpoint.with_suffix(".reads")


def clear_checkpoint(root: Path, folder: Path) -> None:
    """Remove the checkpoint of a job that has ended well and is recorded; nothing where there is none."""
    running = root / ".cortax" / "running"
    if running.is_dir() and any(running.iterdir()):
        path = checkpoint_path(root, folder)
        for ending in ("", "-wal", "-shm", ".lock"):
            path.with_name(path.name + ending).unlink(missing_ok=True)
        reads_path(path).unlink(missing_ok=True)


def count_finished(root: Path, folder: Path) -> int:
    """Count the finished values of a job that has not ended well; 0 where there is no readable checkpoint."""
    try:
        path = checkpoint_path(root, folder)
        if not path.exists():
            return 0
        with closing(sqlite3.connect(path, timeout=5)) as base:
            return int(base.execute("SELECT count(*) FROM finished").fetchone()[0])
    except (sqlite3.Error, ProjectError):
        return 0


def failed_units(root: Path, folder: Path) -> list[UnitFailure]:
    """Return what failed in a job that has not ended well; nothing where there is no readable checkpoint."""
    try:
        path = checkpoint_path(root, folder)
        if not path.exists():
            return []
        with closing(sqlite3.connect(path, timeout=5)) as base:
            return read_failures(base)
    except (sqlite3.Error, ProjectError):
        return []

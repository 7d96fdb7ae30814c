"""What a job's workers do, said once: forks of the job, processes of a back-end and other machines do the same.

A method opens its inputs into a `Task`, has it done by `run_task`, and collects what it returned by `collect_task`.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import asdict
from pathlib import Path
from typing import Any, Protocol

from cortax.errors import ProjectError
from cortax.provenance import reads
from cortax.workflow.work.checkpoint import Checkpoint
from cortax.workflow.work.hire import hire_workers
from cortax.workflow.work.pool import run_units
from cortax.workflow.work.running import checkpoint_path, reads_path
from cortax.workflow.work.settings import read_settings
from cortax.workflow.work.units import Task, Unit, check_failures

__all__ = ["Job", "Task", "Unit", "collect_task", "run_task"]

_REPORT = "pool.json"

Status = Callable[[str], AbstractContextManager[Callable[[str], Any]]]


class Job(Protocol):
    """A job of Exax: all that is used of it is its folder."""

    @property
    def path(self) -> str | Path:
        """Its folder."""


def run_task(task: Task, job: Job, root: Path, sliceno: int, slices: int, status: Status | None = None) -> None:
    """Do the units of a job's task that are not done yet: all that a method's `analysis` does.

    Parameters
    ----------
    task : Task
    job : Job
        Also given the report of the work, `pool.json`.
    root : Path
        The project.
    sliceno, slices : int
        As Exax tells `analysis`. The first slice hires workers, as many as there are slices where the settings do not
        say, and anew whenever one is lost; the others return at once.
    status : callable, optional
        Exax's `status`, told how many units are done.

    Raises
    ------
    CortaxError
        Units failed, see `check_failures`; what they would need is in the checkpoint, which stays, as does all that got
        done.
    """
    if sliceno:
        return
    if status is None:
        _run(task, Path(job.path), root, slices, None)
        return
    with status("units") as update:
        _run(task, Path(job.path), root, slices, lambda done, n: update(f"{done}/{n} units"))


def _run(task: Task, folder: Path, root: Path, slices: int, progress: Callable[[int, int], object] | None) -> None:
    settings, path = read_settings(root), checkpoint_path(root, folder)
    _begin_reads(path, root)
    n_workers = settings.workers or slices
    with Checkpoint(path, build=settings.build) as checkpoint, hire_workers(settings, root, task) as hire:
        report = run_units(
            task.units(),
            checkpoint,
            hire,
            n_workers=n_workers,
            memory=settings.memory,
            seed=path.stem,
            progress=progress,
        )
    if report.n_resumed:
        print(f"{report.n_resumed} of {report.n_units} units were done before")
    about = {**asdict(report), "backend": settings.backend, "n_workers": n_workers, "memory": settings.memory}
    (folder / _REPORT).write_text(json.dumps(about, indent=1))
    check_failures(report.failed)


def _begin_reads(checkpoint: Path, root: Path) -> None:
    """Have all processes of a job note what own code reads; what was done with other files is done again."""
    sink = reads_path(checkpoint)
    sink.parent.mkdir(parents=True, exist_ok=True)
    if changed := reads.changed_reads(reads.read_sink(sink), root):
        print(f"{', '.join(changed)}: changed since units of this job were done with it; they are done again")
        checkpoint.unlink(missing_ok=True)
        sink.unlink()
    reads.keep_in(sink)


def collect_task(task: Task, job: Job, root: Path) -> dict[str, bytes]:
    """Return what was found for every key of a job's task, in the order of its units.

    The checkpoint stays until the job is recorded, see `clear_checkpoint`.

    Raises
    ------
    ProjectError
        A value is missing or damaged.
    """
    path = checkpoint_path(root, Path(job.path))
    reads.keep_in(reads_path(path))
    with Checkpoint(path, build=read_settings(root).build) as checkpoint:
        kept = checkpoint.values()
    keys = _keys(task.units())
    if lost := [key for key in keys if key not in kept]:
        raise ProjectError(f"{lost[0]}: lost from {checkpoint.path}; build again")
    return {key: kept[key] for key in keys}


def _keys(units: Sequence[Unit]) -> list[str]:
    return [key for unit in units for key in unit.keys]

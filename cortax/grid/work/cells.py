"""The cells of one job: a batch is a unit of work, and what it finds is kept as bytes."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any, Protocol, TypeVar

from cortax.errors import ProjectError
from cortax.grid.engines.capsule import Ticket
from cortax.grid.work.checkpoint import Checkpoint
from cortax.grid.work.crews import crews
from cortax.grid.work.pool import run_units
from cortax.grid.work.running import checkpoint_path
from cortax.grid.work.settings import read_settings
from cortax.grid.work.units import Unit, check_failures
from cortax.search.cells import Batch

__all__ = ["Named", "collect_cells", "run_cells"]

Found = TypeVar("Found")

_REPORT = "pool.json"


class Named(Protocol):
    """What a job works on, such as a `Problem`: all that is asked here is what its targets are called."""

    @property
    def names(self) -> tuple[str, ...]:
        """By their number in batches."""


def run_cells(
    root: Path,
    folder: Path,
    problem: Named,
    batches: Sequence[Batch],
    work: Callable[[Batch], Mapping[tuple[int, int], Found]],
    write: Callable[[Found], bytes],
    capsule: Callable[[Path], Ticket],
    *,
    n_slices: int,
    costs: Sequence[float] | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> None:
    """Work on the batches of a job that are not done yet.

    Parameters
    ----------
    root, folder : Path
        The project, and the job.
    problem : Named
    batches : sequence of Batch
    work : callable
        Returns what it found for every (target, outer fold) of a batch.
    write : callable
        Makes bytes of it.
    capsule : callable
        Writes into a folder what workers need that are no forks of this process.
    n_slices : int
        How many work at once where the settings do not say.
    costs : sequence of float, optional
        How long each batch is expected to take, in whatever unit; by its number of targets where it is not known.
    progress : callable, optional
        Told how many batches are done, and how many there are.

    Raises
    ------
    CortaxError
        Batches failed, see `check_failures`; what they would need is in the checkpoint, which stays, as do all cells
        that got done.
    """
    settings = read_settings(root)
    costs = costs or _sizes(batches)
    units = [Unit(tuple(_cells(problem, batch)), cost) for batch, cost in zip(batches, costs, strict=True)]

    def values(number: int) -> list[bytes]:
        batch = batches[number]
        found = work(batch)
        return [write(found[target, batch.outer]) for target in batch.targets]

    path = checkpoint_path(root, folder)
    n_workers = settings.workers or n_slices
    with (
        Checkpoint(path, build=settings.build) as checkpoint,
        crews(settings, root, values, capsule, costs) as hire,
    ):
        report = run_units(
            units, checkpoint, hire, n_workers=n_workers, memory=settings.memory, seed=path.stem, progress=progress
        )
    if report.n_resumed:
        print(f"{report.n_resumed} of {report.n_units} batches were done before")
    about = {**asdict(report), "backend": settings.backend, "n_workers": n_workers, "memory": settings.memory}
    (folder / _REPORT).write_text(json.dumps(about, indent=1))
    check_failures(report.failed)


def _cells(problem: Named, batch: Batch) -> list[tuple[str, int]]:
    return [(problem.names[target], batch.outer) for target in batch.targets]


def _sizes(batches: Sequence[Batch]) -> list[float]:
    return [float(len(batch.targets)) for batch in batches]


def collect_cells(
    root: Path, folder: Path, problem: Named, batches: Sequence[Batch], read: Callable[[bytes], Found]
) -> dict[tuple[int, int], Found]:
    """Return what was found for every (target, outer fold) of the batches of a job.

    The checkpoint stays until the job is recorded, see `clear_checkpoint`.

    Raises
    ------
    ProjectError
        A cell is missing or damaged.
    """
    with Checkpoint(checkpoint_path(root, folder), build=read_settings(root).build) as checkpoint:
        kept: dict[tuple[str, int], Any] = dict(checkpoint.values())
    found = {}
    for batch in batches:
        for target in batch.targets:
            key = problem.names[target], batch.outer
            if key not in kept:
                raise ProjectError(f"target {key[0]!r}, outer fold {key[1]}: lost from {checkpoint.path}; build again")
            found[target, batch.outer] = read(kept[key])
    return found

"""The workers of a job, wherever the settings say that they come from."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from cortax.grid.engines.capsule import Ticket
from cortax.grid.engines.crew import engine_crews
from cortax.grid.work.forks import ForkCrew, parents
from cortax.grid.work.pool import Crew
from cortax.grid.work.settings import Settings
from cortax.grid.work.units import Level

__all__ = ["crews"]

# Exax starts a job's processes from its launcher, that from its runner, that from its server.
_GENERATIONS = 3


@contextmanager
def crews(
    settings: Settings,
    root: Path,
    key: str,
    values: Callable[[int], Sequence[bytes]],
    capsule: Callable[[Path], Ticket],
    costs: Sequence[float],
) -> Iterator[Callable[[Level], Crew]]:
    """Provide workers for the levels of a job.

    Parameters
    ----------
    settings : Settings
    root : Path
        The project.
    key : str
        Of the job.
    values : callable
        Does a unit in a fork of this process.
    capsule : callable
        Writes what other processes need to do it into a new folder.
    costs : sequence of float
        Of every unit.

    Yields
    ------
    callable
        What `run_units` hires its crews with.

    Raises
    ------
    ProjectError
        The back-end is not installed, or does not answer.
    """
    watched = parents(_GENERATIONS)
    if settings.backend == "slices":
        yield lambda level: ForkCrew(values, level, seconds=settings.cell_seconds, watched=watched)
        return
    os.environ.update(settings.engine)
    folder = root / ".cortax" / "running" / f"{key}-capsule"
    shutil.rmtree(folder, ignore_errors=True)  # of a job that was killed
    ticket = capsule(folder)
    shared = sum(path.stat().st_size for path in folder.iterdir())
    scratch = root / ".cortax" / "engines"
    try:
        with engine_crews(
            settings.backend, ticket, scratch, costs, shared=shared, seconds=settings.cell_seconds, watched=watched
        ) as hire:
            yield hire
    finally:
        shutil.rmtree(folder, ignore_errors=True)

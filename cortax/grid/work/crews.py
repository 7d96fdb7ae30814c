"""The workers of a job, wherever the settings say that they come from."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from cortax.grid.engines.capsule import Ticket
from cortax.grid.engines.crew import engine_crews
from cortax.grid.engines.scratch import Scratch, engines_folder
from cortax.grid.work.forks import ForkCrew, parents
from cortax.grid.work.pool import Crew
from cortax.grid.work.settings import OF_ENGINES, Settings
from cortax.grid.work.units import Level

__all__ = ["crews"]

# Exax starts a job's processes from its launcher, that from its runner, that from its server.
_GENERATIONS = 3


@contextmanager
def crews(
    settings: Settings,
    root: Path,
    values: Callable[[int], Sequence[bytes]],
    capsule: Callable[[Path], Ticket],
    costs: Sequence[float],
    *,
    n_threads: int = 1,
) -> Iterator[Callable[[Level], Crew]]:
    """Provide workers for the levels of a job.

    Parameters
    ----------
    settings : Settings
    root : Path
        The project.
    values : callable
        Does a unit in a fork of this process.
    capsule : callable
        Writes what other processes need to do it into a new folder.
    costs : sequence of float
        Of every unit.
    n_threads : int
        Of BLAS and OpenMP, of each worker.

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
        seconds = settings.cell_seconds
        yield lambda level: ForkCrew(values, level, seconds=seconds, watched=watched, n_threads=n_threads)
        return
    for name in OF_ENGINES:
        os.environ.pop(name, None)  # of the server, from whenever it was started
    os.environ.update(settings.engine)
    engines = engines_folder(root)
    scratch = Scratch(engines, "inputs")
    try:
        folder = scratch.path / "capsule"
        ticket = capsule(folder)
        shared = sum(path.stat().st_size for path in folder.iterdir())
        with engine_crews(
            settings.backend,
            ticket,
            engines,
            costs,
            shared=shared,
            seconds=settings.cell_seconds,
            watched=watched,
            n_threads=n_threads,
        ) as hire:
            yield hire
    finally:
        scratch.remove()

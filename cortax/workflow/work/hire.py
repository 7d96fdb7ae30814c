"""The workers of a job, wherever the settings say that they come from."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from cortax.workflow.work.backend_workers import hire_from_backend
from cortax.workflow.work.forks import ForkedWorkers, parents
from cortax.workflow.work.payload import write_payload
from cortax.workflow.work.pool import Workers
from cortax.workflow.work.scratch import Scratch, backends_folder
from cortax.workflow.work.settings import BACKEND_VARIABLES, Settings
from cortax.workflow.work.units import Level, Task

__all__ = ["hire_workers"]

# Exax starts a job's processes from its launcher, that from its runner, that from its server.
_GENERATIONS = 3


@contextmanager
def hire_workers(
    settings: Settings, root: Path, task: Task, *, n_threads: int = 1
) -> Iterator[Callable[[Level], Workers]]:
    """Provide workers for the levels of a job.

    Parameters
    ----------
    settings : Settings
    root : Path
        The project.
    task : Task
        Done as it is by forks of this process; other processes are given its payload.
    n_threads : int
        Of BLAS and OpenMP, of each worker.

    Yields
    ------
    callable
        What `run_units` hires workers with.

    Raises
    ------
    ProjectError
        The back-end is not installed, or does not answer.
    """
    watched = parents(_GENERATIONS)
    if settings.backend == "slices":
        seconds = settings.cell_seconds
        yield lambda level: ForkedWorkers(task.do, level, seconds=seconds, watched=watched, n_threads=n_threads)
        return
    for name in BACKEND_VARIABLES:
        os.environ.pop(name, None)  # of the server, from whenever it was started
    os.environ.update(settings.engine)
    backends = backends_folder(root)
    scratch = Scratch(backends, "inputs")
    try:
        folder = scratch.path / "payload"
        ref = write_payload(folder, task)
        shared = sum(path.stat().st_size for path in folder.iterdir())
        with hire_from_backend(
            settings.backend,
            ref,
            backends,
            [unit.cost for unit in task.units()],
            shared=shared,
            seconds=settings.cell_seconds,
            watched=watched,
            n_threads=n_threads,
        ) as hire:
            yield hire
    finally:
        scratch.remove()

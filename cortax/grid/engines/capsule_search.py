"""A search as a capsule: what it is written from, and the work that is made of it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from cortax.grid.engines.capsule import Capsule, Ticket, write_capsule
from cortax.grid.engines.capsule_problem import Work, pack_problem, unpack_problem
from cortax.search.cells import Batch, Problem
from cortax.search.solvers import search_batch, warm_up
from cortax.search.store_cells import write_search

__all__ = ["make_search", "write_search_capsule"]


def write_search_capsule(
    folder: Path,
    problem: Problem,
    batches: Sequence[Batch],
    estimators: Mapping[str, str],
    *,
    first: Iterable[str] = (),
) -> Ticket:
    """Write what workers need to search the batches of a problem.

    Parameters
    ----------
    folder : Path
        See `write_capsule`.
    problem : Problem
    batches : sequence of Batch
        The units, by their number.
    estimators : mapping of task to "module:Class"
        See `pipeline_kind`.
    first : iterable of str
        See `Capsule`.

    Raises
    ------
    ProjectError
        See `write_capsule`.
    """
    arrays, about = pack_problem(problem, batches, estimators)
    return write_capsule(folder, make=f"{__name__}:make_search", arrays=arrays, about=about, first=first)


def make_search(capsule: Capsule) -> Work:
    """Return the search of a batch by its number."""
    problem, batches, pipeline = unpack_problem(capsule)
    # Compiling takes memory that no unit should be short of.
    warm_up(problem, pipeline)

    def work(number: int) -> list[bytes]:
        batch = batches[number]
        found = search_batch(problem, batch, pipeline)
        return [write_search(found[target, batch.outer]) for target in batch.targets]

    return work

"""An evaluation as a capsule: what it is written from, and the work that is made of it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from cortax.grid.engines.capsule import Capsule, Ticket, write_capsule
from cortax.grid.engines.capsule_chosen import pack_chosen, unpack_chosen
from cortax.grid.engines.capsule_problem import Work
from cortax.search.cells import Batch, Problem
from cortax.search.refit import evaluate_batch
from cortax.search.store import StoredSearch
from cortax.search.store_cells import write_evaluation

__all__ = ["make_evaluation", "write_evaluation_capsule"]


def write_evaluation_capsule(
    folder: Path,
    problem: Problem,
    batches: Sequence[Batch],
    estimators: Mapping[str, str],
    search: StoredSearch,
    choose: str,
    *,
    first: Iterable[str] = (),
) -> Ticket:
    """Write what workers need to evaluate the batches of a problem by its search; see `capsule_search`."""
    arrays, about = pack_chosen(problem, batches, estimators, search, choose)
    return write_capsule(folder, make=f"{__name__}:make_evaluation", arrays=arrays, about=about, first=first)


def make_evaluation(capsule: Capsule) -> Work:
    """Return the evaluation of a batch by its number."""
    chosen = unpack_chosen(capsule)

    def work(number: int) -> list[bytes]:
        batch = chosen.batches[number]
        found = evaluate_batch(chosen.problem, batch, chosen.pipeline, **chosen.given(batch))
        return [write_evaluation(found[target, batch.outer]) for target in batch.targets]

    return work

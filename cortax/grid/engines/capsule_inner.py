"""Inner predictions as a capsule: what they are written from, and the work that is made of it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from cortax.ensemble.inner import predict_inner
from cortax.grid.engines.capsule import Capsule, Ticket, write_capsule
from cortax.grid.engines.capsule_chosen import pack_chosen, unpack_chosen
from cortax.grid.engines.capsule_problem import Work
from cortax.search.cells import Batch, Problem
from cortax.search.store import StoredSearch
from cortax.search.store_cells import write_evaluation

__all__ = ["make_inner", "write_inner_capsule"]


def write_inner_capsule(
    folder: Path,
    problem: Problem,
    batches: Sequence[Batch],
    estimators: Mapping[str, str],
    search: StoredSearch,
    choose: str,
    *,
    first: Iterable[str] = (),
) -> Ticket:
    """Write what workers need to predict within the outer training parts; see `capsule_search`."""
    arrays, about = pack_chosen(problem, batches, estimators, search, choose)
    return write_capsule(folder, make=f"{__name__}:make_inner", arrays=arrays, about=about, first=first)


def make_inner(capsule: Capsule) -> Work:
    """Return the inner predictions of a batch by its number."""
    chosen = unpack_chosen(capsule)

    def work(number: int) -> list[bytes]:
        batch = chosen.batches[number]
        found = predict_inner(chosen.problem, batch, chosen.pipeline, **chosen.given(batch))
        return [write_evaluation(found[target, batch.outer]) for target in batch.targets]

    return work

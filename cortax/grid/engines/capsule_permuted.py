"""Permutations as a capsule: what they are written from, and the work that is made of it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np

from cortax.grid.engines.capsule import Capsule, Ticket, write_capsule
from cortax.grid.engines.capsule_problem import Work, pack_problem, unpack_problem
from cortax.search.cells import Batch
from cortax.search.solvers import warm_up
from cortax.stats.nulls import Permuted, null_scores
from cortax.stats.store_nulls import write_null

__all__ = ["make_permuted", "write_permuted_capsule"]


def write_permuted_capsule(
    folder: Path,
    permuted: Permuted,
    batches: Sequence[Batch],
    estimators: Mapping[str, str],
    *,
    first: Iterable[str] = (),
) -> Ticket:
    """Write what workers need to search and refit permuted targets; see `capsule_search`."""
    arrays, about = pack_problem(permuted.problem, batches, estimators)
    arrays["groups"] = np.asarray(permuted.groups, dtype=np.str_)
    about["permuted"] = {
        "exchange": permuted.exchange,
        "numbers": [int(number) for number in permuted.numbers],
        "metrics": {task: list(names) for task, names in permuted.metrics.items()},
        "rule": permuted.rule,
    }
    return write_capsule(folder, make=f"{__name__}:make_permuted", arrays=arrays, about=about, first=first)


def make_permuted(capsule: Capsule) -> Work:
    """Return the work on a batch by its number."""
    problem, batches, pipeline = unpack_problem(capsule)
    permuted = Permuted(problem=problem, groups=np.asarray(capsule.arrays["groups"]), **capsule.about["permuted"])
    warm_up(problem, pipeline)

    def work(number: int) -> list[bytes]:
        batch = batches[number]
        found = null_scores(permuted, batch, pipeline)
        return [write_null(found[place, batch.outer]) for place in batch.targets]

    return work

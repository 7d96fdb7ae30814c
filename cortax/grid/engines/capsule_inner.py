"""Inner predictions as a capsule: what they are written from, and the work that is made of it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np

from cortax.ensemble.inner import predict_inner
from cortax.grid.engines.capsule import Capsule, Ticket, write_capsule
from cortax.grid.engines.capsule_problem import Work, pack_problem, unpack_problem
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
    arrays, about = pack_problem(problem, batches, estimators)
    own = [[target, outer, configs] for (target, outer), configs in sorted(search.own_configs.items())]
    arrays["scores"] = search.scores
    about |= {"own_configs": own, "choose": choose}
    return write_capsule(folder, make=f"{__name__}:make_inner", arrays=arrays, about=about, first=first)


def make_inner(capsule: Capsule) -> Work:
    """Return the inner predictions of a batch by its number."""
    problem, batches, pipeline = unpack_problem(capsule)
    own = {(target, outer): configs for target, outer, configs in capsule.about["own_configs"]}
    configs = {task: [dict(config) for config in found] for task, found in problem.configs.items()}
    search = StoredSearch(np.asarray(capsule.arrays["scores"]), configs, own, {})

    def work(number: int) -> list[bytes]:
        batch = batches[number]
        found = predict_inner(
            problem,
            batch,
            pipeline,
            scores={t: search.scores[t, batch.outer] for t in batch.targets},
            configs={t: search.configs_of(t, batch.outer, problem.tasks[t]) for t in batch.targets},
            rule=capsule.about["choose"],
        )
        return [write_evaluation(found[target, batch.outer]) for target in batch.targets]

    return work

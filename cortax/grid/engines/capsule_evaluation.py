"""An evaluation as a capsule: what it is written from, and the work that is made of it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np

from cortax.grid.engines.capsule import Capsule, Ticket, write_capsule
from cortax.grid.engines.capsule_problem import Work, pack_problem, unpack_problem
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
    arrays, about = pack_problem(problem, batches, estimators)
    own = [[target, outer, configs] for (target, outer), configs in sorted(search.own_configs.items())]
    arrays["scores"] = search.scores
    about |= {"own_configs": own, "choose": choose}
    return write_capsule(folder, make=f"{__name__}:make_evaluation", arrays=arrays, about=about, first=first)


def make_evaluation(capsule: Capsule) -> Work:
    """Return the evaluation of a batch by its number."""
    problem, batches, pipeline = unpack_problem(capsule)
    own = {(target, outer): configs for target, outer, configs in capsule.about["own_configs"]}
    configs = {task: [dict(config) for config in found] for task, found in problem.configs.items()}
    search = StoredSearch(np.asarray(capsule.arrays["scores"]), configs, own, {})

    def work(number: int) -> list[bytes]:
        batch = batches[number]
        found = evaluate_batch(
            problem,
            batch,
            pipeline,
            scores={t: search.scores[t, batch.outer] for t in batch.targets},
            configs={t: search.configs_of(t, batch.outer, problem.tasks[t]) for t in batch.targets},
            rule=capsule.about["choose"],
        )
        return [write_evaluation(found[target, batch.outer]) for target in batch.targets]

    return work

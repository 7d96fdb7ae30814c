"""What jobs that refit chosen configurations share as capsules: a problem, and what a search found of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from cortax.grid.engines.capsule import Capsule
from cortax.grid.engines.capsule_problem import pack_problem, unpack_problem
from cortax.search.cells import Batch, Problem
from cortax.search.pipelines import PipelineKind
from cortax.search.store import StoredSearch

__all__ = ["Chosen", "pack_chosen", "unpack_chosen"]


@dataclass(frozen=True, eq=False)
class Chosen:
    """A problem, and by `given` what else a refit of a batch is told."""

    problem: Problem
    batches: Sequence[Batch]
    pipeline: PipelineKind
    search: StoredSearch
    choose: str

    def given(self, batch: Batch) -> dict[str, Any]:
        """Return scores and configurations to choose from, and the rule."""
        return {**self.search.found_of(batch, self.problem.tasks), "rule": self.choose}


def pack_chosen(
    problem: Problem, batches: Sequence[Batch], estimators: Mapping[str, str], search: StoredSearch, choose: str
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the arrays of a capsule, and the rest of it as JSON values."""
    arrays, about = pack_problem(problem, batches, estimators)
    own = [[target, outer, configs] for (target, outer), configs in sorted(search.own_configs.items())]
    return {**arrays, "scores": search.scores}, {**about, "own_configs": own, "choose": choose}


def unpack_chosen(capsule: Capsule) -> Chosen:
    """Return what `pack_chosen` was given.

    Raises
    ------
    ProjectError
        The code of its classes is not what it was.
    """
    problem, batches, pipeline = unpack_problem(capsule)
    own = {(target, outer): configs for target, outer, configs in capsule.about["own_configs"]}
    configs = {task: [dict(config) for config in found] for task, found in problem.configs.items()}
    search = StoredSearch(np.asarray(capsule.arrays["scores"]), configs, own, {})
    return Chosen(problem, batches, pipeline, search, capsule.about["choose"])

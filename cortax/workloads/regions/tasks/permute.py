"""The task of `permute`: permuted targets are searched, refitted and scored."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from cortax.learning.search.cells import Batch
from cortax.learning.search.solvers import warm_up
from cortax.learning.stats.nulls import CellNull, Permuted, null_scores, plan_permutations, read_null, write_null
from cortax.workloads.regions.tasks.problem import Cells, CutProblem, CutTask, estimators_of, open_new

__all__ = ["PermutationTask", "open_permutation_task"]


@dataclass(frozen=True, eq=False)
class PermutationTask(CutTask[CellNull]):
    """See `Task`: its values are scores of permutations, by their place among them and the outer fold."""

    permuted: Permuted

    form = write_null, read_null

    def work(self, batch: Batch) -> Cells[CellNull]:
        """Search, refit and score a batch of permutations."""
        return null_scores(self.permuted, batch, self.cut.pipeline)

    def pack(self) -> tuple[dict[str, npt.NDArray[Any]], dict[str, Any]]:
        """See `Task`."""
        arrays, about = self.cut.pack()
        permuted = {
            "exchange": self.permuted.exchange,
            "numbers": [int(number) for number in self.permuted.numbers],
            "metrics": {task: list(names) for task, names in self.permuted.metrics.items()},
            "rule": self.permuted.rule,
        }
        return {**arrays, "groups": np.asarray(self.permuted.groups, dtype=np.str_)}, {**about, "permuted": permuted}

    @classmethod
    def unpack(cls, arrays: Mapping[str, npt.NDArray[Any]], about: Mapping[str, Any]) -> PermutationTask:
        """See `Task`, and `CutProblem.unpack`."""
        cut = CutProblem.unpack(arrays, about)
        warm_up(cut.problem, cut.pipeline)
        return cls(cut, Permuted(problem=cut.problem, groups=np.asarray(arrays["groups"]), **about["permuted"]))


def open_permutation_task(jobs: Mapping[str, Any], options: Mapping[str, Any]) -> PermutationTask:
    """Open the inputs of `permute`.

    Raises CortaxError: see `open_new`; or a class of the pipeline was edited since the build began.
    """
    opened = open_new(jobs, options)
    problem = opened.problem
    permuted = Permuted(
        problem=problem,
        groups=opened.cohort.groups,
        exchange=options["exchange"],
        numbers=range(options["start"], options["end"]),
        metrics={task: list(options["metrics"][task]) for task in sorted(set(problem.tasks))},
        rule=options["choose"],
    )
    batches = [batch for batch in plan_permutations(permuted) if options["fold"] in (None, batch.outer)]
    cut = CutProblem(problem, batches, estimators_of(options), permuted.names)
    cut.check_code(options["code"])
    warm_up(problem, cut.pipeline)
    return PermutationTask(cut, permuted)

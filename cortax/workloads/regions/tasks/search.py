"""The task of `tune`: every configuration on the inner folds."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy.typing as npt

from cortax.learning.search.cells import Batch, CellSearch
from cortax.learning.search.solvers import search_batch, warm_up
from cortax.workflow.task import Unit
from cortax.workloads.regions.tasks.problem import Cells, CutProblem, CutTask, estimators_of, open_new

__all__ = ["SearchTask", "open_search_task"]


class SearchTask(CutTask[CellSearch]):
    """See `Task`: its values are searches of cells, see `search_batch`."""

    form = CellSearch.to_bytes, CellSearch.from_bytes

    def units(self) -> list[Unit]:
        """Return a unit for each batch."""
        problem = self.cut.problem
        return self.cut.units(lambda task: len(problem.configs[task]) * problem.folds.n_inner)

    def work(self, batch: Batch) -> Cells[CellSearch]:
        """Search a batch."""
        return search_batch(self.cut.problem, batch, self.cut.pipeline)

    @classmethod
    def unpack(cls, arrays: Mapping[str, npt.NDArray[Any]], about: Mapping[str, Any]) -> SearchTask:
        """See `Task`, and `CutProblem.unpack`."""
        return _warm(CutProblem.unpack(arrays, about))


def open_search_task(jobs: Mapping[str, Any], options: Mapping[str, Any]) -> SearchTask:
    """Open the inputs of `tune`.

    Raises CortaxError: see `open_new`; or a class of the pipeline was edited since the build began.
    """
    cut = CutProblem.of(open_new(jobs, options).problem, estimators_of(options), options["fold"])
    cut.check_code(options["code"])
    return _warm(cut)


def _warm(cut: CutProblem) -> SearchTask:
    # Compiling takes memory that no unit should be short of.
    warm_up(cut.problem, cut.pipeline)
    return SearchTask(cut)

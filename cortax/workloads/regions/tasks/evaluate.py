"""The task of `evaluate`: chosen configurations are refitted and predict out of fold."""

from __future__ import annotations

from cortax.learning.search.evaluations import CellEvaluation
from cortax.learning.search.refit import evaluate_batch
from cortax.workloads.regions.tasks.searched import SearchedTask

__all__ = ["EvaluationTask"]


class EvaluationTask(SearchedTask[CellEvaluation]):
    """See `Task`: its values are evaluations of cells, see `evaluate_batch`."""

    form = CellEvaluation.to_bytes, CellEvaluation.from_bytes
    fit = evaluate_batch

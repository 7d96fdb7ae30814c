"""The task of `inner`: chosen configurations predict within the outer training parts."""

from __future__ import annotations

from cortax.learning.ensemble.inner import predict_inner
from cortax.learning.search.evaluations import CellEvaluation
from cortax.workloads.regions.tasks.searched import SearchedTask

__all__ = ["InnerTask"]


class InnerTask(SearchedTask[CellEvaluation]):
    """See `Task`: its values are inner predictions of cells, see `predict_inner`."""

    form = CellEvaluation.to_bytes, CellEvaluation.from_bytes
    fit = predict_inner

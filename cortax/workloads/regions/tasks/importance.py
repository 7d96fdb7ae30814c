"""The tasks of `importance`: of models that an evaluation kept, and of others, which are fitted once more."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from cortax.learning.importance.cells import importance_of_chosen, importance_of_kept
from cortax.learning.importance.found import CellImportance, read_importance, write_importance
from cortax.learning.search.cells import Batch
from cortax.learning.search.evaluations import Evaluation
from cortax.learning.search.store_evaluation import name_models, open_evaluation, read_models
from cortax.workloads.regions.tasks.problem import Cells, CutProblem, CutTask
from cortax.workloads.regions.tasks.searched import SearchedTask, open_searched

__all__ = ["ChosenImportanceTask", "KeptImportanceTask", "open_importance_task"]

_KEPT = ("chosen", "coefficients", "confound_coefficients", "intercepts")


@dataclass(frozen=True, eq=False)
class KeptImportanceTask(CutTask[CellImportance]):
    """See `Task`: its values are importances of cells, see `importance_of_kept`."""

    evaluation: Evaluation
    n_repeats: int

    form = write_importance, read_importance

    def work(self, batch: Batch) -> Cells[CellImportance]:
        """Look at the models of a batch."""
        return importance_of_kept(self.cut.problem, batch, self.evaluation, n_repeats=self.n_repeats)

    def pack(self) -> tuple[dict[str, npt.NDArray[Any]], dict[str, Any]]:
        """See `Task`."""
        arrays, about = self.cut.pack()
        kept = {name: getattr(self.evaluation, name) for name in _KEPT}
        arrays |= {name: values for name, values in kept.items() if values is not None}
        arrays |= name_models({str(t): model for t, model in self.evaluation.class_models.items()})
        return arrays, {**about, "failures": list(self.evaluation.failures), "n_repeats": self.n_repeats}

    @classmethod
    def unpack(cls, arrays: Mapping[str, npt.NDArray[Any]], about: Mapping[str, Any]) -> KeptImportanceTask:
        """See `Task`, and `CutProblem.unpack`."""
        # Where all targets are of several classes, only these have coefficients.
        kept: dict[str, Any] = {name: np.asarray(arrays[name]) if name in arrays else None for name in _KEPT}
        kept["class_models"] = {int(t): model for t, model in read_models(arrays).items()}
        unused = ("predictions", "labels", "train_rows", "not_converged", "seconds")
        others: dict[str, Any] = dict.fromkeys(unused, np.zeros((0, 0, 0)))
        evaluation = Evaluation(**kept, **others, failures=tuple(about["failures"]))
        return cls(CutProblem.unpack(arrays, about), evaluation, about["n_repeats"])


@dataclass(frozen=True, eq=False)
class ChosenImportanceTask(SearchedTask[CellImportance]):
    """See `Task`: its values are importances of cells, see `importance_of_chosen`."""

    n_repeats: int

    form = write_importance, read_importance
    fit = importance_of_chosen

    def work(self, batch: Batch, **more: Any) -> Cells[CellImportance]:
        """Fit the models of a batch and look at them."""
        return super().work(batch, n_repeats=self.n_repeats, **more)

    def pack(self) -> tuple[dict[str, npt.NDArray[Any]], dict[str, Any]]:
        """See `Task`."""
        arrays, about = super().pack()
        return arrays, {**about, "n_repeats": self.n_repeats}

    @classmethod
    def unpack(
        cls, arrays: Mapping[str, npt.NDArray[Any]], about: Mapping[str, Any], **more: Any
    ) -> ChosenImportanceTask:
        """See `Task`, and `CutProblem.unpack`."""
        return super().unpack(arrays, about, n_repeats=about["n_repeats"], **more)


def open_importance_task(
    jobs: Mapping[str, Any], options: Mapping[str, Any]
) -> tuple[KeptImportanceTask | ChosenImportanceTask, tuple[str, ...]]:
    """Open the inputs of `importance`: its task, and the names of the columns of the regions.

    Raises CortaxError: see `open_searched`.
    """
    n_repeats = options["n_repeats"]
    task, opened = open_searched(ChosenImportanceTask, jobs, options, scorers=options["scorers"], n_repeats=n_repeats)
    cut = task.cut
    if jobs["evaluate"]:
        return KeptImportanceTask(cut, open_evaluation(jobs["evaluate"].path).found, n_repeats), opened.columns
    # A refit shares little with others: the smaller the batches, the more workers have something to do.
    cut = replace(cut, batches=[Batch(batch.outer, (target,)) for batch in cut.batches for target in batch.targets])
    return replace(task, cut=cut), opened.columns

"""What tasks share that fit chosen configurations of a problem."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, TypeVar

import numpy as np
import numpy.typing as npt

from cortax.learning.search.cells import SCORERS, Batch
from cortax.learning.search.opening import Opened, open_problem
from cortax.learning.search.store import StoredSearch, open_search
from cortax.provenance import outputs
from cortax.workloads.regions.tasks.problem import Cell, Cells, CutProblem, CutTask, estimators_of

__all__ = ["SearchedTask", "open_searched"]

T = TypeVar("T", bound="SearchedTask[Any]")


@dataclass(frozen=True, eq=False)
class SearchedTask(CutTask[Cell]):
    """A task that fits what a search chose; `fit` is given problem, batch, pipeline, what to choose from and how.

    Attributes
    ----------
    choose : str
        The rule by which one configuration is chosen.
    """

    search: StoredSearch
    choose: str

    fit: ClassVar[Callable[..., Cells[Any]]]

    def work(self, batch: Batch, **more: Any) -> Cells[Cell]:
        """Fit a batch."""
        problem = self.cut.problem
        found = self.search.found_of(batch, problem.tasks)
        return type(self).fit(problem, batch, self.cut.pipeline, **found, rule=self.choose, **more)

    def pack(self) -> tuple[dict[str, npt.NDArray[Any]], dict[str, Any]]:
        """See `Task`."""
        arrays, about = self.cut.pack()
        own = [[target, outer, configs] for (target, outer), configs in sorted(self.search.own_configs.items())]
        return {**arrays, "scores": self.search.scores}, {**about, "own_configs": own, "choose": self.choose}

    @classmethod
    def unpack(cls: type[T], arrays: Mapping[str, npt.NDArray[Any]], about: Mapping[str, Any], **more: Any) -> T:
        """See `Task`, and `CutProblem.unpack`."""
        cut = CutProblem.unpack(arrays, about)
        own = {(target, outer): configs for target, outer, configs in about["own_configs"]}
        configs = {task: [dict(config) for config in each] for task, each in cut.problem.configs.items()}
        return cls(cut, StoredSearch(np.asarray(arrays["scores"]), configs, own, {}), about["choose"], **more)


def open_searched(
    kind: type[T],
    jobs: Mapping[str, Any],
    options: Mapping[str, Any],
    *,
    scorers: Mapping[str, str] = SCORERS,
    **more: Any,
) -> tuple[T, Opened]:
    """Open the inputs of a job that fits what a search chose: `choose` and `fold` of its options matter here.

    `more` are the fields that a kind of tasks has beside those of all.

    Raises CortaxError: see `open_problem`; or an input is not what its job saved.
    """
    outputs.check_all(jobs)
    search = open_search(jobs["tune"].path)
    opened = open_problem(
        jobs["split"].path,
        jobs["regions"].path,
        [source.path for source in jobs["targets"]],
        search.configs.__getitem__,
        kind=search.pipeline["kind"],
        seed=search.pipeline["seed"],
        plain=search.pipeline["solver"] == "scikit-learn",
        scorers=dict(scorers),
    )
    cut = CutProblem.of(opened.problem, estimators_of(search.pipeline), options["fold"])
    return kind(cut, search, options["choose"], **more), opened

"""What all tasks of brain regions share: a problem cut into units, and the jobs that it is opened from."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Generic, TypeVar

import numpy.typing as npt

from cortax.learning.search.cells import Batch, Problem
from cortax.learning.search.opening import Opened, open_problem, search_strategy
from cortax.learning.search.pipelines import PipelineKind, pipeline_kind
from cortax.learning.search.registry import estimator_names
from cortax.learning.search.solvers import plan_batches, solver_modules
from cortax.learning.search.spaces import sample_configs
from cortax.payload import open_sealed, seal
from cortax.provenance import outputs
from cortax.provenance.closure import check_class_code, class_code
from cortax.workflow.task import Unit

__all__ = ["CutProblem", "CutTask", "estimators_of", "open_new"]

Cell = TypeVar("Cell")
Cells = Mapping[tuple[int, int], Cell]

# What a fit of a classifier takes, in fits of a regression: only the order of work hangs on it.
_CLASSIFIER = 10.0


@dataclass(frozen=True, eq=False)
class CutProblem:
    """A problem cut into units of work.

    Attributes
    ----------
    batches : sequence of Batch
        By the number of the unit.
    estimators : mapping
        See `own_estimators`.
    names : tuple of str
        Of what the targets of a batch are: targets of the problem, or permutations of all of them.
    """

    problem: Problem
    batches: Sequence[Batch]
    estimators: Mapping[str, Any]
    names: tuple[str, ...]

    @classmethod
    def of(cls, problem: Problem, estimators: Mapping[str, Any], fold: int | None = None) -> CutProblem:
        """Cut a problem as its solvers take it; of one outer fold, or of all."""
        batches = [batch for batch in plan_batches(problem) if fold in (None, batch.outer)]
        return cls(problem, batches, estimators, problem.names)

    @property
    def pipeline(self) -> PipelineKind:
        """What is fitted."""
        return pipeline_kind(self.problem.kind, self.estimators, name=self.problem.kind)

    @property
    def classes(self) -> list[str]:
        """Modules and classes that no import statement leads to."""
        solvers = [] if self.problem.plain else solver_modules(self.problem.kind)
        return [*estimator_names(self.estimators), *solvers]

    def check_code(self, planned: Mapping[str, str]) -> None:
        """Raise a ProjectError unless all classes are those that the build planned with."""
        check_class_code(self.classes, planned)

    def keys(self, batch: Batch) -> tuple[str, ...]:
        """Return what the cells of a batch are called."""
        return tuple(f"{self.names[target]}, outer fold {batch.outer}" for target in batch.targets)

    def units(self, fits: Callable[[str], int] = lambda task: 1) -> list[Unit]:  # noqa: ARG005
        """Return the units; `fits` says how many fits a target of a task takes."""
        tasks = self.problem.tasks
        costs = {task: fits(task) * (1.0 if task == "regression" else _CLASSIFIER) for task in set(tasks)}
        # A permutation is of all targets, and takes as long as any other.
        own = self.names == self.problem.names
        each = [costs[tasks[batch.targets[0]]] if own else 1.0 for batch in self.batches]
        return [
            Unit(self.keys(batch), cost * len(batch.targets)) for batch, cost in zip(self.batches, each, strict=True)
        ]

    def seal(self, batch: Batch, cells: Cells[Cell], write: Callable[[Cell], bytes]) -> list[bytes]:
        """Return what was found for the cells of a batch as sealed bytes, in the order of its keys."""
        return [
            seal(key, write(cells[target, batch.outer]))
            for key, target in zip(self.keys(batch), batch.targets, strict=True)
        ]

    def read(self, values: Mapping[str, bytes], read: Callable[[bytes], Cell]) -> dict[tuple[int, int], Cell]:
        """Return what was found for every (target, outer fold) of sealed bytes by key.

        Raises ProjectError: a value is not what a worker sealed under this key.
        """
        return {
            (target, batch.outer): read(open_sealed(key, values[key]))
            for batch in self.batches
            for key, target in zip(self.keys(batch), batch.targets, strict=True)
        }

    def pack(self) -> tuple[dict[str, npt.NDArray[Any]], dict[str, Any]]:
        """See `Task`."""
        arrays, about = self.problem.pack()
        batches = [[batch.outer, list(batch.targets)] for batch in self.batches]
        cut = {"batches": batches, "called": self.names, "estimators": dict(self.estimators)}
        return arrays, {**about, **cut, "code": class_code(self.classes)}

    @classmethod
    def unpack(cls, arrays: Mapping[str, npt.NDArray[Any]], about: Mapping[str, Any]) -> CutProblem:
        """See `Task`.

        Raises ProjectError: the code of a class is not that of where the task was packed.
        """
        batches = [Batch(outer, tuple(targets)) for outer, targets in about["batches"]]
        made = cls(Problem.unpack(arrays, about), batches, about["estimators"], tuple(about["called"]))
        made.check_code(about["code"])
        return made


@dataclass(frozen=True, eq=False)
class CutTask(Generic[Cell]):
    """What tasks have in common whose values are of cells of a problem; see `Task`.

    Attributes
    ----------
    form : (function, function)
        What writes such a value as bytes, and what reads it.
    """

    cut: CutProblem

    form: ClassVar[tuple[Callable[[Any], bytes], Callable[[bytes], Any]]]

    def units(self) -> list[Unit]:
        """Return a unit for each batch."""
        return self.cut.units()

    def work(self, batch: Batch) -> Cells[Cell]:
        """Return what is found for the cells of a batch."""
        raise NotImplementedError

    def do(self, unit: int) -> list[bytes]:
        """Do a batch."""
        batch = self.cut.batches[unit]
        return self.cut.seal(batch, self.work(batch), self.form[0])

    def pack(self) -> tuple[dict[str, npt.NDArray[Any]], dict[str, Any]]:
        """See `Task`."""
        return self.cut.pack()

    def read(self, values: Mapping[str, bytes]) -> dict[tuple[int, int], Cell]:
        """Return what was found for every (target, outer fold) of what `collect_task` returned."""
        return self.cut.read(values, self.form[1])


def estimators_of(options: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a pipeline is made from, of options that may name classes by task, and steps."""
    return {key: options[key] for key in ("regression", "classification", "steps") if options.get(key)}


def open_new(jobs: Mapping[str, Any], options: Mapping[str, Any]) -> Opened:
    """Open the inputs of a job that searches, see the options of `tune`.

    Raises CortaxError: see `open_problem`; or an input is not what its job saved.
    """
    outputs.check_all(jobs)
    kind, seed, space = options["kind"], options["seed"], options["space"]
    return open_problem(
        jobs["split"].path,
        jobs["regions"].path,
        [source.path for source in jobs["targets"]],
        lambda task: sample_configs(kind, task, options["n_configs"], seed=seed, space=space),
        kind=kind,
        seed=seed,
        plain=options["solver"] == "scikit-learn",
        scorers=dict(options["scorers"]),
        strategy=search_strategy(kind, options["strategy"], space),
    )

"""What is measured on this machine: settings, the cases that are measured in each, and their work.

Every unit of a case is the same cell of a search, so that so many units are so many times as much work.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from sklearn.ensemble import RandomForestRegressor

from cortax.errors import ProjectError, choices
from cortax.learning.folds import make_folds
from cortax.learning.search.cells import Batch, Problem
from cortax.learning.search.pipelines import PIPELINES
from cortax.learning.search.solvers import search_batch, warm_up
from cortax.learning.search.spaces import sample_configs
from cortax.workflow.task import Unit
from cortax.workloads.bench.measure import Row, Setting, measure, note

__all__ = ["BLAS_PIPELINES", "FOREST", "PARTS", "Case", "Plan", "Scope", "make_plan", "measure_cases"]

# What other libraries parallelise inside an estimator: the one that is measured by its `n_jobs`.
FOREST = "forest"
# Pipeline and size -> subjects, regions, and configurations or trees. A small cell takes some hundredths of a second of
# one core, a large one about half a second.
SHAPES: dict[tuple[str, str], tuple[int, int, int]] = {
    ("ridge", "small"): (600, 300, 20),
    ("ridge", "large"): (3000, 1500, 20),
    ("elastic", "small"): (400, 200, 20),
    ("elastic", "large"): (1500, 600, 20),
    ("svm", "small"): (300, 100, 10),
    ("svm", "large"): (1500, 600, 10),
    ("lgbm", "small"): (300, 100, 5),
    ("lgbm", "large"): (600, 300, 5),
    (FOREST, "small"): (300, 100, 30),
    (FOREST, "large"): (600, 300, 100),
}
PIPELINE_NAMES = tuple(dict.fromkeys(pipeline for pipeline, _ in SHAPES))
SIZES = ("small", "large")
# Those whose time is spent in BLAS, at least in part.
BLAS_PIPELINES = ("ridge", "elastic", "svm")
# Questions: which back-end and how many workers; BLAS threads; jobs of an estimator; how it scales.
PARTS = ("engines", "blas", "jobs", "scaling")


def _check(what: str, names: Iterable[str], known: Sequence[str]) -> None:
    for name in names:
        if name not in known:
            raise ProjectError(f"{what}: {choices(name, known)}")


@dataclass(frozen=True)
class Case:
    """Units of one pipeline on a small or large matrix, measured as a whole; a forest may have jobs of its own."""

    pipeline: str
    size: str
    n_units: int = 1
    jobs: int = 1

    def __post_init__(self) -> None:
        _check("pipeline", [self.pipeline], PIPELINE_NAMES)
        _check("size", [self.size], SIZES)
        if self.jobs != 1 and self.pipeline != FOREST:
            raise ProjectError(f"pipeline {self.pipeline!r} has no jobs of its own; got jobs={self.jobs}")


Plan = dict[Setting, list[Case]]


def levels(n_cores: int) -> list[int]:
    """Return the numbers that tables cross: one, as many as there are cores, and twice and four times as many."""
    return sorted({1, n_cores, 2 * n_cores, 4 * n_cores})


def worker_counts(n_cores: int) -> list[int]:
    """Return the numbers of workers of a scaling curve: each up to eight, then powers of two, and all cores."""
    powers = [2**k for k in range(4, n_cores.bit_length())]
    return sorted({*range(1, min(n_cores, 8) + 1), *powers, n_cores})


@dataclass(frozen=True)
class Scope:
    """What is asked for: parts, and what they are narrowed to; of a quick one only the chief settings.

    How a build would work now, `current`, is always measured.
    """

    n_cores: int
    current: Setting
    parts: Sequence[str] = PARTS
    backends: Sequence[str] = ("slices", "loky", "threads")
    pipelines: Sequence[str] = PIPELINE_NAMES
    sizes: Sequence[str] = SIZES
    quick: bool = False

    def __post_init__(self) -> None:
        _check("part", self.parts, PARTS)
        _check("pipeline", self.pipelines, PIPELINE_NAMES)
        _check("size", self.sizes, SIZES)

    @property
    def n_units(self) -> int:
        """Units of a fixed amount of work: some for every worker, however many there are."""
        return (4 if self.quick or self.n_cores > 4 else 8) * self.n_cores

    def cases(self, pipelines: Iterable[str] = PIPELINE_NAMES, jobs: int = 1, n_units: int | None = None) -> list[Case]:
        """Return the cases of some pipelines, of those that are asked for, at every size."""
        wanted = [name for name in pipelines if name in self.pipelines]
        return [Case(name, size, n_units or self.n_units, jobs) for name in wanted for size in self.sizes]


Wanted = Iterable[tuple[Setting, list[Case]]]


def make_plan(scope: Scope) -> Plan:
    """Return for every setting, in order, the cases that are measured in it, each once."""
    # First what all others are compared with: time may be short.
    wanted = [(scope.current, scope.cases()), (Setting("slices", 1), scope.cases())]
    parts = {"engines": _engines, "blas": _blas, "jobs": _jobs, "scaling": _scaling}
    for part in scope.parts:
        wanted += parts[part](scope)
    plan: dict[Setting, dict[Case, None]] = {}
    for setting, cases in wanted:
        plan.setdefault(setting, {}).update(dict.fromkeys(cases))
    return {setting: list(cases) for setting, cases in plan.items() if cases}


def _engines(scope: Scope) -> Wanted:
    n = scope.n_cores
    for backend in scope.backends:
        whole = backend == "slices" or not scope.quick
        # Starting fresh processes for every case takes most of a minute.
        yield Setting(backend, n), scope.cases(PIPELINE_NAMES if whole else ("ridge", FOREST))
        if not whole:
            continue
        for processes in (1, n):
            # On little time only where it matters.
            yield Setting(backend, processes, n), scope.cases(BLAS_PIPELINES if scope.quick else PIPELINE_NAMES)
            yield Setting(backend, processes), scope.cases([FOREST], jobs=n)
        # Half as many: two threads of a core may be no more than one.
        for processes in (*(() if scope.quick else (1, max(1, n // 2), 2 * n)), 4 * n):
            yield Setting(backend, processes), scope.cases()


def _blas(scope: Scope) -> Wanted:
    for processes, threads in itertools.product(levels(scope.n_cores), repeat=2):
        yield Setting("slices", processes, threads), scope.cases(BLAS_PIPELINES)


def _jobs(scope: Scope) -> Wanted:
    for processes, jobs in itertools.product(levels(scope.n_cores), repeat=2):
        yield Setting("slices", processes), scope.cases([FOREST], jobs=jobs)


def _scaling(scope: Scope) -> Wanted:
    share = scope.n_units // scope.n_cores
    for backend, workers in itertools.product(scope.backends, worker_counts(scope.n_cores)):
        yield Setting(backend, workers), [*scope.cases(), *scope.cases(n_units=share * workers)]


Cell = Callable[[], float]


def make_problem(case: Case) -> Problem:
    """Return simulated regions and one target of them; the same case has the same numbers on every machine."""
    n_subjects, n_regions, n = SHAPES[case.pipeline, case.size]
    rng = np.random.default_rng([n_subjects, n_regions])
    regions = rng.normal(size=(n_subjects, n_regions)).astype(np.float32)
    target = 0.3 * regions[:, :5].sum(axis=1) + rng.normal(size=n_subjects)
    is_forest = case.pipeline == FOREST
    drawn = [{"n_estimators": n}] if is_forest else sample_configs(case.pipeline, "regression", n, seed=0)
    return Problem(
        regions=regions,
        targets=target[:, None].astype(np.float64),
        tasks=("regression",),
        names=("simulated",),
        folds=make_folds(np.arange(n_subjects) // 2, n_outer=5, n_inner=3, seed=0),
        kind="sklearn" if is_forest else case.pipeline,
        configs={"regression": drawn},
    )


def make_cell(problem: Problem, case: Case) -> Cell:
    """Return the work of one unit, which returns a number by which settings can be compared.

    It is the search of one target in one outer fold; of a forest one fit, and the importance of the first columns.
    """
    if case.pipeline == FOREST:
        return lambda: _fit_forest(problem, case)
    pipeline = PIPELINES[case.pipeline]
    # As jobs do before they begin: what is compiled once is not part of a cell.
    warm_up(problem, pipeline)
    return lambda: float(np.nanmean(search_batch(problem, Batch(0, (0,)), pipeline)[0, 0].scores))


def _fit_forest(problem: Problem, case: Case) -> float:
    n_trees = problem.configs["regression"][0]["n_estimators"]
    forest = RandomForestRegressor(n_trees, max_features="sqrt", n_jobs=case.jobs, random_state=0)
    forest.fit(problem.regions, problem.targets[:, 0])
    return float(forest.feature_importances_[:5].sum())


@dataclass(frozen=True, eq=False)
class CaseTask:
    """See `Task`: every unit is the same cell, and its value is of `note`."""

    problem: Problem
    case: Case
    cell: Cell

    @classmethod
    def of(cls, case: Case, problem: Problem | None = None) -> CaseTask:
        """Make the task of a case, and what is compiled once."""
        problem = problem or make_problem(case)
        return cls(problem, case, make_cell(problem, case))

    def units(self) -> list[Unit]:
        """Return the units, all alike."""
        return [Unit((f"{self.case.pipeline} {number}",)) for number in range(self.case.n_units)]

    def do(self, unit: int) -> list[bytes]:  # noqa: ARG002 - every unit is the same cell
        """Do the cell."""
        return note(self.cell)

    def pack(self) -> tuple[dict[str, npt.NDArray[Any]], dict[str, Any]]:
        """See `Task`."""
        arrays, about = self.problem.pack()
        return arrays, {**about, "case": asdict(self.case)}

    @classmethod
    def unpack(cls, arrays: Mapping[str, npt.NDArray[Any]], about: Mapping[str, Any]) -> CaseTask:
        """See `Task`."""
        return cls.of(Case(**about["case"]), Problem.unpack(arrays, about))


def make_task(**case: Any) -> CaseTask:
    """Return the task of the case with these fields."""
    return CaseTask.of(Case(**case))


def measure_cases(setting: Setting, cases: Sequence[Case], root: Path, *, limit: float) -> list[Row]:
    """Measure cases in one setting: see `measure`."""
    return measure(setting, f"{__name__}:make_task", [asdict(case) for case in cases], root, limit=limit)

"""What is measured: one cell of every pipeline, on a small and a large matrix, the same in every unit of work.

That every unit is the same cell makes the work of a setting known: so many units are so many times as much of it.
"""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from sklearn.ensemble import RandomForestRegressor

from cortax.errors import ProjectError, choices
from cortax.folds import make_folds
from cortax.grid.engines.capsule import Capsule, Ticket, write_capsule
from cortax.search.cells import Batch, Problem
from cortax.search.pipelines import PIPELINES
from cortax.search.solvers import search_batch, warm_up
from cortax.search.spaces import sample_configs
from cortax.search.store_problem import read_problem, write_problem

__all__ = [
    "FOREST",
    "PIPELINE_NAMES",
    "SIZES",
    "Case",
    "check_names",
    "make_cell",
    "make_problem",
    "make_units",
    "write_case",
]

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

Cell = Callable[[], float]
Units = Callable[[int], list[bytes]]


@dataclass(frozen=True)
class Case:
    """One cell that is measured.

    Attributes
    ----------
    pipeline : str
        One of `PIPELINE_NAMES`.
    size : {"small", "large"}
        Of the matrix.
    jobs : int
        Of the estimator itself, as scikit-learn's `n_jobs`: of a forest only, others are always 1.

    Raises
    ------
    ProjectError
        There is no such pipeline or size, or the pipeline has no jobs of its own.
    """

    pipeline: str
    size: str
    jobs: int = 1

    def __post_init__(self) -> None:
        check_names([self.pipeline], [self.size])
        if self.jobs != 1 and self.pipeline != FOREST:
            raise ProjectError(f"pipeline {self.pipeline!r} has no jobs of its own; got jobs={self.jobs}")


def check_names(pipelines: Iterable[str], sizes: Iterable[str]) -> None:
    """Raise a ProjectError unless there are cases of every pipeline and size."""
    for what, names, known in (("pipeline", pipelines, PIPELINE_NAMES), ("size", sizes, SIZES)):
        for name in names:
            if name not in known:
                raise ProjectError(f"{what}: {choices(name, known)}")


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


def make_units(cell: Cell) -> Units:
    """Return what workers do by the number of a unit: the cell, and a note of who did it, when and what came out."""

    def work(number: int) -> list[bytes]:  # noqa: ARG001 - every unit is the same cell
        began = time.monotonic()
        value = cell()
        who = f"{os.getpid()}-{threading.get_ident()}"
        return [json.dumps({"worker": who, "began": began, "ended": time.monotonic(), "value": value}).encode()]

    return work


def write_case(folder: Path, problem: Problem, case: Case) -> Ticket:
    """Write what workers need that are no forks of this process; see `write_capsule`."""
    arrays, about = write_problem(problem)
    return write_capsule(folder, make=f"{__name__}:make_measured", arrays=arrays, about={**about, "case": asdict(case)})


def make_measured(capsule: Capsule) -> Units:
    """Return the work of a capsule that `write_case` wrote."""
    return make_units(make_cell(read_problem(capsule.arrays, capsule.about), Case(**capsule.about["case"])))

"""The search of a problem, batch by batch, by the fastest solver that gives scikit-learn's answer.

`SOLVERS` names a module for every kind that has one. Such a module has

- `fit(part, Y, configs, *, task, seeds, coefficients) -> Fits`: many configurations of several targets on one
  `TrainingSet`; Y is float64 of shape (n_train, n_targets), seeds are ints of shape (n_targets, n_configs);
- `TOGETHER`: how many targets make a batch (None: all that there are);
- `unable(task, configs) -> str`: why it cannot fit one of the configurations, or "";
- perhaps `search(problem, batch) -> dict`, for a search that is not every configuration on every inner fold.

A kind without a solver is searched by the plain loop of `reference`.
"""

from __future__ import annotations

import importlib
import itertools
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from cortax.errors import SearchError
from cortax.folds import make_folds
from cortax.search import reference
from cortax.search.cells import SCORERS, Batch, CellSearch, Failure, Problem, SearchResult, as_failure, collect
from cortax.search.pipelines import PipelineKind, make_back
from cortax.search.registry import SOLVERS, solver_modules
from cortax.search.scoring import check_scorer, score_decisions
from cortax.search.spaces import content_seed
from cortax.search.training import TrainingSet, training_sets

__all__ = [
    "SOLVERS",
    "find_solver",
    "fit_seed",
    "fit_seeds",
    "plan_batches",
    "search",
    "search_batch",
    "search_plainly",
    "solver_modules",
    "warm_up",
]

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]


def find_solver(kind: str, task: str, configs: Iterable[Mapping[str, Any]]) -> Any:
    """Return the solver's module, or None where the plain loop has to do."""
    name = SOLVERS.get((kind, task))
    if name is None:
        return None
    solver = importlib.import_module(name)
    return None if solver.unable(task, list(configs)) else solver


def _solver(problem: Problem, task: str) -> Any:
    return None if problem.plain else find_solver(problem.kind, task, problem.configs[task])


def _why_not(problem: Problem, task: str) -> str:
    if problem.plain:
        return "scikit-learn itself shall search"
    name = SOLVERS.get((problem.kind, task))
    why = importlib.import_module(name).unable(task, list(problem.configs[task])) if name else ""
    return why or f"pipelines of kind {problem.kind!r} are searched in one way only"


def plan_batches(problem: Problem) -> list[Batch]:
    """Cut a problem into batches. They depend on the problem alone, whoever works on them and in what order."""
    batches = []
    for task in sorted(set(problem.tasks)):
        targets = [t for t, found in enumerate(problem.tasks) if found == task]
        solver = _solver(problem, task)
        size = 1 if solver is None else solver.TOGETHER or len(targets)
        for outer in range(problem.folds.n_outer):
            batches += [Batch(outer, tuple(targets[n : n + size])) for n in range(0, len(targets), size)]
    return batches


def search_batch(problem: Problem, batch: Batch, pipeline: PipelineKind) -> dict[tuple[int, int], CellSearch]:
    """Score every configuration on the inner folds of one outer training part, for some targets.

    Parameters
    ----------
    problem : Problem
    batch : Batch
    pipeline : PipelineKind
        Of the problem's kind; what the plain loop fits.

    Returns
    -------
    dict of (target, outer fold) to CellSearch

    Raises
    ------
    SearchError
        The scorer is unknown, the pipeline does not take the task or a parameter, or it cannot be searched by
        the problem's strategy. A fit that fails is no error but a NaN and a failure.
    MemoryError
        Never turned into a failure: the batch may succeed with more.
    """
    task = problem.tasks[batch.targets[0]]
    check_scorer(problem.scorers[task], task)
    # Unknown parameters are the user's mistake, found before any time is spent.
    for config in problem.configs[task]:
        make_back(pipeline, task, config, seed=0)
    solver = _solver(problem, task)
    if problem.strategy and not hasattr(solver, "search"):
        raise SearchError(f"a strategy cannot be followed: {_why_not(problem, task)}")
    if solver is None:
        return search_plainly(problem, batch, pipeline)
    if problem.strategy:
        found: dict[tuple[int, int], CellSearch] = solver.search(problem, batch)
        return found
    return _search_folds(problem, batch, solver.fit)


def search_plainly(problem: Problem, batch: Batch, pipeline: PipelineKind) -> dict[tuple[int, int], CellSearch]:
    """Search a batch by scikit-learn alone, see `reference.search_cell`."""
    return {
        (target, batch.outer): reference.search_cell(
            problem.regions,
            problem.targets[:, target],
            problem.folds,
            batch.outer,
            kind=pipeline,
            task=problem.tasks[target],
            configs=problem.configs[problem.tasks[target]],
            target=problem.names[target],
            scorer=problem.scorers[problem.tasks[target]],
            confounds=problem.confounds,
            seed=problem.seed,
        )
        for target in batch.targets
    }


def fit_seed(problem: Problem, target: int, outer: int, number: int) -> int:
    """Return the seed of a configuration in a cell: the same as in the plain loop, and in the refit."""
    return content_seed(problem.seed, problem.kind, problem.names[target], outer, number)


def fit_seeds(problem: Problem, target: int, outer: int) -> list[int]:
    """Return the seeds of a cell's configurations."""
    n_configs = len(problem.configs[problem.tasks[target]])
    return [fit_seed(problem, target, outer, number) for number in range(n_configs)]


def _search_folds(problem: Problem, batch: Batch, fit: Callable[..., Any]) -> dict[tuple[int, int], CellSearch]:
    task = problem.tasks[batch.targets[0]]
    n_configs, folds = len(problem.configs[task]), problem.folds
    scores = {t: np.full((n_configs, folds.n_inner), np.nan) for t in batch.targets}
    not_converged = {t: np.zeros((n_configs, folds.n_inner), dtype=np.int64) for t in batch.targets}
    failures: dict[int, list[Failure]] = {t: [] for t in batch.targets}
    start = time.perf_counter()
    for inner, valid in enumerate(folds.valid[batch.outer]):
        train = ~folds.test[batch.outer] & ~valid

        def fail(target: int, number: int, error: Exception, inner: int = inner) -> None:
            as_failure(error)
            where = {"target": problem.names[target], "outer": batch.outer, "inner": inner}
            what = {"config": number, "kind": type(error).__name__, "message": str(error)}
            failures[target].append(where | what)

        for part, group in training_sets(problem, batch.targets, train, valid, fail):
            try:
                found = _fit_group(problem, part, group, batch.outer, task, fit)
            except Exception as unforeseen:
                # What the solver did not foresee, or what it shares; all that rests on it fails.
                for target, number in itertools.product(group, range(n_configs)):
                    fail(target, number, unforeseen)
                continue
            told = {(position, number) for position, number, _ in found.failures}
            for position, number, error in found.failures:
                fail(group[position], number, error)
            for position, number in np.argwhere(~np.isfinite(found.decisions).all(axis=2)).tolist():
                if (position, number) not in told:
                    fail(group[position], number, ValueError("a decision is not finite"))
            for position, target in enumerate(group):
                scores[target][:, inner], unscored = score_decisions(
                    problem.scorers[task],
                    task,
                    problem.targets[part.valid, target],
                    found.decisions[position],
                    probabilities=found.probabilities,
                )
                not_converged[target][:, inner] = found.not_converged[position]
                for number, error in unscored:
                    fail(target, number, error)
    seconds = (time.perf_counter() - start) / len(batch.targets)
    return {
        (t, batch.outer): CellSearch(
            scores[t],
            not_converged[t],
            seconds,
            tuple(sorted(failures[t], key=lambda failure: (failure["inner"], failure["config"]))),
        )
        for t in batch.targets
    }


def _fit_group(
    problem: Problem, part: TrainingSet, group: list[int], outer: int, task: str, fit: Callable[..., Any]
) -> Any:
    return fit(
        part,
        problem.targets[part.train][:, group],
        problem.configs[task],
        task=task,
        seeds=np.array([fit_seeds(problem, target, outer) for target in group]),
    )


def warm_up(problem: Problem, pipeline: PipelineKind) -> None:
    """Compile what the solvers will need, so that processes forked later find it in memory."""
    rng = np.random.default_rng(0)
    n, tasks = 60, tuple(sorted(set(problem.tasks)))
    if not problem.plain and any((problem.kind, task) in SOLVERS for task in tasks):
        values = rng.normal(size=(n, len(tasks)))
        tiny = replace(
            problem,
            regions=rng.normal(size=(n, 4)),
            targets=np.where([task == "regression" for task in tasks], values, values > 0).astype(np.float64),
            tasks=tasks,
            names=tasks,
            folds=make_folds(np.arange(n), n_outer=2, n_inner=2, seed=0),
            configs={task: problem.configs[task][:2] for task in tasks},
            scorers=SCORERS,
            confounds=rng.normal(size=(n, 1)),
        )
        # What comes out is not looked at: two configurations on noise may well fail.
        for batch in plan_batches(tiny):
            search_batch(tiny, batch, pipeline)


def search(problem: Problem, pipeline: PipelineKind) -> SearchResult:
    """Search everything, one batch after the other."""
    done: dict[tuple[int, int], CellSearch] = {}
    for batch in plan_batches(problem):
        done |= search_batch(problem, batch, pipeline)
    return collect(done, len(problem.names), problem.folds, problem.configs)

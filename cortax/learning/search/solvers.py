"""The search of a problem, batch by batch, by the fastest solver that gives scikit-learn's answer: see `registry`."""

from __future__ import annotations

import importlib
import itertools
import math
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from cortax.errors import SearchError
from cortax.learning.arrays import Floats, Ints
from cortax.learning.classes import binary_task, check_present
from cortax.learning.folds import make_folds
from cortax.learning.search import reference
from cortax.learning.search.by_class import combine, decides, make_columns
from cortax.learning.search.cells import SCORERS, Batch, CellSearch, Failure, Problem, SearchResult, collect, failure_of
from cortax.learning.search.pipelines import PipelineKind, make_back
from cortax.learning.search.registry import SOLVERS, solver_modules
from cortax.learning.search.scoring import check_scorer, score_classes, score_decisions
from cortax.learning.search.spaces import content_seed
from cortax.learning.search.training import Fits, TrainingSet, training_sets

__all__ = ["SOLVERS", "find_solver", "fit_seed", "plan_batches", "search", "search_batch", "solver_modules", "warm_up"]


def find_solver(kind: str, task: str, configs: Iterable[Mapping[str, Any]]) -> Any:
    """Return the solver's module, or None where the plain loop has to do."""
    name = SOLVERS.get((kind, binary_task(task)))
    if name is None:
        return None
    solver = importlib.import_module(name)
    return None if solver.unable(binary_task(task), list(configs)) else solver


def _solver(problem: Problem, task: str) -> Any:
    return None if problem.plain else find_solver(problem.kind, task, problem.configs[task])


def _why_not(problem: Problem, task: str) -> str:
    if problem.plain:
        return "the solver is scikit-learn itself"
    name = SOLVERS.get((problem.kind, binary_task(task)))
    why = importlib.import_module(name).unable(binary_task(task), list(problem.configs[task])) if name else ""
    return why or f"pipelines of kind {problem.kind!r} are searched in one way only"


def plan_batches(problem: Problem) -> list[Batch]:
    """Cut a problem into batches. They depend on the problem alone, whoever works on them and in what order."""
    batches = []
    for task in sorted(set(problem.tasks)):
        # Apart, so that targets of two classes are searched as if there were no others.
        for by_class in (False, True):
            targets = [t for t, of in enumerate(problem.tasks) if of == task and problem.is_by_class(t) == by_class]
            if targets:
                groups = _groups(problem, targets, _solver(problem, task))
                batches += [Batch(outer, group) for outer in range(problem.folds.n_outer) for group in groups]
    return batches


def _groups(problem: Problem, targets: Sequence[int], solver: Any) -> list[tuple[int, ...]]:
    """Cut targets into groups of as many columns as the solver takes at a time; a target is never divided."""
    most = 1 if solver is None else solver.TOGETHER or math.inf
    groups: list[tuple[int, ...]] = []
    n_columns = 0
    for target in targets:
        own = problem.n_columns(target)
        if not groups or n_columns + own > most:
            groups.append(())
            n_columns = 0
        groups[-1] += (target,)
        n_columns += own
    return groups


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
    for target in batch.targets:
        _check_scorer(problem, target, pipeline)
    # Unknown parameters are the user's mistake, found before any time is spent.
    for config in problem.configs[task]:
        make_back(pipeline, task, config, seed=0)
    solver = _solver(problem, task)
    if problem.strategy and not hasattr(solver, "search"):
        raise SearchError(f"a strategy cannot be followed: {_why_not(problem, task)}")
    if solver is None:
        return {(t, batch.outer): reference.search_cell(problem, (t, batch.outer), pipeline) for t in batch.targets}
    if problem.strategy:
        found: dict[tuple[int, int], CellSearch] = solver.search(problem, batch)
        return found
    return _search_folds(problem, batch, solver.fit, by_decision=task != "classification" or decides(pipeline, task))


def _check_scorer(problem: Problem, target: int, pipeline: PipelineKind) -> None:
    task = problem.tasks[target]
    try:
        check_scorer(problem.scorers[task], task, problem.n_classes(target), probabilities=not pipeline.calibrates)
    except SearchError as error:
        raise SearchError(f"target {problem.names[target]!r}: {error}") from error


def fit_seed(problem: Problem, target: int, outer: int, number: int) -> int:
    """Return the seed of a configuration in a cell: the same as in the plain loop, and in the refit."""
    return content_seed(problem.seed, problem.kind, problem.names[target], outer, number)


def _search_folds(
    problem: Problem, batch: Batch, fit: Callable[..., Any], *, by_decision: bool
) -> dict[tuple[int, int], CellSearch]:
    task = problem.tasks[batch.targets[0]]
    n_configs, folds = len(problem.configs[task]), problem.folds
    scores = {t: np.full((n_configs, folds.n_inner), np.nan) for t in batch.targets}
    not_converged = {t: np.zeros((n_configs, folds.n_inner), dtype=np.int64) for t in batch.targets}
    failures: dict[int, list[Failure]] = {t: [] for t in batch.targets}
    start = time.perf_counter()
    for inner, valid in enumerate(folds.valid[batch.outer]):
        train = ~folds.test[batch.outer] & ~valid

        def fail(target: int, number: int, error: Exception, inner: int = inner) -> None:
            failures[target].append(failure_of(problem, target, batch.outer, inner, number, error))

        for part, everyone in training_sets(problem, batch.targets, train, valid, fail):
            group = _with_all_classes(problem, part, everyone, fail)
            if not group:
                continue
            try:
                Y, owners = make_columns(problem, part.train, group)
                seeds = np.array([[fit_seed(problem, t, batch.outer, n) for n in range(n_configs)] for t in group])
                fits = fit(part, Y, problem.configs[task], task=binary_task(task), seeds=seeds[owners])
            except Exception as unforeseen:
                # What the solver did not foresee, or what it shares; all that rests on it fails.
                for target, number in itertools.product(group, range(n_configs)):
                    fail(target, number, unforeseen)
                continue
            _pass_failures(fits, [group[place] for place in owners], fail)
            for position, target in enumerate(group):
                own = np.flatnonzero(owners == position)
                not_converged[target][:, inner] = fits.not_converged[own].sum(axis=0)
                scores[target][:, inner], unscored = _score(
                    problem, target, part.valid, fits, own, by_decision=by_decision
                )
                for number, error in unscored:
                    fail(target, number, error)
    seconds = (time.perf_counter() - start) / len(batch.targets)
    found = {}
    for t in batch.targets:
        in_order = sorted(failures[t], key=lambda failure: (failure["inner"], failure["config"]))
        found[t, batch.outer] = CellSearch(scores[t], not_converged[t], seconds, tuple(in_order))
    return found


def _with_all_classes(
    problem: Problem, part: TrainingSet, targets: Sequence[int], fail: Callable[[int, int, Exception], None]
) -> list[int]:
    """Return the targets of which every class is among the training rows; the others fail, all their configurations."""
    group = []
    for target in targets:
        try:
            if problem.is_by_class(target):
                check_present(problem.targets[part.train, target], problem.n_classes(target))
            group.append(target)
        except ValueError as error:
            fail(target, -1, error)
    return group


def _score(
    problem: Problem, target: int, valid: Ints, fits: Fits, own: Ints, *, by_decision: bool
) -> tuple[Floats, list[tuple[int, Exception]]]:
    """Score all configurations of a target by its columns, `own`, of the fits."""
    task, y = problem.tasks[target], problem.targets[valid, target]
    scorer = problem.scorers[task]
    if problem.is_by_class(target):
        found = combine(fits.decisions[own], task, odds=fits.probabilities, by_decision=by_decision)
        return score_classes(scorer, task, problem.n_classes(target), y, found)
    return score_decisions(scorer, task, y, fits.decisions[own[0]], probabilities=fits.probabilities)


def _pass_failures(fits: Fits, targets: Sequence[int], fail: Callable[[int, int, Exception], None]) -> None:
    """Report the fits that failed, and those whose decisions are not finite; `targets`: of each column of the fits."""
    failed: set[tuple[int, int]] = set()
    for position, number, error in fits.failures:
        if (targets[position], number) not in failed:
            fail(targets[position], number, error)
        failed.add((targets[position], number))
    for position, number in np.argwhere(~np.isfinite(fits.decisions).all(axis=2)).tolist():
        if (targets[position], number) not in failed:
            fail(targets[position], number, ValueError("a decision is not finite"))
        failed.add((targets[position], number))


def warm_up(problem: Problem, pipeline: PipelineKind, n_configs: int = 2) -> None:
    """Compile what the solvers will need, so that processes forked later find it in memory.

    More of the configurations take time, and find code that few take.
    """
    tasks = tuple(sorted(set(problem.tasks)))
    if problem.plain or not any((problem.kind, binary_task(task)) in SOLVERS for task in tasks):
        return
    # More rows than columns, and fewer. What comes out is not looked at: some configurations on noise may well fail.
    for shape in ((120, 4), (60, 90)):
        tiny = _tiny(problem, tasks, shape, n_configs)
        for batch in plan_batches(tiny):
            search_batch(tiny, batch, pipeline)


def _tiny(problem: Problem, tasks: tuple[str, ...], shape: tuple[int, int], n_configs: int) -> Problem:
    """Return a problem of noise that goes every way of the solvers: each target lacks rows of its own."""
    rng, n = np.random.default_rng(0), shape[0]
    columns = tuple(task for task in tasks for _ in range(3))
    values = rng.normal(size=(n, len(columns)))
    targets = np.where([task == "regression" for task in columns], values, values > 0).astype(np.float64)
    for column in range(len(columns)):
        targets[2 * column : 2 * column + 2, column] = np.nan
    return replace(
        problem,
        regions=rng.normal(size=shape),
        targets=targets,
        tasks=columns,
        names=tuple(map(str, range(len(columns)))),
        folds=make_folds(np.arange(n), n_outer=2, n_inner=2, seed=0),
        configs={task: problem.configs[task][:n_configs] for task in tasks},
        scorers=SCORERS,
        confounds=rng.normal(size=(n, 1)),
        harmonise=None,
        group_codes=None,
    )


def search(problem: Problem, pipeline: PipelineKind) -> SearchResult:
    """Search everything, one batch after the other."""
    done: dict[tuple[int, int], CellSearch] = {}
    for batch in plan_batches(problem):
        done |= search_batch(problem, batch, pipeline)
    return collect(done, len(problem.names), problem.folds, problem.configs)

"""Null distributions: the whole nested search and refit, on targets whose values were permuted.

A permuted target is one more target of the same problem. So what a solver shares between targets it shares between
permutations, and the statistic is that of the evaluation: same folds, configurations, choice, seeds and metrics.

A permuted target keeps its own missing values, and loses its relation to regions and confounds alike, while regions
are freed of confounds on training rows as always. So the null is that the target has nothing to do with either. Where
confounds matter for the target, but leave no trace in the regions as the pipeline sees them, the test holds its level
approximately. A trace that linear regression leaves there, such as one of an age squared, may be all that a small p
has found (Winkler et al. 2014, NeuroImage 92, 381-397). Permuting labels through a whole classifier: Ojala & Garriga
2010, JMLR 11, 1833-1863.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from cortax.search.cells import Batch, Problem
from cortax.search.evaluations import CellEvaluation
from cortax.search.pipelines import PipelineKind
from cortax.search.refit import evaluate_batch
from cortax.search.registry import SOLVERS
from cortax.search.solvers import find_solver, plan_batches, search_batch
from cortax.stats.permutations import permuted_rows
from cortax.stats.row_scores import score_rows

__all__ = ["CellNull", "Permuted", "null_scores", "plan_permutations"]

Floats = npt.NDArray[np.float64]

# Permutations that one worker does at a time: many where they share a factorisation, few where each takes long.
_MANY, _FEW = 50, 5
# Decisions, or coefficients, that a search holds at a time: 512 MiB.
_MOST = 2**26


@dataclass(frozen=True, eq=False)
class Permuted:
    """Permutations of all targets of a problem.

    Attributes
    ----------
    problem : Problem
        As it is searched; its seed is that of the permutations too.
    groups : array of shape (n_subjects,)
    exchange : str
        See `permuted_rows`.
    numbers : sequence of int
        Which permutations.
    metrics : mapping of task to names of metrics
    rule : str
        How the configuration is chosen, see `choose`.
    """

    problem: Problem
    groups: npt.NDArray[np.str_]
    exchange: str
    numbers: Sequence[int]
    metrics: Mapping[str, Sequence[str]]
    rule: str = "best"

    @property
    def names(self) -> tuple[str, ...]:
        """What each permutation is called: a cell is one of them in one outer fold, with all targets."""
        return tuple(f"permutation {number}" for number in self.numbers)

    @property
    def n_metrics(self) -> int:
        """Of the task that has most."""
        return max(len(self.metrics[task]) for task in self.problem.tasks)


@dataclass(frozen=True, eq=False)
class CellNull:
    """One permutation of all targets in one outer fold.

    Attributes
    ----------
    scores : float64 array of shape (n_targets, n_metrics)
        NaN where a metric is undefined or a fit failed, and beyond a task's own metrics.
    failure : str
        Why the first target that failed did; empty where none did.
    """

    scores: Floats
    failure: str = ""


def plan_permutations(permuted: Permuted) -> list[Batch]:
    """Cut permutations into batches: the numbers of a batch are places among the permutations.

    They depend on the problem alone, whoever works on them and in what order.
    """
    problem = permuted.problem
    shared = not problem.plain and all(
        (problem.kind, task) in SOLVERS and getattr(find_solver(problem.kind, task, []), "TOGETHER", 1) is None
        for task in problem.tasks
    )
    n_configs = max(len(problem.configs[task]) for task in problem.tasks)
    each = (
        len(problem.names)
        * n_configs
        * max(problem.folds.n_subjects // problem.folds.n_inner, problem.regions.shape[1])
    )
    fitting = _MOST // each
    size = int(np.clip(fitting, 1, _MANY if shared else _FEW))
    everyone = tuple(range(len(permuted.numbers)))
    starts = range(0, len(everyone), size)
    return [Batch(outer, everyone[n : n + size]) for outer in range(problem.folds.n_outer) for n in starts]


def null_scores(permuted: Permuted, batch: Batch, pipeline: PipelineKind) -> dict[tuple[int, int], CellNull]:
    """Search, refit and score some permutations of all targets in one outer fold.

    Parameters
    ----------
    permuted : Permuted
    batch : Batch
        See `plan_permutations`.
    pipeline : PipelineKind
        Of the problem's kind.

    Returns
    -------
    dict of (place of the permutation, outer fold) to CellNull

    Raises
    ------
    SearchError
        See `search_batch` and `evaluate_batch`. A fit that fails is no error but a NaN.
    """
    problem = permuted_problem(permuted, [permuted.numbers[place] for place in batch.targets])
    cells: dict[int, CellEvaluation] = {}
    for part in plan_batches(problem):
        if part.outer == batch.outer:
            cells |= _evaluate(problem, part, pipeline, permuted.rule)
    n_targets, n_permutations = len(permuted.problem.names), len(batch.targets)
    scores = np.full((n_permutations, n_targets, permuted.n_metrics), np.nan)
    failures = [""] * n_permutations
    for target in range(n_targets):
        found = [cells[place * n_targets + target] for place in range(n_permutations)]
        good = [place for place, cell in enumerate(found) if not cell.failure]
        for place, cell in enumerate(found):
            failures[place] = failures[place] or cell.failure
        if good:
            scores[good, target] = _score(permuted, problem, target, good, [found[place] for place in good])
    return {
        (place, batch.outer): CellNull(values, why)
        for place, values, why in zip(batch.targets, scores, failures, strict=True)
    }


def permuted_problem(permuted: Permuted, numbers: Sequence[int]) -> Problem:
    """Return the problem with permuted targets for its own: all targets of a permutation, then those of the next.

    They keep their names, and with them their seeds.
    """
    problem = permuted.problem
    values = np.empty((len(numbers), len(problem.names), problem.folds.n_subjects))
    for target, y in enumerate(problem.targets.T):
        rows = permuted_rows(permuted.groups, ~np.isnan(y), numbers, exchange=permuted.exchange, seed=problem.seed)
        values[:, target] = y[rows]
    flat = np.ascontiguousarray(values.reshape(-1, problem.folds.n_subjects).T)
    return replace(problem, targets=flat, tasks=problem.tasks * len(numbers), names=problem.names * len(numbers))


def _evaluate(problem: Problem, batch: Batch, pipeline: PipelineKind, rule: str) -> dict[int, CellEvaluation]:
    searched = search_batch(problem, batch, pipeline)
    found = evaluate_batch(
        problem,
        batch,
        pipeline,
        scores={target: cell.scores for (target, _), cell in searched.items()},
        configs={
            target: cell.configs or problem.configs[problem.tasks[target]] for (target, _), cell in searched.items()
        },
        rule=rule,
    )
    told = {target: cell.failures[0]["message"] for (target, _), cell in searched.items() if cell.failures}
    return {
        target: replace(cell, failure=f"{cell.failure}: {told[target]}") if cell.failure and target in told else cell
        for (target, _), cell in found.items()
    }


def _score(
    permuted: Permuted, problem: Problem, target: int, places: Sequence[int], cells: Sequence[CellEvaluation]
) -> Floats:
    """Score permutations of one target, whose predictions are of the same subjects, by all metrics of its task."""
    task = permuted.problem.tasks[target]
    columns = [place * len(permuted.problem.names) + target for place in places]
    Y = problem.targets[cells[0].rows][:, columns].T
    predictions, labels = np.array([cell.predictions for cell in cells]), np.array([cell.labels for cell in cells])
    scores = np.full((len(places), permuted.n_metrics), np.nan)
    for number, name in enumerate(permuted.metrics[task]):
        scores[:, number] = score_rows(name, task, Y, predictions, labels)
    return scores

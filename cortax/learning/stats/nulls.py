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
from pathlib import Path

import numpy as np
import numpy.typing as npt

from cortax.errors import SearchError
from cortax.learning.arrays import Floats, Ints
from cortax.learning.classes import binary_task
from cortax.learning.formulas import Resamples, Rows
from cortax.learning.scores import METRICS, get_metric
from cortax.learning.search.cells import Batch, Problem
from cortax.learning.search.evaluations import CellEvaluation
from cortax.learning.search.pipelines import PipelineKind
from cortax.learning.search.refit import evaluate_batch
from cortax.learning.search.registry import SOLVERS
from cortax.learning.search.solvers import find_solver, plan_batches, search_batch
from cortax.learning.stats.permutations import n_distinct, permuted_rows
from cortax.store import build, load, pack, save, split, unpack

__all__ = [
    "CellNull",
    "Nulls",
    "Permuted",
    "collect_nulls",
    "null_scores",
    "open_nulls",
    "plan_permutations",
    "read_null",
    "save_nulls",
    "write_null",
]


def score_rows(
    name: str, task: str, Y: Floats, predictions: Floats, labels: Floats, probabilities: Floats | None = None
) -> Floats:
    """Score predictions of many targets by one metric.

    Parameters
    ----------
    name, task : str
        See `get_metric`; a scorer of scikit-learn is computed row by row.
    Y : float64 array of shape (n_rows, n_subjects)
        The truth, classes as 0, 1, 2, ...
    predictions : float64 array of shape (n_rows, n_subjects)
        Values, or probabilities of class 1.
    labels : float64 array of shape (n_rows, n_subjects)
        Predicted classes; not looked at in regression.
    probabilities : float64 array of shape (n_rows, n_subjects, n_classes), optional
        Where the target is ordinal or has more than two classes.

    Returns
    -------
    float64 array of shape (n_rows,)
        NaN where the metric is undefined, or a prediction is not finite.

    Raises
    ------
    SearchError
        Unknown metric, or shapes disagree.
    """
    if Y.shape != predictions.shape or (task != "regression" and labels.shape != Y.shape):
        raise SearchError(f"Y {Y.shape}, predictions {predictions.shape} and labels {labels.shape} must be alike")
    n_classes = 0 if probabilities is None else probabilities.shape[-1]
    metric = get_metric(name, task, n_classes or 2)
    scores = np.full(len(Y), np.nan)
    finite = np.isfinite(predictions).all(axis=1)
    if not finite.any() or not Y.shape[1]:
        return scores
    truth, predicted, classes = Y[finite], predictions[finite], labels if task == "regression" else labels[finite]
    if probabilities is not None:
        predicted = probabilities[finite]
    if name in METRICS:
        scores[finite] = metric.formula(
            truth, classes if metric.needs == "label" else predicted, Rows(n_classes=n_classes)
        )
        return scores
    everyone = Resamples(np.ones((1, Y.shape[1])))
    both = predicted
    if metric.needs == "both" and probabilities is not None:
        both = np.concatenate([predicted, classes[:, :, None]], axis=2).transpose(0, 2, 1)
    elif metric.needs == "both":
        both = np.stack([predicted, classes], axis=1)
    values = [metric.formula(y, given, everyone)[0] for y, given in zip(truth, both, strict=True)]
    scores[finite] = values
    return scores


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
        (problem.kind, binary_task(task)) in SOLVERS
        and getattr(find_solver(problem.kind, task, []), "TOGETHER", 1) is None
        for task in problem.tasks
    )
    n_configs = max(len(problem.configs[task]) for task in problem.tasks)
    each = (
        sum(problem.n_columns(target) for target in range(len(problem.names)))
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
    classes = [cell.probabilities for cell in cells if cell.probabilities is not None]
    probabilities = np.array(classes) if classes else None
    scores = np.full((len(places), permuted.n_metrics), np.nan)
    for number, name in enumerate(permuted.metrics[task]):
        scores[:, number] = score_rows(name, task, Y, predictions, labels, probabilities)
    return scores


@dataclass(frozen=True, eq=False)
class Nulls:
    """What permuted targets of one parcellation and pipeline score, on average over outer folds.

    Attributes
    ----------
    numbers : int array of shape (n_permutations,)
        Which permutations.
    values : float64 array of shape (n_targets, n_permutations, n_metrics)
        Mean over the folds where the metric has a value; NaN where it has none.
    n_folds : int16 array of the shape of values
        Over how many folds.
    n_distinct : float64 array of shape (n_targets,)
        See `permutations.n_distinct`.
    """

    targets: tuple[str, ...]
    tasks: tuple[str, ...]
    metrics: Mapping[str, Sequence[str]]
    numbers: Ints
    values: Floats
    n_folds: npt.NDArray[np.int16]
    n_distinct: Floats
    exchange: str


def collect_nulls(permuted: Permuted, done: Mapping[tuple[int, int], CellNull]) -> Nulls:
    """Put cells together, whoever did them and in whatever order.

    Raises SearchError: not a single permutation has a score; the message is that of the first failure.
    """
    problem = permuted.problem
    folds = sorted({outer for _, outer in done})
    scores = np.array([[done[place, outer].scores for place in range(len(permuted.numbers))] for outer in folds])
    if np.isnan(scores).all():
        why = next((cell.failure for _, cell in sorted(done.items(), key=lambda item: item[0]) if cell.failure), "")
        raise SearchError(f"no permutation could be scored; the first: {why or 'no metric has a value'}")
    there = ~np.isnan(scores)
    n_folds = there.sum(axis=0)
    total = np.where(there, scores, 0.0).sum(axis=0)
    values = np.divide(total, n_folds, out=np.full(total.shape, np.nan), where=n_folds > 0)
    distinct = [n_distinct(y, permuted.groups, exchange=permuted.exchange) for y in problem.targets.T]
    return Nulls(
        targets=problem.names,
        tasks=problem.tasks,
        metrics={task: list(names) for task, names in sorted(permuted.metrics.items())},
        numbers=np.array(permuted.numbers, dtype=np.int64),
        values=values.transpose(1, 0, 2),
        n_folds=n_folds.transpose(1, 0, 2).astype(np.int16),
        n_distinct=np.array(distinct),
        exchange=permuted.exchange,
    )


def save_nulls(folder: str | Path, nulls: Nulls) -> list[str]:
    """Write `nulls.npz` and `nulls.json` into a folder and return their names."""
    arrays, about = split(nulls)
    return save(folder, {"nulls.npz": arrays, "nulls.json": about})


def open_nulls(folder: str | Path) -> Nulls:
    """Read what `save_nulls` wrote."""
    return build(Nulls, *load(folder, "nulls.npz", "nulls.json"))


def write_null(cell: CellNull) -> bytes:
    """Return the bytes of a cell."""
    return pack(*split(cell))


def read_null(content: bytes) -> CellNull:
    """Return what `write_null` wrote; ProjectError if it is not whole."""
    return build(CellNull, *unpack(content))

"""Importance of every region to the models of one outer fold: coefficients, activation patterns, permutation."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from cortax.errors import SearchError
from cortax.learning.arrays import Floats
from cortax.learning.importance.found import CellImportance
from cortax.learning.importance.models import ImportanceModel, kept_model, refitted_model
from cortax.learning.importance.permutation import (
    ImportancePart,
    make_orders,
    make_part,
    parts_of,
    score_decreases,
)
from cortax.learning.search.cells import Batch, Configs, Problem, as_failure
from cortax.learning.search.evaluations import Evaluation
from cortax.learning.search.pipelines import PipelineKind
from cortax.learning.search.refit import choose_cells
from cortax.learning.search.spaces import content_seed

__all__ = ["importance_of_chosen", "importance_of_kept", "patterns"]


def linear_kinds(part: ImportancePart, coefficients: Floats) -> dict[str, Floats]:
    """Say what the coefficients of a linear model say about its regions.

    Parameters
    ----------
    coefficients : float64 array of shape (n_regions,) or (n_columns, n_regions)
        Per unit of the measured regions; of several classes one row a column.

    Returns
    -------
    dict of float64 arrays of that shape
        `coefficient` as it is; `standardised`, per standard deviation of the region in the training part, without
        what confounds explain; `pattern`, see `patterns`.
    """
    by_column = [patterns(part, one) for one in np.atleast_2d(coefficients)]
    return {
        "coefficient": coefficients,
        "standardised": coefficients * spreads(part),
        "pattern": np.reshape(by_column, coefficients.shape),
    }


def spreads(part: ImportancePart) -> Floats:
    """Return the standard deviation (of the population) of every region in the training part, without confounds."""
    found: Floats = part.X.std(axis=0) * part.front.scale
    return found


def patterns(part: ImportancePart, coefficients: Floats) -> Floats:
    """Return the activation pattern of a linear model: Cov(X) w / Var(X w), on the training rows.

    A coefficient says what to add up to predict, and may be large where a region has nothing to do with the target
    but with the noise of others. The pattern says how a region changes with what the model predicts, in units of the
    region per unit of prediction (of a classifier's decision). Regions are without what confounds explain. A model
    that predicts the same of everybody has a pattern of zeros.

    Source: Haufe et al., On the interpretation of weight vectors of linear models in multivariate neuroimaging,
    NeuroImage 87 (2014), equation 6.
    """
    predicted = part.X @ (coefficients * part.front.scale)
    predicted -= predicted.mean()
    variance = float(predicted @ predicted)
    if not variance > 0:
        return np.zeros_like(coefficients)
    found: Floats = (predicted @ part.X) * part.front.scale / variance
    return found


def importance_of_kept(
    problem: Problem, batch: Batch, found: Evaluation, *, n_repeats: int
) -> dict[tuple[int, int], CellImportance]:
    """Look at the linear models that an evaluation kept.

    Parameters
    ----------
    problem : Problem
        What was evaluated.
    found : Evaluation
        Of the problem's targets.
    n_repeats : int
        Permutations of each region.

    Returns
    -------
    dict of (target, outer fold) to CellImportance
        A cell without a model has a `failure`.
    """

    def model(part: ImportancePart, target: int) -> ImportanceModel:
        return kept_model(part, found, target, batch.outer, problem.tasks[target])

    return _importance(problem, batch, model, n_repeats)


def importance_of_chosen(
    problem: Problem,
    batch: Batch,
    pipeline: PipelineKind,
    *,
    scores: Mapping[int, Floats],
    configs: Mapping[int, Configs],
    n_repeats: int,
    rule: str = "best",
) -> dict[tuple[int, int], CellImportance]:
    """Choose a configuration for each target as an evaluation does, refit it, and look at that model.

    `problem`, `batch`, `pipeline`, `scores`, `configs` and `rule`: see `evaluate_batch`. `n_repeats`: permutations of
    each region.
    """
    chosen, _ = choose_cells(problem, batch, pipeline, scores=scores, configs=configs, rule=rule)

    def model(part: ImportancePart, target: int) -> ImportanceModel:
        if target not in chosen:
            raise SearchError("every configuration failed in the search")
        number = chosen[target]
        return refitted_model(problem, part, pipeline, target, batch.outer, number, configs[target][number])

    return _importance(problem, batch, model, n_repeats)


def _importance(
    problem: Problem, batch: Batch, model: Callable[[ImportancePart, int], ImportanceModel], n_repeats: int
) -> dict[tuple[int, int], CellImportance]:
    done = {}
    for group, train, test in parts_of(problem, batch.targets, batch.outer):
        part: ImportancePart | None = None
        for target in group:
            try:
                part = part or make_part(problem, train, test)
                values = _look_at(problem, part, model(part, target), target, batch.outer, n_repeats)
                done[target, batch.outer] = CellImportance(values)
            except Exception as error:
                as_failure(error)
                where = f"target {problem.names[target]!r}, outer fold {batch.outer}"
                done[target, batch.outer] = CellImportance(failure=f"{where}: {type(error).__name__}: {error}")
    return done


def _look_at(
    problem: Problem, part: ImportancePart, model: ImportanceModel, target: int, outer: int, n_repeats: int
) -> dict[str, Floats]:
    task, y = problem.tasks[target], problem.targets[part.test, target]
    score = model.score(problem.scorers[task], task, problem.n_classes(target), y)
    # The same for all pipelines and parcellations, so that these differ by what they are.
    seed = content_seed(problem.seed, "permutation", problem.names[target], outer)
    orders = make_orders(n_repeats, len(part.test), seed)
    values = {} if model.coefficients is None else linear_kinds(part, model.coefficients)
    decreases = score_decreases(part, orders, model.used, model.decide, score)
    return values | {"permutation": decreases.mean(axis=1)}

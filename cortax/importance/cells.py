"""Importance of every region to the models of one outer fold."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from cortax.errors import SearchError
from cortax.importance.linear import linear_kinds
from cortax.importance.models import Model, kept_model, refitted_model
from cortax.importance.parts import Part, make_part, parts_of
from cortax.importance.permutation import decisions_score, make_orders, score_decreases
from cortax.search.cells import Batch, Configs, Floats, Problem, as_failure
from cortax.search.evaluate import choose_number
from cortax.search.evaluations import Evaluation
from cortax.search.pipelines import PipelineKind
from cortax.search.spaces import content_seed

__all__ = ["KINDS", "CellImportance", "importance_of_chosen", "importance_of_kept"]

KINDS = ("coefficient", "standardised", "pattern", "permutation")


@dataclass(frozen=True, eq=False)
class CellImportance:
    """One target in one outer fold.

    Attributes
    ----------
    values : mapping of kind to float64 array of shape (n_regions,)
        `permutation` of every model, see `permutation`; `coefficient`, `standardised` and `pattern` of linear ones,
        see `linear_kinds`.
    failure : str
        Why there is nothing; empty where there is.
    """

    values: Mapping[str, Floats] = field(default_factory=dict)
    failure: str = ""


def importance_of_kept(
    problem: Problem, batch: Batch, found: Evaluation, *, n_repeats: int
) -> dict[tuple[int, int], CellImportance]:
    """Look at the linear models that an evaluation kept.

    Parameters
    ----------
    problem : Problem
        What was evaluated.
    batch : Batch
    found : Evaluation
        Of the problem's targets.
    n_repeats : int
        Permutations of each region.

    Returns
    -------
    dict of (target, outer fold) to CellImportance
        A cell without a model has a `failure`.
    """

    def model(part: Part, target: int) -> Model:
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

    Parameters
    ----------
    problem, batch, pipeline, scores, configs, rule
        See `evaluate_batch`.
    n_repeats : int
        Permutations of each region.
    """

    def model(part: Part, target: int) -> Model:
        number = choose_number(
            scores[target], configs[target], problem.folds.n_inner, rule=rule, target=problem.names[target]
        )
        if number < 0:
            raise SearchError("every configuration failed in the search")
        return refitted_model(problem, part, pipeline, target, batch.outer, number, configs[target][number])

    return _importance(problem, batch, model, n_repeats)


def _importance(
    problem: Problem, batch: Batch, model: Callable[[Part, int], Model], n_repeats: int
) -> dict[tuple[int, int], CellImportance]:
    done = {}
    for group, train, test in parts_of(problem, batch.targets, batch.outer):
        part: Part | None = None
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


def _look_at(problem: Problem, part: Part, model: Model, target: int, outer: int, n_repeats: int) -> dict[str, Floats]:
    task, y = problem.tasks[target], problem.targets[part.test, target]
    score = decisions_score(problem.scorers[task], task, y, probabilities=model.probabilities)
    # The same for all pipelines and parcellations, so that these differ by what they are.
    seed = content_seed(problem.seed, "permutation", problem.names[target], outer)
    orders = make_orders(n_repeats, len(part.test), seed)
    values = {} if model.coefficients is None else linear_kinds(part, model.coefficients)
    decreases = score_decreases(part, orders, model.used, model.decide, score)
    return values | {"permutation": decreases.mean(axis=1)}

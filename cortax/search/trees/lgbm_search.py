"""LightGBM searches that spend less than every configuration on every inner fold.

None of it is the plain search; each option of a problem's `strategy` is a choice:

- `staged`: one fit stands for all its numbers of trees, whatever was drawn (of dart, whose trees get dearer, up to
  what was drawn). The best is read off the validation score, mean over the inner folds and over neighbouring numbers,
  and becomes the configuration's `n_estimators`; the scores are these means. Growth stops where more trees
  make it worse.
- `racing`: a configuration is dropped between inner folds when it can no longer win, see `racing.cannot_win`.
- `sampler`: "random" takes the problem's configurations; "tpe" lets optuna propose as many, each one knowing
  how those before it did.
- `max_bin`: bins of a column, where a configuration does not say.
- `space`: mapping of task to search space. "tpe" needs it; it also bounds the numbers of trees.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

import numpy as np

from cortax.errors import SearchError, choices
from cortax.search.cells import CellSearch, Config, Problem
from cortax.search.solvers import fit_seed
from cortax.search.spaces import content_seed
from cortax.search.training import training_sets
from cortax.search.trees.boosting import Recipe, bin_ahead, recipe
from cortax.search.trees.lgbm_race import Entrant, Race
from cortax.search.trees.racing import tree_counts

__all__ = ["search_cell"]

_OPTIONS = ("max_bin", "racing", "sampler", "space", "staged")
_SAMPLERS = ("random", "tpe")


def search_cell(problem: Problem, target: int, outer: int) -> CellSearch:
    """Search one target in one outer fold by the problem's strategy.

    Parameters
    ----------
    problem : Problem
        Its `strategy` says how, see the module.
    target, outer : int

    Returns
    -------
    CellSearch
        With configurations of the cell's own, as many as the problem has. NaN where one was dropped.

    Raises
    ------
    SearchError
        The strategy makes no sense; the message names the option.
    """
    task = problem.tasks[target]
    _check(problem.strategy, task)
    start = time.perf_counter()
    race = Race(problem, target, outer, drops=bool(problem.strategy.get("racing")))
    drawn = [_entrant(race, number, config) for number, config in enumerate(problem.configs[task])]
    _prepare(race)
    for part in race.parts:
        bin_ahead(part, [entrant.made for entrant in drawn])
    if len(race.parts) < problem.folds.n_inner:
        # No configuration can be scored on all inner folds, so none could be chosen.
        race.entrants = drawn
    elif problem.strategy.get("sampler", "random") == "tpe":
        _propose_and_race(race)
    else:
        _race_drawn(race, drawn)
    return _result(race, time.perf_counter() - start)


def _check(strategy: Mapping[str, Any], task: str) -> None:
    for option in strategy:
        if option not in _OPTIONS:
            raise SearchError(f"strategy: {choices(option, _OPTIONS)}")
    sampler = strategy.get("sampler", "random")
    if sampler not in _SAMPLERS:
        raise SearchError(f"strategy, sampler: {choices(sampler, _SAMPLERS)}")
    if sampler == "tpe" and task not in strategy.get("space", {}):
        raise SearchError(f"strategy, sampler: 'tpe' needs the space of task {task!r}")


def _prepare(race: Race) -> None:
    folds = race.problem.folds
    for inner, valid in enumerate(folds.valid[race.outer]):
        train = ~folds.test[race.outer] & ~valid
        told = lambda _, number, error, inner=inner: race.fail(inner, number, error)  # noqa: E731
        race.parts += [part for part, _ in training_sets(race.problem, [race.target], train, valid, told)]


def _entrant(race: Race, number: int, config: Config) -> Entrant:
    strategy = race.problem.strategy
    if "max_bin" in strategy:
        config = {"max_bin": strategy["max_bin"], **config}
    made = recipe(race.task, config, seed=fit_seed(race.problem, race.target, race.outer, number))
    counts = _tree_counts(race.problem, race.task, made) if strategy.get("staged") else (made.n_trees,)
    return Entrant(number, config, made, counts)


def _tree_counts(problem: Problem, task: str, made: Recipe) -> tuple[int, ...]:
    spec = problem.strategy.get("space", {}).get(task, {}).get("n_estimators")
    found = [int(config.get("n_estimators", 100)) for config in problem.configs[task]]
    low, high = (spec["low"], spec["high"]) if isinstance(spec, Mapping) else (min(found), max(found))
    if made.params.get("boosting_type") == "dart":
        high = made.n_trees
    # Of a constant, all up to it.
    return tree_counts(int(low) if low < high else 1, max(int(high), 1))


def _race_drawn(race: Race, drawn: list[Entrant]) -> None:
    """First all on one fold; then the others fold by fold, the most promising configuration before the next."""
    for entrant in drawn:
        race.enter(entrant)
    running = [entrant for entrant in drawn if entrant.alive]
    for entrant in sorted(running, key=lambda entrant: -entrant.best_scores[0]):
        race.finish(entrant)


def _propose_and_race(race: Race) -> None:
    from cortax.search.trees.proposals import Proposals  # optuna is slow to import

    problem, task = race.problem, race.task
    space = problem.strategy["space"][task]
    n_configs, name = len(problem.configs[task]), problem.names[race.target]
    proposals = Proposals(space, content_seed(problem.seed, problem.kind, name, race.outer, "tpe"), n_configs)
    for number in range(n_configs):
        entrant = _entrant(race, number, proposals.ask())
        race.enter(entrant)
        proposals.tell(race.finish(entrant))


def _result(race: Race, seconds: float) -> CellSearch:
    scores = np.full((len(race.entrants), race.problem.folds.n_inner), np.nan)
    configs = []
    for row, entrant in zip(scores, race.entrants, strict=True):
        config = dict(entrant.config)
        if entrant.scores:
            row[: len(entrant.scores)] = entrant.best_scores
            if race.problem.strategy.get("staged"):
                config["n_estimators"] = entrant.counts[entrant.best]
        configs.append(config)
    zeros = np.zeros(scores.shape, dtype=np.int64)
    failures = sorted(race.failures, key=lambda failure: (failure["inner"], failure["config"]))
    return CellSearch(scores, zeros, seconds, tuple(failures), tuple(configs))

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
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from cortax.errors import SearchError, choices
from cortax.search.boosting import Recipe, as_failure, bin_ahead, curve, never_splits, recipe
from cortax.search.cells import CellSearch, Config, Failure, Problem
from cortax.search.racing import cannot_win, compare, is_worse, smooth, tree_counts
from cortax.search.scoring import score_decisions
from cortax.search.solvers import fit_seed
from cortax.search.spaces import content_seed
from cortax.search.training import TrainingSet, training_sets

__all__ = ["LEVEL", "search_cell"]

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

# Of the rules of `racing`: the probability of dropping what would have won, and of stopping growth too early.
LEVEL = 0.1
# Growth is not asked to stop before it has passed the best number of trees by this factor,
_PAST = 1.5
# and has to at this factor, and so many trees more.
_FAR_PAST, _FAR_TREES = 3, 50
_OPTIONS = ("max_bin", "racing", "sampler", "space", "staged")
_SAMPLERS = ("random", "tpe")


@dataclass(eq=False)
class _Entrant:
    """A configuration in the race.

    Attributes
    ----------
    counts : tuple of int
        Numbers of trees at which it is scored.
    decisions, scores : lists, one item for each inner fold seen
        Arrays of shapes (n_counts, n_valid) and (n_counts,); as many counts as growth got to.
    alive : bool
        Not failed, and not dropped.
    """

    number: int
    config: Config
    made: Recipe
    counts: tuple[int, ...]
    decisions: list[Floats] = field(default_factory=list)
    scores: list[Floats] = field(default_factory=list)
    alive: bool = True

    @property
    def best(self) -> int:
        """Position of the number of trees with the best mean score."""
        return _argmax(smooth(np.array(self.scores)).mean(axis=0))

    @property
    def best_scores(self) -> Floats:
        """Scores there, of shape (n_folds seen,)."""
        return smooth(np.array(self.scores))[:, self.best]


@dataclass(eq=False)
class _Cell:
    """One target in one outer fold: its training sets, and who is in the race."""

    problem: Problem
    target: int
    outer: int
    parts: list[TrainingSet] = field(default_factory=list)
    failures: list[Failure] = field(default_factory=list)
    entrants: list[_Entrant] = field(default_factory=list)
    leader: _Entrant | None = None

    @property
    def task(self) -> str:
        return self.problem.tasks[self.target]

    def y(self, rows: Ints) -> Floats:
        found: Floats = self.problem.targets[rows, self.target]
        return found

    def fail(self, inner: int, number: int, error: Exception) -> None:
        where = {"target": self.problem.names[self.target], "outer": self.outer, "inner": inner}
        found = as_failure(error)
        self.failures.append(where | {"config": number, "kind": type(found).__name__, "message": str(found)})

    def score(self, inner: int, rows: Ints | slice, decisions: Floats) -> Floats:
        y, probabilities = self.y(self.parts[inner].valid)[rows], self.task == "classification"
        scorer = self.problem.scorers[self.task]
        return score_decisions(scorer, self.task, y, decisions, probabilities=probabilities)[0]


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
    cell = _Cell(problem, target, outer)
    _prepare(cell)
    for part in cell.parts:
        bin_ahead(part, [_entrant(cell, number, config).made for number, config in enumerate(problem.configs[task])])
    if len(cell.parts) < problem.folds.n_inner:
        # No configuration can be scored on all inner folds, so none could be chosen.
        cell.entrants = [_entrant(cell, number, config) for number, config in enumerate(problem.configs[task])]
    elif problem.strategy.get("sampler", "random") == "tpe":
        _propose_and_race(cell)
    else:
        _race_drawn(cell)
    return _result(cell, time.perf_counter() - start)


def _argmax(scores: npt.ArrayLike) -> int:
    return int(np.argmax(np.nan_to_num(np.asarray(scores), nan=-np.inf)))


def _check(strategy: Mapping[str, Any], task: str) -> None:
    for option in strategy:
        if option not in _OPTIONS:
            raise SearchError(f"strategy: {choices(option, _OPTIONS)}")
    sampler = strategy.get("sampler", "random")
    if sampler not in _SAMPLERS:
        raise SearchError(f"strategy, sampler: {choices(sampler, _SAMPLERS)}")
    if sampler == "tpe" and task not in strategy.get("space", {}):
        raise SearchError(f"strategy, sampler: 'tpe' needs the space of task {task!r}")


def _prepare(cell: _Cell) -> None:
    folds = cell.problem.folds
    for inner, valid in enumerate(folds.valid[cell.outer]):
        train = ~folds.test[cell.outer] & ~valid
        told = lambda _, number, error, inner=inner: cell.fail(inner, number, error)  # noqa: E731
        cell.parts += [part for part, _ in training_sets(cell.problem, [cell.target], train, valid, told)]


def _entrant(cell: _Cell, number: int, config: Config) -> _Entrant:
    strategy = cell.problem.strategy
    if "max_bin" in strategy:
        config = {"max_bin": strategy["max_bin"], **config}
    made = recipe(cell.task, config, seed=fit_seed(cell.problem, cell.target, cell.outer, number))
    counts = _tree_counts(cell.problem, cell.task, made) if strategy.get("staged") else (made.n_trees,)
    return _Entrant(number, config, made, counts)


def _tree_counts(problem: Problem, task: str, made: Recipe) -> tuple[int, ...]:
    spec = problem.strategy.get("space", {}).get(task, {}).get("n_estimators")
    found = [int(config.get("n_estimators", 100)) for config in problem.configs[task]]
    low, high = (spec["low"], spec["high"]) if isinstance(spec, Mapping) else (min(found), max(found))
    if made.params.get("boosting_type") == "dart":
        high = made.n_trees
    # Of a constant, all up to it.
    return tree_counts(int(low) if low < high else 1, max(int(high), 1))


def _race_drawn(cell: _Cell) -> None:
    """First all on one fold; then the others fold by fold, the most promising configuration before the next."""
    for number, config in enumerate(cell.problem.configs[cell.task]):
        cell.entrants.append(_entrant(cell, number, config))
        _run(cell, cell.entrants[-1])
    running = [entrant for entrant in cell.entrants if entrant.alive]
    for entrant in sorted(running, key=lambda entrant: -entrant.best_scores[0]):
        _finish(cell, entrant)


def _propose_and_race(cell: _Cell) -> None:
    from cortax.search.proposals import Proposals  # optuna is slow to import

    problem, task = cell.problem, cell.task
    space = problem.strategy["space"][task]
    n_configs, name = len(problem.configs[task]), problem.names[cell.target]
    proposals = Proposals(space, content_seed(problem.seed, problem.kind, name, cell.outer, "tpe"), n_configs)
    for number in range(n_configs):
        entrant = _entrant(cell, number, proposals.ask())
        cell.entrants.append(entrant)
        _run(cell, entrant)
        proposals.tell(_finish(cell, entrant))


def _run(cell: _Cell, entrant: _Entrant) -> None:
    """Fit on the next inner fold. What follows the first goes as far as that did."""
    inner = len(entrant.scores)
    part = cell.parts[inner]
    decisions: list[Floats] = []
    scores: list[float] = []
    # Without a split, every number of trees is the same fit.
    if not inner and never_splits(entrant.made, len(part.train)):
        entrant.counts = entrant.counts[:1]
    try:
        for found in curve(part, cell.y(part.train), entrant.made, entrant.counts):
            decisions.append(found)
            scores.append(float(cell.score(inner, slice(None), found[None])[0]))
            if not inner and _past_its_best(cell, entrant.counts, decisions, scores):
                break
    except Exception as error:
        cell.fail(inner, entrant.number, error)
        entrant.alive = False
        return
    entrant.counts = entrant.counts[: len(scores)]
    entrant.decisions.append(np.array(decisions))
    entrant.scores.append(np.array(scores))
    if np.isnan(scores).all():
        cell.fail(inner, entrant.number, ValueError("no number of trees has a score"))
        entrant.alive = False


def _past_its_best(cell: _Cell, counts: Sequence[int], decisions: Sequence[Floats], scores: Sequence[float]) -> bool:
    best, count = _argmax(scores), counts[len(scores) - 1]
    if count >= _FAR_PAST * counts[best] + _FAR_TREES:
        return True
    if count < _PAST * counts[best] or scores[-1] == scores[best]:
        return False
    found = compare(lambda rows, both: cell.score(0, rows, both), decisions[best], decisions[-1])
    return is_worse(*found, LEVEL)


def _finish(cell: _Cell, entrant: _Entrant) -> float:
    """Fit on the other inner folds as long as it may win; return the score, or what it is believed to be.

    NaN if it failed.
    """
    n_folds = len(cell.parts)
    while entrant.alive and len(entrant.scores) < n_folds:
        if cell.leader is not None and cell.problem.strategy.get("racing"):
            gaps = [_gap(cell, inner, cell.leader, entrant) for inner in range(len(entrant.scores))]
            differences, variances = zip(*gaps, strict=True)
            if cannot_win(differences, variances, n_folds, LEVEL):
                entrant.alive = False
                entrant.decisions.clear()
                return float(cell.leader.best_scores.mean() - np.mean(differences))
        _run(cell, entrant)
    if not entrant.alive:
        return float("nan")
    score = float(entrant.best_scores.mean())
    if cell.leader is None:
        cell.leader = entrant
    # What does not lead will not be compared again.
    elif score > cell.leader.best_scores.mean():
        cell.leader.decisions.clear()
        cell.leader = entrant
    else:
        entrant.decisions.clear()
    return score


def _gap(cell: _Cell, inner: int, leader: _Entrant, entrant: _Entrant) -> tuple[float, float]:
    ours, theirs = (found.decisions[inner][found.best] for found in (leader, entrant))
    _, variance = compare(lambda rows, both: cell.score(inner, rows, both), ours, theirs)
    return float(leader.best_scores[inner] - entrant.best_scores[inner]), variance


def _result(cell: _Cell, seconds: float) -> CellSearch:
    scores = np.full((len(cell.entrants), cell.problem.folds.n_inner), np.nan)
    configs = []
    for row, entrant in zip(scores, cell.entrants, strict=True):
        config = dict(entrant.config)
        if entrant.scores:
            row[: len(entrant.scores)] = entrant.best_scores
            if cell.problem.strategy.get("staged"):
                config["n_estimators"] = entrant.counts[entrant.best]
        configs.append(config)
    zeros = np.zeros(scores.shape, dtype=np.int64)
    failures = sorted(cell.failures, key=lambda failure: (failure["inner"], failure["config"]))
    return CellSearch(scores, zeros, seconds, tuple(failures), tuple(configs))

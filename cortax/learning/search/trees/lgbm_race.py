"""LightGBM searches that spend less than every configuration on every inner fold.

None of it is the plain search; each option of a problem's `strategy` is a choice:

- `staged`: one fit stands for all its numbers of trees, whatever was drawn (of dart, whose trees get dearer, up to
  what was drawn). The best is read off the validation score, mean over the inner folds and over neighbouring numbers,
  and becomes the configuration's `n_estimators`; the scores are these means. Growth stops where more trees
  make it worse.
- `racing`: a configuration is dropped between inner folds when it can no longer win, see `racing.cannot_win`.
- `sampler`: "random", the problem's configurations; there is no other.
- `max_bin`: bins of a column, where a configuration does not say.
- `space`: mapping of task to search space; it bounds the numbers of trees.

Of a target of several classes, or an ordinal one, a configuration has a forest for each column; they grow together, are
scored as one and have the same number of trees.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from cortax.errors import SearchError, choices
from cortax.learning.arrays import Floats, Ints
from cortax.learning.classes import binary_task
from cortax.learning.search.by_class import combine, make_columns
from cortax.learning.search.cells import CellSearch, Config, Failure, Problem, failure_of
from cortax.learning.search.scoring import score_classes, score_decisions
from cortax.learning.search.solvers import fit_seed
from cortax.learning.search.training import TrainingSet, training_sets
from cortax.learning.search.trees.boosting import Recipe, bin_ahead, curve, never_splits, recipe
from cortax.learning.search.trees.racing import cannot_win, compare, is_worse, smooth, tree_counts

__all__ = ["LEVEL", "search_cell"]

_OPTIONS = ("max_bin", "racing", "sampler", "space", "staged")
_SAMPLERS = ("random",)
# Of the rules of `racing`: the probability of dropping what would have won, and of stopping growth too early.
LEVEL = 0.1
# Growth is not asked to stop before it has passed the best number of trees by this factor,
_PAST = 1.5
# and has to at this factor, and so many trees more.
_FAR_PAST, _FAR_TREES = 3, 50


def search_cell(problem: Problem, target: int, outer: int) -> CellSearch:
    """Search one target in one outer fold by the problem's `strategy`.

    Returns
    -------
    CellSearch
        With configurations of the cell's own, as many as the problem has. NaN where one was dropped.

    Raises
    ------
    SearchError
        The strategy makes no sense; the message names the option.
    """
    _check(problem.strategy)
    start = time.perf_counter()
    race = _Race(problem, target, outer, drops=bool(problem.strategy.get("racing")))
    drawn = [_entrant(race, number, config) for number, config in enumerate(problem.configs[race.task])]
    for inner, valid in enumerate(problem.folds.valid[outer]):
        train = ~problem.folds.test[outer] & ~valid
        fail = lambda _, number, error, inner=inner: race.fail(inner, number, error)  # noqa: E731
        for rows, _ in training_sets(problem, [target], train, valid, fail):
            try:
                race.parts.append(_Part.of(problem, rows, target))
            except ValueError as error:
                race.fail(inner, -1, error)
    for part in race.parts:
        for column in part.columns:
            bin_ahead(column, [entrant.made for entrant in drawn])
    # Otherwise no configuration can be scored on all inner folds, so none could be chosen.
    if len(race.parts) == problem.folds.n_inner:
        race.run(drawn)
    return _result(race, drawn, time.perf_counter() - start)


def _check(strategy: Mapping[str, Any]) -> None:
    for option in strategy:
        if option not in _OPTIONS:
            raise SearchError(f"strategy: {choices(option, _OPTIONS)}")
    sampler = strategy.get("sampler", "random")
    if sampler not in _SAMPLERS:
        raise SearchError(f"strategy, sampler: {choices(sampler, _SAMPLERS)}")


def _entrant(race: _Race, number: int, config: Config) -> _Entrant:
    strategy = race.problem.strategy
    if "max_bin" in strategy:
        config = {"max_bin": strategy["max_bin"], **config}
    made = recipe(race.task, config, seed=fit_seed(race.problem, race.target, race.outer, number))
    counts = _tree_counts(race.problem, race.task, made) if strategy.get("staged") else (made.n_trees,)
    return _Entrant(number, config, made, counts)


def _tree_counts(problem: Problem, task: str, made: Recipe) -> tuple[int, ...]:
    spec = problem.strategy.get("space", {}).get(binary_task(task), {}).get("n_estimators")
    found = [int(config.get("n_estimators", 100)) for config in problem.configs[task]]
    low, high = (spec["low"], spec["high"]) if isinstance(spec, Mapping) else (min(found), max(found))
    if made.params.get("boosting_type") == "dart":
        high = made.n_trees
    # Of a constant, all up to it.
    return tree_counts(int(low) if low < high else 1, max(int(high), 1))


def _result(race: _Race, drawn: list[_Entrant], seconds: float) -> CellSearch:
    scores = np.full((len(drawn), race.problem.folds.n_inner), np.nan)
    configs = []
    for row, entrant in zip(scores, drawn, strict=True):
        config = dict(entrant.config)
        if entrant.scores:
            row[: len(entrant.scores)] = entrant.best_scores
            if race.problem.strategy.get("staged"):
                config["n_estimators"] = entrant.counts[entrant.best]
        configs.append(config)
    zeros = np.zeros(scores.shape, dtype=np.int64)
    failures = sorted(race.failures, key=lambda failure: (failure["inner"], failure["config"]))
    return CellSearch(scores, zeros, seconds, tuple(failures), tuple(configs))


@dataclass(frozen=True, eq=False)
class _Part:
    """The training set of an inner fold: one for each column of the target, and the values of these."""

    columns: tuple[TrainingSet, ...]
    Y: Floats  # (n_train, n_columns)

    @classmethod
    def of(cls, problem: Problem, part: TrainingSet, target: int) -> _Part:
        """ValueError: the training rows lack a class."""
        Y, owners = make_columns(problem, part.train, [target])
        if len(owners) == 1:
            return cls((part,), Y)
        # LightGBM keeps the labels with the binned columns, so forests that grow together need bins of their own.
        made = part.front, part.X, part.X_valid
        return cls(tuple(TrainingSet.of(made, part.train, part.valid) for _ in owners), Y)


@dataclass(eq=False)
class _Entrant:
    """A configuration in the race."""

    number: int
    config: Config
    made: Recipe
    counts: tuple[int, ...]  # numbers of trees at which it is scored
    # One item for each inner fold seen, of shapes (n_counts, n_columns, n_valid) and (n_counts,): as many counts as
    # growth got to.
    decisions: list[Floats] = field(default_factory=list)
    scores: list[Floats] = field(default_factory=list)
    alive: bool = True  # not failed, and not dropped

    @property
    def best(self) -> int:
        """Position of the number of trees with the best mean score."""
        return _argmax(smooth(np.array(self.scores)).mean(axis=0))

    @property
    def best_scores(self) -> Floats:
        """Scores there, of shape (n_folds seen,)."""
        return smooth(np.array(self.scores))[:, self.best]


@dataclass(eq=False)
class _Race:
    """One target in one outer fold: its training sets, and who is in the race."""

    problem: Problem
    target: int
    outer: int
    drops: bool  # whether a configuration that can no longer win is dropped
    parts: list[_Part] = field(default_factory=list)  # one for each inner fold
    failures: list[Failure] = field(default_factory=list)
    leader: _Entrant | None = None  # the best of those that have run on all folds

    @property
    def task(self) -> str:
        """Of the target."""
        return self.problem.tasks[self.target]

    def fail(self, inner: int, number: int, error: Exception) -> None:
        """Record a failure; a MemoryError is raised."""
        self.failures.append(failure_of(self.problem, self.target, self.outer, inner, number, error))

    def run(self, drawn: list[_Entrant]) -> None:
        """First all on one fold; then the others fold by fold, the most promising configuration before the next."""
        for entrant in drawn:
            self._run(entrant)
        running = [entrant for entrant in drawn if entrant.alive]
        for entrant in sorted(running, key=lambda entrant: -entrant.best_scores[0]):
            self._finish(entrant)

    def _finish(self, entrant: _Entrant) -> None:
        """Run on the other inner folds as long as it may win; what does not lead then will not be compared again."""
        while entrant.alive and len(entrant.scores) < len(self.parts):
            if self.drops and self.leader is not None:
                gaps = [self._gap(inner, self.leader, entrant) for inner in range(len(entrant.scores))]
                differences, variances = zip(*gaps, strict=True)
                if cannot_win(differences, variances, len(self.parts), LEVEL):
                    entrant.alive = False
                    entrant.decisions.clear()
                    return
            self._run(entrant)
        if not entrant.alive:
            return
        loser: _Entrant | None = entrant
        if self.leader is None or entrant.best_scores.mean() > self.leader.best_scores.mean():
            self.leader, loser = entrant, self.leader
        if loser is not None:
            loser.decisions.clear()

    def _run(self, entrant: _Entrant) -> None:
        """Fit on the next inner fold. What follows the first goes as far as that did."""
        inner = len(entrant.scores)
        try:
            decisions, scores = self._grow(inner, entrant)
        except Exception as error:
            self.fail(inner, entrant.number, error)
            entrant.alive = False
            return
        entrant.counts = entrant.counts[: len(scores)]
        entrant.decisions.append(np.array(decisions))
        entrant.scores.append(np.array(scores))
        if np.isnan(scores).all():
            self.fail(inner, entrant.number, ValueError("no number of trees has a score"))
            entrant.alive = False

    def _grow(self, inner: int, entrant: _Entrant) -> tuple[list[Floats], list[float]]:
        part = self.parts[inner]
        # Without a split, every number of trees is the same fit.
        if not inner and never_splits(entrant.made, len(part.Y)):
            entrant.counts = entrant.counts[:1]
        decisions: list[Floats] = []
        scores: list[float] = []
        pairs = zip(part.columns, part.Y.T, strict=True)
        curves = [curve(column, y, entrant.made, entrant.counts) for column, y in pairs]
        for found in zip(*curves, strict=True):
            decisions.append(np.stack(found))
            scores.append(float(self._score(inner, slice(None), decisions[-1][None])[0]))
            if not inner and self._past_its_best(entrant.counts, decisions, scores):
                break
        return decisions, scores

    def _past_its_best(self, counts: Sequence[int], decisions: Sequence[Floats], scores: Sequence[float]) -> bool:
        best, count = _argmax(scores), counts[len(scores) - 1]
        if count >= _FAR_PAST * counts[best] + _FAR_TREES:
            return True
        if count < _PAST * counts[best] or scores[-1] == scores[best]:
            return False
        found = compare(lambda rows, both: self._score(0, rows, both), decisions[best], decisions[-1])
        return is_worse(*found, LEVEL)

    def _gap(self, inner: int, leader: _Entrant, entrant: _Entrant) -> tuple[float, float]:
        ours, theirs = (found.decisions[inner][found.best] for found in (leader, entrant))
        _, variance = compare(lambda rows, both: self._score(inner, rows, both), ours, theirs)
        return float(leader.best_scores[inner] - entrant.best_scores[inner]), variance

    def _score(self, inner: int, rows: Ints | slice, decisions: Floats) -> Floats:
        """Scores of decisions of shape (n_predictions, n_columns, n_rows)."""
        y = self.problem.targets[self.parts[inner].columns[0].valid, self.target][rows]
        task, scorer = self.task, self.problem.scorers[self.task]
        if self.problem.is_by_class(self.target):
            # As of `OneVsRestClassifier`: LightGBM has probabilities, and no decisions.
            predicted = combine(np.moveaxis(decisions, 1, 0), task, odds=True, by_decision=False)
            return score_classes(scorer, task, self.problem.n_classes(self.target), y, predicted)[0]
        return score_decisions(scorer, task, y, decisions[:, 0], probabilities=task == "classification")[0]


def _argmax(scores: npt.ArrayLike) -> int:
    return int(np.argmax(np.nan_to_num(np.asarray(scores), nan=-np.inf)))

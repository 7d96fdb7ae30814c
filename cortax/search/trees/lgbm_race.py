"""A race of LightGBM configurations for one target in one outer fold: what is fitted, how far, and on which folds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from cortax.search.cells import Config, Failure, Problem, as_failure
from cortax.search.scoring import score_decisions
from cortax.search.training import TrainingSet
from cortax.search.trees.boosting import Recipe, curve, never_splits
from cortax.search.trees.racing import cannot_win, compare, is_worse, smooth

__all__ = ["LEVEL", "Entrant", "Race"]

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

# Of the rules of `racing`: the probability of dropping what would have won, and of stopping growth too early.
LEVEL = 0.1
# Growth is not asked to stop before it has passed the best number of trees by this factor,
_PAST = 1.5
# and has to at this factor, and so many trees more.
_FAR_PAST, _FAR_TREES = 3, 50


@dataclass(eq=False)
class Entrant:
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
class Race:
    """One target in one outer fold: its training sets, and who is in the race.

    Attributes
    ----------
    drops : bool
        Whether a configuration that can no longer win is dropped.
    parts : list of TrainingSet, one for each inner fold
    leader : Entrant, or None
        The best of those that have run on all folds.
    """

    problem: Problem
    target: int
    outer: int
    drops: bool
    parts: list[TrainingSet] = field(default_factory=list)
    failures: list[Failure] = field(default_factory=list)
    entrants: list[Entrant] = field(default_factory=list)
    leader: Entrant | None = None

    @property
    def task(self) -> str:
        """Of the target."""
        return self.problem.tasks[self.target]

    def fail(self, inner: int, number: int, error: Exception) -> None:
        """Record a failure; a MemoryError is raised."""
        where = {"target": self.problem.names[self.target], "outer": self.outer, "inner": inner}
        found = as_failure(error)
        self.failures.append(where | {"config": number, "kind": type(found).__name__, "message": str(found)})

    def enter(self, entrant: Entrant) -> None:
        """Let an entrant run on the first inner fold."""
        self.entrants.append(entrant)
        self._run(entrant)

    def finish(self, entrant: Entrant) -> float:
        """Run on the other inner folds as long as it may win; return the score, or what it is believed to be.

        NaN if it failed.
        """
        while entrant.alive and len(entrant.scores) < len(self.parts):
            if self.drops and self.leader is not None:
                gaps = [self._gap(inner, self.leader, entrant) for inner in range(len(entrant.scores))]
                differences, variances = zip(*gaps, strict=True)
                if cannot_win(differences, variances, len(self.parts), LEVEL):
                    entrant.alive = False
                    entrant.decisions.clear()
                    return float(self.leader.best_scores.mean() - np.mean(differences))
            self._run(entrant)
        return self._place(entrant) if entrant.alive else float("nan")

    def _place(self, entrant: Entrant) -> float:
        """Make it the leader if it leads. What does not will not be compared again."""
        score = float(entrant.best_scores.mean())
        loser: Entrant | None = entrant
        if self.leader is None or score > self.leader.best_scores.mean():
            self.leader, loser = entrant, self.leader
        if loser is not None:
            loser.decisions.clear()
        return score

    def _run(self, entrant: Entrant) -> None:
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

    def _grow(self, inner: int, entrant: Entrant) -> tuple[list[Floats], list[float]]:
        part = self.parts[inner]
        # Without a split, every number of trees is the same fit.
        if not inner and never_splits(entrant.made, len(part.train)):
            entrant.counts = entrant.counts[:1]
        decisions: list[Floats] = []
        scores: list[float] = []
        for found in curve(part, self.problem.targets[part.train, self.target], entrant.made, entrant.counts):
            decisions.append(found)
            scores.append(float(self._score(inner, slice(None), found[None])[0]))
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

    def _gap(self, inner: int, leader: Entrant, entrant: Entrant) -> tuple[float, float]:
        ours, theirs = (found.decisions[inner][found.best] for found in (leader, entrant))
        _, variance = compare(lambda rows, both: self._score(inner, rows, both), ours, theirs)
        return float(leader.best_scores[inner] - entrant.best_scores[inner]), variance

    def _score(self, inner: int, rows: Ints | slice, decisions: Floats) -> Floats:
        y = self.problem.targets[self.parts[inner].valid, self.target][rows]
        probabilities, scorer = self.task == "classification", self.problem.scorers[self.task]
        return score_decisions(scorer, self.task, y, decisions, probabilities=probabilities)[0]


def _argmax(scores: npt.ArrayLike) -> int:
    return int(np.argmax(np.nan_to_num(np.asarray(scores), nan=-np.inf)))

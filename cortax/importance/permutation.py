"""Permutation importance: how much worse a fitted model scores once a region's values are exchanged between subjects.

Only subjects that the model is tested on are looked at, and only the region changes: confounds stay with their
subjects. Source: Breiman, Random forests, Machine Learning 45 (2001), as `sklearn.inspection` has it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
import numpy.typing as npt

from cortax.errors import SearchError
from cortax.importance.parts import Part
from cortax.search.cells import Floats, Ints
from cortax.search.scoring import score_decisions

__all__ = ["Decide", "Score", "by_columns", "decisions_score", "linear_decisions", "make_orders", "score_decreases"]

# Given a region's number and its changes, of shape (n_permutations, n_test) and in the units of `Part.X_test`,
# returns decisions of that shape.
Decide = Callable[[int, Floats], Floats]
# Given decisions of shape (n_permutations, n_test), returns as many scores.
Score = Callable[[Floats], Floats]

# Numbers of the rows that are predicted at a time.
_BLOCK = 4_000_000


def make_orders(n_repeats: int, n_test: int, seed: int) -> Ints:
    """Return permutations of test rows, of shape (n_repeats, n_test): the same for all regions."""
    rng = np.random.default_rng(seed)
    return np.stack([rng.permutation(n_test) for _ in range(n_repeats)])


def score_decreases(part: Part, orders: Ints, used: npt.NDArray[np.bool_], decide: Decide, score: Score) -> Floats:
    """Return by how much the score decreases when each region is permuted.

    Parameters
    ----------
    part : Part
    orders : int array of shape (n_repeats, n_test)
        See `make_orders`.
    used : bool array of shape (n_regions,)
        The regions that the model looks at; the score of others does not change.
    decide : Decide
    score : Score

    Returns
    -------
    float64 array of shape (n_regions, n_repeats)

    Raises
    ------
    SearchError
        Test rows have no score.
    """
    n_repeats, n_test = orders.shape
    decreases = np.zeros((len(used), n_repeats))
    baseline = float(score(decide(0, np.zeros((1, n_test))))[0])
    steps, size = part.steps, max(1, _BLOCK // (n_repeats * n_test))
    for regions in _blocks(np.flatnonzero(used), size):
        decisions = np.concatenate([decide(j, steps[orders, j] - steps[:, j]) for j in regions.tolist()])
        decreases[regions] = (baseline - score(decisions)).reshape(-1, n_repeats)
    return decreases


def _blocks(regions: Ints, size: int) -> Iterator[Ints]:
    for start in range(0, len(regions), size):
        yield regions[start : start + size]


def decisions_score(scorer: str, task: str, y: Floats, *, probabilities: bool) -> Score:
    """Return what scores decisions of the test rows as the search did, see `score_decisions`."""

    def score(decisions: Floats) -> Floats:
        found, failures = score_decisions(scorer, task, y, decisions, probabilities=probabilities)
        if failures:
            raise SearchError(f"the test part has no score: {failures[0][1]}") from failures[0][1]
        return found

    return score


def linear_decisions(decisions: Floats, weights: Floats) -> Decide:
    """Return the decisions of a linear model whose decisions, and weights per unit of `Part.X_test`, are known."""
    return lambda region, changes: decisions + weights[region] * changes


def by_columns(part: Part, predict: Callable[[Floats], Floats]) -> Decide:
    """Return the decisions of any model, a function of rows like those of `Part.X_test`."""
    together = max(1, _BLOCK // part.X_test.size)

    def decide(region: int, changes: Floats) -> Floats:
        found = np.empty_like(changes)
        for start in range(0, len(changes), together):
            some = changes[start : start + together]
            X = np.tile(part.X_test, (len(some), 1))
            X[:, region] += some.ravel()
            found[start : start + together] = np.reshape(predict(X), some.shape)
        return found

    return decide

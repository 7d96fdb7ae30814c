"""Permutation importance: how much worse a fitted model scores once a region's values are exchanged between subjects.

Only subjects that the model is tested on are looked at, and only the region changes: confounds stay with their
subjects. Where site effects are removed, it is a region without them that changes. Source: Breiman, Random forests,
Machine Learning 45 (2001), as `sklearn.inspection` has it. Of linear models, support vector machines with an RBF kernel
and boosted trees only what a single column changes is worked out.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from sklearn.impute import SimpleImputer
from sklearn.metrics import euclidean_distances
from sklearn.pipeline import Pipeline

from cortax.errors import SearchError
from cortax.learning.arrays import Floats, Ints
from cortax.learning.search.cells import Problem
from cortax.learning.search.front import Front, fit_front
from cortax.learning.search.scoring import ClassPredictions, score_classes, score_decisions

__all__ = [
    "Decide",
    "ImportancePart",
    "Score",
    "by_columns",
    "class_score",
    "decisions_score",
    "forest_decisions",
    "kept_columns",
    "kernel_decisions",
    "linear_decisions",
    "make_orders",
    "make_part",
    "parts_of",
    "score_decreases",
]


@dataclass(frozen=True, eq=False)
class ImportancePart:
    """One outer fold, for all targets that are known for the same subjects.

    Attributes
    ----------
    train, test : int arrays
        Row numbers in the problem.
    front : Front
        Fitted on the training rows.
    X : float64 array of shape (n_train, n_regions)
        Imputed, without what confounds explain, scaled.
    X_test : float64 array of shape (n_test, n_regions)
        The test rows, transformed by what was fitted on the others.
    raw : float64 array of shape (n_test, n_regions)
        The test rows as they were measured, without site effects where these are removed; missing values are training
        medians.
    """

    train: Ints
    test: Ints
    front: Front
    X: Floats
    X_test: Floats
    raw: Floats

    @property
    def steps(self) -> Floats:
        """The measured test rows in the units of `X_test`: exchanging two values of one moves the other by as much."""
        found = self.raw / self.front.scale
        if self.front.regressor is not None:
            found[:, self.front.regressor.explained_] = 0.0
        return found


def parts_of(problem: Problem, targets: Sequence[int], outer: int) -> Iterator[tuple[list[int], Ints, Ints]]:
    """Yield targets that are known for the same subjects, and the rows that these train and test."""
    test = problem.folds.test[outer]
    groups: dict[bytes, list[int]] = {}
    for target in targets:
        groups.setdefault(np.packbits(np.isnan(problem.targets[:, target])).tobytes(), []).append(target)
    for group in groups.values():
        known = ~np.isnan(problem.targets[:, group[0]])
        yield group, np.flatnonzero(known & ~test), np.flatnonzero(known & test)


def make_part(problem: Problem, train: Ints, test: Ints) -> ImportancePart:
    """Fit the front end on some rows and transform these and others.

    Raises ValueError: see `fit_front`.
    """
    front, X, X_test = fit_front(problem.regions, problem.confounds, train, test, problem.harmonise)
    raw = np.asarray(problem.regions[test], dtype=np.float64)
    if np.isnan(raw).any():
        imputer = SimpleImputer(strategy="median", keep_empty_features=True)
        imputer.fit(np.asarray(problem.regions[train], dtype=np.float64))
        raw = imputer.transform(raw)
    if front.harmoniser is not None and problem.harmonise is not None:
        unused = np.zeros((len(test), front.harmoniser.n_untouched))
        both = np.hstack([raw, unused, problem.harmonise.site_columns[test]])
        raw = front.harmoniser.transform(both)[:, : raw.shape[1]]
    return ImportancePart(train, test, front, X, X_test, raw)


# Given a region's number and its changes, of shape (n_permutations, n_test) and in the units of `X_test` of a part,
# returns decisions of that shape; of ordinal targets and of more than two classes (n_columns, n_permutations, n_test).
Decide = Callable[[int, Floats], Floats]
# Given decisions as above, returns a score for each permutation.
Score = Callable[[Floats], Floats]

# Numbers of the rows that are predicted at a time.
_BLOCK = 4_000_000


def make_orders(n_repeats: int, n_test: int, seed: int) -> Ints:
    """Return permutations of test rows, of shape (n_repeats, n_test): the same for all regions."""
    rng = np.random.default_rng(seed)
    return np.stack([rng.permutation(n_test) for _ in range(n_repeats)])


def score_decreases(
    part: ImportancePart, orders: Ints, used: npt.NDArray[np.bool_], decide: Decide, score: Score
) -> Floats:
    """Return by how much the score decreases when each region is permuted.

    Parameters
    ----------
    orders : int array of shape (n_repeats, n_test)
        See `make_orders`.
    used : bool array of shape (n_regions,)
        The regions that the model looks at; the score of others does not change.

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
    unchanged = decide(0, np.zeros((1, n_test)))
    baseline = float(score(unchanged)[0])
    steps, size = part.steps, max(1, _BLOCK // (n_repeats * unchanged.size))
    for regions in _blocks(np.flatnonzero(used), size):
        decisions = np.concatenate([decide(j, steps[orders, j] - steps[:, j]) for j in regions.tolist()], axis=-2)
        decreases[regions] = (baseline - score(decisions)).reshape(-1, n_repeats)
    return decreases


def _blocks(regions: Ints, size: int) -> Iterator[Ints]:
    for start in range(0, len(regions), size):
        yield regions[start : start + size]


def decisions_score(scorer: str, task: str, y: Floats, *, probabilities: bool) -> Score:
    """Return what scores decisions of the test rows as the search did, see `score_decisions`."""
    return lambda decisions: _scores(*score_decisions(scorer, task, y, decisions, probabilities=probabilities))


def class_score(
    scorer: str, task: str, n_classes: int, y: Floats, predict: Callable[[Floats], ClassPredictions]
) -> Score:
    """Return what scores decisions of the test rows as the search did, see `score_classes`.

    `predict`: makes predictions of decisions of shape (n_columns, n_predictions, n_test).
    """
    return lambda decisions: _scores(*score_classes(scorer, task, n_classes, y, predict(decisions)))


def _scores(found: Floats, failures: Sequence[tuple[int, Exception]]) -> Floats:
    if failures:
        raise SearchError(f"the test part has no score: {failures[0][1]}") from failures[0][1]
    return found


def linear_decisions(decisions: Floats, weights: Floats) -> Decide:
    """Return the decisions of a linear model with known decisions, and weights per unit of a part's `X_test`."""
    return lambda region, changes: decisions + weights[region] * changes


def by_columns(part: ImportancePart, predict: Callable[[Floats], Floats], n_columns: int = 0) -> Decide:
    """Return the decisions of any model, a function of rows like those of a part's `X_test`.

    `n_columns`: of the decisions, of shape (n_columns, n_rows); 0 where they are of shape (n_rows,).
    """
    together = max(1, _BLOCK // part.X_test.size)
    columns = (n_columns,) if n_columns else ()

    def decide(region: int, changes: Floats) -> Floats:
        found = np.empty((*columns, *changes.shape))
        for start in range(0, len(changes), together):
            some = changes[start : start + together]
            X = np.tile(part.X_test, (len(some), 1))
            X[:, region] += some.ravel()
            found[..., start : start + together, :] = np.reshape(predict(X), (*columns, *some.shape))
        return found

    return decide


_ROUNDING = 1e-9


@dataclass(frozen=True, eq=False)
class _Tree:
    """Nodes as arrays: a leaf leads to itself, whatever is asked there."""

    feature: Ints
    threshold: Floats
    below: Ints
    above: Ints
    value: Floats
    depth: int


def forest_decisions(part: ImportancePart, booster: Any) -> Decide:
    """Return the decisions (raw scores) of a fitted `lightgbm.Booster` of one output.

    Its trees are walked here, by the rows that change and the trees that split on what changes. A booster whose
    decisions are not the sum of such trees (averaged, with categories) is asked itself.
    """
    whole = booster.predict(part.X_test, raw_score=True)
    trees = [_tree(told["tree_structure"]) for told in booster.dump_model()["tree_info"]]
    if None in trees:
        return _asked(part, booster)
    known = [tree for tree in trees if tree is not None]
    before = [_walk(tree, part.X_test, -1, whole) for tree in known]
    if not np.allclose(np.sum(before, axis=0), whole, rtol=_ROUNDING, atol=_ROUNDING):
        return _asked(part, booster)
    splitting: dict[int, list[int]] = {}
    for number, tree in enumerate(known):
        for region in np.unique(tree.feature[tree.below != np.arange(len(tree.below))]).tolist():
            splitting.setdefault(region, []).append(number)

    def decide(region: int, changes: Floats) -> Floats:
        found = np.tile(whole, (len(changes), 1))
        for number in splitting.get(region, ()):
            moved = part.X_test[:, region] + changes
            for row, values in zip(found, moved, strict=True):
                row += _walk(known[number], part.X_test, region, values) - before[number]
        return found

    return decide


def _asked(part: ImportancePart, booster: Any) -> Decide:
    return by_columns(part, lambda X: booster.predict(X, raw_score=True))


def _walk(tree: _Tree, X: Floats, region: int, moved: Floats) -> Floats:
    """Return the values of the leaves that rows end in, with other values of a region."""
    rows, node = np.arange(len(X)), np.zeros(len(X), dtype=np.int64)
    for _ in range(tree.depth):
        feature = tree.feature[node]
        x = np.where(feature == region, moved, X[rows, feature])
        node = np.where(x <= tree.threshold[node], tree.below[node], tree.above[node])
    return tree.value[node]


def _tree(root: dict[str, Any]) -> _Tree | None:
    """Return a tree as arrays; None if it does not split by thresholds alone."""
    nodes: list[tuple[int, float, int, int, float]] = []

    def add(told: dict[str, Any]) -> tuple[int, int]:
        place = len(nodes)
        if "split_feature" not in told:
            nodes.append((0, 0.0, place, place, float(told["leaf_value"])))
            return place, 0
        if told["decision_type"] != "<=":
            raise ValueError(told["decision_type"])
        nodes.append((0, 0.0, place, place, 0.0))
        (below, low), (above, high) = add(told["left_child"]), add(told["right_child"])
        nodes[place] = int(told["split_feature"]), float(told["threshold"]), below, above, 0.0
        return place, 1 + max(low, high)

    try:
        _, depth = add(root)
    except ValueError:
        return None
    feature, threshold, below, above, value = (np.array(column) for column in zip(*nodes, strict=True))
    return _Tree(feature, threshold, below, above, value, depth)


def kept_columns(back: Pipeline, n_regions: int) -> npt.NDArray[np.int64]:
    """Return the numbers of the columns that the selection of a fitted pipeline hands to its estimator."""
    kept = np.arange(n_regions)
    for name in ("variance", "select"):
        if name in back.named_steps:
            kept = kept[back.named_steps[name].get_support()]
    return kept


def kernel_decisions(part: ImportancePart, back: Pipeline) -> Decide:
    """Return the decisions of a fitted `SVR` or binary `SVC`.

    Distances to the support vectors differ by one column, so a region costs one pass over them, whatever the number
    of regions. Memory: 16 bytes for each test row and support vector.
    """
    kept, machine = kept_columns(back, part.X.shape[1]), back.named_steps["estimate"]
    place = {int(column): number for number, column in enumerate(kept)}
    X, vectors = part.X_test[:, kept], np.asarray(machine.support_vectors_)
    gamma, dual, intercept = _gamma(machine, part.X[:, kept]), machine.dual_coef_[0], float(machine.intercept_[0])
    distances = euclidean_distances(X, vectors, squared=True)
    unchanged = np.exp(-gamma * distances) @ dual + intercept

    def decide(region: int, changes: Floats) -> Floats:
        if region not in place:
            return np.tile(unchanged, (len(changes), 1))
        found = np.empty_like(changes)
        own, theirs = X[:, place[region]], vectors[:, place[region]]
        for number, change in enumerate(changes):
            # (x + d - s)^2 - (x - s)^2 = d (2 x + d - 2 s)
            moved = change[:, None] * ((2 * own + change)[:, None] - 2 * theirs)
            moved += distances
            moved *= -gamma
            found[number] = np.exp(moved, out=moved) @ dual + intercept
        return found

    return decide


def _gamma(machine: Any, X: Floats) -> float:
    """Return gamma as a number, by scikit-learn's rule where it is a word."""
    if not isinstance(machine.gamma, str):
        return float(machine.gamma)
    spread = float(X.var()) if machine.gamma == "scale" else 1.0
    return 1.0 / (X.shape[1] * spread) if spread else 1.0

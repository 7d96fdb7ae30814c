"""Boosted trees, when a single column of the rows that they predict changes: only trees that split on it are asked."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from cortax.importance.parts import Part
from cortax.importance.permutation import Decide, by_columns
from cortax.search.cells import Floats, Ints

__all__ = ["forest_decisions"]

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


def forest_decisions(part: Part, booster: Any) -> Decide:
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


def _asked(part: Part, booster: Any) -> Decide:
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

"""Forests of regression trees, compiled: what each variable contributes is kept, and no tree."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from cortax.networks.nodes import best_split, gain, part_node, reciprocals, room_for_parts, room_for_ranks
from cortax.networks.splits import ONE, below, seed_stream
from cortax.search.compiled import compiled

__all__ = ["grow_extra_trees", "grow_forest"]

_jit = compiled(__name__)

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]


def grow_forest(
    ranks: npt.NDArray[Any],
    y: Floats,
    *,
    candidates: Ints,
    n_trees: int,
    n_drawn: int,
    min_leaf: int,
    seed: int,
    times: Ints | None = None,
) -> Floats:
    """Grow a random forest (Breiman 2001, Machine Learning 45:5) and return what each variable contributes.

    Parameters
    ----------
    ranks : unsigned int array of shape (n_variables, n_samples)
        Equal values have equal ranks, from 0 on.
    y : float64 array of shape (n_samples,)
    candidates : int64 array
        The variables that may be split on.
    n_trees : int
    n_drawn : int
        How many of them are drawn at a node.
    min_leaf : int
        Distinct samples in a leaf, at least.
    seed : int
        Not negative. The first trees are the same whatever `n_trees` is.
    times : int64 array of shape (n_samples,), optional
        How often each sample is in each tree. By default every tree draws n_samples of them with replacement.

    Returns
    -------
    float64 array of shape (n_variables,)
        Decrease in the sum of squares over the sum of weights, averaged over trees.
    """
    return _grow(ranks, room_for_ranks(ranks), y, candidates, times, n_trees, n_drawn, min_leaf, seed)


def grow_extra_trees(
    values: npt.NDArray[np.float32],
    y: Floats,
    *,
    candidates: Ints,
    n_trees: int,
    n_drawn: int,
    min_leaf: int,
    seed: int,
) -> Floats:
    """Do the same with extremely randomised trees (Geurts et al. 2006, Machine Learning 63:3).

    Thresholds are drawn from values, not ranks, and every tree has all samples.
    """
    return _grow(values, None, y, candidates, np.ones(len(y), np.int64), n_trees, n_drawn, min_leaf, seed)


def _grow(
    X: npt.NDArray[Any],
    held: Any,
    y: Floats,
    candidates: Ints,
    times: Ints | None,
    n_trees: int,
    n_drawn: int,
    min_leaf: int,
    seed: int,
) -> Floats:
    n = len(y)
    drawn = np.zeros(n, dtype=np.int64) if times is None else times.astype(np.int64)
    inverse = reciprocals(max(n, int(drawn.sum())))
    samples = np.zeros(n, dtype=np.uint32), np.zeros(n, dtype=np.int64), np.zeros(n)
    parts = room_for_parts()
    stack, state = np.zeros((n + 1, 2), dtype=np.int64), np.zeros(1, dtype=np.uint64)
    # A copy, as it is shuffled.
    order, gains = candidates.copy(), np.zeros(len(X))
    rules = n_drawn, min_leaf, times is None
    for tree in range(n_trees):
        _grow_tree(X, held, y, order, drawn, samples, parts, stack, inverse, gains, rules, state, seed, tree)
    return gains / n_trees


@_jit
def _grow_tree(
    X: Any,
    held: Any,
    y: Any,
    order: Any,
    drawn: Any,
    samples: Any,
    parts: Any,
    stack: Any,
    inverse: Any,
    gains: Any,
    rules: Any,
    state: Any,
    seed: int,
    tree: int,
) -> None:
    n_drawn, min_leaf, bootstrap = rules
    seed_stream(state, seed, tree)
    n_distinct, weight = _sample(state, bootstrap, y, drawn, samples)
    stack[0, 0], stack[0, 1] = 0, n_distinct
    top = 1
    while top:
        top -= 1
        start, end = stack[top, 0], stack[top, 1]
        splits, node = _node(y, start, end, samples, min_leaf)
        if not splits:
            continue
        chosen, threshold, score = best_split(state, X, held, order, node, samples, parts, inverse, n_drawn, min_leaf)
        if chosen < 0:
            continue
        gains[chosen] += gain(node, score, inverse) / weight
        middle = part_node(X, chosen, threshold, start, end, samples)
        stack[top, 0], stack[top, 1] = start, middle
        stack[top + 1, 0], stack[top + 1, 1] = middle, end
        top += 2


@_jit
def _sample(state: Any, bootstrap: bool, y: Any, drawn: Any, samples: Any) -> Any:
    """Fill in the samples of a tree; return how many are distinct, and the sum of their weights."""
    rows, counts, sums = samples
    if bootstrap:
        for row in range(len(y)):
            drawn[row] = 0
        for _ in range(len(y)):
            drawn[below(state, len(y))] += 1
    n_distinct = weight = 0
    for row in range(len(y)):
        if drawn[row]:
            rows[n_distinct] = row
            counts[n_distinct] = ONE + drawn[row]
            sums[n_distinct] = drawn[row] * y[row]
            n_distinct += 1
            weight += drawn[row]
    return n_distinct, weight


@_jit
def _node(y: Any, start: int, end: int, samples: Any, min_leaf: int) -> Any:
    """Return whether a node may be split (enough samples, not all of one value), and the node."""
    rows, counts, sums = samples
    all_counts, all_sums, differs = np.int64(0), 0.0, False
    first = y[rows[start]]
    for k in range(start, end):
        all_counts += counts[k]
        all_sums += sums[k]
        differs |= y[rows[k]] != first
    return differs and end - start >= 2 * min_leaf, (start, end, all_counts, all_sums)

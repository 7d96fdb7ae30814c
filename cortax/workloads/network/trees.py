"""Forests and boosting of regression trees, compiled: what each variable contributes is kept, and no tree.

Boosting is as GRNBoost2 has it: small trees, until samples that they were not fitted on gain nothing.
Moerman et al. 2019, Bioinformatics 35:2159; Friedman 2002, Comput Stat Data Anal 38:367. What a tree gains is the
difference between before and after it on the same samples. scikit-learn from 1.3 on takes what the tree before left on
other samples for "before", so that arboreto with it ends soon after its first 25 trees, by chance.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from cortax.learning.search.compiled import compiled
from cortax.workloads.network.splits import (
    ONE,
    WEIGHT,
    below,
    best_split,
    gain,
    part_node,
    reciprocals,
    room_for_parts,
    room_for_ranks,
    seed_stream,
)

__all__ = ["Growth", "boost", "grow_extra_trees", "grow_forest"]

_jit = compiled(__name__)

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Growth:
    """How trees are grown.

    Attributes
    ----------
    candidates : int64 array
        The variables that may be split on.
    n_trees : int
        The first trees are the same whatever their number is.
    n_drawn : int
        How many candidates are drawn at a node.
    min_leaf : int
        Distinct samples in a leaf, at least.
    seed : int
        Not negative.
    """

    candidates: Ints
    n_trees: int
    n_drawn: int
    min_leaf: int
    seed: int


def grow_forest(ranks: npt.NDArray[Any], y: Floats, growth: Growth, *, times: Ints | None = None) -> Floats:
    """Grow a random forest (Breiman 2001, Machine Learning 45:5) and return what each variable contributes.

    Parameters
    ----------
    ranks : unsigned int array of shape (n_variables, n_samples)
        Equal values have equal ranks, from 0 on.
    y : float64 array of shape (n_samples,)
    times : int64 array of shape (n_samples,), optional
        How often each sample is in each tree. By default every tree draws n_samples of them with replacement.

    Returns
    -------
    float64 array of shape (n_variables,)
        Decrease in the sum of squares over the sum of weights, averaged over trees.
    """
    return _grow(ranks, room_for_ranks(ranks), y, times, growth)


def grow_extra_trees(values: npt.NDArray[np.float32], y: Floats, growth: Growth) -> Floats:
    """Do the same with extremely randomised trees (Geurts et al. 2006, Machine Learning 63:3).

    Thresholds are drawn from values, not ranks, and every tree has all samples.
    """
    return _grow(values, None, y, np.ones(len(y), np.int64), growth)


def _grow(X: npt.NDArray[Any], held: Any, y: Floats, times: Ints | None, growth: Growth) -> Floats:
    n = len(y)
    drawn = np.zeros(n, dtype=np.int64) if times is None else times.astype(np.int64)
    inverse = reciprocals(max(n, int(drawn.sum())))
    samples = np.zeros(n, dtype=np.uint32), np.zeros(n, dtype=np.int64), np.zeros(n)
    parts = room_for_parts()
    stack, state = np.zeros((n + 1, 2), dtype=np.int64), np.zeros(1, dtype=np.uint64)
    # A copy, as it is shuffled.
    order, gains = growth.candidates.copy(), np.zeros(len(X))
    rules = growth.n_drawn, growth.min_leaf, times is None
    for tree in range(growth.n_trees):
        _grow_tree(X, held, y, order, drawn, samples, parts, stack, inverse, gains, rules, state, growth.seed, tree)
    return gains / growth.n_trees


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


_RATE, _DEPTH, _WINDOW = 0.01, 3, 25


def boost(ranks: npt.NDArray[Any], y: Floats, growth: Growth, *, share: float = 0.9) -> Floats:
    """Boost trees of depth 3 at a learning rate of 0.01 and return what each variable contributes.

    It ends before `growth.n_trees`, once the last 25 trees have together made the predictions of the samples that they
    were not fitted on worse.

    Parameters
    ----------
    ranks, y
        As in `grow_forest`.
    share : float
        Of the samples, drawn for each tree without replacement. With 1 it never ends before.

    Returns
    -------
    float64 array of shape (n_variables,)
        Decrease in the residuals' sum of squares as a share of all variables' decrease, times the number of trees
        that were grown: a gene that can be predicted goes on for longer and has stronger links.
    """
    n = len(y)
    n_in = max(1, int(share * n))
    samples = np.zeros(n, np.uint32), np.zeros(n, np.int64), np.zeros(n)
    order, gains, state = growth.candidates.copy(), np.zeros(len(ranks)), np.zeros(1, np.uint64)
    left, rules = y - y.mean(), (growth.n_drawn, growth.min_leaf, n_in)
    held, parts, inverse = room_for_ranks(ranks), room_for_parts(), reciprocals(n)
    shuffled, stack = np.arange(n), np.zeros((2 * _DEPTH + 2, 3), np.int64)
    n_grown, window = 0, np.zeros(_WINDOW)
    while n_grown < growth.n_trees:
        seed_stream(state, growth.seed, n_grown)
        window[n_grown % _WINDOW] = _add_tree(
            ranks, held, left, order, shuffled, samples, parts, stack, inverse, gains, rules, state
        )
        n_grown += 1
        if n_grown >= _WINDOW and window.mean() < 0:
            break
    return gains * (n_grown / gains.sum()) if gains.any() else gains


@_jit
def _add_tree(
    ranks: Any,
    held: Any,
    left: Any,
    order: Any,
    shuffled: Any,
    samples: Any,
    parts: Any,
    stack: Any,
    inverse: Any,
    gains: Any,
    rules: Any,
    state: Any,
) -> Any:
    """Grow a tree on residuals and take its part of them; return by how much others than its samples are better."""
    n_drawn, min_leaf, n_in = rules
    _draw_samples(state, left, shuffled, samples, n_in)
    stack[0, 0], stack[0, 1], stack[0, 2] = 0, len(left), 0
    top, better = 1, 0.0
    while top:
        top -= 1
        start, end, depth = stack[top, 0], stack[top, 1], stack[top, 2]
        node = _weighed_node(start, end, samples)
        chosen, threshold, score = -1, 0.0, 0.0
        if depth < _DEPTH and (node[2] >> 32) >= 2 * min_leaf and _differs(left, node, samples):
            chosen, threshold, score = best_split(
                state, ranks, held, order, node, samples, parts, inverse, n_drawn, min_leaf
            )
        if chosen < 0:
            better += _take(left, node, samples, inverse)
            continue
        gains[chosen] += gain(node, score, inverse) * inverse[n_in]
        middle = part_node(ranks, chosen, threshold, start, end, samples)
        stack[top, 0], stack[top, 1], stack[top, 2] = start, middle, depth + 1
        stack[top + 1, 0], stack[top + 1, 1], stack[top + 1, 2] = middle, end, depth + 1
        top += 2
    return better


@_jit
def _draw_samples(state: Any, left: Any, shuffled: Any, samples: Any, n_in: int) -> None:
    """Give those that are drawn a weight of 1 and the others 0: these go along, and change no split."""
    rows, counts, sums = samples
    for i in range(len(left)):
        if i < n_in:
            j = i + below(state, len(left) - i)
            row = shuffled[j]
            shuffled[j] = shuffled[i]
            shuffled[i] = row
        rows[i] = shuffled[i]
        counts[i] = ONE + 1 if i < n_in else 0
        sums[i] = left[shuffled[i]] if i < n_in else 0.0


@_jit
def _weighed_node(start: int, end: int, samples: Any) -> Any:
    _, counts, sums = samples
    all_counts, all_sums = np.int64(0), 0.0
    for k in range(start, end):
        all_counts += counts[k]
        all_sums += sums[k]
    return start, end, all_counts, all_sums


@_jit
def _differs(left: Any, node: Any, samples: Any) -> bool:
    """Whether residuals of a node's own samples are not all the same."""
    rows, counts, _ = samples
    low, high = np.inf, -np.inf
    for k in range(node[0], node[1]):
        if counts[k]:
            low, high = min(low, left[rows[k]]), max(high, left[rows[k]])
    return low < high


@_jit
def _take(left: Any, node: Any, samples: Any, inverse: Any) -> float:
    """Subtract a leaf's part from residuals; return the decrease of squares over samples that it was not fitted on."""
    rows, counts, _ = samples
    step = _RATE * node[3] * inverse[node[2] & WEIGHT]
    better = 0.0
    for k in range(node[0], node[1]):
        before = left[rows[k]]
        left[rows[k]] = before - step
        if counts[k] == 0:
            better += before * before - (before - step) * (before - step)
    return better

"""Boosting as GRNBoost2 has it, compiled: small trees, until samples that they were not fitted on gain nothing.

Moerman et al. 2019, Bioinformatics 35:2159; Friedman 2002, Comput Stat Data Anal 38:367. What a tree gains is the
difference between before and after it on the same samples. scikit-learn from 1.3 on takes what the tree before left on
other samples for "before", so that arboreto with it ends soon after its first 25 trees, by chance.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from cortax.networks.nodes import best_split, gain, part_node, reciprocals, room_for_parts, room_for_ranks
from cortax.networks.splits import ONE, WEIGHT, below, seed_stream
from cortax.search.compiled import compiled

__all__ = ["boost"]

_jit = compiled(__name__)

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]

_RATE, _DEPTH, _WINDOW = 0.01, 3, 25


def boost(
    ranks: npt.NDArray[Any],
    y: Floats,
    *,
    candidates: Ints,
    n_trees: int,
    n_drawn: int,
    min_leaf: int,
    seed: int,
    share: float = 0.9,
) -> Floats:
    """Boost trees of depth 3 at a learning rate of 0.01 and return what each variable contributes.

    Parameters
    ----------
    ranks, y, candidates, n_drawn, min_leaf, seed
        As in `cortax.networks.trees.grow_forest`.
    n_trees : int
        At most so many. It ends before, once the last 25 trees have together made the predictions of the samples
        that they were not fitted on worse.
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
    order, gains, state = candidates.copy(), np.zeros(len(ranks)), np.zeros(1, np.uint64)
    left, rules = y - y.mean(), (n_drawn, min_leaf, n_in)
    held, parts, inverse = room_for_ranks(ranks), room_for_parts(), reciprocals(n)
    shuffled, stack = np.arange(n), np.zeros((2 * _DEPTH + 2, 3), np.int64)
    n_grown, window = 0, np.zeros(_WINDOW)
    while n_grown < n_trees:
        seed_stream(state, seed, n_grown)
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
        node = _node(start, end, samples)
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
def _node(start: int, end: int, samples: Any) -> Any:
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

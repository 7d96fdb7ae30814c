"""The best split of a node by the variables that are drawn for it, compiled, and what it takes to work there."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from cortax.networks.splits import FEW, WEIGHT, below, score_parts, split_at_random, split_few, split_ranked
from cortax.search.compiled import compiled

__all__ = ["best_split", "gain", "part_node", "reciprocals", "room_for_parts", "room_for_ranks"]

_jit = compiled(__name__)


def room_for_ranks(ranks: npt.NDArray[Any]) -> tuple[npt.NDArray[Any], ...]:
    """Return counts and sums by rank, and a bit for every rank and for every 64 of them; all 0."""
    n = int(ranks.max()) + 1
    words, pages = ((n >> shift) + 1 for shift in (6, 12))
    return np.zeros(n, np.int64), np.zeros(n), np.zeros(words, np.uint64), np.zeros(pages, np.uint64)


def room_for_parts() -> tuple[npt.NDArray[Any], ...]:
    """Return scores, counts and sums of all ways to part few samples; all 0."""
    return np.zeros(1 << FEW), np.zeros(1 << FEW, np.int64), np.zeros(1 << FEW)


def reciprocals(n: int) -> npt.NDArray[np.float64]:
    """Return 1 / i for i up to n, and 0 for 0."""
    found = np.zeros(n + 1)
    found[1:] = 1.0 / np.arange(1, n + 1)
    return found


@_jit
def gain(node: Any, score: float, inverse: Any) -> Any:
    """Return by how much the sum of squares decreases when a node is split."""
    return max(0.0, score - node[3] * node[3] * inverse[node[2] & WEIGHT])


@_jit
def best_split(
    state: Any,
    X: Any,
    held: Any,
    order: Any,
    node: Any,
    samples: Any,
    parts: Any,
    inverse: Any,
    n_drawn: int,
    min_leaf: int,
) -> Any:
    """Return the variable, the threshold and the score of the best split by the variables that are drawn.

    As in scikit-learn, a constant variable counts as drawn, but the search goes on until one is not constant.
    """
    best, feature, threshold = -1.0, -1, 0.0
    few = node[1] - node[0] <= FEW
    bound = score_parts(node, samples, parts, inverse, min_leaf) if few else np.inf
    i = n_flat = 0
    while i < len(order) and (i < n_drawn or n_flat == i):
        j = i + below(state, len(order) - i)
        chosen = order[j]
        order[j] = order[i]
        order[i] = chosen
        i += 1
        if held is None:
            differs, score, cut = split_at_random(X, chosen, node, samples, state, parts, inverse, min_leaf)
        elif few:
            differs, score, cut = split_few(X, chosen, node, samples, parts)
        else:
            differs, score, cut = split_ranked(X, chosen, node, samples, held, inverse, min_leaf)
        n_flat += not differs
        if score > best:
            best, feature, threshold = score, chosen, np.float64(cut)
        # No variable can do better.
        if best >= bound:
            break
    return feature, threshold, best


@_jit
def part_node(X: Any, chosen: int, threshold: float, start: int, end: int, samples: Any) -> int:
    """Bring the samples at or below a threshold to the front, and return where the others begin."""
    rows, counts, sums = samples
    left, right = start, end - 1
    while left <= right:
        if X[chosen, rows[left]] <= threshold:
            left += 1
        else:
            rows[left], rows[right] = rows[right], rows[left]
            counts[left], counts[right] = counts[right], counts[left]
            sums[left], sums[right] = sums[right], sums[left]
            right -= 1
    return left

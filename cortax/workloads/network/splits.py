"""The best split of a node of a regression tree, compiled; and the random numbers of a tree.

A variable's values are replaced by their ranks once, for all targets, trees and nodes. Sorting the samples of a node is
then setting a bit at each rank and reading the bits in order: linear time. Scores need no division, as weights are
whole numbers whose reciprocals are known.

A node is a part of three arrays that lie beside each other: `rows`, uint32, the numbers of distinct samples; `counts`,
int64, weights with `ONE` added to each, so that one addition sums weights and numbers of samples; and `sums`, float64,
weight times y.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from cortax.learning.search.compiled import compiled

__all__ = [
    "ONE",
    "WEIGHT",
    "below",
    "best_split",
    "gain",
    "part_node",
    "reciprocals",
    "room_for_parts",
    "room_for_ranks",
    "seed_stream",
]

_jit = compiled(__name__)

ONE = 1 << 32
WEIGHT = ONE - 1

# With so few samples there are fewer ways to part them than variables to ask.
FEW = 6

_STEP = np.uint64(0x9E3779B97F4A7C15)
_MIX1, _MIX2 = np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB)
_S11, _S27, _S30, _S31, _S32 = (np.uint64(shift) for shift in (11, 27, 30, 31, 32))
_NONE, _BIT = np.uint64(0), np.uint64(1)
_UNIT = 2.0**-53


def _find_lowest(typing: Any, word: Any) -> Any:  # noqa: ARG001
    """Return the place of the lowest bit of a word that is not 0: one instruction."""

    def make(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:  # noqa: ARG001
        return builder.cttz(arguments[0], ir.Constant(ir.IntType(1), 1))

    return types.int64(types.uint64), make


_lowest_bit: Any = intrinsic(_find_lowest)


@_jit
def _next(state: Any) -> Any:
    """Return 64 random bits (splitmix64: Steele, Lea and Flood 2014, OOPSLA)."""
    state[0] += _STEP
    z = state[0]
    z = (z ^ (z >> _S30)) * _MIX1
    z = (z ^ (z >> _S27)) * _MIX2
    return z ^ (z >> _S31)


@_jit
def seed_stream(state: Any, seed: int, number: int) -> None:
    """Begin the stream of one tree: of a gene's seed and the tree's number, and of nothing that came before."""
    state[0] = np.uint64(seed)
    state[0] = _next(state) ^ np.uint64(number)
    state[0] = _next(state)


@_jit
def below(state: Any, n: int) -> Any:
    """Return a random whole number below n; no two differ in their probability by more than 2**-32."""
    return np.int64(((_next(state) >> _S32) * np.uint64(n)) >> _S32)


@_jit
def _score(counts: int, sums: float, all_counts: int, all_sums: float, inverse: Any, min_leaf: int) -> Any:
    """Return the sum over both sides of (sum of y)^2 / weight; -1 where a side has too few samples."""
    n_left, n = counts >> 32, all_counts >> 32
    if n_left < min_leaf or n - n_left < min_leaf:
        return -1.0
    weight, rest = counts & WEIGHT, all_sums - sums
    return sums * sums * inverse[weight] + rest * rest * inverse[(all_counts & WEIGHT) - weight]


@_jit
def score_parts(node: Any, samples: Any, parts: Any, inverse: Any, min_leaf: int) -> Any:
    """Score every way to part the few samples of a node, and return the best score.

    `parts` holds scores, counts and sums by part: a number whose bits are the samples on the left. As soon as a
    variable parts the samples in the best way, no other need be asked.
    """
    start, end, all_counts, all_sums = node
    _, counts, sums = samples
    scores, part_counts, part_sums = parts
    whole = (1 << (end - start)) - 1
    part_counts[0], part_sums[0], scores[0], scores[whole] = 0, 0.0, -1.0, -1.0
    best = -1.0
    # Without the last sample: the others are the same the other way round.
    for part in range(1, (whole + 1) >> 1):
        k = start + _lowest_bit(np.uint64(part))
        rest = part & (part - 1)
        part_counts[part] = part_counts[rest] + counts[k]
        part_sums[part] = part_sums[rest] + sums[k]
        score = _score(part_counts[part], part_sums[part], all_counts, all_sums, inverse, min_leaf)
        scores[part], scores[whole ^ part] = score, score
        best = max(best, score)
    return best


@_jit
def split_few(ranks: Any, chosen: int, node: Any, samples: Any, parts: Any) -> Any:
    """Return what `split_ranked` does, for few samples whose parts were scored."""
    start, end, _, _ = node
    rows, scores = samples[0], parts[0]
    whole = (1 << (end - start)) - 1
    best, threshold, differs = -1.0, np.int64(0), False
    for k in range(start, end):
        rank = np.int64(ranks[chosen, rows[k]])
        part = 0
        for j in range(start, end):
            part |= np.int64(np.int64(ranks[chosen, rows[j]]) <= rank) << (j - start)
        differs |= part != whole
        if scores[part] > best:
            best, threshold = scores[part], rank
    return differs, best, threshold


@_jit
def _hold(ranks: Any, chosen: int, node: Any, samples: Any, held: Any) -> Any:
    """Put the samples of a node in order; return whether the variable differs between them."""
    start, end, _, _ = node
    rows, counts, sums = samples
    held_counts, held_sums, words, pages = held
    first, differs = np.int64(ranks[chosen, rows[start]]), np.int64(0)
    for k in range(start, end):
        rank = np.int64(ranks[chosen, rows[k]])
        differs |= rank ^ first
        held_counts[rank] += counts[k]
        held_sums[rank] += sums[k]
        word = words[rank >> 6]
        # Nearly never: written each time, a page would be waited for each time.
        if word == _NONE:
            pages[rank >> 12] |= _BIT << np.uint64((rank >> 6) & 63)
        words[rank >> 6] = word | (_BIT << np.uint64(rank & 63))
    return differs != 0


@_jit
def split_ranked(ranks: Any, chosen: int, node: Any, samples: Any, held: Any, inverse: Any, min_leaf: int) -> Any:
    """Find the best split of a node by one variable.

    Parameters
    ----------
    ranks : int array of shape (n_variables, n_samples)
        Equal values have equal ranks; no rank is negative.
    chosen : int
        The variable.

    Returns
    -------
    bool
        Whether the variable differs within the node.
    float
        The best score, -1 if there is no split.
    int
        The largest rank on its left.
    """
    held_counts, held_sums, words, pages = held
    differs = _hold(ranks, chosen, node, samples, held)
    counts, sums, last = np.int64(0), 0.0, np.int64(0)
    best, threshold = -1.0, np.int64(0)
    for at in range(len(pages)):
        page = pages[at]
        pages[at] = _NONE
        while page != _NONE:
            at_word = (at << 6) + _lowest_bit(page)
            page &= page - _BIT
            word = words[at_word]
            words[at_word] = _NONE
            while word != _NONE:
                rank = (at_word << 6) + _lowest_bit(word)
                word &= word - _BIT
                score = _score(counts, sums, node[2], node[3], inverse, min_leaf)
                if score > best:
                    best, threshold = score, last
                counts += held_counts[rank]
                sums += held_sums[rank]
                held_counts[rank] = 0
                held_sums[rank] = 0.0
                last = rank
    return differs, best, threshold


@_jit
def split_at_random(
    values: Any, chosen: int, node: Any, samples: Any, state: Any, parts: Any, inverse: Any, min_leaf: int
) -> Any:
    """Return the same for a threshold that is drawn uniformly over the range of the variable within the node."""
    start, end, all_counts, all_sums = node
    rows, counts, sums = samples
    low = high = values[chosen, rows[start]]
    for k in range(start, end):
        value = values[chosen, rows[k]]
        low = value if value < low else low
        high = value if value > high else high
    if low == high:
        return False, -1.0, 0.0
    cut = low + (np.float64(high) - low) * (np.float64(_next(state) >> _S11) * _UNIT)
    if cut >= high:
        cut = np.float64(low)
    part, left_counts, left_sums = np.int64(0), np.int64(0), 0.0
    few = end - start <= FEW
    for k in range(start, end):
        # Products, as which way a sample goes cannot be foreseen.
        is_left = np.int64(values[chosen, rows[k]] <= cut)
        if few:
            part |= is_left << (k - start)
        else:
            left_counts += counts[k] * is_left
            left_sums += sums[k] * np.float64(is_left)
    if few:
        return True, parts[0][part], cut
    return True, _score(left_counts, left_sums, all_counts, all_sums, inverse, min_leaf), cut


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

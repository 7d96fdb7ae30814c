"""The best split of a node of a regression tree by one variable, compiled; and the random numbers of a tree.

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
from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from cortax.search.compiled import compiled

__all__ = [
    "FEW",
    "ONE",
    "WEIGHT",
    "below",
    "score_parts",
    "seed_stream",
    "split_at_random",
    "split_few",
    "split_ranked",
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
    node : start, end, counts and sum of y of the node
    samples : rows, counts, sums
    held : counts and sums by rank, and bits by rank and by 64 ranks; all 0, and 0 again afterwards
    inverse : float64 array, 1 / weight
    min_leaf : int

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

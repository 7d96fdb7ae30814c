"""Tests of maps: sign flips, permuted labels, largest values and clusters.

A map is tested where it is highest (maximum statistic) and by its clusters: connected cells (a cell has four
neighbours) whose value is above a threshold, each with the sum of its values. Both hold the error over the whole map,
and over several maps if their nulls are drawn together (Nichols and Holmes 2002, Hum Brain Mapp 15, 1-25; Maris and
Oostenveld 2007, J Neurosci Methods 164, 177-190). All tests are one-sided: scores above chance.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import ndimage, sparse, stats

from cortax.learning.arrays import Floats, Ints
from cortax.learning.search.compiled import compiled
from cortax.learning.search.spaces import content_seed

__all__ = [
    "MOST_FLIPS",
    "GroupTest",
    "MapTest",
    "cluster_sums",
    "compile_tests",
    "flip_signs",
    "group_test",
    "label_draws",
    "subject_test",
    "t_values",
]

_jit = compiled(__name__)

# All sign flips of so many subjects are tried; of more, some are drawn.
MOST_EXACT = 20
MOST_FLIPS = 2**MOST_EXACT
# Maps that are worked on at a time.
_AT_ONCE = 4096
# Statistics that differ by no more, relative to them, are equal but for rounding.
_EQUAL = 1e-9


@dataclass(frozen=True, eq=False)
class MapTest:
    """What a null says about one map.

    Attributes
    ----------
    p, p_all : float64 arrays of the map's shape
        Of each cell, corrected for the map; and for all maps that were tested together.
    cluster_p, cluster_p_all : float64 arrays of shape (n_clusters,)
        The same of each cluster, in the order of `cluster_sums`.
    largest : float64 array of shape (n_null,)
        The largest value of each map of the null.
    """

    p: Floats
    p_all: Floats
    cluster_p: Floats
    cluster_p_all: Floats
    largest: Floats


@dataclass(frozen=True, eq=False)
class GroupTest:
    """Maps of a group, by name.

    Attributes
    ----------
    t : mapping of str to float64 array of the map's shape
    clusters : mapping of str to (labels, sums)
        See `cluster_sums`.
    tests : mapping of str to mapping of str to MapTest
        By null, then by map.
    threshold : float
        Of t.
    """

    t: Mapping[str, Floats]
    clusters: Mapping[str, tuple[Ints, Floats]]
    tests: Mapping[str, Mapping[str, MapTest]]
    threshold: float


def t_values(maps: Floats) -> Floats:
    """Return one-sample t of maps of shape (n_subjects, ...) against 0; of equal values 0 or infinite."""
    n = len(maps)
    return _t_of(maps.mean(axis=0), (maps**2).sum(axis=0), n)


def _t_of(mean: Floats, squares: Floats, n: int) -> Floats:
    """Return t from means and sums of squares: of flipped maps, the latter never change."""
    variance = squares / n - mean**2
    # What rounding leaves of nothing is nothing.
    error = np.sqrt(np.where(variance > 1e-14 * squares / n, variance, 0.0) / (n - 1))
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(np.where(mean == 0, 0.0, mean / error))


def cluster_sums(values: Floats, threshold: float) -> tuple[Ints, Floats]:
    """Return the clusters of a map of shape (h, w): numbers of shape (h, w), 0 outside, and the sum of each from 1."""
    labels, n = ndimage.label(values > threshold)
    return labels.astype(np.int64), np.asarray(
        ndimage.sum_labels(values, labels, np.arange(1, n + 1)), dtype=np.float64
    )


# `ndimage.label` takes 50 microseconds a map, this 2: of a million flips it would be a minute.
@_jit
def _largest_cluster(maps, threshold, height, width):  # type: ignore[no-untyped-def]
    """Return the largest sum of a cluster of each map, 0 where there is none; maps are (n_maps, height * width)."""
    found = np.zeros(len(maps))
    stack, seen = np.empty(height * width, np.int64), np.empty(height * width, np.bool_)
    for number in range(len(maps)):
        values = maps[number]
        seen[:] = values <= threshold
        for start in range(height * width):
            if seen[start]:
                continue
            top, stack[0], total = 0, start, 0.0
            seen[start] = True
            while top >= 0:
                cell = stack[top]
                top -= 1
                total += values[cell]
                row, column = cell // width, cell % width
                for step in range(4):
                    y = row + (step == 0) - (step == 1)
                    x = column + (step == 2) - (step == 3)
                    if 0 <= y < height and 0 <= x < width and not seen[y * width + x]:
                        seen[y * width + x] = True
                        top += 1
                        stack[top] = y * width + x
            found[number] = max(found[number], total)
    return found


def flip_signs(n_subjects: int, n_draws: int, seed: int) -> Iterator[Floats]:
    """Yield signs, -1 or 1, of shape (n, n_subjects): all that there are up to 2^20, or drawn ones; first no flip."""
    if n_subjects <= MOST_EXACT:
        numbers = np.arange(2**n_subjects)
        for part in np.array_split(numbers, max(1, len(numbers) // _AT_ONCE)):
            yield np.asarray(1.0 - 2.0 * ((part[:, None] >> np.arange(n_subjects)) & 1), dtype=np.float64)
        return
    random = np.random.default_rng(content_seed("signs", seed))
    yield np.ones((1, n_subjects))
    for start in range(0, n_draws, _AT_ONCE):
        yield random.choice([-1.0, 1.0], (min(_AT_ONCE, n_draws - start), n_subjects))


def label_draws(n_subjects: int, n_permutations: int, n_draws: int, seed: int) -> Iterator[Ints]:
    """Yield numbers of permutations, of shape (n, n_subjects): one of each subject for each map of the null."""
    random = np.random.default_rng(content_seed("draws", seed))
    for start in range(0, n_draws, _AT_ONCE):
        yield random.integers(0, n_permutations, (min(_AT_ONCE, n_draws - start), n_subjects))


def group_test(
    observed: Mapping[str, Floats],
    permuted: Mapping[str, Floats],
    *,
    nulls: Sequence[str],
    alpha: float,
    n_draws: int,
    seed: int,
) -> GroupTest:
    """Test whether subjects score above chance.

    Parameters
    ----------
    observed : mapping of str to float64 array of shape (n_subjects, h, w)
        Maps of each subject, less chance, of each feature and decoder; the same subjects in the same order.
    permuted : mapping of str to float64 array of shape (n_subjects, n_permutations, h, w)
        The same of permuted labels.
    nulls : sequence of {"signs", "labels"}
        "signs": a subject's map is as likely as its negative: scores are symmetric around chance. All flips are tried
        where there are at most 2^20, so that p is exact. "labels": labels are exchangeable within every subject; a map
        of the null is t over one permuted map of each, drawn at random (Stelzer et al. 2013, NeuroImage 65, 69-82).
    alpha : float
        Cells whose t is that improbable make clusters.
    n_draws, seed : int
    """
    n_subjects = len(next(iter(observed.values())))
    threshold = float(stats.t.isf(alpha, n_subjects - 1))
    t = {name: t_values(maps) for name, maps in observed.items()}
    clusters = {name: cluster_sums(values, threshold) for name, values in t.items()}
    tests = {}
    for null in nulls:
        if null == "signs":
            largest = _flipped(observed, threshold, n_draws, seed)
        else:
            largest = _drawn(permuted, threshold, n_draws, seed)
        # All flips have among them what was observed; to drawn maps it is added.
        added = 0 if null == "signs" else 1
        tests[null] = _compare(t, {name: sums for name, (_, sums) in clusters.items()}, largest, added)
    return GroupTest(t, clusters, tests, threshold)


Largest = Mapping[str, tuple[Floats, Floats]]  # of each map, the largest value and cluster of every map of its null


def _flipped(observed: Mapping[str, Floats], threshold: float, n_draws: int, seed: int) -> Largest:
    found: dict[str, tuple[list[Floats], list[Floats]]] = {name: ([], []) for name in observed}
    n = len(next(iter(observed.values())))
    for signs in flip_signs(n, n_draws, seed):
        for name, maps in observed.items():
            flat = maps.reshape(n, -1)
            _note(found[name], _t_of(signs @ flat / n, (flat**2).sum(axis=0), n), threshold, maps.shape[1:])
    return {name: (np.concatenate(values), np.concatenate(sums)) for name, (values, sums) in found.items()}


def _drawn(permuted: Mapping[str, Floats], threshold: float, n_draws: int, seed: int) -> Largest:
    found: dict[str, tuple[list[Floats], list[Floats]]] = {name: ([], []) for name in permuted}
    n, n_permutations = next(iter(permuted.values())).shape[:2]
    for drawn in label_draws(n, n_permutations, n_draws, seed):
        columns = (drawn + np.arange(n) * n_permutations).ravel()
        rows = np.repeat(np.arange(len(drawn)), n)
        chosen = sparse.csr_matrix((np.ones(len(rows)), (rows, columns)), shape=(len(drawn), n * n_permutations))
        for name, maps in permuted.items():
            flat = maps.reshape(n * n_permutations, -1)
            _note(
                found[name],
                _t_of(np.asarray(chosen @ flat) / n, np.asarray(chosen @ flat**2), n),
                threshold,
                maps.shape[2:],
            )
    return {name: (np.concatenate(values), np.concatenate(sums)) for name, (values, sums) in found.items()}


def _note(into: tuple[list[Floats], list[Floats]], t: Floats, threshold: float, shape: Sequence[int]) -> None:
    into[0].append(t.max(axis=1))
    into[1].append(_largest_cluster(np.ascontiguousarray(t), threshold, shape[0], shape[1]))


def _compare(
    values: Mapping[str, Floats], sums: Mapping[str, Floats], largest: Largest, added: int
) -> dict[str, MapTest]:
    """Compare every map with its own null, and with the largest of all maps in each map of the null."""
    all_values = np.max([value for value, _ in largest.values()], axis=0)
    all_sums = np.max([of_clusters for _, of_clusters in largest.values()], axis=0)
    return {
        name: MapTest(
            _p_of(values[name], own_values, added),
            _p_of(values[name], all_values, added),
            _p_of(sums[name], own_sums, added),
            _p_of(sums[name], all_sums, added),
            own_values,
        )
        for name, (own_values, own_sums) in largest.items()
    }


def _p_of(found: Floats, null: Floats, added: int) -> Floats:
    """Return the share of the null that is at least as large, what was observed included."""
    ordered = np.sort(null)
    slack = _EQUAL * np.abs(np.where(np.isfinite(found), found, 0.0))
    below = np.searchsorted(ordered, found - slack)
    return np.asarray((len(null) - below + added) / (len(null) + added))


def subject_test(observed: Mapping[str, Floats], permuted: Mapping[str, Floats]) -> dict[str, MapTest]:
    """Test one subject's maps of shape (h, w) against its permuted ones of shape (n_permutations, h, w), by name.

    The statistic is the score less chance. Null: labels are exchangeable, see `subject_maps`. There are no clusters.
    """
    n = len(next(iter(permuted.values())))
    largest = {name: (maps.reshape(n, -1).max(axis=1), np.zeros(n)) for name, maps in permuted.items()}
    return _compare(observed, {name: np.empty(0) for name in observed}, largest, added=1)


def compile_tests() -> None:
    """See `Workload`."""
    maps = np.random.default_rng(0).normal(size=(3, 2, 2))
    group_test({"": maps}, {}, nulls=["signs"], alpha=0.05, n_draws=8, seed=0)

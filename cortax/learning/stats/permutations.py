"""Permutations of targets that respect groups: who gets whose value.

Two kinds, each with a null of its own. In both, folds and regions stay where they are and only values of the target
move, among subjects whose value is known.

`whole-groups`
    Groups exchange all their values with groups of the same size, and the members keep their order. Null: a target has
    nothing to do with regions and confounds, and what groups of one size have is exchangeable between them, however
    alike members are. A group whose size no other has cannot move. Whole-block exchangeability of Winkler et al.
    (2014, NeuroImage 92, 381-397; 2015, NeuroImage 123, 253-268).
`within-groups`
    Members of a group exchange values with each other, as in scikit-learn's `permutation_test_score(groups=...)`.
    Null: given the group, its members' values are exchangeable. Who is alone in a group cannot move, and effects
    between groups are part of every permutation, so that such a test has no power for them.

A permutation depends on its number, the seed and the groups, and neither on how many there are nor on the target:
all targets move together, which keeps how they correlate. That is what a maximum over targets needs (Westfall & Young
1993).
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import numpy.typing as npt
from scipy.special import gammaln

from cortax.errors import SearchError, choices
from cortax.learning.arrays import Bools, Floats, Ints
from cortax.learning.search.spaces import content_seed

__all__ = ["EXCHANGES", "check_exchange", "n_distinct", "permuted_rows"]

EXCHANGES = ("whole-groups", "within-groups")

# Of the largest float.
_LOG_LARGEST = 709.0


def check_exchange(exchange: str) -> None:
    """Raise a SearchError unless there is such a kind of permutation."""
    if exchange not in EXCHANGES:
        raise SearchError(f"exchange: {choices(exchange, EXCHANGES)}")


def permuted_rows(
    groups: npt.ArrayLike, known: npt.ArrayLike, numbers: Iterable[int], *, exchange: str, seed: int
) -> Ints:
    """Say whose value each subject gets in each permutation.

    Parameters
    ----------
    groups : array of shape (n_subjects,)
        Families, or whatever makes subjects alike.
    known : bool array of shape (n_subjects,)
        Whose value is known: all others keep their missing one, so that the pattern of missing values stays.
    numbers : iterable of int
        Which permutations.
    exchange : {"whole-groups", "within-groups"}

    Returns
    -------
    int array of shape (n_permutations, n_subjects)
        Row numbers: the permuted target is `y[rows]`. Each row is a permutation, drawn uniformly from those that
        the kind allows; the same one may come twice, and the identity may come (Phipson & Smyth 2010).

    Raises
    ------
    SearchError
        Unknown kind, or shapes disagree.
    """
    check_exchange(exchange)
    labels, mask = np.unique(np.asarray(groups), return_inverse=True)[1].ravel(), np.asarray(known, dtype=bool)
    if mask.shape != labels.shape:
        raise SearchError(f"known must hold one value a subject; got {mask.shape}, groups {labels.shape}")
    wanted = list(numbers)
    rows = np.tile(np.arange(len(labels)), (len(wanted), 1))
    if exchange == "within-groups":
        _within(rows, labels, mask, wanted, seed)
    else:
        _whole(rows, labels, mask, wanted, seed)
    return rows


def n_distinct(y: npt.ArrayLike, groups: npt.ArrayLike, *, exchange: str) -> float:
    """Count how many different targets permutation can make, the target itself included.

    With few of them p-values are coarse, and none can be below about one over this number; with 1, as of a constant
    target, or of groups that are all of different sizes, there is no test at all.

    Parameters
    ----------
    y : float array of shape (n_subjects,)
        NaN is not known.
    groups : array of shape (n_subjects,)
    exchange : {"whole-groups", "within-groups"}

    Returns
    -------
    float
        Infinity where it is more than a float can hold.
    """
    check_exchange(exchange)
    values = np.asarray(y, dtype=np.float64)
    known = np.flatnonzero(~np.isnan(values))
    members = _members(np.unique(np.asarray(groups), return_inverse=True)[1].ravel(), known)
    units: list[Floats] = [values[rows] for rows in members]
    if exchange == "whole-groups":
        sizes = sorted({len(rows) for rows in members})
        units = [np.array([values[rows] for rows in members if len(rows) == size]) for size in sizes]
    log = sum(_log_orders(unit) for unit in units)
    if log > _LOG_LARGEST:
        return float("inf")
    # A whole number, which rounding must not take for the next one: 1 says that nothing can move.
    return float(np.exp(log)) if log > _LOG_LARGEST / 30 else float(np.round(np.exp(log)))


def _log_orders(values: Floats) -> float:
    """Logarithm of the number of different orders of values, or of rows of values."""
    counts = np.unique(values, axis=0, return_counts=True)[1]
    return float(gammaln(len(values) + 1) - gammaln(counts + 1).sum())


def _members(labels: Ints, rows: Ints) -> list[Ints]:
    """Rows of each group that has any, in the order of the groups; within a group they keep their order."""
    order = rows[np.argsort(labels[rows], kind="stable")]
    return np.split(order, np.flatnonzero(np.diff(labels[order])) + 1) if len(order) else []


def _within(rows: Ints, labels: Ints, known: Bools, numbers: list[int], seed: int) -> None:
    keys = _keys(numbers, seed, "within-groups", (len(labels),))
    for everyone in _members(labels, np.arange(len(labels))):
        inside = np.flatnonzero(known[everyone])
        if len(inside) > 1:
            rows[:, everyone[inside]] = everyone[_induced(np.argsort(keys[:, everyone], axis=1), inside)]


def _whole(rows: Ints, labels: Ints, known: Bools, numbers: list[int], seed: int) -> None:
    everyone = np.bincount(labels)
    there = np.bincount(labels[known], minlength=len(everyone))
    keys = _keys(numbers, seed, "whole-groups", (int(everyone.max()), len(everyone)))
    for size in sorted({*there.tolist()} - {0}):
        # Groups that are of this size, or may be once members are not known: the same for all targets.
        able = np.flatnonzero(everyone >= size)
        inside = np.flatnonzero(there[able] == size)
        members = np.array(_members(labels, np.flatnonzero(known & (there == size)[labels])))
        place = np.full(len(able), -1)
        place[inside] = np.arange(len(inside))
        source = place[_induced(np.argsort(keys[:, size - 1, able], axis=1), inside)]
        rows[:, members.ravel()] = members[source].reshape(len(rows), -1)


def _keys(numbers: list[int], seed: int, exchange: str, shape: tuple[int, ...]) -> Floats:
    """Draw for each permutation, by its number alone, what things are sorted by."""
    found = np.empty((len(numbers), *shape))
    for place, number in enumerate(numbers):
        found[place] = np.random.default_rng(content_seed("permutation", seed, exchange, number)).random(shape)
    return found


def _induced(drawn: Ints, inside: Ints) -> Ints:
    """Permute some things only: follow each permutation from one of them until it comes to one of them again.

    Of uniform permutations this makes uniform ones, and things that two targets have in common mostly go to the same
    places in both.
    """
    kept = np.zeros(drawn.shape[1], dtype=bool)
    kept[inside] = True
    found = drawn[:, inside]
    while not (there := kept[found]).all():
        found = np.where(there, found, np.take_along_axis(drawn, found, axis=1))
    return found

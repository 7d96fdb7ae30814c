"""What should not be there: subjects that occur twice, and columns that are a target or a function of it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt
from scipy.special import gammaln
from scipy.stats import binom, rankdata
from scipy.stats import t as student

from cortax.errors import SearchError
from cortax.learning.arrays import Floats

__all__ = ["LeakFinding", "find_copies", "find_duplicates"]

# Nothing is reported of which as many or more are expected by chance in the whole table.
CHANCE = 1e-3


@dataclass(frozen=True)
class LeakFinding:
    """One way in which held-out data may reach a model.

    Attributes
    ----------
    check : {"fit", "duplicate", "target", "group"}
        What is fitted depends on test rows; one subject is in two groups; a column knows a target; a person's rows are
        divided.
    message : str
        What was found, and where.
    chance : float
        How many such findings are expected by chance where nothing is wrong; 0 where chance has no part in it.
    """

    check: Literal["fit", "duplicate", "target", "group"]
    message: str
    chance: float = 0.0


Pairs = dict[tuple[int, int], str]

# Values differ by less than this part of their column's spread, in as many of the columns, ...
SAME, SHARE = 0.02, 0.95
# ... of pairs whose correlation over columns is above this: it is quickly worked out.
_NEAR = 0.98
# What lies further out than so many spreads counts as if it lay there, and makes no two rows alike.
_FAR = 5.0
# So many columns, evenly chosen, tell subjects apart as well as more do; so many rows are compared at a time, and so
# many to see how often two values are the same.
_MOST_COLUMNS, _BLOCK, _SAMPLE = 512, 1024, 200


def find_duplicates(
    X: npt.ArrayLike, groups: npt.ArrayLike | None = None, *, ids: Sequence[str] | None = None
) -> list[LeakFinding]:
    """Find rows of different groups that hold the same values, but for rounding.

    Two rows are taken for copies if they are equal in single precision, or if 95 % of the columns that both have
    differ by less than 2 % of the column's spread (from the 25th to the 75th percentile), as after rounding or
    writing in another format. Relatives, and sessions of one person, are nowhere near.

    Parameters
    ----------
    X : float array of shape (n_subjects, n_columns)
        NaN is missing; rows are compared over the columns that both have, half of all at least.
    groups : array of shape (n_subjects,), optional
        Of families and the like, which a split does not divide; by default each subject is its own group.
    ids : sequence of str, optional
        What to call the subjects.

    Returns
    -------
    list of LeakFinding
        One a pair; `chance` is the number of pairs expected by chance: how often two values of a column are the same
        is counted, and columns count as so many independent ones as they effectively are, (sum of eigenvalues)^2 /
        (sum of their squares) of their covariance. Where .001 pairs or more are expected, as with few or coarse
        columns, nothing is reported.

    Raises
    ------
    SearchError
        Shapes disagree.
    """
    values = np.asarray(X, dtype=np.float64)
    kept = np.arange(len(values)) if groups is None else np.asarray(groups)
    names = [str(number) for number in range(len(values))] if ids is None else list(ids)
    if values.ndim != 2 or not len(values) == len(kept) == len(names):
        raise SearchError(f"X {values.shape}, groups {kept.shape} and {len(names)} ids are not of the same subjects")
    scaled = _scaled(values[:, :: -(-values.shape[1] // _MOST_COLUMNS)])
    pairs: dict[tuple[int, int], LeakFinding] = {}
    for found, chance in ((_alike(scaled, kept), _chance_of_alike(scaled)), (_equal(values, kept), _chance(values))):
        for (a, b), how in found.items() if chance < CHANCE else ():
            message = f"subjects {names[a]!r} (group {kept[a]}) and {names[b]!r} (group {kept[b]}) are {how}"
            pairs[a, b] = LeakFinding("duplicate", message, chance)
    return [pairs[pair] for pair in sorted(pairs)]


def _equal(values: Floats, groups: npt.NDArray[np.generic]) -> Pairs:
    """Pairs of rows of different groups that are equal in single precision."""
    pairs: Pairs = {}
    first: dict[bytes, list[int]] = {}
    single = np.nan_to_num(values, nan=float(np.finfo(np.float32).max)).astype(np.float32) + np.float32(0)  # no -0
    for number, row in enumerate(single):
        same = first.setdefault(row.tobytes(), [])
        pairs |= {(other, number): "equal" for other in same if groups[other] != groups[number]}
        same.append(number)
    return pairs


def _chance(values: Floats) -> float:
    """Pairs that are equal by chance, were the columns independent."""
    n, logarithm = len(values), 0.0
    for column in values.T:
        counts = np.unique(column.astype(np.float32), return_counts=True)[1]
        logarithm += float(np.log(((counts / n) ** 2).sum()))
    return float(n * (n - 1) / 2 * np.exp(logarithm))


def _scaled(values: Floats) -> Floats:
    """Columns less their medians, in units of their spread; those without any are left out."""
    there = ~np.isnan(values).all(axis=0)
    low, middle, high = np.nanpercentile(values[:, there], (25, 50, 75), axis=0)
    spread = high - low
    scaled: Floats = (values[:, there] - middle)[:, spread > 0] / spread[spread > 0]
    return scaled


def _alike(scaled: Floats, groups: npt.NDArray[np.generic]) -> Pairs:
    pairs: Pairs = {}
    for a, b in _near(scaled):
        if groups[a] == groups[b]:
            continue
        differences = np.abs(scaled[a] - scaled[b])
        known = ~np.isnan(differences)
        share = float((differences[known] < SAME).mean()) if 2 * known.sum() >= len(known) else 0.0
        if share >= SHARE:
            pairs[a, b] = f"alike: {share:.0%} of {known.sum()} columns are the same but for {SAME:.0%} of their spread"
    return pairs


def _near(scaled: Floats) -> Iterator[tuple[int, int]]:
    """Pairs of rows whose correlation over columns is high; missing values count as the middle."""
    Z = np.nan_to_num(scaled.clip(-_FAR, _FAR))
    lengths = np.sqrt((Z**2).sum(axis=1))
    Z /= np.where(lengths > 0, lengths, np.inf)[:, None]
    for start in range(0, len(Z), _BLOCK):
        for a, b in np.argwhere(Z[start : start + _BLOCK] @ Z.T > _NEAR).tolist():
            if a + start < b:
                yield a + start, b


def _chance_of_alike(scaled: Floats) -> float:
    """Pairs that are alike by chance, from how often two values of a column are."""
    n, some = len(scaled), scaled[:: -(-len(scaled) // _SAMPLE)]
    if not scaled.shape[1] or len(some) < 2:
        return float("inf")
    n_same = n_pairs = 0
    for number in range(1, len(some)):
        differences = np.abs(some[number:] - some[:-number])
        n_same += int((differences < SAME).sum())
        n_pairs += int((~np.isnan(differences)).sum())
    Z = np.nan_to_num(some.clip(-_FAR, _FAR))
    covariance = Z @ Z.T  # of the same eigenvalues as that of the columns
    n_independent = int(np.trace(covariance) ** 2 / max((covariance**2).sum(), 1e-300))
    likely = (n_same + 1) / (n_pairs + 1)
    return float(n * (n - 1) / 2 * binom.sf(int(np.ceil(SHARE * n_independent)) - 1, n_independent, likely))


# Rank correlation from which a column is a target but for rounding.
_COPY = 0.9999
# What is looked at closely: with missing values the first look is not exact.
_ALIKE = 0.9


def find_copies(
    X: npt.ArrayLike, targets: npt.ArrayLike, *, columns: Sequence[str], names: Sequence[str], what: str = "column"
) -> list[LeakFinding]:
    """Find columns that know a target: by rank correlation (Spearman), or because they separate two classes wholly.

    Parameters
    ----------
    X : float array of shape (n_subjects, n_columns)
        Regions, or confounds. NaN is missing.
    targets : float array of shape (n_subjects, n_targets)
        NaN is missing.
    columns, names : sequence of str
        Of the columns and of the targets.
    what : str
        What a column is called in messages.

    Returns
    -------
    list of LeakFinding
        Columns whose rank correlation with a target is above .9999 (that of a copy, a copy in other units or any
        rising or falling function of it is 1), or of whose values all of one class are above all of the other's.
        `chance` is how many are expected by chance among all columns; with so few subjects that it is .001 or more,
        nothing is reported.

    Raises
    ------
    SearchError
        Shapes disagree.
    """
    values, Y = np.asarray(X, dtype=np.float64), np.asarray(targets, dtype=np.float64)
    if values.shape != (len(Y), len(columns)) or Y.shape != (len(values), len(names)):
        raise SearchError(
            f"X {values.shape} and targets {Y.shape} do not fit {len(columns)} columns and {len(names)} names"
        )
    found = []
    for name, y in zip(names, Y.T, strict=True):
        known = ~np.isnan(y)
        for column in _rank_alike(values[known], y[known]):
            both = known & ~np.isnan(values[:, column])
            said = _knows(values[both, column], y[both])
            if said is not None and len(columns) * said[1] < CHANCE:
                message = f"{what} {columns[column]!r} {said[0]} target {name!r} ({both.sum()} subjects)"
                found.append(LeakFinding("target", message, len(columns) * said[1]))
    return found


def _rank_alike(values: Floats, y: Floats) -> list[int]:
    """Columns whose rank correlation comes near what it can be; missing values count as the middle."""
    if len(y) < 3 or not np.ptp(y):
        return []
    ranks = rankdata(values, axis=0, nan_policy="omit")
    known = ~np.isnan(values)
    ranks = np.where(known, ranks - (known.sum(axis=0) + 1) / 2, 0.0)
    order = rankdata(y) - (len(y) + 1) / 2
    size = np.sqrt((ranks**2).sum(axis=0) * (known * order[:, None] ** 2).sum(axis=0))
    alike = np.abs(order @ ranks) / np.where(size > 0, size, np.inf)
    return np.flatnonzero(alike > _ALIKE * _most(y)).tolist()


def _most(y: Floats) -> float:
    """Rank correlation of values without ties that are in the order of a target, whose ties they cannot match."""
    order = rankdata(y) - (len(y) + 1) / 2
    return float(np.sqrt((order**2).sum() / ((len(y) ** 3 - len(y)) / 12)))


def _knows(x: Floats, y: Floats) -> tuple[str, float] | None:
    """What a column has to do with a target, and how likely that is by chance."""
    n = len(y)
    if n < 3 or not (np.ptp(x) and np.ptp(y)):
        return None
    r = float(np.corrcoef(rankdata(x), rankdata(y))[0, 1])
    if abs(r) > _COPY:
        likely = 2 * float(student.sf(_COPY * np.sqrt((n - 2) / (1 - _COPY**2)), n - 2))
        return ("equals" if np.array_equal(x, y) else f"is a monotone copy (rank correlation {r:.6f}) of", likely)
    classes = np.unique(y)
    if len(classes) == 2:
        low, high = x[y == classes[0]], x[y == classes[1]]
        if low.max() < high.min() or high.max() < low.min():
            ways = gammaln(n + 1) - gammaln(len(low) + 1) - gammaln(len(high) + 1)
            return "separates the classes of", 2 * float(np.exp(-ways))
    return None

"""Targets inside features: columns that are a target, or a monotone function of it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from scipy.special import gammaln
from scipy.stats import rankdata
from scipy.stats import t as student

from cortax.errors import SearchError
from cortax.leakage.finding import CHANCE, Finding

__all__ = ["find_copies"]

Floats = npt.NDArray[np.float64]

# Rank correlation from which a column is a target but for rounding.
SAME = 0.9999
# What is looked at closely: with missing values the first look is not exact.
_NEAR = 0.9


def find_copies(
    X: npt.ArrayLike, targets: npt.ArrayLike, *, columns: Sequence[str], names: Sequence[str], what: str = "column"
) -> list[Finding]:
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
    list of Finding
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
        for column in _near(values[known], y[known]):
            both = known & ~np.isnan(values[:, column])
            said = _knows(values[both, column], y[both])
            if said is not None and len(columns) * said[1] < CHANCE:
                message = f"{what} {columns[column]!r} {said[0]} target {name!r} ({both.sum()} subjects)"
                found.append(Finding("target", message, len(columns) * said[1]))
    return found


def _near(values: Floats, y: Floats) -> list[int]:
    """Columns whose rank correlation comes near what it can be; missing values count as the middle."""
    if len(y) < 3 or not np.ptp(y):
        return []
    ranks = rankdata(values, axis=0, nan_policy="omit")
    known = ~np.isnan(values)
    ranks = np.where(known, ranks - (known.sum(axis=0) + 1) / 2, 0.0)
    order = rankdata(y) - (len(y) + 1) / 2
    size = np.sqrt((ranks**2).sum(axis=0) * (known * order[:, None] ** 2).sum(axis=0))
    alike = np.abs(order @ ranks) / np.where(size > 0, size, np.inf)
    return np.flatnonzero(alike > _NEAR * _most(y)).tolist()


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
    if abs(r) > SAME:
        likely = 2 * float(student.sf(SAME * np.sqrt((n - 2) / (1 - SAME**2)), n - 2))
        return ("equals" if np.array_equal(x, y) else f"is a monotone copy (rank correlation {r:.6f}) of", likely)
    classes = np.unique(y)
    if len(classes) == 2:
        low, high = x[y == classes[0]], x[y == classes[1]]
        if low.max() < high.min() or high.max() < low.min():
            ways = gammaln(n + 1) - gammaln(len(low) + 1) - gammaln(len(high) + 1)
            return "separates the classes of", 2 * float(np.exp(-ways))
    return None

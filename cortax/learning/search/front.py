"""Imputation, removal of site effects and confounds, and scaling, as `make_front` has them, at a fraction of the time.

Every number of `fit_front` has the same bits: the steps that would change nothing are left out, and quantiles are
taken from columns that lie together in memory. `moved_quantiles` finds those of sorted columns that lack some rows
and have moved a little, by looking only where the order can have changed.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from sklearn.impute import SimpleImputer

from cortax.learning.arrays import Bools, Floats, Ints
from cortax.learning.combat import ComBat, Harmonisation
from cortax.learning.confounds import ConfoundRegressor
from cortax.learning.search.compiled import compiled

__all__ = ["Front", "fit_front", "moved_quantiles"]

_jit = compiled(__name__)

# Columns whose quantiles are taken at a time: what is copied for it stays in the processor's cache.
_BLOCK = 64


@dataclass(frozen=True, eq=False)
class Front:
    """A fitted front end."""

    regressor: ConfoundRegressor | None  # None where there are no confounds
    center: Floats  # (n_regions,): median of what is left of the columns
    scale: Floats  # (n_regions,): range from the 5th to the 95th percentile; a range of 0 counts as 1
    harmoniser: ComBat | None = None  # None where sites keep their effects


def fit_front(
    regions: npt.NDArray[Any],
    confounds: Floats | None,
    train: Ints,
    valid: Ints,
    harmonise: Harmonisation | None = None,
) -> tuple[Front, Floats, Floats]:
    """Fit the front end on some rows and transform these and others.

    Parameters
    ----------
    regions : float array of shape (n_subjects, n_regions)
    confounds : float64 array of shape (n_subjects, n_confounds), or None
    train, valid : int arrays
        Row numbers.
    harmonise : Harmonisation, optional
        Of all subjects.

    Returns
    -------
    Front
    float64 array of shape (n_train, n_regions)
    float64 array of shape (n_valid, n_regions)

    Raises
    ------
    ValueError
        A value is infinite, there is no row to fit on or to predict, or `ComBat` cannot be fitted or applied.
    """
    if not (len(train) and len(valid)):
        raise ValueError(f"there are {len(train)} rows to fit on and {len(valid)} to predict")
    X, X_valid = (np.asarray(regions[rows], dtype=np.float64) for rows in (train, valid))
    beside = [] if confounds is None else [confounds]
    if harmonise is not None:
        beside.append(harmonise.site_columns)
    if beside:
        X, X_valid = (np.hstack([part, *(C[rows] for C in beside)]) for part, rows in ((X, train), (X_valid, valid)))
    harmoniser = regressor = None
    if not (np.isfinite(X).all() and np.isfinite(X_valid).all()):
        imputer = SimpleImputer(strategy="median", keep_empty_features=True)
        X, X_valid = imputer.fit_transform(X), imputer.transform(X_valid)
    if harmonise is not None:
        harmoniser = harmonise.transformer(0 if confounds is None else confounds.shape[1])
        X, X_valid = harmoniser.fit_transform(X), harmoniser.transform(X_valid)
    if confounds is not None and confounds.shape[1]:
        regressor = ConfoundRegressor(confounds.shape[1])
        X, X_valid = regressor.fit_transform(X), regressor.transform(X_valid)
    center, scale = _quantiles(X)
    for part in (X, X_valid):
        part -= center
        part /= scale
    return Front(regressor, center, scale, harmoniser), X, X_valid


def _quantiles(X: Floats) -> tuple[Floats, Floats]:
    low, center, high = np.empty((3, X.shape[1]))
    places = _places(len(X))
    wanted = sorted({int(place) + more for place in places for more in (0, 1) if int(place) + more < len(X)})
    for start in range(0, X.shape[1], _BLOCK):
        # A copy even of a single column, which must keep its order.
        block = X[:, start : start + _BLOCK].T.copy()
        block.partition(wanted, axis=1)
        for found, place in zip((low, center, high), places, strict=True):
            below, above = block[:, int(place)], block[:, min(int(place) + 1, len(X) - 1)]
            found[start : start + _BLOCK] = _between(below, above, place - int(place), found is center)
    return center, scale_of(low, high)


def scale_of(low: Floats, high: Floats) -> Floats:
    """Return the range between two quantiles, or 1 where it is nothing but rounding, as scikit-learn does."""
    scale = high - low
    scale[scale < 10 * np.finfo(np.float64).eps] = 1.0
    return scale


def _places(n: int) -> tuple[float, float, float]:
    """Where, among n sorted values, are the 5th percentile, the median and the 95th percentile."""
    return 5.0 / 100 * (n - 1), 0.5 * (n - 1), 95.0 / 100 * (n - 1)


def _between(below: Floats, above: Floats, share: float, median: bool) -> Floats:
    """Interpolate to the very bits of `np.percentile` and `np.median`."""
    if median:
        return (below + above) / 2 if share else below
    return above - (above - below) * (1 - share) if share >= 0.5 else below + (above - below) * share


def moved_quantiles(
    order: tuple[Floats, npt.NDArray[np.int32], npt.NDArray[np.int32]],
    kept: Bools,
    W: Floats,
    change: Floats,
    reach: float,
) -> tuple[Floats, Floats]:
    """Return median and scale of sorted columns less some rows and less W @ change.

    Parameters
    ----------
    order : three arrays of shape (n_columns, n_rows)
        Columns sorted, the rows of these values, and the places of the rows.
    kept : bool array of shape (n_rows,)
        The rows that count, two at least.
    W : float64 array of shape (n_rows or more, 1 + rank)
        Starts with a column of ones.
    change : float64 array of shape (1 + rank, n_columns)
    reach : float
        No row of W without the ones is longer.

    Returns
    -------
    two float64 arrays of shape (n_columns,)
    """
    values, rows, places = order
    lost = np.sort(places[:, ~kept], axis=1)
    wanted = np.array(_places(int(kept.sum())))
    low, center, high = _moved(values, rows, lost, kept, W, np.ascontiguousarray(change.T), reach, wanted)
    return center, scale_of(low, high)


@_jit
def _moved(values, rows, lost, kept, W, change, reach, wanted):  # type: ignore[no-untyped-def]
    n_columns, n = values.shape
    found = np.empty((3, n_columns))
    buffer, n_kept = np.empty(n), n - lost.shape[1]
    for j in range(n_columns):
        # No value moves further, but for what moves all.
        far = 0.0
        for r in range(1, len(change[j])):
            far += change[j, r] ** 2
        far = reach * np.sqrt(far) * (1 + 1e-9)
        for q in range(3):
            first = int(wanted[q])
            second, share = min(first + 1, n_kept - 1), wanted[q] - first
            start, stop = _place(lost[j], first), _place(lost[j], second) + 1
            if far > 0:
                # Below, all are below the wanted ones; above likewise: only between them does the order matter.
                start = np.searchsorted(values[j], values[j, start] - 2 * far)
                stop = np.searchsorted(values[j], values[j, stop - 1] + 2 * far, side="right")
            below = start - np.searchsorted(lost[j], start)
            count = 0
            for place in range(start, stop):
                row = rows[j, place]
                if kept[row]:
                    moved = values[j, place]
                    for r in range(len(change[j])):
                        moved -= W[row, r] * change[j, r]
                    buffer[count] = moved
                    count += 1
            low = _select(buffer, count, first - below)
            high = low
            if second > first:
                high = buffer[first - below + 1 : count].min()
            if q == 1:
                found[q, j] = (low + high) / 2 if share else low
            elif share >= 0.5:
                found[q, j] = high - (high - low) * (1 - share)
            else:
                found[q, j] = low + (high - low) * share
    return found


@_jit
def _place(lost, number):  # type: ignore[no-untyped-def]
    """Return where a value is that has so many kept ones below, given the sorted places of lost ones."""
    place, passed = number, 0
    while passed < len(lost) and lost[passed] <= place:
        passed += 1
        place = number + passed
    return place


@_jit
def _select(values, count, wanted):  # type: ignore[no-untyped-def]
    """Put the wanted smallest value in its place, none above it before and none below it after."""
    low, high = 0, count - 1
    while low < high:
        pivot = values[(low + high) // 2]
        i, j = low, high
        while i <= j:
            while values[i] < pivot:
                i += 1
            while values[j] > pivot:
                j -= 1
            if i <= j:
                values[i], values[j] = values[j], values[i]
                i += 1
                j -= 1
        if wanted <= j:
            high = j
        elif wanted >= i:
            low = i
        else:
            break
    return values[wanted]

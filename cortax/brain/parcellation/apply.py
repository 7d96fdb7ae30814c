"""Applying an atlas: one number for every region of every map of every subject.

The weights are a sparse matrix, so one product over a block of subjects does all regions at once. Blocks are
small: a block's float64 copy, one row a location, has to stay in the cache (see benchmarks/bench_parcellate.py).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from cortax.brain.data.spaces import Space
from cortax.brain.parcellation.atlas import Atlas
from cortax.errors import AtlasError, choices

__all__ = ["STATISTICS", "column_names", "parcellate"]

Values = NDArray[np.float64]
# (n_locations, n_block) in, (n_regions, n_block) out
Summary = Callable[[Values], Values]


def parcellate(
    values: NDArray[np.float32],
    atlas: Atlas,
    *,
    space: Space | None = None,
    statistic: str | None = None,
    block: int = 16,
) -> NDArray[np.float32]:
    """Summarise every map within every region.

    Parameters
    ----------
    values : array of shape (n_subjects, n_maps, n_locations), float32
        May be memory-mapped; read in blocks. NaN marks a location without data: a region's statistic is that of
        its other locations.
    atlas : Atlas
        Weights of shape (n_regions, n_locations). No weight negative: "mean" is the weighted mean. Any negative:
        "mean" is the coefficient of each region in the least-squares fit of a map by all regions (of the least
        norm where the locations that are left cannot tell regions apart).
    space : Space, optional
        The space of `values`, to be compared with the atlas's.
    statistic : {"mean", "median", "std"}, optional
        By default the atlas's own. "median" and "std" (of the population, ddof 0) want a hard atlas.
    block : int
        Subjects taken at once. The result is the same, that of least squares up to rounding.

    Returns
    -------
    array of shape (n_subjects, n_maps * n_regions), float32
        Sums are float64. Columns as `column_names` has them. A region without data in a subject is NaN, never a
        missing column.

    Raises
    ------
    AtlasError
        Another space, another number of locations, an unknown statistic or one that the atlas does not allow.
    """
    _check_fit(values, atlas, space)
    summary = _summary(atlas, atlas.statistic if statistic is None else statistic)
    n_subjects, n_maps, _ = values.shape
    out = np.empty((n_subjects, n_maps, atlas.n_regions), np.float32)
    for start in range(0, n_subjects, max(1, block)):
        part = slice(start, start + max(1, block))
        for m in range(n_maps):
            columns = values[part, m].T.astype(np.float64, order="C")
            out[part, m] = summary(columns).T
    return out.reshape(n_subjects, n_maps * atlas.n_regions)


def column_names(maps: Sequence[str], regions: Sequence[str]) -> tuple[str, ...]:
    """Names of `parcellate`'s columns, "map:region": all regions of the first map, then of the second."""
    return tuple(f"{one_map}:{region}" for one_map in maps for region in regions)


def _check_fit(values: NDArray[np.float32], atlas: Atlas, space: Space | None) -> None:
    if space is not None and (why := atlas.space.difference(space)):
        raise AtlasError(
            f"atlas {atlas.name!r} is in space {atlas.space.describe()}, the maps are in {space.describe()}: {why}"
        )
    if values.ndim != 3 or values.shape[2] != atlas.space.n_locations:
        raise AtlasError(
            f"atlas {atlas.name!r} wants maps of shape (n_subjects, n_maps, {atlas.space.n_locations}) "
            f"for space {atlas.space.describe()}, got {values.shape}"
        )


def _summary(atlas: Atlas, statistic: str) -> Summary:
    if statistic not in STATISTICS:
        raise AtlasError(f"atlas {atlas.name!r}, statistic: {choices(statistic, STATISTICS)}")
    if statistic != "mean" and not atlas.is_hard:
        kind = "signed" if atlas.is_signed else "soft"
        raise AtlasError(f"atlas {atlas.name!r} has {kind} weights: statistic {choices(statistic, ['mean'])}")
    return STATISTICS[statistic](atlas)


def _mean(atlas: Atlas) -> Summary:
    if atlas.is_signed:
        return _least_squares(atlas)
    weights = atlas.weights
    total = np.asarray(weights.sum(axis=1), np.float64)[:, None]

    def summary(x: Values) -> Values:
        missing = np.isnan(x)
        if not missing.any():
            return _ratio(weights @ x, total)
        # The medial wall is missing in everybody alike: one column says it all
        if (missing[:, :1] == missing).all():
            missing = missing[:, :1]
        sums = weights @ np.nan_to_num(x, copy=False, nan=0.0, posinf=np.inf, neginf=-np.inf)
        return _ratio(sums, weights @ (~missing).astype(np.float64))

    return summary


def _std(atlas: Atlas) -> Summary:
    mean, weights = _mean(atlas), atlas.weights
    spread = weights.T.tocsr()
    inside = np.diff(spread.indptr) > 0

    def summary(x: Values) -> Values:
        # Two passes, as squares of raw values would cancel; background locations have no mean to subtract
        centre = np.nan_to_num(mean(x.copy()), nan=0.0)
        x = np.where(inside[:, None], x - spread @ centre, 0.0)
        return np.sqrt(mean(x * x))

    return summary


def _median(atlas: Atlas) -> Summary:
    indptr, indices = atlas.weights.indptr, atlas.weights.indices
    members = [indices[start:end] for start, end in pairwise(indptr)]

    def summary(x: Values) -> Values:
        return np.stack([_median_of(x[where]) for where in members])

    return summary


def _median_of(x: Values) -> Values:
    # NaN sorts last; numpy's nanmedian warns where all is NaN, and one region of many may well be
    out = np.full(x.shape[1], np.nan)
    n_valid = (~np.isnan(x)).sum(axis=0)
    (some,) = np.nonzero(n_valid)
    x = np.sort(x, axis=0)
    low, high = (n_valid[some] - 1) // 2, n_valid[some] // 2
    out[some] = (x[low, some] + x[high, some]) / 2
    return out


def _least_squares(atlas: Atlas) -> Summary:
    weights = atlas.weights.toarray()

    # Most blocks have the pattern of the one before; a pseudo-inverse is as big as the dense weights
    @lru_cache(maxsize=4)
    def solver(pattern: bytes) -> Values:
        valid = np.frombuffer(pattern, np.bool_)
        full = np.zeros(weights.shape)
        full[:, valid] = np.linalg.pinv(weights[:, valid].T)
        # A region with no location left has no coefficient
        full[~weights[:, valid].any(axis=1)] = np.nan
        return full

    def summary(x: Values) -> Values:
        valid = ~np.isnan(x)
        x = np.where(valid, x, 0.0)
        patterns = [column.tobytes() for column in valid.T]
        out = np.empty((len(weights), x.shape[1]))
        for pattern in dict.fromkeys(patterns):
            same = [i for i, other in enumerate(patterns) if other == pattern]
            out[:, same] = solver(pattern) @ x[:, same]
        return out

    return summary


def _ratio(sums: Values, total: Values) -> Values:
    out = np.full(sums.shape, np.nan)
    np.divide(sums, total, out=out, where=total > 0)
    return out


STATISTICS: dict[str, Callable[[Atlas], Summary]] = {"mean": _mean, "median": _median, "std": _std}

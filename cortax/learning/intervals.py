"""Intervals on a scale on which a statistic is free of its limits: never beyond them, never without the value.

Between two limits about 0 the scale is Fisher's z, artanh(x / limit); between others arcsin(sqrt(share)); above a lower
limit log(x - low), below an upper one -log(high - x), as of R2; else x itself.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import stdtrit

from cortax.learning.arrays import Floats

__all__ = ["Limits", "free_scale", "interval", "limits_of_difference"]

Limits = tuple[float, float]


def limits_of_difference(limits: Limits) -> Limits:
    """Return between which limits the difference of two such statistics lies."""
    return limits[0] - limits[1], limits[1] - limits[0]


def free_scale(values: ArrayLike, limits: Limits) -> tuple[Floats, Floats]:
    """Return the values on the free scale of their limits, and the slope of that scale there; infinite at a limit."""
    x, (low, high) = np.asarray(values, dtype=np.float64), limits
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        if np.isinf(low) and np.isinf(high):
            return x, np.ones_like(x)
        if np.isinf(high):
            return np.log(x - low), 1 / (x - low)
        if np.isinf(low):
            return -np.log(high - x), 1 / (high - x)
        if low == -high:
            return np.arctanh(x / high), high / (high**2 - x**2)
        share = (x - low) / (high - low)
        return np.arcsin(np.sqrt(share)), 1 / (2 * (high - low) * np.sqrt(share * (1 - share)))


def _back(free: Floats, limits: Limits) -> Floats:
    low, high = limits
    if np.isinf(low) and np.isinf(high):
        return free
    if np.isinf(high):
        return np.asarray(low + np.exp(free))
    if np.isinf(low):
        return np.asarray(high - np.exp(-free))
    if low == -high:
        return np.asarray(high * np.tanh(free))
    return np.asarray(low + (high - low) * np.sin(np.clip(free, 0, np.pi / 2)) ** 2)


def interval(
    values: ArrayLike, variances: ArrayLike, freedom: ArrayLike, limits: Limits, *, confidence: float = 0.95
) -> Floats:
    """Student's interval on the free scale, with the variance that the delta method gives there.

    back(free(value) +- t * slope(value) * sqrt(variance)). At a limit, where the slope is infinite: value +- t *
    sqrt(variance), cut at the limits.

    Parameters
    ----------
    values, variances, freedom : arrays of shape (n,), float64
        The variance is of the value itself; degrees of freedom.
    limits : (float, float)
        Of the statistic; infinite where it has none.

    Returns
    -------
    float64 array of shape (n, 2)
        Within the limits and about the value; NaN where value or variance are, or no freedom is left.
    """
    x, variance = np.asarray(values, dtype=np.float64), np.asarray(variances, dtype=np.float64)
    degrees = np.asarray(freedom, dtype=np.float64)
    wide = stdtrit(np.where(degrees > 0, degrees, np.nan), (1 + confidence) / 2) * np.sqrt(variance)
    free, slope = free_scale(x, limits)
    inside = np.isfinite(slope)
    with np.errstate(invalid="ignore", over="ignore"):
        reach = np.where(inside, slope, 0) * wide
        low, high = (
            np.where(inside, _back(np.where(inside, free, 0) + side * reach, limits), x + side * wide)
            for side in (-1, 1)
        )
    # On the way to the scale and back a bound may pass the value by rounding.
    bounds = np.stack([np.fmin(np.clip(low, *limits), x), np.fmax(np.clip(high, *limits), x)], axis=-1)
    known = ~np.isnan(x) & ~np.isnan(wide)
    return np.where(known[..., None], bounds, np.nan)

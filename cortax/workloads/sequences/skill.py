"""How good predictions are: the measures of hydrology."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from cortax.learning.arrays import Floats

__all__ = ["HIGHER_IS_BETTER", "METRICS", "skill"]


def nash_sutcliffe(observed: Floats, predicted: Floats) -> float:
    """Return 1 - sum (o - p)^2 / sum (o - mean o)^2 (Nash and Sutcliffe 1970); NaN where observations do not vary."""
    if not np.ptp(observed):
        return np.nan
    return float(1 - np.sum((observed - predicted) ** 2) / np.sum((observed - observed.mean()) ** 2))


def kling_gupta(observed: Floats, predicted: Floats) -> float:
    """Return 1 - sqrt((r - 1)^2 + (sd p / sd o - 1)^2 + (mean p / mean o - 1)^2) (Gupta et al. 2009).

    NaN where observations or predictions do not vary, or observations have mean 0.
    """
    # By their range: the mean of equal values may differ from them in the last digit.
    if not (np.ptp(observed) and np.ptp(predicted) and observed.mean()):
        return np.nan
    r = np.corrcoef(observed, predicted)[0, 1]
    ratios = predicted.std() / observed.std(), predicted.mean() / observed.mean()
    return float(1 - np.sqrt((r - 1) ** 2 + (ratios[0] - 1) ** 2 + (ratios[1] - 1) ** 2))


def root_mean_squared_error(observed: Floats, predicted: Floats) -> float:
    """Return sqrt(mean (o - p)^2), in the unit of the target."""
    return float(np.sqrt(np.mean((observed - predicted) ** 2)))


def bias(observed: Floats, predicted: Floats) -> float:
    """Return mean (p - o), in the unit of the target."""
    return float(np.mean(predicted - observed))


METRICS: Mapping[str, Callable[[Floats, Floats], float]] = {
    "nse": nash_sutcliffe,
    "kge": kling_gupta,
    "rmse": root_mean_squared_error,
    "bias": bias,
}
HIGHER_IS_BETTER = {"nse": True, "kge": True, "rmse": False}


def skill(observed: Floats, predicted: Floats) -> dict[str, float]:
    """Return every measure over the days that are observed and predicted, and the number of these days, `n_days`.

    `observed`, `predicted`: float64 of shape (n_days,), in the unit of the target. All are NaN where there is no such
    day, and where any prediction on an observed day is infinite.
    """
    there = ~np.isnan(observed) & ~np.isnan(predicted)
    n_days = int(there.sum())
    if not n_days or np.isinf(predicted[there]).any():
        return {**dict.fromkeys(METRICS, np.nan), "n_days": n_days}
    o, p = observed[there], predicted[there]
    return {**{name: measure(o, p) for name, measure in METRICS.items()}, "n_days": n_days}

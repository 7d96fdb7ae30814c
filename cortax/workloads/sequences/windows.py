"""Days of a period as windows that networks see, scaled by training days alone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from cortax.learning.arrays import Bools, Floats, Ints
from cortax.workloads.sequences.reading import Days

__all__ = ["Layout", "Scale", "back", "day_of_year", "layout", "scale_of", "transformed"]


@dataclass(frozen=True, eq=False)
class Layout:
    """Windows of a period.

    Attributes
    ----------
    places : int64 array of shape (n_steps, n_windows)
        Day of each step of each window, from the beginning of the period.
    counts : bool array of shape (n_steps, n_windows)
        Whether the output of the step counts: not in the warm-up, nor where an earlier window has it. Every day of the
        period, but for those of the first warm-up, counts once.
    """

    places: Ints
    counts: Bools

    def days(self, values: npt.NDArray[Any], n_days: int) -> npt.NDArray[Any]:
        """Return outputs (n_steps, n_windows, ...) by day (n_days, ...); NaN on days that do not count."""
        found = np.full((n_days, *values.shape[2:]), np.nan, values.dtype)
        found[self.places[self.counts]] = values[self.counts]
        return found


def layout(n_days: int, window: int, warm_up: int) -> Layout:
    """Cut a period into windows, all of them inside it.

    A window's first `warm_up` days bring the network's state, and their outputs do not count. Windows follow each other
    by window - warm_up days; the last one ends with the period.

    Parameters
    ----------
    n_days, window, warm_up : int
        Days; n_days >= window > warm_up >= 0.
    """
    last = n_days - window
    starts = np.array(sorted({*range(0, last, window - warm_up), last}))
    places = np.arange(window)[:, None] + starts
    # A window begins to count after its warm-up, and after the days that the one before has.
    begins = np.maximum(starts + warm_up, np.append(0, starts[:-1] + window))
    return Layout(places, places >= begins)


def day_of_year(days: Days) -> Floats:
    """Return sine and cosine of the place in the year, (n_days, 2): 1 January is angle 0, leap years have 366 days."""
    years = days.astype("datetime64[Y]")
    day = (days - years.astype("datetime64[D]")).astype(np.float64)
    length = ((years + 1).astype("datetime64[D]") - years.astype("datetime64[D]")).astype(np.float64)
    angle = 2 * np.pi * day / length
    return np.column_stack([np.sin(angle), np.cos(angle)])


@dataclass(frozen=True, eq=False)
class Scale:
    """Mean and standard deviation of columns over training days, float64 of shape (n_columns,).

    A column that does not vary is only shifted.
    """

    mean: Floats
    deviation: Floats

    def apply(self, values: Floats) -> Floats:
        """Return columns with mean 0 and standard deviation 1 over training days."""
        return (values - self.mean) / self.deviation

    def undo(self, values: Floats) -> Floats:
        """Return what was scaled."""
        return values * self.deviation + self.mean


def scale_of(values: Floats) -> Scale:
    """Return the scale of columns (n_days, n_columns) over the days that have a value; each must have one."""
    deviation = np.nanstd(values, axis=0)
    return Scale(np.nanmean(values, axis=0), np.where(deviation > 0, deviation, 1.0))


def transformed(values: Floats, transform: str) -> Floats:
    """Return values as they are predicted: "none", "log" or "sqrt"; NaN stays NaN."""
    if transform == "none":
        return np.array(values)
    found: Floats = np.log(values) if transform == "log" else np.sqrt(values)
    return found


def back(values: Floats, transform: str) -> Floats:
    """Undo `transformed`; what would be the square root of a negative number is 0."""
    if transform == "sqrt":
        return np.maximum(values, 0.0) ** 2
    return np.exp(values) if transform == "log" else np.array(values)

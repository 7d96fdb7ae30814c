"""What networks of one site see and are to say: windows of any period, scaled by the training period alone."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from cortax.errors import InputError
from cortax.learning.arrays import Bools, Floats
from cortax.store import build, load, save
from cortax.workloads.sequences.reading import Days, Series, check_inputs, days_between
from cortax.workloads.sequences.training import Windows
from cortax.workloads.sequences.windows import Layout, Scale, back, day_of_year, layout, scale_of, transformed

__all__ = ["Dataset", "Period", "open_series", "save_series"]


def save_series(folder: str | Path, series: Series) -> list[str]:
    """Write the days of a site into a folder; return the names of the files."""
    arrays = {"days": series.days.astype(np.int64), "inputs": series.inputs, "targets": series.targets}
    return save(folder, {"series.npz": arrays, "notes.json": list(series.notes)})


def open_series(folder: str | Path) -> Series:
    """Open what `save_series` wrote."""
    arrays, notes = load(folder, "series.npz", "notes.json")
    return build(Series, arrays, {"days": arrays["days"].astype("datetime64[D]"), "notes": notes})


@dataclass(frozen=True, eq=False)
class Period:
    """Days of a period, and the windows that networks see of them.

    Attributes
    ----------
    days : datetime64[D] array of shape (n_days,)
    windows : Windows
    layout : Layout
        Where each day of the windows is.
    x, y : float64 arrays of shape (n_days, n_inputs) and (n_days, n_targets)
        What windows are cut from: scaled, targets also transformed, NaN where missing.
    observed : float64 array of shape (n_days, n_targets)
        In the targets' units, NaN where missing.
    """

    days: Days
    windows: Windows
    layout: Layout
    x: Floats
    y: Floats
    observed: Floats

    @property
    def counts(self) -> Bools:
        """Whether each day counts: all but those of the first warm-up, (n_days,)."""
        found = np.zeros(len(self.days), dtype=bool)
        found[self.layout.places[self.layout.counts]] = True
        return found


class Dataset:
    """One site, and how networks look at it.

    Parameters
    ----------
    series : Series
    options : mapping
        `site`; `inputs`, `targets` (columns, the primary target first), `transforms`; `day_of_year`; `train`, the first
        and the last day of the period that everything is scaled by; `window`, `warm_up`, days.

    Raises
    ------
    InputError
        The training period is not in the table, lacks inputs, or has no value of a target.
    """

    def __init__(self, series: Series, options: Mapping[str, Any]) -> None:
        self._series, self._options = series, options
        train = days_between(*options["train"])
        check_inputs(self._where, series, options["inputs"], {"train": train})
        place = self._place(train)
        targets = self._transformed(series.targets[place])
        for name, column in zip(options["targets"], targets.T, strict=True):
            if np.isnan(column).all():
                raise InputError(f"{self._where}: {name} has no value in train, {train[0]} to {train[-1]}")
        self._x, self._y = scale_of(series.inputs[place]), scale_of(targets)

    @property
    def _where(self) -> str:
        return f"site {self._options['site']!r}"

    @property
    def n_inputs(self) -> int:
        """What networks are given each day."""
        return len(self._options["inputs"]) + 2 * bool(self._options["day_of_year"])

    @property
    def scales(self) -> tuple[Scale, Scale]:
        """Of inputs, and of transformed targets."""
        return self._x, self._y

    def _place(self, days: Days) -> slice:
        first = int((days[0] - self._series.days[0]).astype(np.int64))
        return slice(first, first + len(days))

    def _transformed(self, targets: Floats) -> Floats:
        kinds = self._options["transforms"]
        return np.column_stack([transformed(column, kind) for column, kind in zip(targets.T, kinds, strict=True)])

    def period(self, name: str, first_and_last: tuple[Any, Any], dtype: Any) -> Period:
        """Return the windows of a period, of a type.

        Raises
        ------
        InputError
            It is not in the table, lacks inputs, or has no value of the primary target that would count.
        """
        options, days = self._options, days_between(*first_and_last)
        check_inputs(self._where, self._series, options["inputs"], {name: days})
        place = self._place(days)
        x = self._x.apply(self._series.inputs[place])
        if options["day_of_year"]:
            x = np.column_stack([x, day_of_year(days)])
        observed = self._series.targets[place]
        y = self._y.apply(self._transformed(observed))
        cut = layout(len(days), options["window"], options["warm_up"])
        there = ~np.isnan(y[cut.places]) & cut.counts[..., None]
        if not there[..., 0].any():
            raise InputError(
                f"{self._where}: {options['targets'][0]} has no value in {name}, {days[0]} to {days[-1]}, "
                "after the warm-up"
            )
        windows = Windows(x[cut.places].astype(dtype), np.nan_to_num(y)[cut.places].astype(dtype), there)
        return Period(days, windows, cut, x, y, observed)

    def by_day(self, outputs: npt.NDArray[Any], period: Period) -> npt.NDArray[np.float32]:
        """Return outputs of one model, (n_steps, n_windows, n_targets), in the targets' units, (n_days, n_targets).

        NaN on days that do not count.
        """
        daily = period.layout.days(outputs, len(period.days)).astype(np.float64)
        return self.in_units(daily).astype(np.float32)

    def in_units(self, y: Floats) -> Floats:
        """Return scaled, transformed targets (n_days, n_targets) in the units of the table."""
        kinds = self._options["transforms"]
        columns = [back(column, kind) for column, kind in zip(self._y.undo(y).T, kinds, strict=True)]
        return np.column_stack(columns)

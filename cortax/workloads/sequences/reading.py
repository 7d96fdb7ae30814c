"""The table of one site: one row a day, checked."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from cortax.data.textfiles import column_names, read_columns
from cortax.errors import InputError, choices
from cortax.learning.arrays import Bools, Floats

__all__ = [
    "Days",
    "Series",
    "TargetColumn",
    "check_inputs",
    "days_between",
    "read_series",
    "read_site",
    "runs_of",
    "typical_values",
    "unit_warnings",
]

Days = npt.NDArray[np.datetime64]

_SHOWN = 3
# Columns of two sites whose typical values are so many times apart are hardly in one unit.
_APART = 300.0


@dataclass(frozen=True)
class TargetColumn:
    """A column that is predicted, and the transform that it is predicted in: "none", "log" or "sqrt"."""

    column: str
    transform: str


@dataclass(frozen=True, eq=False)
class Series:
    """The days of one site.

    Attributes
    ----------
    days : datetime64[D] array of shape (n_days,)
        Every day from the first to the last.
    inputs : float64 array of shape (n_days, n_inputs)
        NaN where the table has no value.
    targets : float64 array of shape (n_days, n_targets)
        As in the table, NaN where it has no value.
    notes : tuple of str
        What users should know of the table.
    """

    days: Days
    inputs: Floats
    targets: Floats
    notes: tuple[str, ...]


def days_between(first: Any, last: Any) -> Days:
    """Return all days from the first to the last, both included."""
    return np.arange(np.datetime64(first, "D"), np.datetime64(last, "D") + 1)


def read_site(root: Path, options: dict[str, Any]) -> Series:
    """Read the table of a site as the options of a `site` job say; raises InputError as `read_series`."""
    targets = [TargetColumn(target["column"], target["transform"]) for target in options["targets"]]
    return read_series(
        root / options["file"], time=options["time"], inputs=options["inputs"], targets=targets, fill=options["fill"]
    )


def read_series(
    path: Path, *, time: str, inputs: Sequence[str], targets: Sequence[TargetColumn], fill: int = 0
) -> Series:
    """Read and check the table of a site.

    Parameters
    ----------
    path : Path
        CSV, TSV or Parquet.
    time : str
        The column of days, such as 2001-02-28.
    inputs : sequence of str
        Columns of numbers.
    targets : sequence of TargetColumn
    fill : int
        Gaps in inputs of at most so many days are filled by linear interpolation between the days beside them, and
        noted. None is filled at the beginning or the end.

    Raises
    ------
    InputError
        A column is missing or has something else than numbers; days that are none, occur twice or are not in order; or
        a target that its transform is not defined for. The message names file, column and days or rows. (Inputs that
        are missing are refused where they are used, see `check_inputs`.)
    """
    wanted = [*inputs, *(target.column for target in targets)]
    header = column_names(path)
    for name in (time, *wanted):
        if name not in header:
            raise InputError(f"{path}: no column {name!r}: {choices(name, filter(None, header))}")
    table = read_columns(path, [time], wanted)
    found = _days(path, table[time])
    values = {name: _numbers(path, table[name]) for name in wanted}
    days = days_between(found[0], found[-1])
    places = (found - found[0]).astype(np.int64)

    def daily(names: Sequence[str]) -> Floats:
        whole = np.full((len(days), len(names)), np.nan)
        for k, name in enumerate(names):
            whole[places, k] = values[name]
        return whole

    notes: list[str] = []
    given = daily(inputs)
    if fill:
        given, notes = _filled(given, inputs, days, fill)
    predicted = daily([target.column for target in targets])
    for k, target in enumerate(targets):
        _check_transform(path, target, predicted[:, k], days)
    return Series(days, given, predicted, (*notes, *_years_without(predicted, targets, days)))


def _days(path: Path, column: pd.Series[Any]) -> Days:
    parsed = pd.to_datetime(column, errors="coerce", format="ISO8601")
    if parsed.isna().any():
        row = parsed.index[parsed.isna()][0]
        raise InputError(
            f"{path}: row {row}: {column.name} must be a day such as 2001-02-28. Got {column[row]!r} instead"
        )
    days = parsed.to_numpy().astype("datetime64[D]")
    steps = np.diff(days).astype(np.int64)
    if (steps == 0).any():
        row = int(np.flatnonzero(steps == 0)[0])
        raise InputError(
            f"{path}: {days[row]} occurs twice, in rows {row + 1} and {row + 2}; a table has one row a day"
        )
    if (steps < 0).any():
        row = int(np.flatnonzero(steps < 0)[0])
        raise InputError(
            f"{path}: days must be in order: {days[row]} in row {row + 1} comes before {days[row + 1]} in row {row + 2}"
        )
    return days


def _numbers(path: Path, column: pd.Series[Any]) -> Floats:
    if not pd.api.types.is_numeric_dtype(column):
        numbers = pd.to_numeric(column, errors="coerce")
        wrong = column[numbers.isna() & column.notna()]
        if len(wrong):
            raise InputError(
                f"{path}: row {wrong.index[0]}: {column.name} must be a number. Got {wrong.iloc[0]!r} instead"
            )
        column = numbers
    values = column.to_numpy(dtype=np.float64)
    if np.isinf(values).any():
        row = column.index[np.isinf(values)][0]
        raise InputError(f"{path}: row {row}: {column.name} is infinite")
    return values


def runs_of(missing: Bools) -> list[tuple[int, int]]:
    """Return the beginning and the end (one past the last) of every run of True."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], missing, [False]])))
    return list(zip(edges[::2].tolist(), edges[1::2].tolist(), strict=True))


def _filled(values: Floats, names: Sequence[str], days: Days, longest: int) -> tuple[Floats, list[str]]:
    filled, notes = values.copy(), []
    for k, name in enumerate(names):
        column, known = values[:, k], np.flatnonzero(~np.isnan(values[:, k]))
        short = [
            (start, end)
            for start, end in runs_of(np.isnan(column))
            if start > 0 and end < len(days) and end - start <= longest
        ]
        for start, end in short:
            filled[start:end, k] = np.interp(np.arange(start, end), known, column[known])
        if short:
            n = sum(end - start for start, end in short)
            notes.append(f"{name}: {n} missing days filled by linear interpolation, in {len(short)} gaps")
    return filled, notes


def _check_transform(path: Path, target: TargetColumn, values: Floats, days: Days) -> None:
    if target.transform == "none":
        return
    wrong = values <= 0 if target.transform == "log" else values < 0
    if wrong.any():
        first = int(np.flatnonzero(wrong)[0])
        least = "above 0" if target.transform == "log" else "at least 0"
        raise InputError(
            f"{path}: {target.column} with transform {target.transform!r} must be {least}. Got {values[first]:g} on "
            f"{days[first]}, and {int(wrong.sum()) - 1} more such days; leave these cells empty, or take another "
            "transform"
        )


def _years_without(values: Floats, targets: Sequence[TargetColumn], days: Days) -> list[str]:
    years = days.astype("datetime64[Y]").astype(np.int64) + 1970
    notes = []
    for k, target in enumerate(targets):
        seen = set(years[~np.isnan(values[:, k])].tolist())
        if lacking := [year for year in sorted(set(years.tolist())) if year not in seen]:
            notes.append(f"{target.column}: no value in {', '.join(map(str, lacking))}")
    return notes


def check_inputs(where: str, series: Series, names: Sequence[str], period: Mapping[str, Days]) -> None:
    """Raise InputError where a day of a period is not in the table, or lacks an input.

    `where`: begin of the message, such as the file. `period`: its name, and all of its days; one or several.
    """
    for name, days in period.items():
        if days[0] < series.days[0] or days[-1] > series.days[-1]:
            raise InputError(
                f"{where}: has days from {series.days[0]} to {series.days[-1]}; {name} is {days[0]} to {days[-1]}"
            )
        first = int((days[0] - series.days[0]).astype(np.int64))
        part = series.inputs[first : first + len(days)]
        for k, column in enumerate(names):
            gaps = runs_of(np.isnan(part[:, k]))
            if gaps:
                shown = [f"{days[start]} to {days[end - 1]}" for start, end in gaps[:_SHOWN]]
                more = f" and {len(gaps) - _SHOWN} more" if len(gaps) > _SHOWN else ""
                raise InputError(
                    f"{where}: {column} has no value on {', '.join(shown)}{more} ({name}); sites.fill = N fills gaps "
                    "of at most N days by linear interpolation"
                )


def typical_values(series: Series, names: Sequence[str], site: str) -> pd.Series[float]:
    """Return the median absolute value of each column, inputs first, over the days that have another than 0.

    Called by the site; NaN of a column that has none.
    """
    sizes = np.abs(np.column_stack([series.inputs, series.targets]))
    with_value = [column[column > 0] for column in sizes.T]
    medians = [float(np.median(column)) if len(column) else np.nan for column in with_value]
    return pd.Series(medians, index=list(names), name=site)


def unit_warnings(typical: pd.DataFrame) -> list[str]:
    """Say of which columns a site's values are so much larger than another's that their units may differ.

    `typical`: a row a site, as `typical_values` returns it.
    """
    found = []
    for name, column in typical.items():
        low, high = column.min(), column.max()
        if high > _APART * low:
            found.append(
                f"{name}: the median of {column.idxmax()} is {high / low:,.0f} times that of {column.idxmin()}; are "
                "they in one unit? (Each site is scaled by itself, so that no network is worse for it; errors are.)"
            )
    return found

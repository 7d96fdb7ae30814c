"""The table of phenotypes: targets to predict, confounds to remove, groups to keep together."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from cortax.brain.data.dropped import Dropped
from cortax.brain.data.rows import RowRules, read_rows
from cortax.brain.data.sidecar import Column, named_level
from cortax.data.textfiles import Codes
from cortax.errors import InputError, choices

__all__ = [
    "OUTLYING",
    "TargetReport",
    "expand_sessions",
    "read_confounds",
    "read_groups",
    "read_strata",
    "read_table",
    "read_targets",
]

OUTLYING = "outlying"
_KINDS = ("classification", "ordinal", "regression")
_KEYS = ("kind", "column", "order", "positive")
_COMMA = re.compile(r"[-+]?\d+(\.\d{3})*,\d+([eE][-+]?\d+)?")
# A median absolute deviation of normal values, and the distance of their deciles, times these, are their SD.
_MAD, _DECILES = 1.4826, 0.3902
# Of fewer values, or people, nobody can say what is far, or what a category is.
_FEW = 10
# More classes than these are more likely numbers.
_MOST_CLASSES = 20
# What studies write for a missing number.
_CODE = re.compile(r"-(7+|8+|9+)|777+|888+|999+")


@dataclass(frozen=True)
class TargetReport:
    """What became of one target's column.

    `n_values` subjects have a value, `n_missing` had none, `n_outliers` lost theirs. `classes` are the column's
    values coded 0, 1, 2, ..., empty for regression; `labels` are their names in the table's sidecar, "" where it has
    none, and `units` what a number is measured in. `note` says of outliers who they are, or that none can be found.
    """

    name: str
    kind: str
    column: str
    n_values: int
    n_missing: int
    n_outliers: int
    classes: tuple[str, ...] = ()
    note: str = ""
    labels: tuple[str, ...] = ()
    units: str = ""


def read_table(
    path: Path | str, id_columns: Sequence[str] = ("participant_id",), *, id_prefix: str = "", missing: Codes = ()
) -> pd.DataFrame:
    """Read a CSV, TSV or Parquet table.

    Parameters
    ----------
    path : path
    id_columns : names of the identifier columns
        Read as text ("001" stays "001"); several are joined with "_".
    id_prefix : str
        Taken off the front of identifiers that have it: "sub-".
    missing : numbers or texts
        What stands for a missing value, beside `cortax.data.textfiles.MISSING`.

    Returns
    -------
    DataFrame
        Rows in the file's order, indexed by subject; missing cells are NaN, as are values that a sidecar calls missing
        (`cortax.brain.data.sidecar`).

    Raises
    ------
    InputError
        Missing or damaged file, not UTF-8, absent identifier column, empty or repeated identifiers, repeated
        columns, rows of another length than the header, no rows.
    """
    return read_rows([path], RowRules(id_columns, id_prefix, missing=missing)).frame


def expand_sessions(frame: pd.DataFrame, sessions: Sequence[str]) -> pd.DataFrame:
    """Repeat every row once a session, as subject "id_session", for regions that were read with `sessions`.

    Columns "subject" and "session" are added, unless the table has its own.
    """
    parts = []
    for session in sessions:
        added = pd.DataFrame({"subject": frame.index, "session": session}, index=frame.index)
        parts.append(frame.join(added[[name for name in added if name not in frame]]))
    out = pd.concat(parts).set_axis([f"{s}_{session}" for session in sessions for s in frame.index], axis=0)
    out.index.name = "subject"
    out.attrs = dict(frame.attrs)
    return out


def read_targets(
    frame: pd.DataFrame,
    specs: Mapping[str, Mapping[str, Any]],
    *,
    outlier_sd: float | None = None,
    meanings: Mapping[str, Column] | None = None,
) -> tuple[pd.DataFrame, tuple[TargetReport, ...]]:
    """Turn columns into targets.

    Parameters
    ----------
    frame : DataFrame
        From `read_table`.
    specs : dict of target name -> {"kind", "column", "positive", "order"}
        kind is "regression", "classification" or "ordinal"; column is the target's name by default. Classes are coded
        in sort order (numbers sort as numbers); of two, positive is the value that becomes 1. order has the values of
        an ordinal target from the lowest; they must be numbers where it is not given.
    outlier_sd : float, optional
        A regression value more than so many robust standard deviations (1.4826 times the median absolute deviation)
        from the median becomes missing, as does a code (-9, -99, 999, ...) below 0 where no other value is, or ten
        times as large as any other. Where more than half of the values are equal, the others are looked at among
        themselves; where fewer than 10 are left, the report notes that outliers cannot be found.
    meanings : dict of column to Column, optional
        Names of levels and units, see `cortax.brain.data.sidecar`.

    Returns
    -------
    targets : DataFrame of float64, a column a target (sorted), indexed as `frame`
        NaN where missing; classes are 0, 1, 2, ...
    report : tuple of TargetReport, in the order of the columns

    Raises
    ------
    InputError
        Absent column, no values, constant, text or an infinite number in a regression target, more classes than 20 or
        than half of the subjects, no such positive class or one of several, an order that is not that of the values.
    """
    columns, report = {}, []
    for name in sorted(specs):
        column = str(specs[name].get("column", name))
        meaning = (meanings or {}).get(column, Column({}))
        values, about = _target(frame, name, specs[name], outlier_sd, meaning.levels)
        columns[name] = values
        labels = tuple(meaning.levels.get(value, "") for value in about.classes)
        report.append(replace(about, labels=labels if any(labels) else (), units=meaning.units))
    return pd.DataFrame(columns, index=frame.index, dtype=np.float64), tuple(report)


def read_confounds(
    frame: pd.DataFrame,
    columns: Sequence[str],
    *,
    categorical: Collection[str] = (),
    outlier_sd: float | None = None,
    persons: pd.Series[Any] | None = None,
    what: str = "confound",
) -> tuple[pd.DataFrame, tuple[Dropped, ...]]:
    """Turn columns into confounds, or into other covariates.

    Parameters
    ----------
    frame : DataFrame
        From `read_table`.
    columns : names
    categorical : names of columns whose numbers are only codes
    outlier_sd : float, optional
        See `read_targets`; numbers only.
    persons : Series of text, indexed as `frame`, optional
        Whose row each is, where people have several.
    what : str
        What messages and reasons call them.

    Returns
    -------
    confounds : DataFrame of float64, in the order of `columns`, of the subjects without a missing or outlying one
        Numbers as they are; text as one column a level but the first in sort order, named "column=level".
    dropped : tuple of Dropped
        The other subjects.

    Raises
    ------
    InputError
        Absent column, text or an infinite value among numbers, decimal commas, a column that does not vary, categories
        in which nearly everybody differs, no subject left.
    """
    for name in [*columns, *categorical]:
        _column(frame, name, what)
    numbers = {name: _numbers(frame, frame[name], what) for name in columns if name not in categorical}
    reasons = pd.Series("", index=frame.index, dtype=object)
    for name in columns:
        found = numbers.get(name)
        gaps = frame[name].isna()
        reasons = reasons.mask(gaps & (reasons == ""), f"missing {what}: {name}")
        if found is not None and outlier_sd is not None:
            for subject in found.index[_far(found.to_numpy(), outlier_sd)[0] & (reasons == "")]:
                reasons.loc[subject] = f"{OUTLYING} {what}: {name} is {found[subject]:g}"
    dropped = tuple(
        Dropped(str(subject), reason, _where(frame)) for subject, reason in reasons[reasons != ""].sort_index().items()
    )
    kept = frame[reasons == ""]
    if kept.empty:
        raise InputError(f"{_where(frame)}: no subject has all {what}s {list(columns)}")
    out = pd.DataFrame(index=kept.index)
    for name in columns:
        if kept[name].nunique() < 2:
            raise InputError(f"{_where(frame)}: {what} {name!r}: constant, every value is {str(kept[name].iloc[0])!r}")
        found = numbers.get(name)
        whose = None if persons is None else persons[kept.index]
        coded = _one_hot(frame, kept[name], whose, what) if found is None else found[kept.index].rename(name)
        out = pd.concat([out, coded], axis=1)
    return out.astype(np.float64), dropped


def read_strata(frame: pd.DataFrame, column: str) -> pd.Series[Any]:
    """Read what is spread evenly over the folds: numbers or categories, missing ones as they are.

    Raises
    ------
    InputError
        Absent column, text or an infinite value among numbers, decimal commas.
    """
    values = _column(frame, column, "stratify")
    _numbers(frame, values, "stratify")
    return values


def read_groups(frame: pd.DataFrame, column: str) -> pd.Series[Any]:
    """Read which group (family, site, person) every subject is of, as text.

    Raises
    ------
    InputError
        Absent column, or subjects without a group.
    """
    values = _column(frame, column, "group")
    lacking = [str(subject) for subject in frame.index[values.isna()]]
    if lacking:
        raise InputError(f"{_where(frame)}: column {column!r}: no group for {len(lacking)} subjects: {lacking[:5]}")
    return pd.Series([_text(v) for v in values], index=frame.index, name=column, dtype=object)


def _target(
    frame: pd.DataFrame,
    name: str,
    spec: Mapping[str, Any],
    outlier_sd: float | None,
    levels: Mapping[str, str],
) -> tuple[NDArray[np.float64], TargetReport]:
    for key in sorted(set(spec) - set(_KEYS)):
        raise InputError(f"target {name!r}: {choices(key, _KEYS)}")
    kind, column = str(spec.get("kind", "")), str(spec.get("column", name))
    if kind not in _KINDS:
        raise InputError(f"target {name!r}, kind: {choices(kind, _KINDS)}")
    found = _column(frame, column, f"target {name!r}")
    n_missing, n_outliers, note = int(found.isna().sum()), 0, ""
    classes: tuple[str, ...] = ()
    if n_missing == len(found):
        raise InputError(f"{_where(frame)}: target {name!r}, column {column!r}: all {n_missing} values are missing")
    if kind == "regression":
        values, n_outliers, note = _continuous(frame, found, name, outlier_sd)
    else:
        classes = _classes(f"{_where(frame)}: target {name!r}, column {column!r}", found, spec, levels)
        code = {level: float(number) for number, level in enumerate(classes)}
        values = np.array([np.nan if pd.isna(v) else code[_text(v)] for v in found])
    n_values = int(np.isfinite(values).sum())
    return values, TargetReport(name, kind, column, n_values, n_missing, n_outliers, classes, note)


def _continuous(
    frame: pd.DataFrame, found: pd.Series[Any], name: str, outlier_sd: float | None
) -> tuple[NDArray[np.float64], int, str]:
    where = f"{_where(frame)}: target {name!r}, column {found.name!r}"
    values = _as_floats(found).to_numpy()
    bad = ~np.isfinite(values) & found.notna().to_numpy()
    if bad.any():
        row = int(bad.argmax())
        raise InputError(
            f"{where}, subject {found.index[row]!r} (data row {row + 1}): not a number: {str(found.iloc[row])!r}"
            f"{_hint(found.iloc[row])}"
        )
    if np.nanmax(values) == np.nanmin(values):
        raise InputError(f"{where}: constant, every value is {np.nanmin(values):g}")
    if outlier_sd is None:
        return values, 0, ""
    far, note = _far(values, outlier_sd)
    if far.any():
        whose = ", ".join(f"{found.index[i]} ({values[i]:g})" for i in np.flatnonzero(far)[:5])
        note = f"{int(far.sum())} values more than {outlier_sd:g} robust SD from the median became missing: {whose}"
    return np.where(far, np.nan, values), int(far.sum()), note


def _far(values: NDArray[np.float64], outlier_sd: float) -> tuple[NDArray[np.bool_], str]:
    """Return which values are outliers, and why that cannot be said if it cannot; see `read_targets`."""
    left = ~np.isnan(values)
    coded = left & np.array([_CODE.fullmatch(f"{value:g}") is not None for value in values], dtype=bool)
    others = values[left & ~coded]
    far = np.zeros(len(values), dtype=bool)
    if len(others):
        below = (values < 0) & (others.min() >= 0)
        far = coded & (below | (np.abs(values) > 10 * np.abs(others).max()))
    left &= ~far
    centre = spread = 0.0
    while left.any() and not spread:
        centre = float(np.median(values[left]))
        spread = _MAD * float(np.median(np.abs(values[left] - centre)))
        left &= (values != centre) | (spread > 0)
    if spread:
        # A third that are patients are no outliers among the well.
        spread = max(spread, _DECILES * float(np.ptp(np.quantile(values[left], [0.1, 0.9]))))
    if left.sum() < _FEW:
        return far, f"other outliers than codes cannot be found: fewer than {_FEW} values differ enough"
    return far | (left & (np.abs(values - centre) > outlier_sd * spread)), ""


def _classes(where: str, found: pd.Series[Any], spec: Mapping[str, Any], levels: Mapping[str, str]) -> tuple[str, ...]:
    """Return the values of a column in the order of their numbers."""
    classes, n = _levels(found), int(found.notna().sum())
    if len(classes) < 2:
        raise InputError(f"{where}: constant, only the class {[named_level(value, levels) for value in classes]}")
    if len(classes) > _MOST_CLASSES or (n >= _FEW and len(classes) > max(2, n / 2)):
        raise InputError(
            f"{where}: {len(classes)} classes of {n} subjects, such as {classes[:5]}: is this a number? Then it is of "
            f"kind = 'regression'; classes may be {_MOST_CLASSES} at most, and half as many as subjects"
        )
    if spec["kind"] == "ordinal":
        return _ordered(where, classes, spec.get("order"))
    positive = spec.get("positive")
    if positive is None:
        return tuple(classes)
    if len(classes) > 2:
        raise InputError(f"{where}: positive = {positive!r} goes with two classes; there are {len(classes)}: {classes}")
    one = _text(positive)
    if one not in classes:
        raise InputError(f"{where}, positive: {choices(one, classes)}")
    return (classes[0], one) if one == classes[1] else (classes[1], one)


def _ordered(where: str, classes: list[str], order: Sequence[Any] | None) -> tuple[str, ...]:
    """Return the values of an ordinal column from the lowest."""
    if order is None:
        try:
            return tuple(sorted(classes, key=float))
        except ValueError:
            raise InputError(
                f"{where}: the values are text, {classes}, which says nothing of their order: order = [...] must have "
                "them from the lowest"
            ) from None
    levels = [_text(one) for one in order]
    for one in levels:
        if one not in classes:
            raise InputError(f"{where}, order: {choices(one, classes)}")
    if lacking := [one for one in classes if one not in levels]:
        raise InputError(f"{where}, order: {levels} lacks {lacking}")
    if len(set(levels)) < len(levels):
        raise InputError(f"{where}, order: {levels} names a value twice")
    return tuple(levels)


def _as_floats(found: pd.Series[Any]) -> pd.Series[Any]:
    """Numbers of a column; NaN where it has none. Infinite ones stay."""
    numbers = pd.to_numeric(found, errors="coerce")
    return pd.Series(numbers.to_numpy(dtype=np.float64, na_value=np.nan), index=found.index, name=found.name)


def _numbers(frame: pd.DataFrame, found: pd.Series[Any], what: str) -> pd.Series[Any] | None:
    """Return a column as numbers, NaN where it is missing; None if it is text."""
    where = f"{_where(frame)}: {what} {found.name!r}"
    numbers = _as_floats(found)
    odd = {
        "text among numbers": numbers.isna() & found.notna() & bool(numbers.notna().any()),
        "a number with a decimal comma": found.map(lambda value: bool(_hint(value))),
        "not a finite number": np.isinf(numbers),
    }
    for why, wrong in odd.items():
        if wrong.any():
            subject, value = found.index[wrong][0], found[wrong].iloc[0]
            raise InputError(f"{where}, subject {subject!r}: {why}: {str(value)!r}{_hint(value)}")
    return None if numbers.isna().all() and found.notna().any() else numbers


def _hint(value: Any) -> str:
    comma = isinstance(value, str) and _COMMA.fullmatch(value)
    return "; write numbers with a decimal point" if comma else ""


def _one_hot(frame: pd.DataFrame, found: pd.Series[Any], persons: pd.Series[Any] | None, what: str) -> pd.DataFrame:
    levels, n = _levels(found), len(found) if persons is None else persons.nunique()
    if n >= _FEW and len(levels) > n / 2:
        raise InputError(
            f"{_where(frame)}: {what} {found.name!r}: {len(levels)} categories of {n} subjects, such as "
            f"{levels[:3]}: a category for nearly everybody leaves nothing of the regions; leave it out, or make a "
            "number of it (of a date, days since the first)"
        )
    texts = np.array([_text(v) for v in found], dtype=object)
    coded = {f"{found.name}={level}": (texts == level).astype(np.float64) for level in levels[1:]}
    return pd.DataFrame(coded, index=found.index)


def _levels(found: pd.Series[Any]) -> list[str]:
    values = {_text(v) for v in found if not pd.isna(v)}
    try:
        return sorted(values, key=float)
    except ValueError:
        return sorted(values)


def _text(value: Any) -> str:
    """Write a class: 1 and 1.0 are the same, since one missing value turns a column of integers to floats."""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return str(value).strip()


def _column(frame: pd.DataFrame, column: str, what: str) -> pd.Series[Any]:
    if column not in frame.columns:
        raise InputError(f"{_where(frame)}: {what}: no such column: {choices(column, map(str, frame.columns))}")
    return frame[column]


def _where(frame: pd.DataFrame) -> str:
    return str(frame.attrs.get("path", "table"))

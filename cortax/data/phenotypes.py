"""The table of phenotypes: targets to predict, confounds to remove, groups to keep together."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from cortax.data.dropped import Dropped
from cortax.data.textfiles import read_columns, row_ids
from cortax.errors import InputError, choices

__all__ = ["TargetReport", "expand_sessions", "read_confounds", "read_groups", "read_table", "read_targets"]

_KINDS = ("classification", "regression")


@dataclass(frozen=True)
class TargetReport:
    """What became of one target's column.

    `n_values` subjects have a value, `n_missing` had none, `n_outliers` lost theirs. `classes` are the column's
    values coded 0 and 1, empty for regression.
    """

    name: str
    kind: str
    column: str
    n_values: int
    n_missing: int
    n_outliers: int
    classes: tuple[str, ...] = ()


def read_table(
    path: Path | str, id_columns: Sequence[str] = ("participant_id",), *, id_prefix: str = ""
) -> pd.DataFrame:
    """Read a CSV, TSV or Parquet table.

    Parameters
    ----------
    path : path
    id_columns : names of the identifier columns
        Read as text ("001" stays "001"); several are joined with "_".
    id_prefix : str
        Taken off the front of identifiers that have it: "sub-".

    Returns
    -------
    DataFrame
        Rows in the file's order, indexed by subject; n/a, NaN and empty cells are missing.

    Raises
    ------
    InputError
        Missing or damaged file, not UTF-8, absent identifier column, empty or repeated identifiers, repeated
        columns, rows of another length than the header, no rows.
    """
    path = Path(path)
    frame = read_columns(path, id_columns)
    frame.index = pd.Index(row_ids(path, frame, id_columns, id_prefix), name="subject", dtype=object)
    frame.attrs["path"] = str(path)
    return frame


def expand_sessions(frame: pd.DataFrame, sessions: Sequence[str]) -> pd.DataFrame:
    """Repeat every row once a session, as subject "id_session", for regions that were read with `sessions`.

    Columns "subject" and "session" are added: the first is the group that keeps a person's sessions together.
    """
    for name in ("subject", "session"):
        if name in frame.columns:
            raise InputError(f"{_where(frame)}: it already has a column {name!r}")
    parts = [frame.assign(subject=frame.index, session=session) for session in sessions]
    out = pd.concat(parts).set_axis([f"{s}_{session}" for session in sessions for s in frame.index], axis=0)
    out.index.name = "subject"
    out.attrs = dict(frame.attrs)
    return out


def read_targets(
    frame: pd.DataFrame, specs: Mapping[str, Mapping[str, Any]], *, outlier_sd: float | None = None
) -> tuple[pd.DataFrame, tuple[TargetReport, ...]]:
    """Turn columns into targets.

    Parameters
    ----------
    frame : DataFrame
        From `read_table`.
    specs : dict of target name -> {"kind", "column", "positive"}
        kind is "regression" or "classification"; column is the target's name by default; positive is the value
        that becomes 1, by default the last in sort order (numbers sort as numbers).
    outlier_sd : float, optional
        A regression value more than so many standard deviations from the mean becomes missing.

    Returns
    -------
    targets : DataFrame of float64, a column a target (sorted), indexed as `frame`
        NaN where missing; classes are 0 and 1.
    report : tuple of TargetReport, in the order of the columns

    Raises
    ------
    InputError
        Absent column, no values, constant, text in a regression target, not two classes, no such positive class.
    """
    columns, report = {}, []
    for name in sorted(specs):
        values, about = _target(frame, name, specs[name], outlier_sd)
        columns[name] = values
        report.append(about)
    return pd.DataFrame(columns, index=frame.index, dtype=np.float64), tuple(report)


def read_confounds(
    frame: pd.DataFrame, columns: Sequence[str], *, categorical: Collection[str] = ()
) -> tuple[pd.DataFrame, tuple[Dropped, ...]]:
    """Turn columns into confounds.

    Parameters
    ----------
    frame : DataFrame
        From `read_table`.
    columns : names
    categorical : names of columns whose numbers are only codes

    Returns
    -------
    confounds : DataFrame of float64, in the order of `columns`, of the subjects without a missing one
        Numbers as they are; text as one column a level but the first in sort order, named "column=level".
    dropped : tuple of Dropped
        The other subjects.

    Raises
    ------
    InputError
        Absent column, text among numbers, a column that does not vary, no subject left.
    """
    for name in [*columns, *categorical]:
        _column(frame, name, "confound")
    lacking = frame[list(columns)].isna()
    gaps = lacking.any(axis=1)
    dropped = tuple(
        Dropped(str(subject), f"missing confound: {lacking.columns[int(row.to_numpy().argmax())]}", _where(frame))
        for subject, row in lacking[gaps].sort_index().iterrows()
    )
    kept = frame[~gaps]
    if kept.empty:
        raise InputError(f"{_where(frame)}: no subject has all confounds {list(columns)}")
    out = pd.DataFrame(index=kept.index)
    for name in columns:
        coded = _one_hot(frame, kept[name], name in categorical)
        out = pd.concat([out, coded], axis=1)
    return out.astype(np.float64), dropped


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
    frame: pd.DataFrame, name: str, spec: Mapping[str, Any], outlier_sd: float | None
) -> tuple[NDArray[np.float64], TargetReport]:
    for key in sorted(set(spec) - {"kind", "column", "positive"}):
        raise InputError(f"target {name!r}: {choices(key, ('kind', 'column', 'positive'))}")
    kind, column = str(spec.get("kind", "")), str(spec.get("column", name))
    if kind not in _KINDS:
        raise InputError(f"target {name!r}, kind: {choices(kind, _KINDS)}")
    found = _column(frame, column, f"target {name!r}")
    n_missing, n_outliers = int(found.isna().sum()), 0
    classes: tuple[str, ...] = ()
    if n_missing == len(found):
        raise InputError(f"{_where(frame)}: target {name!r}, column {column!r}: all {n_missing} values are missing")
    if kind == "regression":
        values, n_outliers = _continuous(frame, found, name, outlier_sd)
    else:
        values, classes = _binary(frame, found, name, spec.get("positive"))
    n_values = int(np.isfinite(values).sum())
    return values, TargetReport(name, kind, column, n_values, n_missing, n_outliers, classes)


def _continuous(
    frame: pd.DataFrame, found: pd.Series[Any], name: str, outlier_sd: float | None
) -> tuple[NDArray[np.float64], int]:
    where = f"{_where(frame)}: target {name!r}, column {found.name!r}"
    values = pd.to_numeric(found, errors="coerce").to_numpy(dtype=np.float64, na_value=np.nan)
    bad = ~np.isfinite(values) & found.notna().to_numpy()
    if bad.any():
        row = int(bad.argmax())
        raise InputError(
            f"{where}, subject {found.index[row]!r} (data row {row + 1}): not a number: {str(found.iloc[row])!r}"
        )
    if np.nanmax(values) == np.nanmin(values):
        raise InputError(f"{where}: constant, every value is {np.nanmin(values):g}")
    if outlier_sd is None:
        return values, 0
    far = np.abs(values - np.nanmean(values)) > outlier_sd * np.nanstd(values)
    return np.where(far, np.nan, values), int(far.sum())


def _binary(
    frame: pd.DataFrame, found: pd.Series[Any], name: str, positive: Any
) -> tuple[NDArray[np.float64], tuple[str, str]]:
    where = f"{_where(frame)}: target {name!r}, column {found.name!r}"
    classes = _levels(found)
    if len(classes) != 2:
        what = "constant, only the class" if len(classes) == 1 else f"{len(classes)} classes where two are needed:"
        raise InputError(f"{where}: {what} {classes[:10]}")
    one = classes[1] if positive is None else _text(positive)
    if one not in classes:
        raise InputError(f"{where}, positive: {choices(one, classes)}")
    zero = classes[0] if one == classes[1] else classes[1]
    code = {zero: 0.0, one: 1.0}
    return np.array([np.nan if pd.isna(v) else code[_text(v)] for v in found]), (zero, one)


def _one_hot(frame: pd.DataFrame, found: pd.Series[Any], categorical: bool) -> pd.DataFrame:
    where = f"{_where(frame)}: confound {found.name!r}"
    numbers = pd.to_numeric(found, errors="coerce")
    if found.nunique() < 2:
        raise InputError(f"{where}: constant, every value is {str(found.iloc[0])!r}")
    if numbers.notna().all() and not categorical:
        return pd.DataFrame({str(found.name): numbers.astype(np.float64)})
    if numbers.notna().any() and not categorical:
        row = int(numbers.isna().to_numpy().argmax())
        raise InputError(f"{where}, subject {found.index[row]!r}: text among numbers: {str(found.iloc[row])!r}")
    texts = np.array([_text(v) for v in found], dtype=object)
    levels = {f"{found.name}={level}": (texts == level).astype(np.float64) for level in _levels(found)[1:]}
    return pd.DataFrame(levels, index=found.index)


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

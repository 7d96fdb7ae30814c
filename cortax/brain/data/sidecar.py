"""The JSON file beside a TSV table that says, as BIDS has it, what its columns mean: levels, units, missing codes."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd

from cortax.brain.data.people_files import sidecar_of
from cortax.data.textfiles import as_text, is_missing, read_text, tidy_column
from cortax.errors import InputError, choices

__all__ = ["Column", "check_levels", "mask_missing", "named_level", "read_sidecar"]

# Descriptions of a level that make its code a missing value. BIDS has no key for that; "none" may be a true answer.
_GAPS = frozenset(
    "n/a|na|nan|missing|missing value|missing values|missing data|not available|not applicable".split("|")
)


@dataclass(frozen=True)
class Column:
    """What a sidecar says of one column.

    Attributes
    ----------
    levels : dict of value as text to its name
        Without those that stand for a missing value; empty where values are not listed. A number or truth value is
        written as tables are read: 1 for "1.0" and "01".
    missing : frozenset of str
        Values that stand for a missing one.
    units : str
    source : str
        The sidecar, for messages.
    """

    levels: Mapping[str, str]
    missing: frozenset[str] = frozenset()
    units: str = ""
    source: str = ""


def read_sidecar(path: Path) -> dict[str, Column]:
    """Read what the sidecar of a table says of its columns.

    A level is a missing value if its description is `n/a`, `missing`, `not available` or `not applicable`, whatever
    the capitals, or if its code always is one.

    Parameters
    ----------
    path : path
        Of the table; see `sidecar_of`.

    Returns
    -------
    dict of column to Column
        Empty where there is no sidecar.

    Raises
    ------
    InputError
        The sidecar is no JSON object, or `Levels` or `Units` are not as BIDS has them; the message names the column.
    """
    if (file := sidecar_of(path)) is None:
        return {}
    try:
        content = json.loads(read_text(file, "sidecar"))
    except ValueError as error:
        raise InputError(f"{file}: not valid JSON: {error}") from error
    if not isinstance(content, dict):
        raise InputError(f"{file}: a JSON object of columns is needed, found {type(content).__name__}")
    return {str(name): _column(file, name, about) for name, about in content.items() if isinstance(about, dict)}


def _column(file: Path, name: str, about: Mapping[str, Any]) -> Column:
    levels, units = about.get("Levels") or {}, about.get("Units") or ""
    if not isinstance(levels, dict):
        raise InputError(f"{file}: column {name!r}: Levels must be an object of values and names, got {levels!r:.80}")
    if not isinstance(units, str):
        raise InputError(f"{file}: column {name!r}: Units must be text, got {units!r:.80}")
    named = {str(value).strip(): _description(told) for value, told in levels.items()}
    gaps = {value for value, told in named.items() if told.casefold() in _GAPS or is_missing(value)}
    values = [value for value in named if value not in gaps]
    levels = {text: named[value] for value, text in zip(values, _as_read(values), strict=True)}
    return Column(levels, frozenset(gaps), units.strip(), str(file))


def _as_read(values: list[str]) -> list[str]:
    """Write the values of a column as texts of what a table of them is read as: 01 is a number if all are."""
    if {value.casefold() for value in values} <= {"true", "false"}:
        return [value.capitalize() for value in values]
    numbers = pd.to_numeric(pd.Series(values, dtype=object), errors="coerce")
    written = [as_text(number) for number in numbers.astype(float)]
    # Of two levels that are one number, such as 1 and 01, neither is touched.
    return written if numbers.notna().all() and len(set(written)) == len(written) else values


def _description(told: Any) -> str:
    """The name of a level: a text, or an object that has one."""
    if isinstance(told, dict):
        told = told.get("Description", "")
    return str(told).strip()


def mask_missing(frame: pd.DataFrame, columns: Mapping[str, Column], keep: Iterable[str]) -> None:
    """Make the missing codes of every column NaN, in place, but in the columns of identifiers (`keep`)."""
    for name, about in columns.items():
        if name in frame and about.missing and name not in keep:
            frame[name] = tidy_column(frame[name], sorted(about.missing))


def check_levels(column: pd.Series[Any], about: Column, where: str, rows: Mapping[str, int]) -> None:
    """Make sure that every value of a column is one of its levels, where the sidecar lists them.

    Parameters
    ----------
    column : Series indexed by subject
    about : Column
    where : str
        The table, for messages.
    rows : mapping of subject to the number of its row in the table, from 1

    Raises
    ------
    InputError
        A value is not; the message has it, its subject, row and column.
    """
    if not about.levels:
        return
    for subject, value in column.items():
        if not pd.isna(value) and as_text(value) not in about.levels:
            place = f"{where}: column {column.name!r}, subject {subject!r}, data row {rows[str(subject)]}"
            raise InputError(
                f"{place}: not among the Levels of {about.source}: {choices(as_text(value), about.levels)}"
            )


def named_level(value: str, levels: Mapping[str, str]) -> str:
    """Return a value with the name of its level: `1 (male)`."""
    name = levels.get(value, "")
    return f"{value} ({name})" if name and name != value else value

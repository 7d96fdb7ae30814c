"""Tables as people want them: sorted by a column, and written to CSV, Parquet or LaTeX."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from cortax.errors import ProjectError, StudyError, choices
from cortax.store import replacing

__all__ = ["plain_cells", "sort_table", "write_table"]


def sort_table(table: pd.DataFrame, keys: Sequence[str]) -> pd.DataFrame:
    """Sort rows by columns, the first counts most; rows that are equal in all of them keep their order.

    Parameters
    ----------
    table : DataFrame
    keys : sequence of str
        Names of columns, with a minus before them to have the largest first. NaN is last either way.

    Raises
    ------
    StudyError
        The table has no such column.
    """
    names = [key.removeprefix("-") for key in keys]
    for name in names:
        if name not in table:
            raise StudyError(f"--sort {name!r}: {choices(name, map(str, table.columns))}")
    if not names:
        return table
    rising = [not key.startswith("-") for key in keys]
    # Sorting by several columns is not stable unless their order is made a part of it.
    place = "order of before"
    numbered = table.assign(**{place: range(len(table))})
    found = numbered.sort_values([*names, place], ascending=[*rising, True], na_position="last")
    return found.drop(columns=place).reset_index(drop=True)


def write_table(table: pd.DataFrame, path: Path) -> None:
    """Write a table whole, or not at all; the file's ending says how.

    Parameters
    ----------
    table : DataFrame
    path : Path
        `.csv` and `.parquet` hold every digit, `.tex` three after the point, for the package booktabs. In `.csv`, text
        that a spreadsheet would take for a formula has an apostrophe before it.

    Raises
    ------
    ProjectError
        Another ending, or the file cannot be written.
    """
    if path.suffix not in _WRITERS:
        raise ProjectError(f"--to {path}: ending {choices(path.suffix, _WRITERS)}")
    try:
        with replacing(path) as temporary:
            _WRITERS[path.suffix](table, temporary)
    except OSError as error:
        raise ProjectError(f"--to {path}: cannot be written ({error.strerror or error})") from error


def plain_cells(table: pd.DataFrame) -> pd.DataFrame:
    """Put an apostrophe before text that a spreadsheet would take for a formula."""
    return table.rename(columns=_plain).map(_plain)


def _plain(value: Any) -> Any:
    return f"'{value}" if isinstance(value, str) and value.startswith(("=", "+", "-", "@", "\t", "\r")) else value


def _csv(table: pd.DataFrame, path: Path) -> None:
    plain_cells(table).to_csv(path, index=False)


def _parquet(table: pd.DataFrame, path: Path) -> None:
    table.to_parquet(path, index=False)


def _latex(table: pd.DataFrame, path: Path) -> None:
    style = table.reset_index(drop=True).style.hide(axis="index").format(precision=3, escape="latex", na_rep="--")
    text = style.format_index(escape="latex", axis="columns").to_latex(hrules=True)
    path.write_text(text, encoding="utf-8")


_WRITERS: dict[str, Callable[[pd.DataFrame, Path], None]] = {".csv": _csv, ".parquet": _parquet, ".tex": _latex}

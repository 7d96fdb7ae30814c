"""Reading a CSV, TSV or Parquet table with its identifiers as text, and saying exactly what is wrong with it."""

from __future__ import annotations

import csv
import io
from collections import Counter
from collections.abc import Collection, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow.parquet

from cortax.data.files import DamagedFileError, ends_with, opened
from cortax.errors import InputError, choices

__all__ = ["MISSING", "column_names", "read_columns", "row_ids"]

# BIDS writes n/a; the others are what spreadsheets and R leave behind.
MISSING = ("", "n/a", "N/A", "NA", "NaN", "nan")
_SEPARATORS = {".csv": ",", ".tsv": "\t", ".txt": "\t"}


def column_names(path: Path) -> tuple[str, ...]:
    """Read the header as it is: stripped of blanks, duplicates and all.

    Raises
    ------
    InputError
        Missing, empty, of an unknown format, not UTF-8.
    """
    with opened(path, "table"):
        if _is_parquet(path):
            return tuple(pyarrow.parquet.read_schema(path).names)
        return _header(_decode(path), _separator(path))


def read_columns(path: Path, id_columns: Collection[str], wanted: Collection[str] | None = None) -> pd.DataFrame:
    """Read some columns, `id_columns` among them as text, in the file's order.

    Parameters
    ----------
    path : path
        .csv, .tsv, .txt (tab-separated) or .parquet.
    id_columns : names of columns that are never taken for numbers
    wanted : names of the others, default all

    Returns
    -------
    DataFrame
        Row numbers from 1 as index: they are the ones in messages. Missing values are NaN.

    Raises
    ------
    InputError
        As `column_names`; an absent or repeated column, a row with too many or too few cells, no rows.
    """
    header = column_names(path)
    for name in id_columns:
        if name not in header:
            raise InputError(f"{path}: no such identifier column: {choices(name, header)}")
    columns = [name for name in header if wanted is None or name in id_columns or name in wanted]
    twice = [name for name, n in Counter(columns).items() if n > 1]
    if twice:
        raise InputError(f"{path}: columns that occur more than once: {twice[:5]}")
    with opened(path, "table"):
        if _is_parquet(path):
            frame = pd.read_parquet(path, columns=columns)
        else:
            frame = _parse(path, header, columns, id_columns)
    if frame.empty:
        raise InputError(f"{path}: no rows")
    frame.index = pd.RangeIndex(1, len(frame) + 1, name="row")
    return frame


def row_ids(path: Path, frame: pd.DataFrame, id_columns: Sequence[str], id_prefix: str) -> list[str]:
    """Join the identifier columns of every row with "_"; the first loses `id_prefix` where it has it.

    Raises
    ------
    InputError
        Empty identifiers (rows are named) or repeated ones.
    """
    if not id_columns:
        raise InputError(f"{path}: at least one identifier column is needed")
    parts = [[_text(value) for value in frame[name]] for name in id_columns]
    parts[0] = [text.removeprefix(id_prefix) for text in parts[0]]
    for name, texts in zip(id_columns, parts, strict=True):
        empty = [row for row, text in zip(frame.index, texts, strict=True) if not text]
        if empty:
            raise InputError(f"{path}: column {name!r} has no identifier in data rows {empty[:5]} ({len(empty)} rows)")
    ids = ["_".join(row) for row in zip(*parts, strict=True)]
    twice = sorted(name for name, n in Counter(ids).items() if n > 1)
    if twice:
        raise InputError(f"{path}: identifiers that occur more than once: {twice[:5]} ({len(twice)} of them)")
    return ids


def _is_parquet(path: Path) -> bool:
    return ends_with(path, ".parquet", ".pq")


def _separator(path: Path) -> str:
    if path.suffix.lower() not in _SEPARATORS:
        raise InputError(f"{path}: format of a table: {choices(path.suffix, [*_SEPARATORS, '.parquet'])}")
    return _SEPARATORS[path.suffix.lower()]


def _decode(path: Path) -> str:
    data = path.read_bytes()
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        reason = f"not UTF-8: byte {data[error.start]:#04x} at offset {error.start}, line {line}"
        raise DamagedFileError(path, reason) from error


def _header(text: str, separator: str) -> tuple[str, ...]:
    return tuple(name.strip() for name in next(csv.reader(io.StringIO(text), delimiter=separator), []))


def _parse(path: Path, header: Sequence[str], columns: Sequence[str], id_columns: Collection[str]) -> pd.DataFrame:
    text, separator = _decode(path), _separator(path)
    rows = csv.reader(io.StringIO(text, newline=""), delimiter=separator)
    for cells in rows:
        # pandas would fill a short row with NaN and shift a long one.
        if cells and len(cells) != len(header):
            raise InputError(f"{path}: line {rows.line_num} has {len(cells)} cells, the header has {len(header)}")
    where = [i for i, name in enumerate(header) if name in columns]
    frame = pd.read_csv(
        io.StringIO(text),
        sep=separator,
        header=0,
        names=list(range(len(header))),
        usecols=where,
        dtype={i: str for i in where if header[i] in id_columns},
        keep_default_na=False,
        na_values=list(MISSING),
        low_memory=False,
        index_col=False,
    )
    return frame.set_axis([header[i] for i in where], axis=1)


def _text(value: Any) -> str:
    """Write an identifier; a whole number that was stored as float loses its point."""
    if pd.isna(value):
        return ""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return str(value).strip()

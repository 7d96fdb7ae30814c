"""Reading a CSV, TSV or Parquet table with its identifiers as text, and saying exactly what is wrong with it.

One reader for all of cortax: what separates cells, what quotation marks mean and which words stand for a missing value
is the same wherever a table comes from.
"""

from __future__ import annotations

import csv
import io
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow.parquet

from cortax.data.files import DamagedFileError, ends_with, file_bytes, opened
from cortax.errors import InputError, choices

__all__ = [
    "MISSING",
    "Codes",
    "as_text",
    "column_names",
    "identifier_parts",
    "is_missing",
    "joined_ids",
    "read_columns",
    "read_rows",
    "read_text",
    "row_ids",
    "tidy_column",
]

Codes = Sequence[float | str]

# In small letters; capitals do not matter. BIDS writes n/a, R NA, databases NULL, SAS and SPSS a point, Python None.
MISSING = frozenset(
    "|n/a|na|nan|-nan|nat|null|none|<na>|.|-|--|?|#n/a|#n/a n/a|#na|1.#ind|-1.#ind|1.#qnan|-1.#qnan".split("|")
)
_SPELLINGS = ["NaN", "-NaN", *{spelt for word in MISSING for spelt in (word, word.upper(), word.capitalize())}]
# As a name such a mark is one like any: of an identifier only words and nothing at all are missing.
_NO_NAME = MISSING - {".", "-", "--", "?"}
_SEPARATORS = {".csv": ",", ".tsv": "\t", ".txt": "\t"}
# Between cells once quotation marks are read: no cell holds it.
_UNIT = "\x1f"


def is_missing(text: str) -> bool:
    """Say whether a cell's text stands for a missing value."""
    return text.strip().casefold() in MISSING


def read_text(path: Path, what: str = "table") -> str:
    """Read a text file, without byte order marks, wherever they stand, and with a line feed at the end of every line.

    Raises
    ------
    DamagedFileError
        Missing, empty or not UTF-8; the message names the line.
    """
    with opened(path, what):
        data = file_bytes(path)
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        line = data[: error.start].count(b"\n") + 1
        hint = "; it looks like UTF-16, save it as UTF-8" if data[:2] in (b"\xff\xfe", b"\xfe\xff") else ""
        reason = f"not UTF-8: byte {data[error.start]:#04x} at offset {error.start}, line {line}{hint}"
        raise DamagedFileError(path, reason) from error
    return text.replace("\ufeff", "").replace("\r\n", "\n").replace("\r", "\n")


def read_rows(path: Path, separator: str | None = None) -> list[tuple[int, list[str]]]:
    """Read the cells of every line that has any content, stripped of blanks, with the line's number from 1.

    Parameters
    ----------
    path : path
    separator : str, optional
        By default what the file's ending says.

    Raises
    ------
    InputError
        See `read_columns`.
    """
    lines = _lines(path, separator or _separator(path))
    return [(number, [cell.strip() for cell in line.split(_UNIT)]) for number, line in lines]


def column_names(path: Path) -> tuple[str, ...]:
    """Read the header as it is, stripped of blanks, duplicates and all; nameless columns at its end are left out.

    Of a Parquet file that pandas wrote with an index, this comes first, "" if it has no name.

    Raises
    ------
    InputError
        Missing, empty, of an unknown format, not UTF-8.
    """
    if _is_parquet(path):
        with opened(path, "table"):
            return tuple(_clean(name) for name in _stored_names(path))
    separator = _separator(path)
    # Only the header is looked at: a marked cell further down is told of when the rows are read.
    first = read_text(path).lstrip("\n").split("\n", 1)[0]
    return _header(path, _joined(path, 1, first, separator), separator)


def read_columns(
    path: Path, id_columns: Collection[str], wanted: Collection[str] | None = None, *, missing: Codes = ()
) -> pd.DataFrame:
    """Read some columns, `id_columns` among them as text, in the file's order.

    Parameters
    ----------
    path : path
        .csv, .tsv, .txt (tab-separated) or .parquet, where an index counts as columns. Quotation marks are those of
        CSV in .csv; elsewhere they only count around a whole cell. Lines without any content are read over.
    id_columns : names of columns that are never taken for numbers
    wanted : names of the others, default all that have a name
    missing : numbers or texts
        What stands for a missing value beside `MISSING`, in all columns but `id_columns`.

    Returns
    -------
    DataFrame
        Row numbers from 1 as index: they are the ones in messages. Columns hold numbers, truth values or text (dates
        are text); missing values are NaN.

    Raises
    ------
    InputError
        As `column_names`; an absent or repeated column, a row with too many or too few cells, a quotation mark that is
        not closed on its line, a line break in a cell, content below no name, no rows.
    """
    header = column_names(path)
    for name in id_columns:
        if name not in header:
            raise InputError(f"{path}: no such identifier column: {choices(name, header)}")
    taken = {*id_columns, *(filter(None, header) if wanted is None else wanted)}
    columns = [name for name in header if name in taken]
    twice = [name for name, n in Counter(columns).items() if n > 1]
    if twice:
        raise InputError(f"{path}: columns that occur more than once: {twice[:5]}")
    if _is_parquet(path):
        with opened(path, "table"):
            frame = _read_parquet(path, header, columns)
    else:
        frame = _parse(path, header, columns, id_columns)
    if frame.empty:
        raise InputError(f"{path}: no rows")
    frame.index = pd.RangeIndex(1, len(frame) + 1, name="row")
    codes = _numeric_codes(missing)
    tidy = {
        name: tidy_column(frame[name], missing)
        for name, dtype in zip(columns, frame.dtypes, strict=True)
        if name not in id_columns
        and (not pd.api.types.is_numeric_dtype(dtype) or (codes and frame[name].isin(codes).any()))
    }
    # At once: a column at a time takes the square of their number.
    return pd.DataFrame({name: tidy.get(name, frame[name]) for name in columns}) if tidy else frame


def row_ids(path: Path, frame: pd.DataFrame, id_columns: Sequence[str], id_prefix: str) -> list[str]:
    """Join the identifier columns of every row with "_"; the first loses `id_prefix` where it has it.

    Raises
    ------
    InputError
        Empty identifiers (rows are named) or repeated ones.
    """
    parts = identifier_parts(path, frame, id_columns)
    if id_columns:
        parts[id_columns[0]] = [text.removeprefix(id_prefix) for text in parts[id_columns[0]]]
    return joined_ids(path, parts)


def identifier_parts(path: Path, frame: pd.DataFrame, id_columns: Sequence[str]) -> dict[str, list[str]]:
    """Return the texts of every identifier column.

    Raises
    ------
    InputError
        No column, or empty identifiers; the message names their rows.
    """
    if not id_columns:
        raise InputError(f"{path}: at least one identifier column is needed")
    parts = {name: [as_text(value) for value in frame[name]] for name in id_columns}
    for name, texts in parts.items():
        empty = [row for row, text in zip(frame.index, texts, strict=True) if text.casefold() in _NO_NAME]
        if empty:
            raise InputError(f"{path}: column {name!r} has no identifier in data rows {empty[:5]} ({len(empty)} rows)")
    return parts


def joined_ids(path: Path, parts: Mapping[str, Sequence[str]], hint: str = "") -> list[str]:
    """Join the identifiers of every row with "_".

    Raises
    ------
    InputError
        Some occur more than once; the message ends with `hint`.
    """
    ids = ["_".join(row) for row in zip(*parts.values(), strict=True)]
    twice = sorted(name for name, n in Counter(ids).items() if n > 1)
    if twice:
        raise InputError(f"{path}: identifiers that occur more than once: {twice[:5]} ({len(twice)} of them){hint}")
    return ids


def _is_parquet(path: Path) -> bool:
    return ends_with(path, ".parquet", ".pq")


def _separator(path: Path) -> str:
    if path.suffix.lower() not in _SEPARATORS:
        with opened(path, "table"):
            raise InputError(f"{path}: format of a table: {choices(path.suffix, [*_SEPARATORS, '.parquet'])}")
    return _SEPARATORS[path.suffix.lower()]


def _stored_names(path: Path) -> list[str]:
    """Names of a Parquet file's columns, those of an index first, as in a text file."""
    schema = pyarrow.parquet.read_schema(pyarrow.BufferReader(file_bytes(path)))
    described = (schema.pandas_metadata or {}).get("index_columns", ())
    index = [name for name in described if isinstance(name, str)] + [each["name"] for each in _ranges(schema)]
    return [*index, *(name for name in schema.names if name not in index)]


def _clean(name: str) -> str:
    return "" if name.startswith("__index_level_") else name.replace("\ufeff", "").strip()


def _header(path: Path, line: str, separator: str) -> tuple[str, ...]:
    names = [cell.strip() for cell in line.split(_UNIT)]
    others = {";": "';'", ",": "','", "\t": "a tab"}
    found = next((others[mark] for mark in others if mark != separator and mark in names[0]), None)
    if len(names) == 1 and found:
        needed = others[separator]
        raise InputError(f"{path}: cells of a {path.suffix} file are apart by {needed}; these look apart by {found}")
    while names and not names[-1]:
        names.pop()
    return tuple(names)


def _lines(path: Path, separator: str) -> list[tuple[int, str]]:
    """Lines that have any content, cells apart by `_UNIT` and without the quotation marks around them."""
    lines = enumerate(read_text(path).split("\n"), 1)
    joined = ((number, _joined(path, number, line, separator)) for number, line in lines)
    return [(number, line) for number, line in joined if line.strip(_UNIT + " \t")]


def _joined(path: Path, number: int, line: str, separator: str) -> str:
    if '"' not in line:
        return line.replace(separator, _UNIT)
    try:
        # A record that goes on in the next line has a line break in a cell, or lacks a quotation mark.
        if separator == ",":
            return _UNIT.join(next(csv.reader([line], strict=True)))
        return _UNIT.join(_unquoted(cell) for cell in line.split(separator))
    except csv.Error as error:
        raise InputError(
            f"{path}: line {number}: a quotation mark that is not closed where its cell ends ({error}); a cell must "
            f"not have a line break, and a quotation mark inside of it is written twice: {line[:60]!r}"
        ) from error


def _unquoted(cell: str) -> str:
    """Take quotation marks off that stand around the whole of a cell; others are letters like any."""
    inner = cell.strip()[1:-1]
    quoted = len(cell.strip()) > 1 and cell.strip()[0] == cell.strip()[-1] == '"'
    return inner.replace('""', '"') if quoted and '"' not in inner.replace('""', "") else cell


def _parse(path: Path, header: Sequence[str], columns: Sequence[str], id_columns: Collection[str]) -> pd.DataFrame:
    (_, first), *rows = _lines(path, _separator(path))
    n_cells = first.count(_UNIT) + 1
    for number, line in rows:
        # pandas would fill a short row with NaN and shift a long one.
        if line.count(_UNIT) + 1 != n_cells:
            raise InputError(f"{path}: line {number} has {line.count(_UNIT) + 1} cells, the header has {n_cells}")
        if n_cells > len(header) and (beyond := "".join(line.split(_UNIT)[len(header) :]).strip()):
            raise InputError(f"{path}: line {number}: a cell at its end is below no name: {beyond!r}")
    if not rows:
        return pd.DataFrame()
    taken = set(columns) - set(id_columns)
    where = [i for i, name in enumerate(header) if name in taken]
    frame: pd.DataFrame = pd.read_csv(
        io.StringIO("\n".join(line for _, line in rows)),
        sep=_UNIT,
        header=None,
        names=list(range(n_cells)),
        usecols=where or [0],
        keep_default_na=False,
        na_values=_SPELLINGS,
        low_memory=False,
        index_col=False,
        quoting=csv.QUOTE_NONE,
        skip_blank_lines=False,
    )
    if len(frame) != len(rows):
        raise InputError(f"{path}: {len(frame)} rows were read, the file has {len(rows)} lines below its header")
    values = frame[where].set_axis([header[i] for i in where], axis=1)
    texts = {
        name: [_identifier(line, header.index(name)) for _, line in rows] for name in columns if name in id_columns
    }
    return pd.concat([pd.DataFrame(texts, index=values.index), values], axis=1)[columns] if texts else values


def _identifier(line: str, place: int) -> str | None:
    """A cell as it is: pandas would take 001 for 1, and a mark for nothing."""
    cell = line.split(_UNIT, place + 1)[place]
    return None if cell.strip().casefold() in _NO_NAME else cell


def _read_parquet(path: Path, header: Sequence[str], columns: Sequence[str]) -> pd.DataFrame:
    """Read columns as they are stored: what pandas had as an index is a column like any."""
    stored = dict(zip(header, _stored_names(path), strict=True))
    file = pyarrow.parquet.ParquetFile(pyarrow.BufferReader(file_bytes(path)))
    needed = {stored[name] for name in columns}
    there = [name for name in file.schema_arrow.names if name in needed]
    # A name is also the beginning of others ("a" of "a.b"), which come along.
    frame = file.read(columns=there).to_pandas(ignore_metadata=True)
    ranges = {each["name"]: range(each["start"], each["stop"], each["step"]) for each in _ranges(file.schema_arrow)}
    found = {name: ranges[stored[name]] if stored[name] in ranges else frame[stored[name]] for name in columns}
    return pd.DataFrame(found, index=pd.RangeIndex(file.metadata.num_rows))


def _ranges(schema: Any) -> list[dict[str, Any]]:
    """Indices of numbers in a row that have a name: pandas describes them, and writes none."""
    described = (schema.pandas_metadata or {}).get("index_columns", ())
    return [index for index in described if isinstance(index, dict) and index["name"] is not None]


def tidy_column(column: pd.Series[Any], missing: Codes) -> pd.Series[Any]:
    """Make numbers of a column if all that is not missing in it is one, and else text (or truth values)."""
    if isinstance(column.dtype, pd.CategoricalDtype):
        column = column.astype(object)
    if pd.api.types.is_numeric_dtype(column):  # truth values, too
        codes = [] if pd.api.types.is_bool_dtype(column) else _numeric_codes(missing)
        return column.mask(column.isin(codes)) if codes else column
    known = column.notna()
    values = column[known]
    if len(values) == 0 or all(isinstance(value, bool) for value in values):
        return column.astype(object).where(known, float("nan"))
    if all(isinstance(value, Decimal) for value in values):
        return tidy_column(column.astype(float), missing)
    texts = column.astype(object).where(known, "").map(as_text)
    gaps = texts.map(is_missing) | texts.isin({as_text(code) for code in missing})
    numbers = pd.to_numeric(texts.mask(gaps), errors="coerce")
    if not numbers.isna().equals(gaps):
        return texts.mask(gaps)
    return tidy_column(numbers.astype(float), missing)


def _numeric_codes(missing: Codes) -> list[float]:
    return [float(code) for code in missing if not pd.isna(pd.to_numeric(code, errors="coerce"))]


def as_text(value: Any) -> str:
    """Write a cell or an identifier; a whole number that was stored as float loses its point."""
    if not pd.api.types.is_scalar(value):
        return str(value)
    if pd.isna(value):
        return ""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, bytes):
        value = value.decode(errors="replace")
    return str(value).strip()

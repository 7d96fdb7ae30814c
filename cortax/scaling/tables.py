"""Reading a table of parcellations with their sizes, mean ranks and types, of whatever study."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

from cortax.data.textfiles import read_columns
from cortax.errors import InputError, choices

__all__ = ["COLUMNS", "read_rank_table"]

COLUMNS = ("parcellation", "size", "mean_rank", "type")


def read_rank_table(path: Path) -> pd.DataFrame:
    """Read a table of mean ranks.

    Parameters
    ----------
    path : Path
        CSV, TSV or Parquet with the columns `COLUMNS`; others are ignored.

    Returns
    -------
    DataFrame with `COLUMNS`
        In the file's order; size and mean_rank are float64.

    Raises
    ------
    InputError
        It cannot be read, a column is missing, or a cell is empty, not a number or not positive; the message names
        the data rows.
    """
    table = read_columns(path, ["parcellation", "type"], {"size", "mean_rank"})
    for name in COLUMNS:
        if name not in table:
            raise InputError(f"{path}: no such column: {choices(name, table.columns)}")
    for name in ("parcellation", "type"):
        empty = table[name].isna() | (table[name].astype(str).str.strip() == "")
        _refuse(path, table[name], empty, "must not be empty")
    for name in ("size", "mean_rank"):
        numbers = pd.to_numeric(table[name], errors="coerce").astype("float64")
        _refuse(path, table[name], ~((numbers > 0) & (numbers < np.inf)), "must be positive numbers")
        table[name] = numbers
    return table[list(COLUMNS)]


def _refuse(path: Path, column: pd.Series, wrong: pd.Series, allowed: str) -> None:
    if wrong.any():
        rows = [int(row) for row in wrong.index[wrong][:5]]
        found = [str(value) for value in column[wrong][:5]]
        raise InputError(
            f"{path}: column {column.name!r}: cells {allowed}; data rows {rows} hold {found} ({wrong.sum()} rows)"
        )

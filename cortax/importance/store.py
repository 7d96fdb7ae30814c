"""Importance on disk, cell by cell and whole: arrays as npz without pickles, the rest as JSON and Parquet."""

from __future__ import annotations

import io
import json
import zipfile
from pathlib import Path

import numpy as np
import pandas as pd

from cortax.errors import SearchError
from cortax.importance.cells import CellImportance
from cortax.importance.found import Importance, average

__all__ = ["open_importance", "open_table", "read_importance", "save_importance", "write_importance"]

ARRAYS, ABOUT, TABLE = "importance.npz", "importance.json", "importance.parquet"
_FAILURE = "failure"


def write_importance(cell: CellImportance) -> bytes:
    """Return the bytes of a cell."""
    out = io.BytesIO()
    np.savez(out, allow_pickle=False, **{**cell.values, _FAILURE: np.array(cell.failure)})
    return out.getvalue()


def read_importance(content: bytes) -> CellImportance:
    """Return what `write_importance` wrote.

    Raises
    ------
    SearchError
        It wrote no such thing.
    """
    try:
        with np.load(io.BytesIO(content), allow_pickle=False) as stored:
            arrays = dict(stored)
        return CellImportance(failure=str(arrays.pop(_FAILURE)), values=arrays)
    except (ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        raise SearchError(f"not the bytes of a cell: {error}") from error


def save_importance(folder: str | Path, found: Importance) -> list[str]:
    """Write all folds (`importance.npz`, `importance.json`) and their averages (`importance.parquet`).

    Returns
    -------
    list of str
        Names of the files.
    """
    folder = Path(folder)
    np.savez(folder / ARRAYS, allow_pickle=False, **found.values)
    about = {"columns": found.columns, "failures": found.failures, "targets": found.targets}
    (folder / ABOUT).write_text(json.dumps(about, indent=1, sort_keys=True))
    average(found).to_parquet(folder / TABLE, index=False)
    return [ARRAYS, ABOUT, TABLE]


def open_importance(folder: str | Path) -> Importance:
    """Read what `save_importance` wrote."""
    about = json.loads((Path(folder) / ABOUT).read_text())
    with np.load(Path(folder) / ARRAYS, allow_pickle=False) as stored:
        values = dict(stored)
    return Importance(values, tuple(about["targets"]), tuple(about["columns"]), tuple(about["failures"]))


def open_table(folder: str | Path) -> pd.DataFrame:
    """Read the averages that `save_importance` wrote, see `average`."""
    return pd.read_parquet(Path(folder) / TABLE)

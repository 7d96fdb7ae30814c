"""Columns of a region table that are hardly regions: row numbers, sizes of the brain, the target; and codes in them."""

from __future__ import annotations

import re

import numpy as np
import pandas as pd

from cortax.learning.leakage import find_copies
from cortax.learning.regions import RegionTable

__all__ = ["suspicious_columns"]

# Of fewer rows, whole numbers in a row may be anything.
_FEWEST = 10
_CODES = (-9, -99, -999, -9999)
_WHOLE_BRAIN = re.compile(
    r"(?i).*(^|[^a-z])e?(tiv|icv)([^a-z]|$).*|.*(intra_?cranial|brainseg|supratentorial|whitesurfarea|pialsurfarea|"
    r"mean_?thickness|total_?(gray|grey|white|brain)|(cortex|gray|grey|white|mask|brain)_?(matter)?_?vol(ume)?([^a-z]|$)|"
    r"cerebralwhitematter).*"
)


def suspicious_columns(table: RegionTable, targets: pd.DataFrame) -> list[str]:
    """Say which columns of a table are hardly regions, a sentence each.

    Parameters
    ----------
    table : RegionTable
    targets : DataFrame of float64, a column a target, indexed by subject
        NaN where missing.

    Returns
    -------
    list of str
        Empty if nothing is suspicious.
    """
    shared = [i for i, subject in enumerate(table.subjects) if subject in targets.index]
    values = targets.loc[[table.subjects[i] for i in shared]].to_numpy(np.float64)
    found = find_copies(table.values[shared], values, columns=table.columns, names=list(targets.columns), what="column")
    said = [finding.message for finding in found]
    if whole := [name for name in table.columns if _WHOLE_BRAIN.fullmatch(name)]:
        said.append(f"{_some(whole)}: measures of the whole brain, not of a region")
    if rows := [name for name, column in zip(table.columns, table.values.T, strict=True) if _numbers_rows(column)]:
        said.append(f"{_some(rows)}: numbers of rows")
    if codes := [name for name, column in zip(table.columns, table.values.T, strict=True) if _has_codes(column)]:
        said.append(f"{_some(codes)}: {_CODES} among values that are not negative; say `missing` if that is a code")
    return said


def _has_codes(column: np.ndarray) -> bool:
    coded = np.isin(column, _CODES)
    return bool(coded.any() and not coded.all() and np.nanmin(column[~coded], initial=np.inf) >= 0)


def _numbers_rows(column: np.ndarray) -> bool:
    """Whether values are the whole numbers from one to another, each as often as any (once a file)."""
    if len(column) < _FEWEST or not (column == np.round(column)).all():
        return False
    numbers, counts = np.unique(column, return_counts=True)
    return len(numbers) >= _FEWEST and bool(np.ptp(numbers) == len(numbers) - 1 and np.ptp(counts) == 0)


def _some(names: list[str]) -> str:
    return f"columns {names[:5]}" + (f" and {len(names) - 5} more" if len(names) > 5 else "")

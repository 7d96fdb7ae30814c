"""Region tables that another program made: one row a subject, one column a region and measure."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from cortax.data.regions import Regions
from cortax.data.textfiles import column_names, read_columns, row_ids
from cortax.errors import InputError, choices

__all__ = ["read_region_files", "read_regions"]


def read_regions(
    path: Path | str,
    *,
    id_columns: Sequence[str] = ("participant_id",),
    columns: str | Sequence[str] | None = None,
    drop: str | Sequence[str] = (),
    id_prefix: str = "",
) -> Regions:
    """Read one table.

    Parameters
    ----------
    path : path
        .csv, .tsv or .parquet, with a header.
    id_columns : names of the identifier columns
        Read as text; several are joined with "_".
    columns : regular expression or names, optional
        Which columns are regions: those whose whole name fits, or these (default: all but the identifiers).
    drop : regular expression or names
        Which of them are not.
    id_prefix : str
        Taken off the front of identifiers that have it: "sub-".

    Returns
    -------
    Regions
        Subjects sorted, columns in the file's order; n/a, NaN and empty cells are NaN.

    Raises
    ------
    InputError
        Whatever `cortax.data.textfiles` finds wrong, no column left, an absent column, a cell that is no number.
    """
    path = Path(path)
    header = column_names(path)
    regions = [name for name in _select(path, header, columns) if name not in id_columns]
    dropped = set(_select(path, header, drop)) if drop else set()
    regions = [name for name in regions if name not in dropped]
    if not regions:
        raise InputError(f"{path}: no region column is left of {len(header)} columns, asked for {columns!r}")
    frame = read_columns(path, id_columns, regions)
    ids = row_ids(path, frame, id_columns, id_prefix)
    names = tuple(name for name in frame.columns if name not in id_columns)
    values = np.column_stack([_numbers(path, frame[name]) for name in names])
    order = sorted(range(len(ids)), key=ids.__getitem__)
    return Regions(values[order], tuple(ids[i] for i in order), names)


def read_region_files(
    paths: Sequence[Path | str],
    *,
    sessions: Sequence[str] | None = None,
    id_columns: Sequence[str] = ("participant_id",),
    columns: str | Sequence[str] | None = None,
    drop: str | Sequence[str] = (),
    id_prefix: str = "",
) -> Regions:
    """Read several tables below one another; the other parameters are those of `read_regions`.

    Parameters
    ----------
    paths : sequence of paths
        Tables with the same regions, in any order of columns: the first file's is kept.
    sessions : one name a file, optional
        Appended to the identifiers as "_name", so that a subject may be in every file.

    Raises
    ------
    InputError
        As `read_regions`; other regions than the first file's, a subject in two files.
    """
    if not paths or (sessions is not None and len(sessions) != len(paths)):
        raise InputError(f"{len(paths)} region tables for {len(sessions or ())} sessions")
    tables = [read_regions(p, id_columns=id_columns, columns=columns, drop=drop, id_prefix=id_prefix) for p in paths]
    names = tables[0].columns
    values, subjects = [], dict[str, Path | str]()
    for i, (path, table) in enumerate(zip(paths, tables, strict=True)):
        odd = sorted(set(names) ^ set(table.columns))
        if odd:
            raise InputError(f"{path}: other regions than {paths[0]}: {odd[:5]} ({len(odd)} in only one of them)")
        values.append(table.values[:, [table.columns.index(name) for name in names]])
        for subject in table.subjects:
            subject = f"{subject}_{sessions[i]}" if sessions is not None else subject
            if subject in subjects:
                raise InputError(f"{path}: subject {subject!r} is also in {subjects[subject]}; name the sessions")
            subjects[subject] = path
    ids = list(subjects)
    order = sorted(range(len(ids)), key=ids.__getitem__)
    return Regions(np.concatenate(values)[order], tuple(ids[i] for i in order), names)


def _select(path: Path, header: Collection[str], wanted: str | Sequence[str] | None) -> list[str]:
    if wanted is None:
        return list(header)
    if isinstance(wanted, str):
        try:
            regex = re.compile(wanted)
        except re.error as error:
            raise InputError(f"{path}: {wanted!r} is not a regular expression of columns: {error}") from error
        return [name for name in header if regex.fullmatch(name)]
    for name in wanted:
        if name not in header:
            raise InputError(f"{path}: no such column: {choices(name, header)}")
    return [name for name in header if name in wanted]


def _numbers(path: Path, column: pd.Series[float]) -> NDArray[np.float32]:
    values = pd.to_numeric(column, errors="coerce").to_numpy(dtype=np.float32, na_value=np.nan)
    bad = ~np.isfinite(values) & column.notna().to_numpy()
    if bad.any():
        row = int(bad.argmax())
        where = f"column {column.name!r}, data row {column.index[row]}"
        raise InputError(f"{path}: {where}: not a number: {str(column.iloc[row])!r}")
    return values

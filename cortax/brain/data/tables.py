"""Region tables that another program made: one row a subject, one column a region and measure."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from cortax.brain.data.dropped import Dropped, tally
from cortax.brain.data.images import is_cifti
from cortax.brain.data.name_lists import SubjectList, read_subjects
from cortax.brain.data.parcel_table import read_parcel_table
from cortax.brain.data.rows import NOT_SELECTED, RowRules, choose_rows
from cortax.data.row_filter import parse_condition
from cortax.data.textfiles import Codes, column_names, read_columns
from cortax.errors import InputError, choices
from cortax.learning.regions import RegionTable

__all__ = [
    "RegionRows",
    "leave_out_incomplete",
    "read_region_files",
    "read_region_rows",
    "read_regions",
    "region_rows_of",
]


@dataclass(frozen=True, eq=False)
class RegionRows:
    """Regions of the rows that were selected.

    Attributes
    ----------
    table : RegionTable
    dropped : tuple of Dropped
        Of whom no row was selected, sorted.
    notes : tuple of str
        How many rows were selected, in words.
    """

    table: RegionTable
    dropped: tuple[Dropped, ...] = ()
    notes: tuple[str, ...] = ()


def read_regions(
    path: Path | str,
    *,
    id_columns: Sequence[str] = ("participant_id",),
    columns: str | Sequence[str] | None = None,
    drop: str | Sequence[str] = (),
    id_prefix: str = "",
    missing: Codes = (),
    subjects: SubjectList | None = None,
    where: str = "",
    id_rule: Mapping[str, str] | None = None,
) -> RegionTable:
    """Read one table.

    Parameters
    ----------
    path : path
        .csv, .tsv or .parquet, with a header; or a CIFTI-2 file of parcels (pscalar, ptseries), which are the columns.
    id_columns : names of the identifier columns
        Read as text; several are joined with "_".
    columns : regular expression or names, optional
        Which columns are regions: those whose whole name fits, or these (default: all that have a name, but the
        identifiers and the columns that `where` names).
    drop : regular expression or names
        Which of them are not.
    id_prefix, missing, where, id_rule
        See `cortax.brain.data.rows.RowRules`.
    subjects : SubjectList, optional
        Who the rows of a CIFTI-2 file are; by default its maps are called as they.

    Returns
    -------
    RegionTable
        Subjects sorted, columns in the file's order; missing cells are NaN.

    Raises
    ------
    InputError
        Whatever `cortax.brain.data.rows` finds wrong, no column left, an absent column, a cell that is no number.
    """
    rules = RowRules(id_columns, id_prefix, id_rule, where, missing)
    return _read(Path(path), rules, columns, drop, subjects).table


def read_region_files(paths: Sequence[Path | str], **how: Any) -> RegionTable:
    """Read the regions of several tables, see `read_region_rows`."""
    return read_region_rows(paths, **how).table


def read_region_rows(
    paths: Sequence[Path | str],
    *,
    sessions: Sequence[str] | None = None,
    id_columns: Sequence[str] = ("participant_id",),
    columns: str | Sequence[str] | None = None,
    drop: str | Sequence[str] = (),
    id_prefix: str = "",
    missing: Codes = (),
    where: str = "",
    id_rule: Mapping[str, str] | None = None,
    subjects: SubjectList | None = None,
) -> RegionRows:
    """Read several tables below one another, or side by side; the other parameters are those of `read_regions`.

    Parameters
    ----------
    paths : sequence of paths
        Tables with the same regions, in any order of columns: the first file's is kept. Or tables without a region in
        common, of the same subjects, as aparcstats2table writes one for each hemisphere: who is not in one of them has
        no values there. Then an identifier column "lh..." may be "rh..." in the other.
    sessions : one name a file, optional
        Appended to the identifiers as "_name", so that a subject may be in every file.

    Raises
    ------
    InputError
        As `read_regions`; other regions than the first file's, a subject in two files.
    """
    if not paths or (sessions is not None and len(sessions) != len(paths)):
        raise InputError(f"{len(paths)} region tables for {len(sessions or ())} sessions")
    rules = [RowRules(_of_side(Path(path), id_columns), id_prefix, id_rule, where, missing) for path in paths]
    read = [_read(Path(path), one, columns, drop, subjects) for path, one in zip(paths, rules, strict=True)]
    tables = [one.table for one in read]
    if sessions is None and _are_sides(tables):
        whole = _side_by_side(tables)
    else:
        whole = _below_one_another(paths, tables, sessions)
    endings = [f"_{session}" for session in sessions] if sessions is not None else [""] * len(paths)
    others = {
        f"{drop.participant_id}{ending}": drop.file
        for one, ending in zip(read, endings, strict=True)
        for drop in one.dropped
    }
    dropped = [Dropped(name, NOT_SELECTED, others[name]) for name in sorted(set(others) - set(whole.subjects))]
    notes = [f"{Path(path).name}: {note}" for path, one in zip(paths, read, strict=True) for note in one.notes]
    return RegionRows(whole, tuple(dropped), tuple(notes))


def region_rows_of(about: Mapping[str, Any], root: Path) -> RegionRows:
    """Read the regions of `[tables.<name>]`, as a study or the options of a job have it."""
    return read_region_rows(
        [root / file for file in about["files"]],
        sessions=about["sessions"],
        id_columns=about["id"],
        columns=about["columns"],
        drop=about["drop"] or (),
        id_prefix=about["id_prefix"],
        missing=about["missing"],
        where=about["where"],
        id_rule=about["id_rule"],
        subjects=read_subjects(about["subjects"], root, id_prefix=about["id_prefix"]),
    )


def _read(
    path: Path,
    rules: RowRules,
    columns: str | Sequence[str] | None,
    drop: str | Sequence[str],
    subjects: SubjectList | None,
) -> RegionRows:
    """Read one table, see `read_regions`."""
    if is_cifti(path):
        return RegionRows(_of_parcels(read_parcel_table(path, subjects), path, columns, drop, rules.missing))
    header = column_names(path)
    named: tuple[str, ...] = ()
    if rules.where:
        condition = parse_condition(rules.where)
        condition.check(header, str(path))
        named = condition.columns
    others = {*rules.id_columns, *(named if columns is None else ())}
    regions = [name for name in _select(path, header, columns) if name not in others]
    without = set(_select(path, header, drop)) if drop else set()
    regions = [name for name in regions if name not in without]
    if not regions:
        raise InputError(f"{path}: no region column is left of {len(header)} columns, asked for {columns!r}")
    frame = read_columns(path, rules.id_columns, [*regions, *named], missing=rules.missing)
    chosen = choose_rows(path, frame, rules)
    wanted = set(regions)
    names = tuple(name for name in frame.columns if name in wanted)
    values = _values(path, chosen.frame[list(names)])
    order = sorted(range(len(chosen.ids)), key=chosen.ids.__getitem__)
    table = RegionTable(values[order], tuple(chosen.ids[i] for i in order), names)
    return RegionRows(table, tuple(Dropped(name, NOT_SELECTED, str(path)) for name in chosen.others), chosen.notes)


def _below_one_another(
    paths: Sequence[Path | str], tables: Sequence[RegionTable], sessions: Sequence[str] | None
) -> RegionTable:
    names = tables[0].columns
    values, seen = [], dict[str, Path | str]()
    for i, (path, table) in enumerate(zip(paths, tables, strict=True)):
        odd = sorted(set(names) ^ set(table.columns))
        if odd:
            raise InputError(f"{path}: other regions than {paths[0]}: {odd[:5]} ({len(odd)} in only one of them)")
        values.append(_columns_of(table, names))
        for subject in table.subjects:
            subject = f"{subject}_{sessions[i]}" if sessions is not None else subject
            if subject in seen:
                raise InputError(f"{path}: subject {subject!r} is also in {seen[subject]}; name the sessions")
            seen[subject] = path
    ids = list(seen)
    order = sorted(range(len(ids)), key=ids.__getitem__)
    return RegionTable(np.concatenate(values)[order], tuple(ids[i] for i in order), names)


def _of_parcels(
    table: RegionTable, path: Path, columns: str | Sequence[str] | None, drop: str | Sequence[str], missing: Codes
) -> RegionTable:
    """Take some columns of a table of parcels, and make NaN of codes."""
    out = set(_select(path, table.columns, drop)) if drop else set()
    names = [name for name in _select(path, table.columns, columns) if name not in out]
    if not names:
        raise InputError(f"{path}: no parcel is left of {len(table.columns)}, asked for {columns!r}")
    values = _columns_of(table, names)
    codes = [code for code in missing if not isinstance(code, str)]
    return RegionTable(
        np.where(np.isin(values, np.array(codes, np.float32)), np.nan, values), table.subjects, tuple(names)
    )


def _of_side(path: Path, id_columns: Sequence[str]) -> list[str]:
    """Return the identifier columns as this file has them: "rh.aparc.thickness" for "lh.aparc.thickness"."""
    header, twin = () if is_cifti(path) else column_names(path), {"lh": "rh", "rh": "lh"}
    others = [twin.get(name[:2], name[:2]) + name[2:] for name in id_columns]
    pairs = zip(id_columns, others, strict=True)
    return [other if name not in header and other in header else name for name, other in pairs]


def _are_sides(tables: Sequence[RegionTable]) -> bool:
    """Whether tables have other regions of the same subjects: of at least half of those of any."""
    names = [name for table in tables for name in table.columns]
    shared = set(tables[0].subjects).intersection(*(table.subjects for table in tables))
    fewest = min(len(table.subjects) for table in tables)
    return len(tables) > 1 and len(set(names)) == len(names) and 2 * len(shared) >= fewest


def _side_by_side(tables: Sequence[RegionTable]) -> RegionTable:
    frames = [pd.DataFrame(table.values, list(table.subjects), list(table.columns)) for table in tables]
    whole = pd.concat(frames, axis=1).sort_index()
    return RegionTable(whole.to_numpy(np.float32), tuple(whole.index), tuple(whole.columns))


def leave_out_incomplete(table: RegionTable, max_missing: float) -> tuple[RegionTable, tuple[Dropped, ...]]:
    """Leave out subjects of whom more than a share of the regions is missing, and say so of each.

    Raises
    ------
    InputError
        Nobody is left.
    """
    gaps = np.isnan(table.values).sum(axis=1)
    n = len(table.columns)
    bad = gaps > max_missing * n
    share = f"of {n} regions are missing, at most {max_missing:.4g} of them may be"
    dropped = tuple(Dropped(table.subjects[i], f"regions: {gaps[i]} {share}") for i in np.flatnonzero(bad))
    if bad.all():
        raise InputError(f"no subject has enough regions (max_missing = {max_missing:g}): {tally(dropped)}")
    return RegionTable(table.values[~bad], tuple(np.array(table.subjects)[~bad].tolist()), table.columns), dropped


def _select(path: Path, header: Collection[str], wanted: str | Sequence[str] | None) -> list[str]:
    if wanted is None:
        return [name for name in header if name]
    if isinstance(wanted, str):
        try:
            regex = re.compile(wanted)
        except re.error as error:
            raise InputError(f"{path}: {wanted!r} is not a regular expression of columns: {error}") from error
        return [name for name in header if regex.fullmatch(name)]
    known, taken = set(header), set(wanted)
    for name in wanted:
        if name not in known:
            raise InputError(f"{path}: no such column: {choices(name, header)}")
    return [name for name in header if name in taken]


def _columns_of(table: RegionTable, names: Sequence[str]) -> NDArray[np.float32]:
    place = {name: i for i, name in enumerate(table.columns)}
    return table.values[:, [place[name] for name in names]]


def _values(path: Path, frame: pd.DataFrame) -> NDArray[np.float32]:
    """Return a table's numbers, shape (n_rows, n_columns), at once where all columns are such."""
    if all(isinstance(dtype, np.dtype) and dtype.kind in "biuf" for dtype in set(frame.dtypes)):
        values = frame.to_numpy(np.float32)
        if (np.isfinite(values) | frame.isna().to_numpy()).all():
            return values
    return np.column_stack([_numbers(path, frame[name]) for name in frame.columns])


def _numbers(path: Path, column: pd.Series[float]) -> NDArray[np.float32]:
    values = pd.to_numeric(column, errors="coerce").to_numpy(dtype=np.float32, na_value=np.nan)
    bad = ~np.isfinite(values) & column.notna().to_numpy()
    if bad.any():
        row = int(bad.argmax())
        where = f"column {column.name!r}, data row {column.index[row]}"
        raise InputError(f"{path}: {where}: not a number: {str(column.iloc[row])!r}")
    return values

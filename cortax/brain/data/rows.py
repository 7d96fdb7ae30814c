"""Which rows of tables are read, and what they are called: files joined, rows selected, identifiers written anew."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from cortax.brain.data.dropped import Dropped
from cortax.brain.data.sidecar import Column, mask_missing, read_sidecar
from cortax.data.id_rule import IdRule
from cortax.data.row_filter import parse_condition
from cortax.data.textfiles import Codes, as_text, identifier_parts, joined_ids, read_columns, tidy_column
from cortax.errors import InputError

__all__ = ["NOT_SELECTED", "ChosenRows", "RowRules", "TableRows", "choose_rows", "person_columns", "read_rows"]

# Why somebody is left out of whom `where` selects no row.
NOT_SELECTED = "no row that `where` selects"
_REPEATED = (
    "; name the column that tells their rows apart in `id`, or say in `where` which rows are meant, such as "
    "where = \"eventname == 'baseline'\""
)
# What a column of an identifier is called that names people, and one that tells their rows apart.
_PERSON = re.compile(
    r"(?i)(^|.*[^a-z])(participant|subject|subj|sub|person|patient|individual|[erp]id|ptid|guid)s?([^a-z].*|id|key)?$|id$"
)
_REPEAT = re.compile(
    r"(?i)(^|.*[^a-z])(ses|vis|wave|run|event|time|tp|scan|acq|echo|task|day|week|month|year|date|rep).*"
)


@dataclass(frozen=True)
class RowRules:
    """Which rows of a table are read, and what they are called; each field is a key of a study.

    Attributes
    ----------
    id_columns : sequence of str
        Joined with "_" they are the identifier.
    id_prefix, id_rule
        Of the first of them: what is taken off its front; then `pattern` and `to`, see `IdRule`.
    where : str
        See `parse_condition`; all rows where it is empty.
    missing : numbers or texts
        What stands for a missing value, see `read_columns`.
    join : sequence of str
        By what columns rows of several files are matched: those of identifiers where it is empty.
    """

    id_columns: Sequence[str] = ("participant_id",)
    id_prefix: str = ""
    id_rule: Mapping[str, str] | None = None
    where: str = ""
    missing: Codes = ()
    join: Sequence[str] = ()

    def rewritten(self, texts: Sequence[str], where: str, *, strict: bool = True) -> list[str]:
        """Write the first parts of identifiers anew; without `strict`, one that the rule does not match stays."""
        short = [text.removeprefix(self.id_prefix) for text in texts]
        if self.id_rule is None:
            return short
        rule = IdRule(**self.id_rule)
        return rule.apply(short, where) if strict else [rule.rewritten(text) or text for text in short]


@dataclass(frozen=True, eq=False)
class ChosenRows:
    """Rows that were chosen.

    Attributes
    ----------
    frame : DataFrame
        The rows, as they were given, in their order.
    ids : list of str
    parts : DataFrame of str
        Columns of the identifier as they are written now, a row each; `ids` are these, joined.
    others : tuple of str
        Identifiers of whom no row is selected, sorted.
    notes : tuple of str
        Counts, in words.
    """

    frame: pd.DataFrame
    ids: list[str]
    parts: pd.DataFrame
    others: tuple[str, ...]
    notes: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class TableRows:
    """Rows of a table of people, or of several that were joined.

    Attributes
    ----------
    frame : DataFrame
        Indexed by subject, in the files' order; missing cells are NaN. `attrs["path"]` says where they are from.
    parts : DataFrame of str, indexed as `frame`
        See `ChosenRows`.
    numbers : dict of subject to the number of its row, from 1
    columns : dict of column to Column
        What sidecars say of them.
    dropped : tuple of Dropped
        Of whom no row was selected.
    notes : tuple of str
        Counts, in words: of selected rows, and of people who are not in each of the files.
    """

    frame: pd.DataFrame
    parts: pd.DataFrame
    numbers: Mapping[str, int]
    columns: Mapping[str, Column]
    dropped: tuple[Dropped, ...]
    notes: tuple[str, ...]


def read_rows(paths: Sequence[Path | str], rules: RowRules) -> TableRows:
    """Read a table of people, or several that are joined side by side.

    Parameters
    ----------
    paths : sequence of paths
        CSV, TSV or Parquet; a TSV file may have a sidecar, see `read_sidecar`.
    rules : RowRules

    Raises
    ------
    InputError
        Whatever `read_columns`, `Condition.select` and `IdRule.apply` find wrong; identifiers that are empty or
        repeated; columns of one name that differ between files.
    """
    places = [Path(path) for path in paths]
    frame, columns, notes = _join(places, rules) if len(places) > 1 else _read(places[0], rules, rules.id_columns)
    label = " + ".join(map(str, places))
    chosen = choose_rows(label, frame, rules)
    out = chosen.frame.set_axis(pd.Index(chosen.ids, name="subject", dtype=object), axis=0)
    out.attrs["path"] = label
    numbers = dict(zip(chosen.ids, chosen.frame.index.tolist(), strict=True))
    dropped = tuple(Dropped(name, NOT_SELECTED, label) for name in chosen.others)
    return TableRows(out, chosen.parts.set_axis(out.index, axis=0), numbers, columns, dropped, (*notes, *chosen.notes))


def choose_rows(where: Path | str, frame: pd.DataFrame, rules: RowRules) -> ChosenRows:
    """Select rows and say what each is called.

    Parameters
    ----------
    where : path or str
        The table, for messages.
    frame : DataFrame
        With the columns of identifiers and those that `rules.where` names; indexed by row, from 1.

    Raises
    ------
    InputError
        See `read_rows`; or no row is selected.
    """
    path, kept, notes = Path(where), np.ones(len(frame), dtype=bool), []
    if rules.where:
        selection = parse_condition(rules.where).select(frame, str(where))
        kept, notes = selection.kept, [selection.describe()]
        if not kept.any():
            raise InputError(f"{where}: {selection.describe()}: where = {rules.where!r}")
    chosen = frame[kept]
    parts = identifier_parts(path, chosen, rules.id_columns)
    first = rules.id_columns[0]
    parts[first] = rules.rewritten(parts[first], f"{where}: column {first!r}")
    ids = joined_ids(path, parts, _REPEATED)
    others = {name: [as_text(value) for value in frame.loc[~kept, name]] for name in rules.id_columns}
    others[first] = rules.rewritten(others[first], "", strict=False)
    rest = {"_".join(row) for row in zip(*others.values(), strict=True) if all(row)} - set(ids)
    return ChosenRows(chosen, ids, pd.DataFrame(parts, index=chosen.index), tuple(sorted(rest)), tuple(notes))


def person_columns(id_columns: Sequence[str]) -> list[str]:
    """Return which columns of an identifier name the person: none if that cannot be told."""
    named = [i for i, name in enumerate(id_columns) if _PERSON.match(name)]
    if named or len(id_columns) == 1:
        return list(id_columns[: named[-1] + 1] if named else id_columns)
    others = [name for name in id_columns if not _REPEAT.match(name)]
    return others if len(others) < len(id_columns) else []


def _read(path: Path, rules: RowRules, texts: Sequence[str]) -> tuple[pd.DataFrame, dict[str, Column], list[str]]:
    """Read one table; `texts` are columns that are never taken for numbers."""
    frame, columns = read_columns(path, texts, missing=rules.missing), read_sidecar(path)
    mask_missing(frame, columns, texts)
    return frame, columns, []


def _join(paths: Sequence[Path], rules: RowRules) -> tuple[pd.DataFrame, dict[str, Column], list[str]]:
    """Put tables side by side by their columns of identifiers (and sessions)."""
    keys = list(rules.join or rules.id_columns)
    if lacking := [name for name in rules.id_columns if name not in keys]:
        raise InputError(f"join = {keys}: must hold the columns of identifiers; {lacking} are not among them")
    columns: dict[str, Column] = {}
    frames: list[pd.DataFrame] = []
    for path in paths:
        frame, about, _ = _read(path, rules, keys)
        columns = {**about, **columns}
        frames.append(_keyed(path, frame, keys, [other.columns for other in frames]))
    rows = frames[0].index
    for path, frame in zip(paths[1:], frames[1:], strict=True):
        if not frame.index.isin(rows).any():
            raise InputError(
                f"{path}: no row is also in {' or '.join(map(str, paths[: paths.index(path)]))} by {keys}, such as "
                f"{frame.index[0]!r} here and {rows[0]!r} there: are identifiers written in another way?"
            )
        rows = rows.append(frame.index.difference(rows, sort=False))
    whole: dict[str, pd.Series[Any]] = {}
    source: dict[str, Path] = {}
    notes = []
    for path, frame in zip(paths, frames, strict=True):
        for name in frame.columns:
            column = frame[name].reindex(rows)
            whole[name] = _agreed(whole[name], column, f"{path} and {source[name]}") if name in whole else column
            source.setdefault(name, path)
        if n_lacking := len(rows) - len(frame):
            notes.append(f"{n_lacking} of {len(rows)} joined rows are not in {path.name}: their values are missing")
    joined = rows.to_frame(index=False).set_axis(keys, axis=1)
    for name in keys:
        if name not in rules.id_columns:
            joined[name] = tidy_column(joined[name], rules.missing)
    out = pd.concat([joined, pd.DataFrame(whole).reset_index(drop=True)], axis=1)
    return out.set_axis(pd.RangeIndex(1, len(out) + 1, name="row"), axis=0), columns, notes


def _keyed(path: Path, frame: pd.DataFrame, keys: Sequence[str], others: Sequence[pd.Index[Any]]) -> pd.DataFrame:
    """Index a table by what it is joined by."""
    parts = pd.DataFrame(identifier_parts(path, frame, keys))
    twice = parts[parts.duplicated()]
    if len(twice):
        shared = [name for name in frame.columns if name not in keys and all(name in other for other in others)]
        among = f", such as {shared[:5]}" if shared and others else ""
        raise InputError(
            f"{path}: rows that are alike in {list(keys)}, by which files are joined: {twice.iloc[0].tolist()} "
            f"({len(twice)} more than once); `join` names all columns that tell rows apart{among}"
        )
    index = pd.Index(parts[keys[0]]) if len(keys) == 1 else pd.MultiIndex.from_frame(parts)
    return frame.drop(columns=list(keys)).set_axis(index, axis=0)


def _agreed(first: pd.Series[Any], second: pd.Series[Any], where: str) -> pd.Series[Any]:
    """One column of two of one name; what one lacks is taken from the other."""
    both = (first.notna() & second.notna()).to_numpy()
    a, b = first[both], second[both]
    for row, one, other in zip(a.index, a, b, strict=True):
        if as_text(one) != as_text(other):
            raise InputError(
                f"{where}: column {first.name!r} is in both and differs: of {row!r} it is {as_text(other)!r} and "
                f"{as_text(one)!r}; leave it out of one of them"
            )
    return first.where(first.notna(), second)

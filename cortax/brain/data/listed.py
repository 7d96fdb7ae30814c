"""Lists of people who are to be studied or left out, such as those whose images failed a quality control."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

from cortax.brain.data.dropped import Dropped
from cortax.brain.data.rows import RowRules, person_columns
from cortax.data.files import ends_with
from cortax.data.textfiles import as_text, column_names, identifier_parts, read_columns, read_text
from cortax.errors import InputError, choices

__all__ = ["Listed", "apply_lists", "read_list"]

_TABLES = (".csv", ".tsv", ".parquet", ".pq")
_SHOWN = 10


@dataclass(frozen=True)
class Listed:
    """Identifiers that a study lists.

    Attributes
    ----------
    reasons : dict of identifier to reason
        "" where none is given.
    source : str
        The file; "" of a list in the study itself.
    written : dict of identifier to identifier
        As the list has it, without the prefix, where a rule made another of it.
    """

    reasons: Mapping[str, str]
    source: str = ""
    written: Mapping[str, str] = field(default_factory=dict)

    def among(self, known: Collection[str]) -> Listed:
        """Take entries that are known as the list has them, and not as the rule writes them, for what they are."""
        names = {name: self.written.get(name, name) for name in self.reasons}
        return Listed(
            {
                written if name not in known and written in known else name: self.reasons[name]
                for name, written in names.items()
            },
            self.source,
        )


def read_list(given: Path | str | Sequence[str], rules: RowRules) -> Listed:
    """Read a list of identifiers.

    Parameters
    ----------
    given : list of str, or path
        Of a table (CSV, TSV, Parquet) with the columns of identifiers, or those of them that name the person, and
        perhaps `reason`; or of text with an identifier a line, where `#` begins a comment.
    rules : RowRules
        How identifiers are written: a list may have them as the tables do or as they are written anew.

    Raises
    ------
    InputError
        The file is missing or damaged, or has none of the columns.
    """
    if not isinstance(given, Path | str):
        names, reasons, source = [str(name).strip() for name in given], [""] * len(given), ""
    else:
        source = str(given)
        names, reasons = _read_table(Path(given), rules) if ends_with(Path(given), *_TABLES) else _read_lines(given)
    names = [name.removeprefix(rules.id_prefix) for name in names]
    new = [_rewritten(name, rules) for name in names]
    written = {after: before for after, before in zip(new, names, strict=True) if after != before}
    return Listed(dict(zip(new, reasons, strict=True)), source, written)


def _rewritten(name: str, rules: RowRules) -> str:
    """Write an entry anew: all of it, or its beginning, where more columns than the first are part of it."""
    ends = [len(name)]
    if len(rules.id_columns) > 1:
        ends += [end for end in range(len(name) - 1, 0, -1) if name[end] == "_"]
    for end in ends:
        (new,) = rules.rewritten([name[:end]], "", strict=False)
        if new != name[:end]:
            return new + name[end:]
    return name


def _read_lines(path: Path | str) -> tuple[list[str], list[str]]:
    lines = [line.partition("#")[0].strip() for line in read_text(Path(path), "list of identifiers").split("\n")]
    names = [line for line in lines if line]
    return names, [""] * len(names)


def _read_table(path: Path, rules: RowRules) -> tuple[list[str], list[str]]:
    header = column_names(path)
    whole = list(rules.id_columns)
    columns = whole if all(name in header for name in whole) else person_columns(whole) or whole
    for name in columns:
        if name not in header:
            raise InputError(f"{path}: no such identifier column: {choices(name, header)}")
    has_reason = "reason" in header
    frame = read_columns(path, columns, ["reason"] if has_reason else [])
    parts = identifier_parts(path, frame, columns)
    reasons = [as_text(value) for value in frame["reason"]] if has_reason else [""] * len(frame)
    return ["_".join(row) for row in zip(*parts.values(), strict=True)], reasons


def apply_lists(
    persons: pd.Series[Any], include: Listed | None, exclude: Listed | None, others: Sequence[str] = ()
) -> tuple[tuple[Dropped, ...], tuple[str, ...]]:
    """Say who is left out by lists, and whom nobody knows who is on them.

    An entry means a row if it is its identifier or that of its person: all rows of a person are left out by one entry.

    Parameters
    ----------
    persons : Series of str, indexed by subject
        Whose row each is.
    include, exclude : Listed, optional
        Only they are studied; they are not. Who is on both is left out.
    others : sequence of str
        Known identifiers that have no row here: it is no mistake to list them.

    Returns
    -------
    tuple of Dropped
        Sorted, with the reason that the list has.
    tuple of str
        Sentences that name the entries nobody has.

    Raises
    ------
    InputError
        Nobody is left.
    """
    known = {*map(str, persons.index), *map(str, persons), *others}
    include, exclude = (listed and listed.among(known) for listed in (include, exclude))
    dropped = []
    for subject, person in persons.items():
        row = (str(subject), str(person))
        if exclude and (entry := next((name for name in row if name in exclude.reasons), None)) is not None:
            why = exclude.reasons[entry]
            dropped.append(Dropped(row[0], f"excluded: {why}" if why else "excluded", exclude.source))
        elif include and not any(name in include.reasons for name in row):
            dropped.append(Dropped(row[0], "not in `include`", include.source))
    if len(dropped) == len(persons):
        raise InputError(f"`include` and `exclude` leave nobody of {len(persons)} subjects")
    warnings = []
    for key, listed in (("include", include), ("exclude", exclude)):
        if unknown := sorted(set(listed.reasons) - known) if listed else []:
            more = f" and {len(unknown) - _SHOWN} more" if len(unknown) > _SHOWN else ""
            warnings.append(f"{key}: nobody has {len(unknown)} of its identifiers: {unknown[:_SHOWN]}{more}")
    return tuple(sorted(dropped, key=lambda drop: drop.participant_id)), tuple(warnings)

"""Lists of names beside images: who the rows of one file for everybody are, and what regions are called."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from cortax.brain.data.map_files import split_pick
from cortax.data.files import ends_with
from cortax.data.textfiles import read_columns, read_text, row_ids
from cortax.errors import InputError

__all__ = ["SubjectList", "read_names", "read_subjects"]

_TABLES = (".csv", ".tsv", ".parquet", ".pq")


@dataclass(frozen=True)
class SubjectList:
    """Who the rows of a file are, first to last.

    `ids` is None where only the file itself can say. `source` is where they were read, for messages; `prefix` is taken
    off the front of the names in files.
    """

    source: str = ""
    ids: tuple[str, ...] | None = None
    prefix: str = ""

    def __post_init__(self) -> None:
        _check_once(self.source, self.ids or (), "identifier")


def read_subjects(where: str | None, root: Path | str, *, id_prefix: str = "") -> SubjectList:
    """Read a list of subjects; their order is that of the rows of a file.

    Parameters
    ----------
    where : str, optional
        A text file with one identifier a line, or a table (.csv, .tsv, .parquet). `table.tsv#column` names the
        column, `table.tsv#participant_id,session_id` several, which are joined by "_"; without, it is
        `participant_id`. None where files name their rows themselves.
    root : path
        What `where` is relative to.
    id_prefix : str
        Taken off the front of identifiers that have it: "sub-".

    Raises
    ------
    InputError
        A missing or unreadable file, an empty line between others, blanks, commas or tabs in a line, no such column,
        an identifier that is empty or comes twice.
    """
    if where is None:
        return SubjectList(prefix=id_prefix)
    name, columns = split_pick(where)
    path = Path(root) / name
    if ends_with(path, *_TABLES):
        keys = [key.strip() for key in (columns or "participant_id").split(",")]
        return SubjectList(str(path), tuple(row_ids(path, read_columns(path, keys, ()), keys, id_prefix)), id_prefix)
    if columns is not None:
        raise InputError(f"{path}: a column, {columns!r}, is of a table ({', '.join(_TABLES)}), not of a list of lines")
    ids = [line.removeprefix(id_prefix) for line in _lines(path, "list of subjects")]
    if odd := [(i, one) for i, one in enumerate(ids, 1) if not one or any(mark in one for mark in " \t,;")]:
        raise InputError(f"{path}: line {odd[0][0]}: one identifier a line is needed, found {odd[0][1]!r}")
    return SubjectList(str(path), tuple(ids), id_prefix)


def read_names(path: Path) -> tuple[str, ...]:
    """Read names of regions in order: one a line, or the column `name` of a table (.csv, .tsv, .parquet).

    Raises
    ------
    InputError
        A missing or unreadable file, an empty line between others, no column `name`, a name that is empty or comes
        twice.
    """
    if ends_with(path, *_TABLES):
        column = read_columns(path, ["name"], ())["name"]
        names = ["" if not isinstance(name, str) else name.strip() for name in column]
    else:
        names = _lines(path, "list of names")
    if "" in names:
        raise InputError(f"{path}: row {names.index('') + 1} has no name")
    _check_once(path, names, "name")
    return tuple(names)


def _lines(path: Path, what: str) -> list[str]:
    """Lines without blanks around them; those at the end that are empty do not count."""
    lines = [line.strip() for line in read_text(path, what).rstrip().split("\n")]
    if lines == [""]:
        raise InputError(f"{path}: an empty {what}")
    return lines


def _check_once(where: Path | str, names: Sequence[str], what: str) -> None:
    counts = Counter(names)
    if twice := [name for name, n in counts.items() if n > 1]:
        n, n_different = len(names), len(counts)
        raise InputError(
            f"{where}: {what} {twice[0]!r} comes {counts[twice[0]]} times: {n} {what}s, {n_different} different"
        )

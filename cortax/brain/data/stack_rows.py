"""Whose row is where in a file that holds everybody: never guessed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from cortax.brain.data.name_lists import SubjectList
from cortax.brain.data.stacks import describe_stack
from cortax.errors import InputError

__all__ = ["name_rows", "rows_of"]


def rows_of(path: Path, subjects: SubjectList | None) -> Mapping[str, int]:
    """Return the row of every identifier, from 0, of a file that `describe_stack` can read.

    Raises
    ------
    InputError
        See `name_rows`, and what is wrong with the file.
    """
    stack = describe_stack(path)
    return {subject: row for row, subject in enumerate(name_rows(path, stack.n_rows, stack.names, subjects))}


def name_rows(path: Path, n_rows: int, names: Sequence[str], subjects: SubjectList | None) -> tuple[str, ...]:
    """Say who the rows of a file are.

    Parameters
    ----------
    path : path
        For messages.
    n_rows : int
    names : sequence of str
        That the file has for its rows; empty if it has none.
    subjects : SubjectList, optional
        Where it has identifiers, they are taken, and compared with the names; else the names are the identifiers.

    Raises
    ------
    InputError
        Neither names nor a list; other counts; a name that is empty or comes twice; a row that the file gives to one
        subject and the list to another.
    """
    subjects = subjects or SubjectList()
    own = [name.strip().removeprefix(subjects.prefix) for name in names]
    if subjects.ids is not None:
        if len(subjects.ids) != n_rows:
            raise InputError(
                f"{path}: {n_rows} rows (subjects), but {len(subjects.ids)} identifiers in {subjects.source}"
            )
        _compare(path, own, subjects)
        return subjects.ids
    if not own:
        raise InputError(
            f"{path}: does not say who its {n_rows} rows are, and their order is never guessed: a pattern must hold "
            '{participant_id}, or subjects = "list.txt" name them, one identifier a line'
        )
    counts = Counter(own)
    if bad := [name for name, n in counts.items() if n > 1 or not name]:
        raise InputError(
            f"{path}: {n_rows} rows have {len(counts)} different names, {bad[0]!r} comes {counts[bad[0]]} times: they "
            'do not say who the rows are; subjects = "list.txt" does'
        )
    return tuple(own)


def _compare(path: Path, names: Sequence[str], subjects: SubjectList) -> None:
    """Refuse names that are those of other subjects than the list has in their rows.

    Names may go on after the identifier ("100307_Thickness"), and those of nobody (all "thickness") say nothing.
    """
    ids = subjects.ids or ()
    known = set(ids)
    for row, (name, one) in enumerate(zip(names, ids, strict=False), 1):
        found = list(_beginnings(name))
        other = next((beginning for beginning in found if beginning in known), None)
        if other is not None and one not in found:
            raise InputError(f"{path}: row {row} is {name!r} by the file, but {one!r} by {subjects.source}")


def _beginnings(name: str) -> Iterator[str]:
    """The name, and where it may end before: at what is no letter, digit or hyphen; the longest first."""
    yield name
    for end in range(len(name) - 1, 0, -1):
        if not (name[end].isalnum() or name[end] == "-"):
            yield name[:end]

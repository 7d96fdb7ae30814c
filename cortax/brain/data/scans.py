"""Which scans are a row of a study: every session by itself, their average, the first, or those that are named."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

from cortax.brain.data.image_names import ScanKey, natural
from cortax.errors import InputError, choices

__all__ = ["Choice", "Row", "choose_rows"]

# How a study says which sessions or runs it means; None: there must be one.
Choice = str | Sequence[str] | None
_SHOWN = 5


@dataclass(frozen=True)
class Row:
    """A row of a study: what it is called, and the scans that are averaged in it; none if a named one is not there.

    `ending` is what its session and run add to the person's identifier.
    """

    id: str
    scans: tuple[ScanKey, ...]
    ending: str = ""
    lacking: str = ""


def choose_rows(scans: Iterable[ScanKey], sessions: Choice, runs: Choice) -> list[Row]:
    """Put the scans of a cohort into rows.

    Parameters
    ----------
    scans : iterable of ScanKey
    sessions, runs : str or sequence of str, optional
        "each": a row each. "average": one row. "first": the first as they are sorted, numbers as numbers. Names: those
        only; of several names each is a row. Without it (sessions only) nobody may have several.

    Returns
    -------
    list of Row
        Sorted by identifier: the person's, then "_session" and "_run" where there is a row for each.

    Raises
    ------
    InputError
        Somebody has several sessions and nothing says which are meant; a name that nobody's scans have.
    """
    by_person: dict[str, list[ScanKey]] = {}
    for scan in sorted(set(scans), key=lambda scan: tuple(map(natural, scan))):
        by_person.setdefault(scan.participant_id, []).append(scan)
    for what, choice in (("session", sessions), ("run", runs)):
        _check_names(what, choice, {getattr(scan, what) for found in by_person.values() for scan in found})
    if sessions is None:
        _check_single(by_person)
    rows = [row for found in by_person.values() for row in _rows(found, sessions, runs)]
    return sorted(rows, key=lambda row: row.id)


def _is_separate(choice: Choice) -> bool:
    return choice == "each" or (not isinstance(choice, str) and choice is not None and len(choice) > 1)


def _check_names(what: str, choice: Choice, there: Collection[str]) -> None:
    for name in () if isinstance(choice, str) or choice is None else choice:
        if name not in there:
            raise InputError(f"images.{what}s: no image is of it: {choices(name, there)}")


def _check_single(by_person: dict[str, list[ScanKey]]) -> None:
    sessions = {person: list(dict.fromkeys(scan.session for scan in scans)) for person, scans in by_person.items()}
    several = {person: found for person, found in sessions.items() if len(found) > 1}
    if several:
        every = sorted({session for found in sessions.values() for session in found}, key=natural)
        person, found = next(iter(several.items()))
        more = f" and {len(every) - 2 * _SHOWN} more" if len(every) > 2 * _SHOWN else ""
        raise InputError(
            f"{len(several)} of {len(sessions)} subjects have several sessions, such as {person!r}: {found[:_SHOWN]}; "
            f"all sessions are {every[: 2 * _SHOWN]}{more}; say in [images] which are meant: "
            "sessions = 'each' (a row each), 'average', 'first', or a list of them"
        )


def _rows(scans: Sequence[ScanKey], sessions: Choice, runs: Choice) -> Iterable[Row]:
    """Rows of one person, whose scans are sorted."""
    person = scans[0].participant_id
    for session, of_session in _parts(scans, "session", sessions):
        if not of_session:
            # A list of one session adds nothing to identifiers.
            ending = session if _is_separate(sessions) else ""
            yield Row(_joined(person, ending), (), ending, f"no session {session!r}")
            continue
        for run, of_run in _parts(of_session, "run", runs):
            named = [value for value, choice in ((session, sessions), (run, runs)) if value and _is_separate(choice)]
            ending = "_".join(named)
            yield Row(_joined(person, ending), tuple(of_run), ending, "" if of_run else f"no run {run!r}")


def _joined(person: str, ending: str) -> str:
    return f"{person}_{ending}" if ending else person


def _parts(scans: Sequence[ScanKey], what: str, choice: Choice) -> list[tuple[str, list[ScanKey]]]:
    """Cut scans by session or run; "" is the name of a part that has several, or all there are."""
    there = list(dict.fromkeys(getattr(scan, what) for scan in scans))
    if isinstance(choice, str) or choice is None:
        if choice == "each":
            return [(name, [scan for scan in scans if getattr(scan, what) == name]) for name in there]
        kept = there[:1] if choice == "first" else there
        # Runs are chosen within a session.
        if what == "run" and choice == "first":
            firsts = {scan.session: scan for scan in reversed(scans)}
            return [("", [scan for scan in scans if firsts[scan.session] == scan])]
        return [("", [scan for scan in scans if getattr(scan, what) in kept])]
    return [(name, [scan for scan in scans if getattr(scan, what) == name]) for name in choice]

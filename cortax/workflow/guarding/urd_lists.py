"""Exax's lists of builds: reading their files, and mending what a full disk or a power cut left of them.

A list is a text file, `urd.db/USER/LIST.urd`, with one entry a line; lines are only appended.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cortax.store import write_whole
from cortax.workflow.guarding.faults import Fault
from cortax.workflow.guarding.quarantine import Quarantine

__all__ = ["Entry", "entries", "urd_faults"]

_TIME = re.compile(r"(\d+|\d{4}-\d{2}(-\d{2}([T ]\d{2}(:\d{2}(:\d{2}(\.\d{1,6})?)?)?)?)?)$")
_N_ADDED = 10
# Lines of older versions, which Exax still reads, lack the last field: the job of the build script.
_N_ADDED_OLD = 9
_N_TRUNCATED = 5


@dataclass(frozen=True)
class Entry:
    """One build in a list.

    Attributes
    ----------
    name : str
        The list: the user, a slash, the study.
    timestamp : str
        The build's own time, by which it is looked up.
    jobs : tuple of str
        Ids of the jobs that it lists.
    build_job : str
        The job of the build script; empty where none was noted.
    names : tuple of str
        What the build calls each of `jobs`.
    caption : str
    """

    name: str
    timestamp: str
    jobs: tuple[str, ...]
    build_job: str
    names: tuple[str, ...] = ()
    caption: str = ""


def entries(root: Path) -> list[Entry]:
    """Return the valid entries of every list, oldest first within a list.

    Entries that `ax urd` truncated or that a later line of the same time replaced are left out, and so are lines that
    Exax cannot read; `cortax doctor` moves those away.
    """
    lines = [fields for path in _files(root) for line in _lines(path)[0] if (fields := _fields(line)) is not None]
    valid: dict[str, dict[str, Entry]] = {}
    for fields in sorted(lines, key=lambda fields: fields[1]):
        _, _, action, timestamp, name = fields[:5]
        known = valid.setdefault(name, {})
        if action == "truncate":
            valid[name] = {time: entry for time, entry in known.items() if _order(time) < _order(timestamp)}
        else:
            names, jobs = zip(*json.loads(fields[6]), strict=True)
            build_job = json.loads(fields[9]) if len(fields) == _N_ADDED else None
            known[timestamp] = Entry(name, timestamp, jobs, str(build_job or ""), names, json.loads(fields[8]))
    return [known[time] for known in valid.values() for time in sorted(known, key=_order)]


def _files(root: Path) -> list[Path]:
    return sorted((root / "urd.db").glob("*/*.urd"))


def _lines(path: Path) -> tuple[list[bytes], bool]:
    """Return a file's lines, and whether the last one ends with a line break."""
    lines = path.read_bytes().split(b"\n")
    whole = lines[-1] == b""
    return (lines[:-1] if whole else lines), whole


def _fields(line: bytes) -> list[str] | None:
    """Return the fields of a line, or None if Exax cannot read it."""
    try:
        fields = line.decode().split("\t")
        return fields if _readable(fields) else None
    except (ValueError, TypeError):
        return None


def _readable(fields: list[str]) -> bool:
    if len(fields) < _N_TRUNCATED or fields[0] != "4" or fields[2] not in ("add", "truncate"):
        return False
    timed = all(_TIME.match(part) for part in fields[3].split("+"))
    if not timed or fields[4].count("/") != 1 or not _TIME.match(fields[1]):
        return False
    if fields[2] == "truncate":
        return len(fields) == _N_TRUNCATED
    if len(fields) not in (_N_ADDED_OLD, _N_ADDED) or fields[7] not in ("", "update"):
        return False
    deps, jobs, caption, *_ = (json.loads(field) for field in (*fields[5:7], *fields[8:]))
    return isinstance(deps, dict) and isinstance(caption, str) and _is_joblist(jobs)


def _is_joblist(jobs: Any) -> bool:
    return bool(jobs) and all(len(pair) == 2 and all(isinstance(text, str) for text in pair) for pair in jobs)


def _order(timestamp: str) -> list[tuple[int, int, str]]:
    """Return the key by which Exax sorts times: numbers come before dates."""
    return [(0, int(part), "") if part.isdigit() else (1, 0, part) for part in timestamp.split("+")]


def urd_faults(root: Path) -> Iterator[Fault]:
    """Find lines that Exax cannot read, or that are there twice: one of them keeps it from starting."""
    seen: set[str] = set()
    content: dict[Path, tuple[list[bytes], bool]] = {}
    for path in _files(root):
        try:
            content[path] = _lines(path)
        except OSError as error:
            yield Fault(f"urd list {path}", f"cannot be read ({error.strerror})", "make it readable for you")
    # A copy of a list holds the same lines under another name: the original comes first.
    for path in sorted(content, key=lambda path: not _is_original(path, content[path][0])):
        lines, whole = content[path]
        good, bad = [], []
        for number, line in enumerate(lines, 1):
            fields = _fields(line)
            # Without a line break, what looks like a line of an older version is one that was cut off after a field.
            cut = not whole and number == len(lines) and fields is not None and len(fields) == _N_ADDED_OLD
            if fields is None or cut or fields[1] in seen:
                bad.append(number)
            else:
                seen.add(fields[1])
                good.append(line)
        if bad or not whole:
            yield _mended(path, good, bad)


def _is_original(path: Path, lines: list[bytes]) -> bool:
    readable = (fields for line in lines if (fields := _fields(line)))
    return any(fields[4] == f"{path.parent.name}/{path.stem}" for fields in readable)


def _mended(path: Path, good: list[bytes], bad: list[int]) -> Fault:
    problem = f"cannot be read: line {', '.join(map(str, bad))}" if bad else "its last line has no end"

    def mend(quarantine: Quarantine) -> None:
        quarantine.keep(path, path.read_bytes(), problem)
        write_whole(path, b"".join(line + b"\n" for line in good), sync=True)

    remedy = f"copied to quarantine; its {len(good)} good lines stay"
    return Fault(f"urd list {path.parent.name}/{path.stem}", problem, remedy, mend, offline=True)

"""Subjects that were left out: never without a reason."""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import astuple, dataclass, fields
from pathlib import Path

__all__ = ["Dropped", "tally", "write_dropped"]


@dataclass(frozen=True)
class Dropped:
    """A subject that was left out, why, and because of which file ("" if of none)."""

    participant_id: str
    reason: str
    file: str = ""


def tally(dropped: Sequence[Dropped]) -> str:
    """Count the kinds of reasons in one line, for messages, and quote the first in full."""
    # What follows the colon is particular to the subject.
    kinds = Counter(d.reason.split(":")[0].split(" (")[0] for d in dropped)
    counts = ", ".join(f"{n} x {kind!r}" for kind, n in sorted(kinds.items()))
    return f"{counts}; the first: subject {dropped[0].participant_id!r}, {dropped[0].reason}"


def write_dropped(path: Path, dropped: Iterable[Dropped]) -> None:
    """Write participant_id, reason and file as CSV, in the order given."""
    with path.open("w", newline="", encoding="utf-8") as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow([field.name for field in fields(Dropped)])
        table.writerows(astuple(d) for d in dropped)

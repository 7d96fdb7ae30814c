"""Subjects that were left out: never without a reason."""

from __future__ import annotations

import csv
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import astuple, dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["NOT_LISTED", "Dropped", "read_dropped", "tally", "write_dropped"]

# Why subjects are left out whose images nobody asked for: as a study's other inputs would say.
NOT_LISTED = "in no phenotype table"


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


def read_dropped(folders: Iterable[Path]) -> pd.DataFrame:
    """Read who was left out, from the folders of jobs: each with the first reason that was found.

    Returns
    -------
    DataFrame
        participant_id, reason, file; all text, "" if there is none. A job that leaves out nobody need not have a file.
    """
    import pandas as pd

    names = [field.name for field in fields(Dropped)]
    paths = [path for folder in folders if (path := folder / "dropped.csv").exists()]
    # A participant may be called NA.
    parts = [
        pd.read_csv(path, dtype=str, keep_default_na=False).reindex(columns=names, fill_value="") for path in paths
    ]
    whole = [part.reindex(columns=names, fill_value="") for part in parts]
    found = pd.concat([pd.DataFrame(columns=names, dtype=str), *whole], ignore_index=True)
    # Why somebody is not in the table of phenotypes says more than that they are not.
    found = found.sort_values("reason", key=lambda reason: reason == NOT_LISTED, kind="stable")
    return found.drop_duplicates("participant_id").reset_index(drop=True)

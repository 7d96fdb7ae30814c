"""What a finished job is in its study: recorded beside its results by the build that asked for it.

A job's name is for people. Whoever needs to know what a job is of reads its key here.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from cortax.store import write_whole
from cortax.workflow.plan.jobspec import JobSpec, Work

__all__ = ["NAME", "Identity", "identity_of", "note_identity"]

NAME = "identity.json"
# Raised when what jobs say of themselves, such as an option that another job reads, changes its meaning: jobs of other
# format stand for no job of this one, whatever their results.
_FORMAT = 1


@dataclass(frozen=True)
class Identity:
    """A job of a study.

    Attributes
    ----------
    study, method : str
    key : mapping of axis to str
        See `JobSpec`.
    work : Work, optional
        What it was expected to have to do.
    format : int
        Of what the job says of itself; 0 is none that is known.
    """

    study: str = ""
    method: str = ""
    key: Mapping[str, str] = field(default_factory=dict)
    work: Work | None = None
    format: int = 0

    @property
    def is_known(self) -> bool:
        """Whether a build of this version recorded it, or of one that means the same."""
        return self.format == _FORMAT


def note_identity(folder: Path, study: str, spec: JobSpec) -> None:
    """Record what a finished job is, unless a build has done so: a job keeps what it was first made as."""
    path = folder / NAME
    if path.exists():
        return
    # What cannot be written, on a full disk, is written by the next build that asks for the job.
    with suppress(OSError):
        write_whole(path, json.dumps(asdict(Identity(study, spec.method, dict(spec.key), spec.work, _FORMAT))))


def identity_of(folder: Path) -> Identity:
    """Return what a finished job is; an empty one where no build has recorded it."""
    try:
        content: dict[str, Any] = json.loads((folder / NAME).read_text())
        work = content.pop("work")
        if work is not None:
            batches = tuple((int(n), float(seconds)) for n, seconds in work.pop("batches"))
            work = Work(**work, batches=batches)
        return Identity(**content, work=work)
    except (OSError, ValueError, KeyError, TypeError):
        return Identity()  # killed before it was recorded, or made by another version: it is not reused by its key

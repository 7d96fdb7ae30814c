"""How far a build is, for whoever watches it: written by the build's script, read by another process."""

from __future__ import annotations

import json
from collections import deque
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from cortax.project import jobs_folder
from cortax.provenance.memory import write_text
from cortax.workflow.guarding.processes import memory_of
from cortax.workflow.work.running import count_finished

__all__ = ["Progress", "Rate", "Seen", "note_progress", "read_progress", "see"]

_FILE = "progress.json"
_WINDOW = 60.0


@dataclass(frozen=True)
class Progress:
    """What a build has done and what is left, in jobs.

    Attributes
    ----------
    study : str
    n_jobs, n_ran, n_linked, n_failed, n_skipped : int
        All of them; those that ran to their end, were there before, failed, and wait for one that failed.
    job : str
        What is asked for now; empty at the end.
    runs : bool
        Whether it runs, and is not just linked.
    n_units : int
        Units of that job; 0 of a job without any.
    units_done : int
        Units of the jobs that ran to their end.
    left : float
        Seconds that jobs are expected to take that have not ended, this one included; at most, because what turns out
        to be the same as before spares those below it.
    begun : float
        When this job was asked for, in seconds of the system's clock.
    """

    study: str
    n_jobs: int
    n_ran: int = 0
    n_linked: int = 0
    n_failed: int = 0
    n_skipped: int = 0
    job: str = ""
    runs: bool = False
    n_units: int = 0
    units_done: int = 0
    left: float = 0.0
    begun: float = 0.0

    @property
    def n_left(self) -> int:
        """Jobs that nothing has become of yet."""
        return self.n_jobs - self.n_ran - self.n_linked - self.n_failed - self.n_skipped


def note_progress(root: Path, progress: Progress) -> None:
    """Write it at once and whole; a build that cannot, on a full disk, goes on without."""
    with suppress(OSError):
        write_text(root / ".cortax" / _FILE, json.dumps(asdict(progress)))


def read_progress(root: Path, since: float) -> Progress | None:
    """Return what the build wrote last, or None where it has written nothing since a time."""
    path = root / ".cortax" / _FILE
    try:
        return Progress(**json.loads(path.read_text())) if path.stat().st_mtime >= since else None
    except (OSError, ValueError, TypeError):
        return None  # there is none, or it is of another version of cortax


@dataclass(frozen=True)
class Seen:
    """What can be seen of a build from outside.

    Attributes
    ----------
    progress : Progress, optional
        None before the first job is asked for.
    units : int
        Finished ones of the job that runs.
    memory : int
        Bytes of all processes of the project together; what they share is counted once.
    """

    progress: Progress | None
    units: int
    memory: int


def see(root: Path, since: float, *, memory: int | None = None) -> Seen:
    """Look at the build of a project that began at a time, in seconds of the system's clock.

    What memory it holds is dear to find out where its processes are large: it is not, where `memory` says it.
    """
    progress = read_progress(root, since)
    units = _units_now(root) if progress and progress.runs and progress.n_units else 0
    return Seen(progress, units, memory_of(root) if memory is None else memory)


def _units_now(root: Path) -> int:
    folders = [path for path in jobs_folder(root).glob("main-[0-9]*") if not (path / "post.json").exists()]
    newest = max(folders, key=lambda path: int(path.name.partition("-")[2]), default=None)
    return count_finished(root, newest) if newest else 0


class Rate:
    """Units a second, over the last minute."""

    def __init__(self) -> None:
        self._seen: deque[tuple[float, int]] = deque()

    def __call__(self, now: float, n_units: int) -> float:
        """Take how many units there are by now; return how many a second there were."""
        self._seen.append((now, n_units))
        while now - self._seen[0][0] > _WINDOW:
            self._seen.popleft()
        then, before = self._seen[0]
        return max(n_units - before, 0) / (now - then) if now > then else 0.0

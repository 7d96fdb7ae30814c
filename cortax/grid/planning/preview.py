"""What a build would do, found out without running anything and without a server."""

from __future__ import annotations

import functools
import json
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cortax.grid.history import History
from cortax.grid.planning.costs import Costs, duration
from cortax.grid.planning.jobspec import JobSpec
from cortax.grid.planning.plan import plan
from cortax.grid.planning.restrict import restrict
from cortax.grid.work.settings import read_settings
from cortax.project import jobs_folder
from cortax.provenance.closure import manifest_text
from cortax.provenance.files import DigestMemory
from cortax.study import AnyStudy

__all__ = ["Planned", "Preview", "jobs_table", "measured_jobs", "n_workers", "preview", "summary_lines"]


# Methods whose jobs are counted by cells, and what a cell is there.
_OF_CELLS = {"tune": "parcellation x pipeline x target x fold", "regress": "forest x target gene"}


@dataclass(frozen=True)
class Planned:
    """One job of a plan.

    Attributes
    ----------
    spec : JobSpec
    why : tuple of str
        Why it would run; empty where it would be reused.
    waits : bool
        Whether nothing of its own has changed: it runs unless what it needs turns out as it was.
    seconds, memory : float
        Expected, if it runs.
    """

    spec: JobSpec
    why: tuple[str, ...]
    waits: bool
    seconds: float
    memory: float


@dataclass(frozen=True)
class Preview:
    """What a build would do: its jobs in order, how many processes each has, and the bytes that they may use."""

    jobs: tuple[Planned, ...]
    n_workers: int
    allowed: float
    pending: tuple[Planned, ...] = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "pending", tuple(job for job in self.jobs if job.why))

    @property
    def seconds(self) -> float:
        """Expected seconds of all jobs that would run, one after the other."""
        return sum(job.seconds for job in self.pending)

    @property
    def memory(self) -> float:
        """Expected bytes of the job that takes most."""
        return max((job.memory for job in self.pending), default=0.0)

    def n_cells(self, jobs: Iterable[Planned]) -> int:
        """Targets x outer folds of searches, or target genes of regressions."""
        return sum(job.spec.work.n_cells for job in jobs if job.spec.method in _OF_CELLS and job.spec.work)


def preview(study: AnyStudy, root: Path, patterns: Mapping[str, Sequence[str]] | None = None) -> Preview:
    """Plan a study as a build would, and say what of it would run.

    Parameters
    ----------
    study : Study or NetworkStudy
    root : Path
        The project.
    patterns : mapping, optional
        See `restrict`.

    Raises
    ------
    CortaxError
        See `plan` and `restrict`.
    """
    history = History(jobs_folder(root), root, functools.cache(functools.partial(manifest_text, root=root)))
    memory = DigestMemory(root / ".cortax" / "digests.sqlite")
    try:
        specs = restrict(plan(study, root, memory, history), patterns or {})
    finally:
        memory.save()
    workers = n_workers(root)
    costs = Costs(workers, measured_jobs(specs, history, study.name))
    ids: dict[str, str] = {}
    jobs = []
    for spec in costs.longest_first(specs):
        why, waits = _why(spec, f"{study.name}/{spec.name}", history, ids)
        jobs.append(Planned(spec, tuple(why), waits, costs.seconds(spec), costs.memory(spec)))
    return Preview(tuple(jobs), workers, read_settings(root).memory)


def measured_jobs(
    specs: Iterable[JobSpec], history: History, study: str
) -> Iterable[tuple[JobSpec, dict[str, Any], float, int]]:
    """Yield what the newest finished job of each name ran with, how long it took and how much memory, see `Costs`."""
    for spec in specs:
        past = history.newest(spec.method, f"{study}/{spec.name}")
        if past is not None:
            yield spec, past.setup["options"], past.seconds, _peak(past.folder) if spec.work else 0


def _peak(folder: Path) -> int:
    """Bytes that a unit of a job's work held at most; 0 if that is not known."""
    try:
        return int(json.loads((folder / "pool.json").read_text())["peak"])
    except (OSError, ValueError, KeyError):
        return 0


def _why(spec: JobSpec, called: str, history: History, ids: dict[str, str]) -> tuple[list[str], bool]:
    """Why a job would run, and whether that is for what it needs alone; notes what stands for it if it is reused."""
    running = sorted(name for name in spec.needs if name not in ids)
    if running:
        own = history.why(spec, called)
        more = f" and {len(running) - 1} more" if len(running) > 1 else ""
        return own or [f"{running[0]}{more} runs first"], not own
    jobs = {slot: ids[n] if isinstance(n, str) else [ids[one] for one in n] for slot, n in spec.jobs.items()}
    past = history.found(spec, jobs)
    if past is None:
        return history.why(spec, called, jobs), False
    if damaged := history.damage(past):
        return [f"its results are damaged: {'; '.join(damaged)}"], False
    ids[spec.name] = history.oldest(past).id
    return [], False


def n_workers(root: Path) -> int:
    """Return how many processes a job has: as the settings say, or as many as the workdir was made for."""
    if asked := read_settings(root).workers:
        return asked
    try:
        return int((jobs_folder(root) / ".slices").read_text())
    except (OSError, ValueError):
        return int(os.environ.get("AX_SLICES", 2))


def jobs_table(found: Preview, n_most: int | None) -> Iterator[tuple[str, str, str, str]]:
    """Yield name, time, memory and reasons of the jobs that would run, of the first so many."""
    shown = found.pending[:n_most]
    for job in shown:
        memory = f"{job.memory / 1e9:.1f} GB" if job.memory else ""
        reasons = "; ".join(job.why[:3]) + (f" and {len(job.why) - 3} more" if len(job.why) > 3 else "")
        yield job.spec.name, duration(job.seconds), memory, reasons
    if len(shown) < len(found.pending):
        yield f"... {len(found.pending) - len(shown)} more", "", "", "--all prints them"


def summary_lines(found: Preview) -> Iterator[str]:
    """Yield what the plan comes to: jobs, cells, time and memory."""
    methods = {job.spec.method for job in found.jobs}
    cell = next((f" ({of})" for method, of in _OF_CELLS.items() if method in methods), "")
    yield f"{len(found.jobs):,} jobs, {found.n_cells(found.jobs):,} cells{cell}"
    if not found.pending:
        yield "nothing would run"
        return
    waiting = sum(job.waits for job in found.pending)
    perhaps = f"; {waiting:,} of them only if what they need turns out otherwise than before" if waiting else ""
    yield f"{len(found.pending):,} would run, {found.n_cells(found.pending):,} cells{perhaps}"
    peak = f"{found.memory / 1e9:.1f} GB at the peak, {found.allowed / 1e9:.1f} GB are allowed"
    fewer = "; jobs that need more have fewer workers at a time" if found.memory > found.allowed else ""
    yield f"about {duration(found.seconds)} with {found.n_workers} workers, {peak}{fewer}"

"""What a build would do, found out without running anything and without a server."""

from __future__ import annotations

import functools
import json
import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from cortax.project import jobs_folder
from cortax.provenance.closure import Look, manifest_text
from cortax.provenance.files import DigestMemory
from cortax.study.section import Study
from cortax.workflow.build.history import History
from cortax.workflow.plan.costs import Costs, duration
from cortax.workflow.plan.jobspec import JobSpec, Work
from cortax.workflow.plan.order import build_order
from cortax.workflow.plan.restrict import Restriction, restrict
from cortax.workflow.work.settings import read_settings
from cortax.workflow.workload import Planning, Workload, workload_of

__all__ = [
    "Planned",
    "Preview",
    "jobs_table",
    "measured_jobs",
    "n_workers",
    "plan_study",
    "preview",
    "summary_lines",
]


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
    """What a build would do: its jobs in order, how many processes each has, and the bytes that they may use.

    Attributes
    ----------
    jobs : tuple of Planned
    n_workers : int
    allowed : float
    units : mapping of method to str
        Methods whose jobs are counted by units of work, and what a unit is.
    """

    jobs: tuple[Planned, ...]
    n_workers: int
    allowed: float
    units: Mapping[str, str]
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

    def n_units(self, jobs: Iterable[Planned]) -> int:
        """Count the units of work of jobs."""
        return sum(job.spec.work.n_units for job in jobs if job.spec.method in self.units and job.spec.work)


def preview(study: Study, root: Path, restriction: Restriction | None = None) -> Preview:
    """Plan a study as a build would, and say what of it would run. What a build refuses is refused.

    Parameters
    ----------
    study : Study
    root : Path
        The project.
    restriction : mapping, optional
        See `restrict`.

    Raises
    ------
    CortaxError
        The study or its input is wrong, or the restriction meets nothing.
    """
    history = History(jobs_folder(root), root, functools.cache(functools.partial(manifest_text, look=Look(root))))
    workload = workload_of(study.kind)
    specs = plan_study(workload, study, root, history, restriction)
    workers = n_workers(root)
    costs = Costs(workers, measured_jobs(specs, history, study.name))
    made: dict[str, str] = {}
    standing: dict[str, str] = {}
    jobs = []
    for spec in build_order(specs, costs.seconds):
        why, waits = _why(spec, f"{study.name}/{spec.name}", history, made, standing)
        jobs.append(Planned(spec, tuple(why), waits, costs.seconds(spec), costs.memory(spec)))
    if any(job.why for job in jobs):
        workload.load("check")(study, root)  # what a build refuses before it begins has no cost
    return Preview(tuple(jobs), workers, read_settings(root).memory, workload.units)


def plan_study(
    workload: Workload, study: Study, root: Path, history: History, restriction: Restriction | None = None
) -> list[JobSpec]:
    """Return the jobs that a study asks for, narrowed by a restriction.

    Raises
    ------
    CortaxError
        See `preview`.
    """
    memory = DigestMemory(root / ".cortax" / "digests.json")
    try:
        specs = workload.plan_jobs(study, Planning(root, memory, history))
        return restrict(specs, restriction or {}, axes=workload.axes, narrowed=workload.narrowed)
    except Exception:
        workload.load("check")(study, root)  # it knows better what is wrong
        raise
    finally:
        memory.save()


def measured_jobs(
    specs: Iterable[JobSpec], history: History, study: str
) -> Iterable[tuple[JobSpec, Work | None, float, int]]:
    """Yield what the newest finished job of each name had to do, how long it took and how much memory, see `Costs`."""
    for spec in specs:
        past = history.newest(spec.method, f"{study}/{spec.name}")
        if past is not None:
            yield spec, past.identity.work, past.seconds, _peak(past.folder) if spec.work else 0


def _peak(folder: Path) -> int:
    """Bytes that a unit of a job's work held at most; 0 if that is not known."""
    try:
        return int(json.loads((folder / "pool.json").read_text())["peak"])
    except (OSError, ValueError, KeyError):
        return 0


def _why(
    spec: JobSpec, called: str, history: History, made: dict[str, str], standing: dict[str, str]
) -> tuple[list[str], bool]:
    """Why a job would run, and whether that is for what it needs alone; notes it, and what stands for it, if not."""
    running = sorted(name for name in spec.needs if name not in made)
    if running:
        own = history.why(spec, called)
        more = f" and {len(running) - 1} more" if len(running) > 1 else ""
        return own or [f"{running[0]}{more} runs first"], not own
    ids = made if spec.shows else standing
    jobs = {slot: ids[n] if isinstance(n, str) else [ids[one] for one in n] for slot, n in spec.jobs.items()}
    past = history.found(spec, jobs)
    if past is None:
        return history.why(spec, called, jobs), False
    if damaged := history.damage(past):
        return [f"its results are damaged: {'; '.join(damaged)}"], False
    made[spec.name], standing[spec.name] = past.id, history.oldest(past).id
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
    """Yield what the plan comes to: jobs, cells, time and memory, and what was found in its input."""
    methods = {job.spec.method for job in found.jobs}
    unit = next((f" ({of})" for method, of in found.units.items() if method in methods), "")
    yield f"{len(found.jobs):,} jobs, {found.n_units(found.jobs):,} units{unit}"
    if not found.pending:
        yield "nothing would run"
        return
    waiting = sum(job.waits for job in found.pending)
    perhaps = f"; {waiting:,} of them only if what they need turns out otherwise than before" if waiting else ""
    yield f"{len(found.pending):,} would run, {found.n_units(found.pending):,} units{perhaps}"
    peak = f"{found.memory / 1e9:.1f} GB at the peak, {found.allowed / 1e9:.1f} GB are allowed"
    fewer = "; jobs that need more have fewer workers at a time" if found.memory > found.allowed else ""
    yield f"about {duration(found.seconds)} with {found.n_workers} workers, {peak}{fewer}"
    for job in found.jobs:
        yield from job.spec.notes

"""Asking Exax for every job of a plan: what has not changed is linked, what failed stops only what needs it."""

from __future__ import annotations

import contextlib
import datetime
import json
import re
import sys
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cortax.errors import ProjectError
from cortax.project import jobs_folder
from cortax.provenance import outputs
from cortax.provenance.reads import changed_reads, changed_variables
from cortax.study.section import Study
from cortax.workflow.build.failures import JobFailure, job_failure
from cortax.workflow.build.history import History
from cortax.workflow.build.progress import Progress, note_progress
from cortax.workflow.plan.identity import note_identity
from cortax.workflow.plan.jobspec import JobSpec
from cortax.workflow.work.running import clear_checkpoint, count_finished, failed_units

__all__ = ["Asking", "Built", "not_loaded"]


@dataclass
class Built:
    """What a build did.

    Attributes
    ----------
    jobs : dict
        For each job name its id.
    ran : dict
        For each name of a job that ran, why and how long.
    failed : list of JobFailure
    skipped : dict
        For each name of a job that was not asked for, the names of those that it needs and that failed.
    lacking : list of str
        What the jobs lack although all ended well, see `Workload.lacking`.
    made_on : dict
        For each job name the kind of processor that made its results.
    """

    jobs: dict[str, str] = field(default_factory=dict)
    ran: dict[str, dict[str, Any]] = field(default_factory=dict)
    failed: list[JobFailure] = field(default_factory=list)
    skipped: dict[str, list[str]] = field(default_factory=dict)
    lacking: list[str] = field(default_factory=list)
    made_on: dict[str, dict[str, str]] = field(default_factory=dict)

    @property
    def incomplete(self) -> bool:
        """Whether a job of the plan is missing (it failed, or it needs one that did), or a result."""
        return bool(self.failed or self.skipped or self.lacking)

    def summary(self) -> str:
        """Say how many jobs ran and how many were reused."""
        seconds = sum(entry["seconds"] for entry in self.ran.values())
        said = f"{len(self.ran)} jobs ran in {seconds:.1f} s, {len(self.jobs) - len(self.ran)} reused"
        if self.failed or self.skipped:
            said += f", {len(self.failed)} FAILED, {len(self.skipped)} not tried"
        return said + (f", {len(self.lacking)} results MISSING" if self.lacking else "")


def not_loaded(method: str) -> ProjectError:
    """Say that the runner works with another code than what is on disk."""
    return ProjectError(
        f"the server has not loaded the present code of {method!r} (edited just now, or `ax run -q`): "
        "run `ax run` without -q"
    )


# Seconds between questions to a server that does not run what it is asked for.
_PAUSES = (0.5, 1.0, 2.0, 4.0, 8.0)
# Every job after it would fail in the same way.
_NO_SERVER = "the Exax server runs no job any more (a process of it was killed?); `cortax build` starts it again"


_NOTED_EVERY = 0.2
# In the name of a library, see `check_threads`.
_KERNEL = re.compile(r"\(blas, (.+)\)$")


class Asking:
    """A build under way: every job of a plan is asked for in turn, and what came of it is noted.

    Parameters
    ----------
    urd
        What Exax hands to a build script's `main`.
    study : Study
    specs : list of JobSpec
        Each after those that it needs.
    history : History
    root : Path
        The project.
    job_error : type
        What Exax raises when a job fails.
    expected : callable
        Gives the seconds that a job is expected to take, for whoever watches.

    Attributes
    ----------
    dirty : set of str
        Names of jobs that run unless something above them turns out to be the same as before.
    built : Built
    """

    def __init__(
        self,
        urd: Any,
        study: Study,
        specs: list[JobSpec],
        history: History,
        root: Path,
        job_error: type[Exception],
        expected: Callable[[JobSpec], float],
    ) -> None:
        self._urd, self._study, self._specs, self._history, self._root = urd, study, specs, history, root
        self._job_error, self._expected = job_error, expected
        self._noted, self._units = 0.0, 0
        self._standing: dict[str, str] = {}
        self._seconds: dict[str, list[float]] = {}
        self.dirty = self._find_dirty()
        self.built = Built()

    def _find_dirty(self) -> set[str]:
        """Jobs that run unless something above them turns out to be the same as before."""
        dirty: set[str] = set()
        for spec in self._specs:
            if spec.needs & dirty or self._history.why(spec, self._called(spec)):
                dirty.add(spec.name)
        return dirty

    def run(self) -> Built:
        """Ask for every job in turn; what needs one that failed is skipped."""
        self._urd.begin(self._study.name, _time_after(self._urd.peek_latest(self._study.name).timestamp))
        try:
            for number, spec in enumerate(self._specs, 1):
                missing = self._missing(spec)
                possible = spec.without(missing)
                if possible is None:
                    self.built.skipped[spec.name] = sorted(missing)
                    continue
                try:
                    self._ask(number, possible)
                except self._job_error as error:
                    self._fail(spec.name, error)
            self._note(len(self._specs) + 1)
        except BaseException:
            self._urd.abort()
            raise
        return self.built

    def _missing(self, spec: JobSpec) -> set[str]:
        """Names of the jobs that a job needs and that failed, or were skipped for one that did."""
        missing = spec.needs - self.built.jobs.keys()
        gone = {failure.name for failure in self.built.failed} | self.built.skipped.keys()
        if early := sorted(missing - gone):
            raise ProjectError(f"job {spec.name!r} was asked for before {early}, which it needs")
        return missing

    def _ask(self, number: int, spec: JobSpec) -> None:
        ids = self.built.jobs if spec.shows else self._standing
        jobs = {slot: _ids_of(names, ids) for slot, names in spec.jobs.items()}
        why = self._history.why(spec, self._called(spec), jobs)
        if why:
            self._say(number, spec, why)
        self._note(number, spec, runs=bool(why))
        started = time.monotonic()
        made = self._build(spec, jobs)
        if made.params.hash != self._history.code_key(spec.method):
            raise not_loaded(spec.method)
        if self._ran(made):
            self._check_variables(spec.name, Path(made.path))
        if unusable := self._unusable(Path(made.path)):
            if not why:
                why = [unusable]
                self._say(number, spec, why)
            self._urd.joblist.pop()  # urd is to list the new one only
            made = self._build(spec, jobs, force_build=True)
            self._check_variables(spec.name, Path(made.path))
        clear_checkpoint(self._root, Path(made.path))
        note_identity(Path(made.path), self._study.name, spec)
        seconds = time.monotonic() - started
        standing = self._history.standing_for(str(made), Path(made.path))
        if self._ran(made):
            self._seconds.setdefault(spec.method, []).append(seconds)
            entry = {"job": str(made), "seconds": round(seconds, 3), "why": why or ["its results were gone"]}
            if standing.id != str(made):
                print(f"       same results as {standing.id}: nothing below needs to run")
                entry["same_as"] = standing.id
            self.built.ran[spec.name] = entry
            self._units += spec.work.n_units if spec.work else 0
        self.built.jobs[spec.name] = str(made)
        self._standing[spec.name] = standing.id
        self.built.made_on[spec.name] = standing.made.processor | _kernels_of_workers(Path(made.path))

    def _unusable(self, folder: Path) -> str:
        """Say why a job that Exax found, or has just made, must not be used; nothing if it may."""
        if damaged := outputs.damage(folder):
            return f"its results were damaged: {'; '.join(damaged)}"
        changed = changed_reads(outputs.read(folder).reads, self._root)
        return f"{', '.join(changed)}, which own code reads, changed" if changed else ""

    def _check_variables(self, name: str, folder: Path) -> None:
        """Make sure that a job that ran was given this process's environment: it has that of the server."""
        if others := changed_variables(outputs.read(folder).reads, self._root):
            raise ProjectError(
                f"{name}: {', '.join(others)}, which own code reads, must be the same here and where jobs run; the "
                "Exax server was started with another value. End it by `cortax down`, then build again"
            )

    def _build(self, spec: JobSpec, jobs: dict[str, Any], **more: Any) -> Any:
        """Ask Exax; again when a process of the job was killed from outside, as long as more cells get done.

        A server that loads its methods, because somebody has begun another build, runs nothing for some seconds.
        """
        finished, pauses = -1, iter(_PAUSES)
        while True:
            try:
                return self._urd.build(
                    spec.method, options=spec.options, jobs=jobs, name=spec.name, caption=self._called(spec), **more
                )
            except self._job_error as caught:
                error: Any = caught
                now = count_finished(self._root, jobs_folder(self._root) / str(error.job))
                failure = job_failure(spec.name, error, [])
                if not failure.killed or (failure.begun and now <= finished):
                    raise
                if now > finished:
                    finished, pauses = now, iter(_PAUSES)
                    print(f"       a process of {spec.name} was killed: going on from {now} finished cells", flush=True)
                elif (pause := next(pauses, None)) is None:
                    raise ProjectError(_NO_SERVER) from error
                else:
                    time.sleep(pause)

    def _fail(self, name: str, error: Any) -> None:
        failure = job_failure(name, error, failed_units(self._root, jobs_folder(self._root) / str(error.job)))
        self.built.failed.append(failure)
        print(f"       {name} FAILED: {failure.message}", file=sys.stderr, flush=True)

    def _called(self, spec: JobSpec) -> str:
        return f"{self._study.name}/{spec.name}"

    def _ran(self, made: Any) -> bool:
        # Exax notes for each job of this run whether it was made or found.
        return bool(self._urd._a._all_record.get(made, False))

    def _say(self, number: int, spec: JobSpec, why: list[str]) -> None:
        reasons = ", ".join(why[:3]) + (f" and {len(why) - 3} more" if len(why) > 3 else "")
        left = self._left(number)
        print(f"[{number}/{len(self._specs)}] {spec.name}: {reasons}{left}", flush=True)

    def _note(self, number: int, spec: JobSpec | None = None, *, runs: bool = False) -> None:
        """Tell whoever watches how far this is; jobs that are only linked pass too fast for each of them."""
        now = time.time()
        if spec is not None and not runs and now - self._noted < _NOTED_EVERY:
            return
        self._noted = now
        built, left = self.built, [each for each in self._specs[number - 1 :] if each.name in self.dirty]
        progress = Progress(
            study=self._study.name,
            n_jobs=len(self._specs),
            n_ran=len(built.ran),
            n_linked=len(built.jobs) - len(built.ran),
            n_failed=len(built.failed),
            n_skipped=len(built.skipped),
            job=spec.name if spec else "",
            runs=runs,
            n_units=spec.work.n_units if spec and spec.work else 0,
            units_done=self._units,
            left=sum(map(self._expected, left)),
            begun=now,
        )
        note_progress(self._root, progress)

    def _left(self, number: int) -> str:
        """Estimate the time left from how long such jobs took, in this build or the last."""
        seconds = 0.0
        for spec in self._specs[number - 1 :]:
            seen = self._seconds.get(spec.method)
            past = self._history.newest(spec.method, self._called(spec))
            if spec.name in self.dirty and (seen or past):
                seconds += sum(seen) / len(seen) if seen else past.seconds if past else 0.0
        return f" (about {_duration(seconds)} left)" if seconds else ""


def _kernels_of_workers(folder: Path) -> dict[str, str]:
    """Return the kernels of BLAS in the workers of a job, which may be other machines; nothing if it had none."""
    try:
        libraries = json.loads((folder / "pool.json").read_text())["threads"]
        kernels = {match[1] for name in libraries if (match := _KERNEL.search(name))}
    except (OSError, ValueError, KeyError, TypeError):
        return {}
    return {"BLAS": " ".join(sorted(kernels))} if kernels else {}


def _ids_of(names: str | list[str], ids: Mapping[str, str]) -> Any:
    return ids[names] if isinstance(names, str) else [ids[name] for name in names]


def _time_after(latest: Any) -> str:
    """Write the time for urd, in UTC (local time runs backwards once a year), and later than its latest entry.

    Otherwise an entry that was made while the clock was ahead would be the latest for years.
    """
    now = datetime.datetime.now(datetime.timezone.utc).replace(tzinfo=None)
    with contextlib.suppress(ValueError):
        now = max(now, datetime.datetime.fromisoformat(str(latest)) + datetime.timedelta(microseconds=1))
    return now.isoformat(timespec="microseconds")


def _duration(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 90 else f"{seconds / 60:.0f} min"

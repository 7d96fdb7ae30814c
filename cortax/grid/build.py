"""One build of one study: every job asked for, what must run is run, and what was found is filed."""

from __future__ import annotations

import datetime
import sys
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cortax.errors import CortaxError, ProjectError
from cortax.grid.history import History
from cortax.grid.plan import JobSpec, plan
from cortax.project import build_lock, check_root, jobs_folder
from cortax.provenance import outputs
from cortax.provenance.closure import manifest_path, manifest_text
from cortax.provenance.files import DigestMemory
from cortax.study import Study, read_study

__all__ = ["Built", "build_studies", "build_study"]


@dataclass
class Built:
    """What a build did: for each job name its id, and for those that ran, why and how long."""

    jobs: dict[str, str] = field(default_factory=dict)
    ran: dict[str, dict[str, Any]] = field(default_factory=dict)

    def summary(self) -> str:
        """Say how many jobs ran and how many were reused."""
        seconds = sum(entry["seconds"] for entry in self.ran.values())
        return f"{len(self.ran)} jobs ran in {seconds:.1f} s, {len(self.jobs) - len(self.ran)} reused"


def build_studies(urd: Any, job: Any, paths: Iterable[str], root: Path) -> int:
    """Build studies in turn; return 0, or 1 after an error, which is then one message and no traceback.

    Interrupted, it stops the running job and returns 130.
    """
    try:
        for path in paths:
            build_study(urd, job, path, root)
    except CortaxError as error:
        print(f"cortax: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        # Exax would let the running job go on, unseen.
        urd._a.abort()
        print("cortax: interrupted; the running job was stopped, finished ones are kept", file=sys.stderr)
        return 130
    return 0


def build_study(urd: Any, job: Any, path: str | Path, root: Path) -> Built:
    """Build a study through Exax.

    Parameters
    ----------
    urd, job
        What Exax hands to a build script's `main`.
    path : path
        The study file, relative to the project.
    root : Path
        The project.

    Returns
    -------
    Built
        The jobs, by name.

    Raises
    ------
    CortaxError
        The study or its input is wrong, or another build is running; nothing has been computed then.
    """
    check_root(root)
    with build_lock(root):
        study = read_study(root / path)
        memory = DigestMemory(root / ".cortax" / "digests.sqlite")
        try:
            specs = plan(study, root, memory)
        except Exception:
            _check(study, root)  # it knows better what is wrong
            raise
        finally:
            memory.save()
        _check_code({spec.method for spec in specs}, root)
        build = _Build(urd, study, specs, History(jobs_folder(root), root))
        if build.dirty:
            _check(study, root)
        built = build.run()
        _file(urd, job, study, built)
    return built


def _check(study: Study, root: Path) -> None:
    # Imports what all the jobs import: two seconds that a build of nothing new does not have.
    from cortax.grid.check import check_study

    check_study(study, root)


def _check_code(methods: set[str], root: Path) -> None:
    """Make sure that the runner has loaded the code that is on disk now (`ax run -q` does not reload it)."""
    for method in sorted(methods):
        module = f"methods.a_{method}"
        loaded = manifest_path(module, root)
        if not loaded.exists() or loaded.read_text() != manifest_text(module, root):
            raise _not_loaded(method)


def _not_loaded(method: str) -> ProjectError:
    return ProjectError(
        f"the server has not loaded the present code of {method!r} (edited just now, or `ax run -q`): "
        "run `ax run` without -q"
    )


class _Build:
    def __init__(self, urd: Any, study: Study, specs: list[JobSpec], history: History) -> None:
        self._urd, self._study, self._specs, self._history = urd, study, specs, history
        self._standing: dict[str, str] = {}
        self._seconds: dict[str, list[float]] = {}
        self.dirty = self._find_dirty()
        self.built = Built()

    def _find_dirty(self) -> set[str]:
        """Jobs that run unless something above them turns out to be the same as before."""
        dirty: set[str] = set()
        for spec in self._specs:
            needs = {name for names in spec.jobs.values() for name in ([names] if isinstance(names, str) else names)}
            if needs & dirty or self._history.why(spec, self._called(spec)):
                dirty.add(spec.name)
        return dirty

    def run(self) -> Built:
        """Ask for every job in turn."""
        self._urd.begin(self._study.name, _now())
        try:
            for number, spec in enumerate(self._specs, 1):
                self._ask(number, spec)
        except BaseException:
            self._urd.abort()
            raise
        return self.built

    def _ask(self, number: int, spec: JobSpec) -> None:
        jobs = {slot: self._stand_in(names) for slot, names in spec.jobs.items()}
        why = self._history.why(spec, self._called(spec), jobs)
        if why:
            self._say(number, spec, why)
        started = time.monotonic()
        made = self._build(spec, jobs)
        if made.params.hash != self._history.code_key(spec.method):
            raise _not_loaded(spec.method)
        damaged = outputs.damage(made.path)
        if damaged:
            why = [f"its results were damaged: {'; '.join(damaged)}"]
            self._say(number, spec, why)
            self._urd.joblist.pop()  # urd is to list the new one only
            made = self._build(spec, jobs, force_build=True)
        seconds = time.monotonic() - started
        standing = self._history.standing_for(str(made), Path(made.path))
        if self._ran(made):
            self._seconds.setdefault(spec.method, []).append(seconds)
            entry = {"job": str(made), "seconds": round(seconds, 3), "why": why or ["its results were gone"]}
            if standing.id != str(made):
                print(f"       same results as {standing.id}: nothing below needs to run")
                entry["same_as"] = standing.id
            self.built.ran[spec.name] = entry
        self.built.jobs[spec.name] = str(made)
        self._standing[spec.name] = standing.id

    def _build(self, spec: JobSpec, jobs: dict[str, Any], **more: Any) -> Any:
        return self._urd.build(
            spec.method, options=spec.options, jobs=jobs, name=spec.name, caption=self._called(spec), **more
        )

    def _called(self, spec: JobSpec) -> str:
        return f"{self._study.name}/{spec.name}"

    def _stand_in(self, names: str | list[str]) -> Any:
        if isinstance(names, str):
            return self._standing[names]
        return [self._standing[name] for name in names]

    def _ran(self, made: Any) -> bool:
        # Exax notes for each job of this run whether it was made or found.
        return bool(self._urd._a._all_record.get(made, False))

    def _say(self, number: int, spec: JobSpec, why: list[str]) -> None:
        reasons = ", ".join(why[:3]) + (f" and {len(why) - 3} more" if len(why) > 3 else "")
        left = self._left(number)
        print(f"[{number}/{len(self._specs)}] {spec.name}: {reasons}{left}", flush=True)

    def _left(self, number: int) -> str:
        """Estimate the time left from how long such jobs took, in this build or the last."""
        seconds = 0.0
        for spec in self._specs[number - 1 :]:
            seen = self._seconds.get(spec.method)
            past = self._history.newest(spec.method, self._called(spec))
            if spec.name in self.dirty and (seen or past):
                seconds += sum(seen) / len(seen) if seen else past.seconds if past else 0.0
        return f" (about {_duration(seconds)} left)" if seconds else ""


def _now() -> str:
    """Write the time for urd, in UTC: local time runs backwards once a year."""
    return datetime.datetime.now(datetime.timezone.utc).replace(tzinfo=None).isoformat(timespec="microseconds")


def _duration(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 90 else f"{seconds / 60:.0f} min"


def _file(urd: Any, job: Any, study: Study, built: Built) -> None:
    """Enter the build into urd, and link its tables where people look."""
    latest = urd.peek_latest(study.name)
    changed = [(name, str(made)) for name, made in latest.joblist.as_tuples] != list(built.jobs.items())
    if changed:
        urd.finish(study.name, caption=f"{len(built.ran)} of {len(built.jobs)} jobs ran")
    else:
        urd.abort()  # nothing is new: the entry that there is says it all
    scores = next(made for made in urd.joblist_all if str(made) == built.jobs["scores"])
    scores.link_result("scores.parquet", f"{study.name}/scores.parquet")
    if changed:
        name = f"{study.name}.json"
        job.json_save({"jobs": built.jobs, "ran": built.ran}, name, sort_keys=False)
        job.link_result(name, f"{study.name}/build.json")
    print(f"{study.title}{' (SIMULATED DATA)' if study.simulated else ''}: {built.summary()}")

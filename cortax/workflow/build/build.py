"""One build of one study: every job asked for, what must run is run, and what was found is filed."""

from __future__ import annotations

import atexit
import gc
import sys
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from cortax.errors import CortaxError, ProjectError
from cortax.project import build_lock, check_root, jobs_folder, method_modules
from cortax.provenance.closure import Look, manifest_path, manifest_text
from cortax.provenance.processor import differences
from cortax.study.section import Study
from cortax.workflow.build.asking import Asking, Built, not_loaded
from cortax.workflow.build.failures import note_failures
from cortax.workflow.build.filing import file_build, shown_log
from cortax.workflow.build.history import History
from cortax.workflow.build.preview import measured_jobs, n_workers, plan_study
from cortax.workflow.guarding.room import KEPT, is_full, kept_room
from cortax.workflow.guarding.server import is_idle
from cortax.workflow.plan.costs import Costs
from cortax.workflow.plan.jobspec import JobSpec
from cortax.workflow.plan.order import build_order
from cortax.workflow.plan.restrict import Restriction
from cortax.workflow.work.scratch import backends_folder, clear_scratch
from cortax.workflow.work.settings import save_settings
from cortax.workflow.workload import Workload, read_study, workload_of

__all__ = ["Built", "build_studies", "build_study"]

# How the caption of an entry begins whose build failed in part.
INCOMPLETE = "INCOMPLETE"
_N_STOPS = 25


def build_studies(
    urd: Any,
    job: Any,
    paths: Iterable[str],
    root: Path,
    job_error: type[Exception],
    restriction: Restriction | None = None,
) -> int:
    """Build studies in turn; return 0, or 1 after an error, which is then one message and no traceback.

    Interrupted, it stops the running job and returns 130. A job that fails stops nothing but what depends on it.
    """
    atexit.register(gc.freeze)  # what was imported is no garbage: looking through it at the end takes up to a second
    whole = True
    try:
        with kept_room(Path(job.path)):
            for path in paths:
                whole &= not build_study(urd, job, path, root, job_error, restriction).incomplete
    except CortaxError as error:
        print(f"cortax: {error}", file=sys.stderr)
        return 1
    except Exception as error:
        # What Exax's server and urd cannot write comes back as errors of theirs.
        if not is_full(root):
            raise
        print(f"cortax: {root}: no space is left ({_first_line(error)}): {KEPT}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        _stop_job(urd, root)
        print("cortax: interrupted; the running job was stopped, finished ones are kept", file=sys.stderr)
        return 130
    return 0 if whole else 1


def _first_line(error: Exception) -> str:
    return next(iter(str(error).splitlines()), type(error).__name__)


def _stop_job(urd: Any, root: Path) -> None:
    """Stop the running job, which Exax would let go on unseen; it cannot stop one that it has only just begun."""
    for _ in range(_N_STOPS):
        urd._a.abort()
        if is_idle(root) is not False:
            return
        time.sleep(0.2)


def build_study(
    urd: Any,
    job: Any,
    path: str | Path,
    root: Path,
    job_error: type[Exception],
    restriction: Restriction | None = None,
) -> Built:
    """Build a study through Exax.

    Parameters
    ----------
    urd, job
        What Exax hands to a build script's `main`.
    path : path
        The study file, relative to the project.
    root : Path
        The project.
    job_error : type
        What Exax raises when a job fails.
    restriction : mapping, optional
        What the build is narrowed to, see `restrict`. Such a build files nothing: its jobs are there for the next
        whole one, and until then the results are those of the last whole one.

    Returns
    -------
    Built
        The jobs, by name.

    Raises
    ------
    CortaxError
        The study or its input is wrong, or another build is running; nothing has been computed then. Or so much
        failed that there are no scores (or links, of a network).
    """
    check_root(root)
    _check_workdir(Path(job.path), root)
    with build_lock(root):
        study: Study = read_study(root / path)
        workload = workload_of(study.kind)
        history = History(jobs_folder(root), root)
        specs = plan_study(workload, study, root, history, restriction)
        _check_code({spec.method for spec in specs}, root)
        save_settings(root)
        clear_scratch(backends_folder(root))
        costs = Costs(n_workers(root), measured_jobs(specs, history, study.name))
        build = Asking(urd, study, build_order(specs, costs.seconds), history, root, job_error, costs.seconds)
        if build.dirty:
            # Imports what all the jobs import: two seconds that a build of nothing new does not have.
            workload.load("check")(study, root)
        built = build.run()
        _tell_processors(built)
        narrowed_to = [spec.name for spec in specs] if restriction else None
        note_failures(root, study.name, built.failed, built.skipped, narrowed_to=narrowed_to)
        if restriction:
            urd.abort()
            print(f"{study.title}: {built.summary()}; results are filed by a build without --restrict")
        else:
            built.lacking = _lacking(workload, study.name, built, root)
            _file(urd, workload, study, built, specs, root)
    return built


def _tell_processors(built: Built) -> None:
    """Warn of a build whose jobs were made on several kinds of processors: on one kind, last digits may differ."""
    for library, kinds in differences(built.made_on).items():
        each = "; ".join(f"{kind}: {len(jobs)} jobs, such as {jobs[0]}" for kind, jobs in sorted(kinds.items()))
        print(
            f"cortax: jobs of this build were made on several kinds of processors, as {library} tells them apart "
            f"({each}): the last digits of their numbers may differ from a build on one kind",
            file=sys.stderr,
        )


def _lacking(workload: Workload, study: str, built: Built, root: Path) -> list[str]:
    """What results lack although all jobs ended well; of the build that is shown, that is known."""
    shown = shown_log(root, study)
    if shown.get("jobs") == built.jobs and "lacking" in shown:
        return list(shown["lacking"])
    return list(workload.load("lacking")(root, {"jobs": built.jobs})) if workload.lacking else []


def _check_workdir(own: Path, root: Path) -> None:
    """Make sure that the server writes where this process reads: each may have its own `AX_WORKDIR`."""
    if own.resolve().parent != jobs_folder(root):
        raise ProjectError(
            f"{root}: the Exax server works in the workdir {own.resolve().parent}, this shell in {jobs_folder(root)} "
            "(AX_WORKDIR): set it as it was, or end the server by `cortax down` first"
        )


def _check_code(methods: set[str], root: Path) -> None:
    """Make sure that the runner has loaded the code that is on disk now (`ax run -q` does not reload it)."""
    modules, look = method_modules(root), Look(root)
    for method in sorted(methods):
        module = modules[method]
        loaded = manifest_path(module, root)
        if not loaded.exists() or loaded.read_text() != manifest_text(module, look):
            raise not_loaded(method)


def _file(urd: Any, workload: Workload, study: Study, built: Built, specs: Sequence[JobSpec], root: Path) -> None:
    """Enter the build into the list of whoever builds, and show it in `results`."""
    if not any(spec.method == workload.essential and spec.name in built.jobs for spec in specs):
        urd.abort()
        raise ProjectError(
            f"{study.name}: no {workload.finding} ({built.summary()}); "
            f"`cortax errors {study.name}` says what failed and why"
        )
    latest = urd.peek_latest(study.name)
    # In whatever order they were asked for, which follows what they are expected to cost.
    changed = {name: str(made) for name, made in latest.joblist.as_tuples} != built.jobs
    changed |= str(latest.caption).startswith(INCOMPLETE) != built.incomplete
    if changed:
        ran = f"{len(built.ran)} of {len(built.jobs)} jobs ran"
        urd.finish(study.name, caption=f"{INCOMPLETE}: {built.summary()}" if built.incomplete else ran)
    else:
        urd.abort()  # nothing is new: the entry that there is says it all
    kept = [spec for spec in specs if spec.name in built.jobs]
    log = {
        "kind": workload.kind,
        "jobs": built.jobs,
        "what": {spec.name: {"method": spec.method, "key": dict(spec.key)} for spec in kept},
        "ran": built.ran,
        "failed": [failure.name for failure in built.failed],
        "skipped": built.skipped,
        "lacking": built.lacking,
    }
    links = {
        "/".join([*spec.folder, file]): jobs_folder(root) / built.jobs[spec.name] / file
        for spec in kept
        for file in spec.links
    }
    file_build(root, study.name, log, links)
    print(f"{study.title}{' (SIMULATED DATA)' if study.simulated else ''}: {built.summary()}")
    if built.incomplete:
        print(
            f"the {workload.finding} are INCOMPLETE; `cortax errors {study.name}` says what failed and what it needs",
            flush=True,
        )

"""One build of one study: every job asked for, what must run is run, and what was found is filed."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from cortax.errors import CortaxError, ProjectError
from cortax.grid.asking import Asking, Built, not_loaded
from cortax.grid.engines.scratch import clear_scratch, engines_folder
from cortax.grid.failures import note_failures
from cortax.grid.history import History
from cortax.grid.planning.costs import Costs
from cortax.grid.planning.jobspec import JobSpec
from cortax.grid.planning.plan import plan
from cortax.grid.planning.preview import measured_jobs, n_workers
from cortax.grid.planning.restrict import restrict
from cortax.grid.work.settings import save_settings
from cortax.project import build_lock, check_root, jobs_folder
from cortax.provenance.closure import manifest_path, manifest_text
from cortax.provenance.files import DigestMemory
from cortax.study import AnyStudy, read_any_study

__all__ = ["Built", "build_studies", "build_study"]

# How the caption of an entry begins whose build failed in part.
INCOMPLETE = "INCOMPLETE"


def build_studies(
    urd: Any,
    job: Any,
    paths: Iterable[str],
    root: Path,
    job_error: type[Exception],
    patterns: Mapping[str, Sequence[str]] | None = None,
) -> int:
    """Build studies in turn; return 0, or 1 after an error, which is then one message and no traceback.

    Interrupted, it stops the running job and returns 130. A job that fails stops nothing but what depends on it.
    """
    whole = True
    try:
        for path in paths:
            whole &= not build_study(urd, job, path, root, job_error, patterns).failed
    except CortaxError as error:
        print(f"cortax: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        # Exax would let the running job go on, unseen.
        urd._a.abort()
        print("cortax: interrupted; the running job was stopped, finished ones are kept", file=sys.stderr)
        return 130
    return 0 if whole else 1


def build_study(
    urd: Any,
    job: Any,
    path: str | Path,
    root: Path,
    job_error: type[Exception],
    patterns: Mapping[str, Sequence[str]] | None = None,
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
    patterns : mapping, optional
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
    with build_lock(root):
        study = read_any_study(root / path)
        memory = DigestMemory(root / ".cortax" / "digests.sqlite")
        try:
            history = History(jobs_folder(root), root)
            specs = restrict(plan(study, root, memory, history), patterns or {})
        except Exception:
            _check(study, root)  # it knows better what is wrong
            raise
        finally:
            memory.save()
        _check_code({spec.method for spec in specs}, root)
        save_settings(root)
        clear_scratch(engines_folder(root))
        costs = Costs(n_workers(root), measured_jobs(specs, history, study.name))
        build = Asking(urd, study, costs.longest_first(specs), history, root, job_error, costs.seconds)
        if build.dirty:
            _check(study, root)
        built = build.run()
        narrowed_to = [spec.name for spec in specs] if patterns else None
        note_failures(root, study.name, built.failed, built.skipped, narrowed_to=narrowed_to)
        if patterns:
            urd.abort()
            print(f"{study.title}: {built.summary()}; results are filed by a build without --restrict")
        else:
            _file(urd, job, study, built, specs)
    return built


def _check(study: AnyStudy, root: Path) -> None:
    # Imports what all the jobs import: two seconds that a build of nothing new does not have.
    from cortax.grid.check import check_study

    check_study(study, root)


def _check_code(methods: set[str], root: Path) -> None:
    """Make sure that the runner has loaded the code that is on disk now (`ax run -q` does not reload it)."""
    for method in sorted(methods):
        module = f"methods.a_{method}"
        loaded = manifest_path(module, root)
        if not loaded.exists() or loaded.read_text() != manifest_text(module, root):
            raise not_loaded(method)


def _file(urd: Any, job: Any, study: AnyStudy, built: Built, specs: Sequence[JobSpec]) -> None:
    """Enter the build into urd, and link its tables where people look."""
    method, found = study.main_jobs
    if not any(spec.method == method and spec.name in built.jobs for spec in specs):
        urd.abort()
        raise ProjectError(
            f"{study.name}: no {found} ({built.summary()}); `cortax errors {study.name}` says what failed and why"
        )
    latest = urd.peek_latest(study.name)
    # In whatever order they were asked for, which follows what they are expected to cost.
    changed = {name: str(made) for name, made in latest.joblist.as_tuples} != built.jobs
    changed |= str(latest.caption).startswith(INCOMPLETE) != bool(built.failed)
    if changed:
        ran = f"{len(built.ran)} of {len(built.jobs)} jobs ran"
        urd.finish(study.name, caption=f"{INCOMPLETE}: {built.summary()}" if built.failed else ran)
    else:
        urd.abort()  # nothing is new: the entry that there is says it all
    made = {str(each): each for each in urd.joblist_all}
    for spec in specs:
        for file in spec.links if spec.name in built.jobs else ():
            made[built.jobs[spec.name]].link_result(file, "/".join([study.name, *spec.folder, file]))
    if changed:
        name = f"{study.name}.json"
        log = {"jobs": built.jobs, "ran": built.ran, "failed": [failure.name for failure in built.failed]}
        job.json_save({**log, "skipped": built.skipped}, name, sort_keys=False)
        job.link_result(name, f"{study.name}/build.json")
    print(f"{study.title}{' (SIMULATED DATA)' if study.simulated else ''}: {built.summary()}")
    if built.failed:
        print(
            f"the {found} are INCOMPLETE; `cortax errors {study.name}` says what failed and what it needs", flush=True
        )

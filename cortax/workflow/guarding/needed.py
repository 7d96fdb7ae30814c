"""Which jobs of a workdir are needed: those that a build lists or results link to, and all their inputs."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from cortax.errors import ProjectError
from cortax.project import jobs_folder
from cortax.workflow.guarding.urd_lists import Entry, entries

__all__ = ["inputs_of", "job_number", "needed_jobs", "pending_jobs", "with_inputs"]

_REFERENCE = re.compile(r"(main-\d+)(/|$)")
# The list in which Exax enters every run of every script by itself, with all jobs that it used.
_EVERY_RUN = "/__auto__"


def job_number(job: str) -> int:
    """Return the number of a job: later jobs have higher ones."""
    return int(job.rpartition("-")[2])


def needed_jobs(root: Path, n_builds: int | None = None) -> set[str]:
    """Return the ids of the jobs that are needed, with all their inputs.

    Parameters
    ----------
    root : Path
        The project.
    n_builds : int, optional
        How many of the newest builds of each study count; by default every build that urd lists.

    Raises
    ------
    ProjectError
        A job cannot be read, so that its inputs are not known.
    """
    jobs = [job for entry in _newest(root, n_builds) for job in (*entry.jobs, entry.build_job)]
    return with_inputs(jobs_folder(root), [*filter(None, jobs), *_linked(root)])


def _newest(root: Path, n_builds: int | None) -> Iterator[Entry]:
    by_list: dict[str, list[Entry]] = {}
    for entry in entries(root):
        by_list.setdefault(entry.name, []).append(entry)
    for name, builds in by_list.items():
        if name.endswith(_EVERY_RUN):
            # The last run of each script: scripts of other authors may enter their jobs nowhere else.
            yield from {_read(jobs_folder(root) / build.build_job).get("method"): build for build in builds}.values()
        else:
            yield from builds[-n_builds:] if n_builds else builds


def _linked(root: Path) -> Iterator[str]:
    home = jobs_folder(root)
    for shown in (root / "results").glob("[!.]*"):
        for folder, _, names in os.walk(shown.resolve()):
            for name in names:
                target = Path(folder, name).resolve()
                if target.is_relative_to(home):
                    yield target.relative_to(home).parts[0]


def with_inputs(folder: Path, jobs: Iterable[str]) -> set[str]:
    """Return the ids of jobs and of all their inputs, direct or not."""
    ids: set[str] = set()
    to_do = list(jobs)
    while to_do:
        job = to_do.pop()
        if job not in ids:
            ids.add(job)
            to_do += inputs_of(folder / job)
    return ids


def inputs_of(folder: Path) -> set[str]:
    """Return the ids of the jobs that a job has as inputs; a build script has none, it only asks for jobs."""
    setup = _read(folder)
    if setup.get("is_build"):
        return set()
    return {match[1] for text in _texts([setup.get(key) for key in _KEYS]) if (match := _REFERENCE.match(text))}


_KEYS = ("jobs", "datasets", "options")


def _read(folder: Path) -> dict[str, Any]:
    """Return the content of a job's `setup.json`; nothing if the job or the file is gone."""
    path = folder / "setup.json"
    try:
        content: dict[str, Any] = json.loads(path.read_bytes())
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except (OSError, ValueError) as error:
        raise ProjectError(f"{path}: cannot be read ({error}); `cortax doctor` mends what can be mended") from error
    return content


def _texts(value: Any) -> Iterator[str]:
    """Yield every text in nested lists and objects."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, (list, dict)):
        for item in value.values() if isinstance(value, dict) else value:
            yield from _texts(item)


def pending_jobs(root: Path, jobs: Iterable[str]) -> set[str]:
    """Return the jobs that are newer than the newest build of their study: they belong to one that has not finished."""
    newest: dict[str, int] = {}
    for entry in entries(root):
        study = entry.name.partition("/")[2]
        newest[study] = max(newest.get(study, -1), *map(job_number, entry.jobs))
    pending = set()
    for job in jobs:
        setup = _read(jobs_folder(root) / job)
        study = str(setup.get("caption", "")).partition("/")[0]
        finished = (jobs_folder(root) / job / "post.json").exists()
        if finished and not setup.get("is_build") and job_number(job) > newest.get(study, -1):
            pending.add(job)
    return pending

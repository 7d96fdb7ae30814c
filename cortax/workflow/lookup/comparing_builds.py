"""Two builds of one study: what changed in the scores, and why, from urd and the jobs' own records."""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from cortax.errors import ProjectError
from cortax.project import jobs_folder
from cortax.provenance import outputs
from cortax.workflow.build.differences import option_differences
from cortax.workflow.guarding.needed import job_number, with_inputs
from cortax.workflow.guarding.urd_lists import entries
from cortax.workflow.lookup.lookups import Origin, job_of
from cortax.workflow.lookup.results import tables_of_jobs
from cortax.workflow.plan.identity import identity_of
from cortax.workflow.workload import Table

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["PREVIOUS", "FiledBuild", "filed_builds", "find_build", "reasons", "table_of_build", "value_changes"]

PREVIOUS = "previous"
_KINDS = ("code", "data", "option", "version", "job", "unknown")


@dataclass(frozen=True)
class FiledBuild:
    """A build that urd lists: its own time, and for each job name the id."""

    timestamp: str
    jobs: dict[str, str]
    caption: str = ""


def filed_builds(root: Path, study: str) -> list[FiledBuild]:
    """Return all builds of a study that urd lists, of whatever user, oldest first by the jobs of their scripts.

    Times do not say it: a clock may have been wrong.
    """
    listed = [entry for entry in entries(root) if entry.name.partition("/")[2] == study]
    listed.sort(key=lambda entry: (job_number(entry.build_job) if entry.build_job else -1, entry.timestamp))
    return [FiledBuild(e.timestamp, dict(zip(e.names, e.jobs, strict=True)), e.caption) for e in listed]


def find_build(root: Path, study: str, wanted: str) -> tuple[FiledBuild, FiledBuild]:
    """Return an earlier build of a study, and its newest one.

    Parameters
    ----------
    root : Path
        The project.
    study : str
    wanted : str
        The build's time as `ax urd STUDY` lists it, or as much of its beginning as tells it from others; or
        `previous`, the last one before the newest.

    Raises
    ------
    ProjectError
        There is no such build, or several are meant.
    """
    builds = filed_builds(root, study)
    if len(builds) < 2:
        raise ProjectError(f"study {study!r} has {len(builds)} builds that differ: there is nothing to compare")
    earlier = builds[:-1]
    found = earlier[-1:] if wanted == PREVIOUS else [build for build in earlier if build.timestamp.startswith(wanted)]
    if len(found) != 1:
        said = "several builds of that time" if found else "no earlier build of that time"
        times = [build.timestamp for build in earlier[-10:]]
        raise ProjectError(f"--against {wanted!r}: {said}; must be {PREVIOUS!r} or one of {times} (the newest ten)")
    return found[0], builds[-1]


def table_of_build(root: Path, build: FiledBuild, table: Table) -> pd.DataFrame:
    """Return a table that a build filed.

    Raises
    ------
    ProjectError
        It is gone, or was altered since.
    """
    return tables_of_jobs(root, table, _jobs_of(root, build, table))


def _jobs_of(root: Path, build: FiledBuild, table: Table) -> dict[str, Mapping[str, str]]:
    home = jobs_folder(root)
    identities = {job: identity_of(home / job) for job in build.jobs.values()}
    jobs = {job: identity.key for job, identity in identities.items() if identity.method == table.method}
    if not jobs:
        raise ProjectError(f"the build of {build.timestamp} has no {table.help}, or its jobs are gone")
    return jobs


def value_changes(before: pd.DataFrame, after: pd.DataFrame, table: Table) -> pd.DataFrame:
    """List the values that differ, the largest differences first, then those that are new or gone.

    Parameters
    ----------
    before, after : DataFrame
        A table of two builds.
    table : Table
        Says which columns identify a row, and which holds the value.

    Returns
    -------
    DataFrame
        The identity, what (changed, new or gone), before, after, change. Two values that are both NaN are the same.
    """
    import pandas as pd

    keys = list(table.identity)
    old = before[[*keys, table.value]].rename(columns={table.value: "before"})
    new = after[[*keys, table.value]].rename(columns={table.value: "after"})
    both = old.merge(new, on=keys, how="outer", indicator="what", validate="one_to_one")
    both["what"] = both["what"].map({"both": "changed", "left_only": "gone", "right_only": "new"}).astype(str)
    both["change"] = both["after"] - both["before"]
    same = (both["before"] == both["after"]) | (both["before"].isna() & both["after"].isna())
    both = both[~same | (both["what"] != "changed")]
    ordered = both.assign(size=both["change"].abs()).sort_values(
        ["size", "what", *keys], ascending=[False] + [True] * (1 + len(keys)), na_position="last", kind="stable"
    )
    return pd.DataFrame(ordered[[*keys, "what", "before", "after", "change"]].reset_index(drop=True))


def reasons(root: Path, before: FiledBuild, after: FiledBuild, table: Table) -> pd.DataFrame:
    """Say why a table differs: for each job below them whose results differ, what of its own did.

    A job that ran again with the same results explains nothing and is passed over; neither does one that
    differs only because its inputs do, which are listed themselves.

    Returns
    -------
    DataFrame
        kind (code, data, option, version, job, unknown), what, jobs (how many), such_as (the first of them).

    Raises
    ------
    ProjectError
        A job is gone, or its record.
    """
    import pandas as pd

    home = jobs_folder(root)
    digest = functools.cache(lambda job: outputs.read(home / job).digest)
    used = {digest(job) for build in (before, after) for job in with_inputs(home, list(_jobs_of(root, build, table)))}
    found: dict[tuple[str, str], list[str]] = {}
    for name in dict.fromkeys([*after.jobs, *before.jobs]):
        ids = [build.jobs.get(name) for build in (before, after)]
        if not used & {digest(job) for job in ids if job}:
            continue  # a page or a picture: the table does not rest on it
        old, new = (None if job is None else job_of(home / job) for job in ids)
        if old is None or new is None:
            found.setdefault(("job", "new" if old is None else "gone"), []).append(name)
        elif digest(old.id) != digest(new.id):
            said = _own_changes(old, new)
            if not said and _inputs(old, digest) == _inputs(new, digest):
                said = [("unknown", "nothing that is recorded")]
            for each in said:
                found.setdefault(each, []).append(name)
    rows = [(*key, len(names), names[0]) for key, names in found.items()]
    rows.sort(key=lambda row: (_KINDS.index(row[0]), -row[2], row[1]))
    return pd.DataFrame(rows, columns=["kind", "what", "jobs", "such_as"])


def _inputs(job: Origin, digest: Callable[[str], str]) -> dict[str, list[str]]:
    return {slot: [digest(each) for each in ids] for slot, ids in job.inputs.items()}


def _own_changes(old: Origin, new: Origin) -> list[tuple[str, str]]:
    said = [("code", each) for each in _changed(old.sources, new.sources)]
    said += [("data", each) for each in _changed(old.input_files, new.input_files)]
    said += [("option", each.removeprefix("option ")) for each in option_differences("", old.options, new.options)]
    for name in sorted({*old.packages, *new.packages}):
        was, now = old.packages.get(name, "none"), new.packages.get(name, "none")
        if was != now:
            said.append(("version", f"{name} {was} -> {now}"))
    return said


def _changed(old: dict[str, str], new: dict[str, str]) -> list[str]:
    said = [f"{path} is new" for path in new if path not in old]
    said += [f"{path} is gone" for path in old if path not in new]
    return sorted(said + [f"{path} changed" for path in new if path in old and old[path] != new[path]])

"""Two builds of one study: what changed in the scores, and why, from urd and the jobs' own records."""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from cortax.errors import ProjectError
from cortax.grid.differences import option_differences
from cortax.grid.guarding.needed import with_inputs
from cortax.grid.guarding.urd_lists import entries
from cortax.grid.lookups import Origin, job_of
from cortax.project import jobs_folder
from cortax.provenance import outputs

__all__ = ["PREVIOUS", "FiledBuild", "filed_builds", "find_build", "reasons", "score_changes", "scores_of"]

PREVIOUS = "previous"
_KEYS = ["parcellation", "pipeline", "target", "metric", "fold"]
_KINDS = ("code", "data", "option", "version", "job", "unknown")


@dataclass(frozen=True)
class FiledBuild:
    """A build that urd lists: its own time, and for each job name the id."""

    timestamp: str
    jobs: dict[str, str]
    caption: str = ""


def filed_builds(root: Path, study: str) -> list[FiledBuild]:
    """Return all builds of a study that urd lists, of whatever user, oldest first."""
    listed = [entry for entry in entries(root) if entry.name.partition("/")[2] == study]
    made = [FiledBuild(e.timestamp, dict(zip(e.names, e.jobs, strict=True)), e.caption) for e in listed]
    return sorted(made, key=lambda build: build.timestamp)


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


def scores_of(root: Path, build: FiledBuild) -> pd.DataFrame:
    """Return the scores that a build filed.

    Raises
    ------
    ProjectError
        They are gone, or were altered since.
    """
    folder = jobs_folder(root) / build.jobs["scores"]
    outputs.check(folder)
    return pd.read_parquet(folder / "scores.parquet")


def score_changes(before: pd.DataFrame, after: pd.DataFrame) -> pd.DataFrame:
    """List the scores that differ, the largest differences first, then those that are new or gone.

    Parameters
    ----------
    before, after : DataFrame
        Scores of two builds.

    Returns
    -------
    DataFrame
        parcellation, pipeline, target, metric, fold, what (changed, new or gone), before, after, change. Two scores
        that are both NaN are the same.
    """
    old = before[[*_KEYS, "value"]].rename(columns={"value": "before"})
    new = after[[*_KEYS, "value"]].rename(columns={"value": "after"})
    both = old.merge(new, on=_KEYS, how="outer", indicator="what", validate="one_to_one")
    both["what"] = both["what"].map({"both": "changed", "left_only": "gone", "right_only": "new"}).astype(str)
    both["change"] = both["after"] - both["before"]
    same = (both["before"] == both["after"]) | (both["before"].isna() & both["after"].isna())
    both = both[~same | (both["what"] != "changed")]
    ordered = both.assign(size=both["change"].abs()).sort_values(
        ["size", "what", *_KEYS], ascending=[False] + [True] * 6, na_position="last", kind="stable"
    )
    return ordered[[*_KEYS, "what", "before", "after", "change"]].reset_index(drop=True)


def reasons(root: Path, before: FiledBuild, after: FiledBuild) -> pd.DataFrame:
    """Say why scores differ: for each job below them whose results differ, what of its own did.

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
    home = jobs_folder(root)
    digest = functools.cache(lambda job: outputs.read(home / job).digest)
    used = {digest(job) for build in (before, after) for job in with_inputs(home, [build.jobs["scores"]])}
    found: dict[tuple[str, str], list[str]] = {}
    for name in dict.fromkeys([*after.jobs, *before.jobs]):
        ids = [build.jobs.get(name) for build in (before, after)]
        if not used & {digest(job) for job in ids if job}:
            continue  # a page or a picture: no score rests on it
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

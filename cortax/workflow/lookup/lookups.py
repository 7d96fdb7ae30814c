"""Where a job comes from: all that it was made from, down to input files, as Exax and the jobs' records have it."""

from __future__ import annotations

import datetime
import difflib
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cortax.errors import ProjectError
from cortax.project import jobs_folder
from cortax.provenance import outputs
from cortax.provenance.closure import manifest_entries
from cortax.workflow.build.history import FinishedJob

__all__ = ["Origin", "find_job", "input_files", "job_of", "other_options", "provenance"]

_ID = re.compile(r"main-\d+$")
_DIGEST = re.compile(r"[0-9a-f]{64}$")
# Digests of input files among the options of a method; whose file they are of is in the other option.
_DIGESTS = {"digest": "file", "digests": "files", "inventory": "root", "templates": ""}
_INVENTORY = "inventory.txt"


@dataclass(frozen=True)
class Origin:
    """What one job was made from, and what it made.

    Attributes
    ----------
    id, name, method : str
        Its name is that of its study, a slash and its own.
    state : str
        `finished`, or how it is not.
    started : str
        When, in UTC.
    seconds : float, optional
        How long it took; None of a job that did not end well.
    options : dict
        Without the digests of input files and of code that the study names.
    inputs : dict
        For each job input the ids of the jobs.
    input_files : dict of path to SHA-256
        Paths as the study has them, or relative to the project.
    results : dict of name to SHA-256
        The files that readers compute with.
    sources, packages : dict
        Digest of every source file that the method could reach, and version of every package. A solver counts as
        one with all that it imports.
    """

    id: str
    name: str
    method: str
    state: str
    started: str
    seconds: float | None
    options: dict[str, Any]
    inputs: dict[str, list[str]]
    input_files: dict[str, str]
    results: dict[str, str]
    sources: dict[str, str]
    packages: dict[str, str]


def find_job(root: Path, wanted: str) -> str:
    """Return the id of a job that is asked for by its id, or by study and name.

    Of several jobs of a name it is that of the last filed build, or else the newest that has finished.

    Raises
    ------
    ProjectError
        There is none; the message says which names are nearest.
    """
    folder = jobs_folder(root)
    if _ID.match(wanted):
        if (folder / wanted / "setup.json").exists():
            return wanted
        newest = max((path.name for path in folder.glob("main-*")), key=_number, default="none")
        raise ProjectError(f"{wanted}: no such job in {folder}; the newest is {newest}")
    known = {**_by_caption(folder), **_filed(root)}
    if wanted in known:
        return known[wanted]
    near = difflib.get_close_matches(wanted, known, n=3, cutoff=0.3)
    hint = f"the nearest are {near}" if near else "names look like demo/tune/schaefer-100/ridge, ids like main-12"
    raise ProjectError(f"{wanted}: no job of this name; {hint}")


def _number(job: str) -> int:
    return int(job.rpartition("-")[2]) if _ID.match(job) else -1


def _by_caption(folder: Path) -> dict[str, str]:
    """Ids of all finished jobs by what builds called them; of a name's jobs the newest."""
    jobs = (path.name for path in folder.glob("main-*") if (path / "post.json").exists())
    return {str(_setup(folder / job).get("caption")): job for job in sorted(jobs, key=_number)}


def _filed(root: Path) -> dict[str, str]:
    named = {}
    for path in sorted((root / "results").glob("[!.]*/build.json")):
        for name, job in json.loads(path.read_text())["jobs"].items():
            named[f"{path.parent.name}/{name}"] = str(job)
    return named


def _setup(folder: Path) -> dict[str, Any]:
    try:
        content: dict[str, Any] = json.loads((folder / "setup.json").read_text())
    except (OSError, ValueError) as error:
        raise ProjectError(f"{folder}: cannot be read ({error}); was it removed by `cortax gc`?") from error
    return content


def provenance(root: Path, job: str) -> dict[str, Origin]:
    """Return what a job was made from: itself first, then its inputs, theirs, and so on, each once.

    Raises
    ------
    ProjectError
        A job among them is gone or cannot be read.
    """
    found: dict[str, Origin] = {}
    to_do = [job]
    while to_do:
        job = to_do.pop(0)
        if job not in found:
            found[job] = job_of(jobs_folder(root) / job)
            to_do += [each for ids in found[job].inputs.values() for each in ids]
    return found


def job_of(folder: Path) -> Origin:
    """Return what the job in a folder was made from.

    Raises
    ------
    ProjectError
        It is gone or cannot be read.
    """
    setup = _setup(folder)
    finished = (folder / "post.json").exists()
    code = manifest_entries(_manifest(folder)) | _named_code(setup["options"])
    return Origin(
        id=folder.name,
        name=str(setup.get("caption") or ""),
        method=str(setup["method"]),
        state="finished" if finished else "did not end well, or runs",
        started=_when(float(setup["starttime"])),
        seconds=float(setup["exectime"]["total"]) if finished else None,
        options=other_options(setup["options"]),
        inputs={slot: _listed(ids) for slot, ids in setup["jobs"].items() if ids},
        input_files=input_files(setup["options"], folder),
        results=_results(folder) if finished else {},
        sources={key: value for key, value in code.items() if _DIGEST.match(value)},
        packages={key: value for key, value in code.items() if not _DIGEST.match(value)},
    )


def _manifest(folder: Path) -> str:
    try:
        return FinishedJob.manifest_of(folder)
    except (OSError, EOFError):
        return ""  # of a job that was killed while Exax began it


def _named_code(options: dict[str, Any]) -> dict[str, str]:
    """What the options say of solvers and classes, to which no import leads: digests of modules, versions of others."""
    code: dict[str, str] = options.get("code") or {}
    return {f"{key} and its imports" if _DIGEST.match(value) else key: value for key, value in code.items()}


def _when(seconds: float) -> str:
    return datetime.datetime.fromtimestamp(seconds, datetime.timezone.utc).strftime("%Y-%m-%d %H:%M:%S")


def _listed(ids: str | list[str]) -> list[str]:
    return [ids] if isinstance(ids, str) else list(ids)


def _results(folder: Path) -> dict[str, str]:
    try:
        files = outputs.read(folder).files
    except ProjectError:
        return {}  # a build script's own job keeps no record
    return {name: str(file["sha256"]) for name, file in files.items() if file["result"]}


def input_files(options: dict[str, Any], folder: Path | None = None) -> dict[str, str]:
    """Return the digest of every input file that the options of a job name, by path.

    Parameters
    ----------
    options : dict
        Of the job.
    folder : Path, optional
        Its folder: there a job that reads images lists them one by one. Without that list they count as one.
    """
    return dict(sorted(_input_files(options, folder)))


def _input_files(options: dict[str, Any], folder: Path | None) -> Iterator[tuple[str, str]]:
    for key, place in _DIGESTS.items():
        digests = options.get(key)
        if isinstance(digests, dict):
            # By path, or by what a file is where paths are so, too.
            paths = options.get(place)
            known = dict(paths) if isinstance(paths, dict) else {}
            yield from ((str(known.get(name, name)), digest) for name, digest in digests.items())
        elif isinstance(digests, list):
            yield from zip(options[place], digests, strict=True)
        elif key == "inventory" and folder is not None and (folder / _INVENTORY).exists():
            lines = (line.partition(" ") for line in (folder / _INVENTORY).read_text().splitlines())
            yield from ((f"{options[place]}/{path}", digest) for digest, _, path in lines)
        elif digests and options.get(place):
            yield f"{options[place]}{'/*' if key == 'inventory' else ''}", str(digests)


def other_options(options: dict[str, Any]) -> dict[str, Any]:
    """Return the options that are no digests of input files or of code: those that a study sets."""
    return {key: value for key, value in options.items() if key not in _DIGESTS and key != "code"}

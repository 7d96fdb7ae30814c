"""What a job saved: sizes and digests, written last, checked by whoever reads."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from cortax.errors import ProjectError
from cortax.provenance.files import file_digest, text_digest
from cortax.provenance.processor import processor
from cortax.provenance.reads import noted

__all__ = ["Outputs", "check", "check_all", "damage", "read", "record"]

NAME = "outputs.json"
DEEP_BELOW = 256 << 20
_FIELDS = {"size", "sha256", "mtime_ns", "result"}


@dataclass(frozen=True)
class Outputs:
    """The record of one job.

    Attributes
    ----------
    method, name : str
        The method that made them, and what the build called the job.
    digest : str
        Digest of the method, names and bytes of the results; the same for any job with the same results.
    files : dict
        For each file its `size`, `sha256`, `mtime_ns` and whether it is a `result`. Others, such
        as timings, may differ between jobs with the same results.
    reads : dict
        Digests of the files and variables that the study's own code read, see `reads`.
    processor : dict
        The kind that the job ran on, see `processor`.
    """

    method: str
    name: str
    digest: str
    files: dict[str, dict[str, int | str | bool]]
    reads: dict[str, str] = field(default_factory=dict)
    processor: dict[str, str] = field(default_factory=dict)


def record(
    folder: str | os.PathLike[str],
    results: Iterable[str],
    others: Iterable[str] = (),
    *,
    method: str,
    name: str,
) -> Outputs:
    """Write the record of a job's files; the last thing a job does.

    Parameters
    ----------
    folder : path
        The job's folder.
    results : names relative to the folder
        What readers compute with. Must not depend on time, host or order of execution.
    others : names relative to the folder
        What is kept, checked, and read by people only.
    method, name : str
        What made the files, and what the build calls it.

    Raises
    ------
    ProjectError
        A file that the study's own code read changed while the job ran.
    """
    folder = Path(folder)
    files: dict[str, dict[str, int | str | bool]] = {}
    for is_result, names in ((True, results), (False, others)):
        for key in sorted(names):
            stat = (folder / key).stat()
            files[key] = {
                "size": stat.st_size,
                "sha256": file_digest(folder / key),
                "mtime_ns": stat.st_mtime_ns,
                "result": is_result,
            }
    lines = [f"{file['sha256']} {key}\n" for key, file in sorted(files.items()) if file["result"]]
    made = Outputs(method, name, text_digest("".join([f"{method}\n", *lines])), files, noted(), processor())
    temporary = folder / f".{NAME}"
    temporary.write_text(json.dumps(asdict(made), indent=1, sort_keys=True))
    temporary.replace(folder / NAME)
    return made


def read(folder: str | os.PathLike[str]) -> Outputs:
    """Read the record of a job.

    Raises
    ------
    ProjectError
        There is none, or it is damaged.
    """
    path = Path(folder) / NAME
    try:
        content = json.loads(path.read_text())
        files = dict(content["files"])
        if any(_FIELDS - set(file) for file in files.values()):
            raise ValueError("a file without " + ", ".join(sorted(_FIELDS)))
        reads = {str(path): str(digest) for path, digest in content["reads"].items()}
        made_on = {str(library): str(kind) for library, kind in content.get("processor", {}).items()}
        return Outputs(str(content["method"]), str(content["name"]), str(content["digest"]), files, reads, made_on)
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise ProjectError(f"{path}: no readable record of this job's results ({error})") from error


def check(folder: str | os.PathLike[str]) -> None:
    """Make sure that a job's results are what it saved; every reader of a job calls this first.

    Files up to 256 MB are digested, larger ones only where size or time stamp tell of a change.

    Raises
    ------
    ProjectError
        A file is missing or altered; the message names it and says how to repair it.
    """
    if found := damage(folder, deep_below=DEEP_BELOW, results_only=True):
        raise ProjectError(f"{os.fspath(folder)}: {'; '.join(found)}; run `cortax verify`, then build again")


def check_all(jobs: Mapping[str, Any]) -> None:
    """Check every input of a job: for each slot a job of Exax, a list of them, or nothing. See `check`."""
    for found in jobs.values():
        for source in found if isinstance(found, list) else [found]:
            if source:
                check(source.path)


def damage(folder: str | os.PathLike[str], *, deep_below: float = 0, results_only: bool = False) -> list[str]:
    """Say what is wrong with a job's files; nothing when they are intact.

    Parameters
    ----------
    folder : path
        The job's folder.
    deep_below : number of bytes
        Digest every file smaller than this. Others are digested where their size is right and their time
        stamp is not the recorded one, which is what a copied workdir or a hand in the file looks like.
    results_only : bool
        Leave out the files that only people read.
    """
    folder = Path(folder)
    try:
        recorded = read(folder)
    except ProjectError as error:
        return [str(error)]
    found = []
    for name, file in recorded.files.items():
        if results_only and not file["result"]:
            continue
        path = folder / name
        try:
            stat = path.stat()
        except OSError:
            found.append(f"{name} is missing")
            continue
        suspect = stat.st_size < deep_below or stat.st_mtime_ns != file["mtime_ns"]
        if stat.st_size != file["size"]:
            found.append(f"{name} has {stat.st_size} bytes, recorded {file['size']}")
        elif suspect and file_digest(path) != file["sha256"]:
            found.append(f"{name} has other bytes than recorded")
    return found

"""What a job saved: sizes and digests, written last, checked by whoever reads."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from cortax.errors import ProjectError
from cortax.provenance.files import file_digest, text_digest

__all__ = ["Outputs", "check", "damage", "read", "record"]

NAME = "outputs.json"


@dataclass(frozen=True)
class Outputs:
    """The record of one job.

    Attributes
    ----------
    digest : str
        Digest of the names and bytes of the results; the same for any job with the same results.
    files : dict
        For each file its `size`, `sha256`, `mtime_ns` and whether it is a `result`. Others, such
        as timings, may differ between jobs with the same results.
    """

    digest: str
    files: dict[str, dict[str, int | str | bool]]


def record(folder: str | os.PathLike[str], results: Iterable[str], others: Iterable[str] = ()) -> Outputs:
    """Write the record of a job's files; the last thing a job does.

    Parameters
    ----------
    folder : path
        The job's folder.
    results : names relative to the folder
        What readers compute with. Must not depend on time, host or order of execution.
    others : names relative to the folder
        What is kept, checked, and read by people only.
    """
    folder = Path(folder)
    files: dict[str, dict[str, int | str | bool]] = {}
    for is_result, names in ((True, results), (False, others)):
        for name in sorted(names):
            stat = (folder / name).stat()
            files[name] = {
                "size": stat.st_size,
                "sha256": file_digest(folder / name),
                "mtime_ns": stat.st_mtime_ns,
                "result": is_result,
            }
    digest = text_digest(
        "".join(f"{f['sha256']} {name}\n" for name, f in sorted(files.items()) if f["result"])
    )
    temporary = folder / f".{NAME}"
    temporary.write_text(json.dumps({"digest": digest, "files": files}, indent=1, sort_keys=True))
    temporary.replace(folder / NAME)
    return Outputs(digest, files)


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
        return Outputs(str(content["digest"]), dict(content["files"]))
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ProjectError(f"{path}: no readable record of this job's results ({error})") from error


def check(folder: str | os.PathLike[str]) -> None:
    """Make sure that every recorded file is there with its recorded size.

    Raises
    ------
    ProjectError
        One is not; the message names it and says that a build repairs it.
    """
    for name, recorded in read(folder).files.items():
        path = Path(folder) / name
        found = path.stat().st_size if path.exists() else None
        if found != recorded["size"]:
            state = "missing" if found is None else f"{found} bytes"
            raise ProjectError(f"{path}: {state}, recorded {recorded['size']} bytes; a build repairs it")


def damage(folder: str | os.PathLike[str], *, deep: bool = False) -> list[str]:
    """Say what is wrong with a job's files; nothing when they are intact.

    Parameters
    ----------
    folder : path
        The job's folder.
    deep : bool
        Digest every file. Else only those whose size is right and whose time stamp is not the recorded
        one, which is what a copied workdir or a hand in the file looks like.
    """
    folder = Path(folder)
    try:
        recorded = read(folder)
    except ProjectError as error:
        return [str(error)]
    found = []
    for name, file in recorded.files.items():
        try:
            stat = (folder / name).stat()
        except OSError:
            found.append(f"{name} is missing")
            continue
        if stat.st_size != file["size"]:
            found.append(f"{name} has {stat.st_size} bytes, recorded {file['size']}")
        elif (deep or stat.st_mtime_ns != file["mtime_ns"]) and file_digest(folder / name) != file["sha256"]:
            found.append(f"{name} has other bytes than recorded")
    return found

"""A job's inputs in a folder that workers on other machines open: arrays as files to map, the rest as JSON.

Every process of a node that maps an array shares one copy of it in memory. Nothing is pickled.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from cortax.errors import ProjectError
from cortax.provenance.closure import changes, manifest_text

__all__ = ["Capsule", "Ticket", "check_capsule_code", "open_capsule", "write_capsule"]


@dataclass(frozen=True)
class Ticket:
    """What a worker needs to find a capsule, and to know that it is the right one.

    Attributes
    ----------
    folder : str
        Absolute; the same on every machine.
    token : str
        Of this capsule alone: a folder of the same name may be another one elsewhere.
    """

    folder: str
    token: str


@dataclass(frozen=True, eq=False)
class Capsule:
    """A job's inputs, opened.

    Attributes
    ----------
    make : str
        "module:function", of this project: it is given the capsule and returns the work, a function that takes the
        number of a unit and returns bytes for each of its cells.
    arrays : dict of str to array
        Memory-mapped and read-only.
    about : dict
        Everything else.
    first : tuple of str
        Modules to import before any other: they make rules for the process.
    code : str
        Manifest of the function's module where the capsule was written.
    """

    make: str
    arrays: dict[str, npt.NDArray[Any]]
    about: dict[str, Any]
    first: tuple[str, ...]
    code: str


def write_capsule(
    folder: Path,
    *,
    make: str,
    arrays: Mapping[str, npt.NDArray[Any]],
    about: Mapping[str, Any],
    first: Iterable[str] = (),
) -> Ticket:
    """Write a job's inputs into a new folder.

    Parameters
    ----------
    folder : Path
        On a file system that all workers see under the same name. Must not exist.
    make : str
        See `Capsule`.
    arrays : mapping of str to array
        Of any type that needs no pickle; memory-mapped ones are copied as they are.
    about : mapping
        JSON values.
    first : iterable of str
        See `Capsule`.

    Raises
    ------
    ProjectError
        The folder exists or cannot be written, or the function's module is not of this project.
    """
    token = uuid.uuid4().hex
    code = manifest_text(make.partition(":")[0])
    content = {"token": token, "make": make, "about": about, "first": list(first), "code": code}
    try:
        folder.mkdir(parents=True)
        for name, values in arrays.items():
            np.save(folder / f"{name}.npy", values, allow_pickle=False)
        # Last, so that a folder with this file is whole.
        (folder / "capsule.json").write_text(json.dumps({**content, "arrays": sorted(arrays)}))
    except OSError as error:
        raise ProjectError(f"{folder}: the inputs of workers cannot be written ({error})") from error
    return Ticket(str(folder.resolve()), token)


def open_capsule(ticket: Ticket) -> Capsule:
    """Open what `write_capsule` wrote, on any machine.

    Raises
    ------
    ProjectError
        It is not there, is another one, or is damaged.
    """
    folder = Path(ticket.folder)
    try:
        content = json.loads((folder / "capsule.json").read_text())
        if content["token"] != ticket.token:
            raise ProjectError(f"{folder}: not the folder that the build wrote; workers must see the build's own files")
        arrays = {
            name: np.load(folder / f"{name}.npy", mmap_mode="r", allow_pickle=False) for name in content["arrays"]
        }
    except FileNotFoundError as error:
        raise ProjectError(
            f"{error.filename}: not there; it must lie on a file system that all workers see under the same name"
        ) from error
    except (OSError, ValueError, KeyError) as error:
        raise ProjectError(f"{folder}: the inputs of workers are damaged ({error}); build again") from error
    return Capsule(content["make"], arrays, content["about"], tuple(content["first"]), content["code"])


def check_capsule_code(capsule: Capsule) -> None:
    """Raise a ProjectError unless the code and packages here are those of where the capsule was written."""
    if different := changes(capsule.code, manifest_text(capsule.make.partition(":")[0])):
        raise ProjectError(
            f"the code here is not that of the build: {'; '.join(different[:5])}; "
            "workers need the same project and the same packages"
        )

"""A task's inputs in a folder that workers on other machines open, and the proof that these are the right ones."""

from __future__ import annotations

import importlib
import json
import uuid
from dataclasses import dataclass
from pathlib import Path

from cortax import payload
from cortax.errors import ProjectError
from cortax.provenance import reads
from cortax.provenance.closure import changes, find_root, manifest_text
from cortax.workflow.work.units import Task

__all__ = ["NAME", "PayloadRef", "open_task", "write_payload"]

# Written last, so that a folder with this file is whole.
NAME = "payload.json"
# They make rules for the process: imported before any other.
_FIRST = ("methods",)


@dataclass(frozen=True)
class PayloadRef:
    """What a worker needs to find a payload, and to know that it is the right one.

    Attributes
    ----------
    folder : str
        Absolute; the same on every machine.
    token : str
        Of this payload alone: a folder of the same name may be another one elsewhere.
    """

    folder: str
    token: str


def write_payload(folder: Path, task: Task) -> PayloadRef:
    """Pack a task into a new folder.

    Parameters
    ----------
    folder : Path
        On a file system that all workers see under the same name. Must not exist.
    task : Task
        Of a class that is found by its module and name.

    Raises
    ------
    ProjectError
        The folder exists or cannot be written, or the task's module is not of this project.
    """
    sink = reads.sink()
    token, module = uuid.uuid4().hex, type(task).__module__
    made_of = {"class": f"{module}:{type(task).__qualname__}", "code": manifest_text(module)}
    try:
        folder.mkdir(parents=True)
        payload.save_payload(folder, *task.pack())
        (folder / NAME).write_text(json.dumps({"token": token, "reads": str(sink or ""), **made_of}))
    except OSError as error:
        raise ProjectError(f"{folder}: the inputs of workers cannot be written ({error})") from error
    return PayloadRef(str(folder.resolve()), token)


def open_task(ref: PayloadRef) -> Task:
    """Open the task that `write_payload` packed, on any machine.

    Raises
    ------
    ProjectError
        It is not there, is another one or damaged, or the code or packages here are not those of the build.
    """
    folder = Path(ref.folder)
    try:
        content = json.loads((folder / NAME).read_text())
        if content["token"] != ref.token:
            raise ProjectError(f"{folder}: not the folder that the build wrote; workers must see the build's own files")
        (module, _, name), code, sink = content["class"].partition(":"), content["code"], content["reads"]
        arrays, about = payload.open_payload(folder)
    except FileNotFoundError as error:
        raise ProjectError(
            f"{error.filename}: not there; it must lie on a file system that all workers see under the same name"
        ) from error
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ProjectError(f"{folder}: the inputs of workers are damaged ({error}); build again") from error
    for first in _FIRST:
        importlib.import_module(first)
    if sink:
        reads.watch(find_root())
        reads.keep_in(Path(sink))
    if different := changes(code, manifest_text(module)):
        raise ProjectError(
            f"the code here is not that of the build: {'; '.join(different[:5])}; "
            "workers need the same project and the same packages"
        )
    task: Task = getattr(importlib.import_module(module), name).unpack(arrays, about)
    return task

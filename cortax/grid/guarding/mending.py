"""Looking for all that stops Exax, and mending it, in an order in which one thing does not hide another."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

from cortax.errors import ProjectError
from cortax.grid.guarding.faults import Fault, engine_faults, job_faults, process_faults, server_faults, socket_faults
from cortax.grid.guarding.project_faults import code_faults, folder_faults, setting_faults
from cortax.grid.guarding.quarantine import Quarantine
from cortax.grid.guarding.urd_lists import urd_faults
from cortax.project import jobs_folder

__all__ = ["all_faults", "mend", "start_faults"]


def start_faults(root: Path) -> Iterator[Fault]:
    """Find what stops the server; each is looked for once those before it have been mended."""
    yield from folder_faults(root)
    yield from process_faults(root)
    yield from engine_faults(root)
    yield from socket_faults(root)
    yield from setting_faults(root)
    yield from job_faults(jobs_folder(root))
    yield from urd_faults(root)


def all_faults(root: Path) -> Iterator[Fault]:
    """Find what stops the server or a build."""
    yield from server_faults(root)
    yield from start_faults(root)
    yield from code_faults(root)


def mend(faults: Iterable[Fault], quarantine: Quarantine) -> Iterator[Fault]:
    """Mend one fault after the other, and yield each.

    Raises
    ------
    ProjectError
        One cannot be mended; the message says what to do about it.
    """
    for fault in faults:
        if fault.mend is None:
            raise ProjectError(f"{fault.what}: {fault.found}; {fault.remedy}")
        fault.mend(quarantine)
        yield fault

"""All faults that stop Exax, in an order in which none hides another, and their mending."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

from cortax.errors import ProjectError
from cortax.project import jobs_folder
from cortax.workflow.guarding.faults import (
    Fault,
    backend_faults,
    job_faults,
    process_faults,
    server_faults,
    socket_faults,
)
from cortax.workflow.guarding.project_faults import code_faults, folder_faults, setting_faults
from cortax.workflow.guarding.quarantine import Quarantine
from cortax.workflow.guarding.urd_lists import urd_faults

__all__ = ["all_faults", "mend", "start_faults"]


def start_faults(root: Path) -> Iterator[Fault]:
    """Find what stops the server; each fault is looked for after those before it have been mended."""
    yield from folder_faults(root)
    yield from process_faults(root)
    yield from backend_faults(root)
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
            raise ProjectError(f"{fault.subject}: {fault.problem}; {fault.remedy}")
        fault.mend(quarantine)
        yield fault

"""Back-ends: where the workers of a job come from, beside the processes that it forks itself.

The module of a back-end has `start(setup)`, which returns a `Backend`. It knows nothing of units: it runs calls.
Whatever a call returns comes back to the process that submitted it, which alone writes what is kept.
"""

from __future__ import annotations

import importlib
import importlib.util
import socket
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from cortax.errors import ProjectError, choices

__all__ = [
    "BACKEND_MODULES",
    "Backend",
    "Handle",
    "Setup",
    "WorkerLostError",
    "check_address",
    "check_backend",
    "start_backend",
]

# Name -> module, and the import name of the package that it needs.
BACKEND_MODULES: dict[str, tuple[str, str]] = {
    "loky": ("cortax.workflow.work.loky", "joblib"),
    "ray": ("cortax.workflow.work.ray", "ray"),
    "dask": ("cortax.workflow.work.dask", "distributed"),
    "slurm": ("cortax.workflow.work.slurm", "dask_jobqueue"),
}


class WorkerLostError(Exception):
    """The worker of a call is gone, or its node: whatever the call was, it may be made again."""


@dataclass(frozen=True)
class Setup:
    """What a back-end is started with.

    Attributes
    ----------
    n_workers : int
        At most so many calls are made at a time.
    memory : int
        Bytes that a worker's units may allocate.
    folder : Path
        For what the back-end must write; on a file system that all workers see. Its own files are gone when it ends.
    shared : int
        Bytes of inputs that workers map; some clusters count them as every worker's own.
    seconds : float
        How long to wait for a cluster to answer.
    """

    n_workers: int
    memory: int
    folder: Path
    shared: int = 0
    seconds: float = 60.0


class Handle(Protocol):
    """A call that was submitted."""

    def result(self) -> Any:
        """Return what the call returned.

        Raises
        ------
        WorkerLostError
            See there.
        Exception
            The call's own.
        """


class Backend(Protocol):
    """Runs calls."""

    def submit(self, call: Callable[..., Any], *args: Any) -> Handle:
        """Have a function called by a worker. It and its arguments are pickled; a function by its name."""

    def wait(self, handles: Sequence[Any], timeout: float) -> list[Handle]:
        """Return those that are done, at the latest after so many seconds."""

    def adapt(self, setup: Setup) -> None:
        """Go on with other numbers. Nothing is being called then."""

    def close(self) -> None:
        """End its workers, whatever they are at, and remove what it wrote."""


def check_backend(name: str) -> None:
    """Raise a ProjectError unless there is a back-end of that name, and what it needs is installed."""
    if name not in BACKEND_MODULES:
        raise ProjectError(f"backend: {choices(name, ['slices', *BACKEND_MODULES])}")
    _, package = BACKEND_MODULES[name]
    if importlib.util.find_spec(package) is None:
        # Of this clone: there is no cortax to be had under its name alone.
        install = f"{sys.executable} -m pip install -e '{Path(__file__).parents[3]}[{name}]'"
        raise ProjectError(f"backend {name!r} needs the package {package!r}, which is not installed: {install}")


def check_address(name: str, environ: Mapping[str, str]) -> None:
    """Raise a ProjectError where a cluster's address is given and nothing listens there: before every job finds out."""
    variable = f"CORTAX_{name.upper()}_ADDRESS"
    address = environ.get(variable, "")
    host, _, port = address.rpartition("://")[2].rpartition(":")
    if port.isdigit():
        try:
            socket.create_connection((host.strip("[]"), int(port)), timeout=10).close()
        except OSError as error:
            raise ProjectError(f"backend {name!r}: nothing listens at {variable}={address!r} ({error})") from error


def start_backend(name: str, setup: Setup) -> Backend:
    """Start a back-end, or connect to one that runs.

    Raises
    ------
    ProjectError
        There is none of that name, it is not installed, or it cannot be reached.
    """
    check_backend(name)
    module, _ = BACKEND_MODULES[name]
    backend: Backend = importlib.import_module(module).start(setup)
    return backend

"""Workers that Ray has: of a cluster (CORTAX_RAY_ADDRESS, such as `host:6379`), or of this machine."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import ray
from ray import exceptions

from cortax.errors import ProjectError
from cortax.grid.engines import Setup, WorkerLostError

__all__ = ["start"]

_LOST = (
    exceptions.WorkerCrashedError,
    exceptions.NodeDiedError,
    exceptions.ObjectLostError,
    exceptions.OutOfMemoryError,
    exceptions.RaySystemError,
    exceptions.LocalRayletDiedError,
)
# What calls return is small, and inputs are mapped files: no more than Ray's least.
_STORE = 80 << 20
_OWNER = "owner.json"


@dataclass(frozen=True, eq=False)
class _Handle:
    reference: Any

    def result(self) -> Any:
        try:
            return ray.get(self.reference)
        except exceptions.RayTaskError as error:
            raise error.cause from None
        except _LOST as error:
            raise WorkerLostError(f"{type(error).__name__}: {error}") from error


class _Ray:
    """Calls on a Ray cluster."""

    def __init__(self, close: Callable[[], None]) -> None:
        self._close = close

    def submit(self, call: Callable[..., Any], *args: Any) -> _Handle:
        # A call that lost its worker comes back at once: `EngineCrew` decides what becomes of its units.
        return _Handle(ray.remote(max_retries=0, num_cpus=1)(call).remote(*args))

    def wait(self, handles: Sequence[_Handle], timeout: float) -> list[_Handle]:
        by_reference = {handle.reference: handle for handle in handles}
        done, _ = ray.wait(list(by_reference), num_returns=1, timeout=timeout)
        return [by_reference[reference] for reference in done]

    def adapt(self, setup: Setup) -> None:
        """Fewer calls at a time: some workers have nothing to do."""

    def close(self) -> None:
        ray.shutdown()
        self._close()


def start(setup: Setup) -> _Ray:
    """Connect to a cluster, or start one on this machine.

    Raises
    ------
    ProjectError
        Nothing answers at the address, or this process has a Ray already.
    """
    if ray.is_initialized():
        raise ProjectError("this process is connected to a Ray cluster already: call ray.shutdown() first")
    address = os.environ.get("CORTAX_RAY_ADDRESS")
    return _connect(address) if address else _start_here(setup)


def _connect(address: str) -> _Ray:
    host, _, port = address.removeprefix("ray://").rpartition(":")
    try:
        # Ray itself would go on trying for many minutes.
        if port.isdigit():
            socket.create_connection((host, int(port)), timeout=10).close()
        ray.init(address=address, log_to_driver=False, configure_logging=False)
    except (OSError, ValueError, RuntimeError) as error:
        raise ProjectError(f"no Ray cluster answers at CORTAX_RAY_ADDRESS={address!r} ({error})") from error
    return _Ray(lambda: None)


def _start_here(setup: Setup) -> _Ray:
    setup.folder.mkdir(parents=True, exist_ok=True)
    for spill in setup.folder.glob("ray-*"):
        _clear_after_crash(spill)
    spill = Path(tempfile.mkdtemp(prefix="ray-", dir=setup.folder))
    # Ray's sockets lie in this one: their names must be short.
    session = tempfile.mkdtemp(prefix="cortax-ray-", dir="/tmp")
    owner = {"pid": os.getpid(), "started": _started(os.getpid()), "session": session}
    (spill / _OWNER).write_text(json.dumps(owner))
    ray.init(
        address="local",
        num_cpus=setup.n_workers,
        object_store_memory=_STORE,
        object_spilling_directory=str(spill),
        include_dashboard=False,
        log_to_driver=False,
        configure_logging=False,
        _temp_dir=session,
        _node_ip_address="127.0.0.1",
    )
    return _Ray(lambda: _remove(session, spill))


def _remove(session: str, spill: Path) -> None:
    """End what is left of a local Ray, then remove its folders: never under one that runs."""
    for pid in _processes_of(session):
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
    shutil.rmtree(session, ignore_errors=True)
    shutil.rmtree(spill, ignore_errors=True)


def _clear_after_crash(spill: Path) -> None:
    """Remove what a build left behind that was killed; not what belongs to a build that runs."""
    try:
        owner = json.loads((spill / _OWNER).read_text())
        if _started(owner["pid"]) != owner["started"]:
            _remove(owner["session"], spill)
    except (OSError, ValueError, KeyError):
        return  # another build is just making or removing it


def _started(pid: int) -> int | None:
    """When a process began, in ticks since the machine did; None if it is not there."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    return None if fields[0] == "Z" else int(fields[19])


def _processes_of(session: str) -> Iterator[int]:
    """Yield the processes of this user that were started for a session of Ray: its folder is among their arguments."""
    for path in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            mine = path.stat().st_uid == os.geteuid() and int(path.name) != os.getpid()
            if mine and session.encode() in (path / "cmdline").read_bytes():
                yield int(path.name)

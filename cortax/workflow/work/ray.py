"""Workers that Ray has: of a cluster (CORTAX_RAY_ADDRESS, such as `host:6379`), or of this machine."""

from __future__ import annotations

import faulthandler
import os
import secrets
import socket
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import ray
from ray import exceptions

from cortax.errors import ProjectError
from cortax.workflow.work.backends import Setup, WorkerLostError
from cortax.workflow.work.scratch import Scratch

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
        # A call that lost its worker comes back at once: `BackendWorkers` decides what becomes of its units.
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
    # Ray would do it by `sys.stderr`, which in a job of Exax has no file number.
    if not faulthandler.is_enabled():
        faulthandler.enable(2, all_threads=False)
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
    scratch = Scratch(setup.folder, "ray")
    scratch.sockets.mkdir(mode=0o700)
    # Whoever reaches a Ray runs code as its user. It asks for a token, and would write one where others may read it.
    os.environ.setdefault("RAY_AUTH_TOKEN", secrets.token_hex(32))
    ray.init(
        address="local",
        num_cpus=setup.n_workers,
        object_store_memory=_STORE,
        object_spilling_directory=str(scratch.path),
        include_dashboard=False,
        log_to_driver=False,
        configure_logging=False,
        _temp_dir=str(scratch.sockets),
        _node_ip_address="127.0.0.1",
    )
    return _Ray(scratch.remove)

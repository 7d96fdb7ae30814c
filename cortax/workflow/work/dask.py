"""Workers that Dask has: of a cluster (CORTAX_DASK_ADDRESS, such as `tcp://host:8786`), or of this machine."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Sequence
from concurrent.futures import CancelledError
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import dask
from distributed import Client, Future, KilledWorker, LocalCluster, wait
from distributed.security import Security

from cortax.errors import ProjectError
from cortax.workflow.work.backends import Setup, WorkerLostError
from cortax.workflow.work.scratch import Scratch

__all__ = ["CONFIG", "DaskBackend", "start"]

# A call that lost its worker comes back at once: `BackendWorkers` decides what becomes of its units. One thread a
# worker is given to a call, which waits for a process of its own; limits of memory are that one's.
# Nothing is served by HTTP, which asks nobody who they are.
CONFIG: dict[str, Any] = {
    "distributed.scheduler.allowed-failures": 0,
    "distributed.comm.timeouts.connect": "10s",
    "distributed.scheduler.http.routes": [],
    "distributed.worker.http.routes": [],
}


@dataclass(frozen=True, eq=False)
class _Handle:
    future: Future

    def result(self) -> Any:
        try:
            return self.future.result()
        except (KilledWorker, CancelledError) as error:
            raise WorkerLostError(f"{type(error).__name__}: {error}") from error


class DaskBackend:
    """Calls on a Dask cluster.

    Parameters
    ----------
    client : Client
    close : callable
        Ends what was started for it.
    note : callable
        Called now and then, to note what has been started for it meanwhile.
    """

    def __init__(
        self, client: Client, close: Callable[[], None] = lambda: None, note: Callable[[], None] = lambda: None
    ) -> None:
        self.client, self._close, self._note = client, close, note
        self._address = client.scheduler.address

    def submit(self, call: Callable[..., Any], *args: Any) -> _Handle:
        """See `Backend`."""
        self._note()
        return _Handle(self.client.submit(call, *args, pure=False, retries=0))

    def wait(self, handles: Sequence[_Handle], timeout: float) -> list[_Handle]:
        """See `Backend`.

        Raises
        ------
        ProjectError
            The scheduler is gone.
        """
        with suppress(TimeoutError, CancelledError):
            wait([handle.future for handle in handles], timeout=timeout, return_when="FIRST_COMPLETED")
        if self.client.status not in ("running", "connecting"):
            raise ProjectError(f"Dask's scheduler at {self._address} is gone; what was finished is kept, build again")
        return [handle for handle in handles if handle.future.status != "pending"]

    def adapt(self, setup: Setup) -> None:
        """See `Backend`. Fewer workers: some have nothing to do."""

    def close(self) -> None:
        """See `Backend`. A cluster that was there before stays; calls that it still makes are cancelled."""
        with suppress(TimeoutError, OSError):
            self.client.close()
        self._close()


def start(setup: Setup) -> DaskBackend:
    """Connect to a cluster, or start one on this machine.

    Raises
    ------
    ProjectError
        Nothing answers at the address, or no worker.
    """
    with dask.config.set(CONFIG):
        address = os.environ.get("CORTAX_DASK_ADDRESS")
        return _connect(address, setup) if address else _start_here(setup)


def _connect(address: str, setup: Setup) -> DaskBackend:
    try:
        client = Client(address, timeout=min(setup.seconds, 30))
    except (OSError, ValueError) as error:
        raise ProjectError(f"no Dask scheduler answers at CORTAX_DASK_ADDRESS={address!r} ({error})") from error
    try:
        client.wait_for_workers(1, timeout=setup.seconds)
    except TimeoutError as error:
        client.close()
        raise ProjectError(f"the Dask cluster at {address} has had no worker for {setup.seconds:g} s") from error
    return DaskBackend(client)


def _start_here(setup: Setup) -> DaskBackend:
    scratch = Scratch(setup.folder, "dask")
    cluster = LocalCluster(
        n_workers=setup.n_workers,
        threads_per_worker=1,
        processes=True,
        memory_limit=None,
        host="127.0.0.1",
        # Whoever reaches a scheduler runs code as its user. Other users of this machine have no certificate for it.
        protocol="tls://",
        security=Security.temporary(),
        dashboard_address=None,
        # Without a dashboard it still serves HTTP, at a port that another build may have.
        scheduler_kwargs={"dashboard_address": "127.0.0.1:0"},
        local_directory=str(scratch.path),
        silence_logs=logging.CRITICAL,
    )

    def close() -> None:
        cluster.close()
        scratch.remove()

    scratch.note()
    return DaskBackend(Client(cluster), close, scratch.note)

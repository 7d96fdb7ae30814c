"""Workers that a back-end has: on this machine or on others."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from cortax.errors import ProjectError
from cortax.workflow.work.backends import Backend, Handle, Setup, WorkerLostError, start_backend
from cortax.workflow.work.forks import is_alive
from cortax.workflow.work.payload import PayloadRef
from cortax.workflow.work.remote import WorkerSetup, work
from cortax.workflow.work.units import Level, Outcome

__all__ = ["BackendWorkers", "hire_from_backend"]

# Units that take less are put together, up to so many seconds: a call costs milliseconds, a lost one at most this.
CALL_SECONDS = 1.0
_UNITS_A_CALL = 500
# How often a unit may lose its worker, the first time perhaps in company, before it is taken for the cause.
_LOSSES = 3


class BackendWorkers:
    """Workers of one level.

    Parameters
    ----------
    backend : Backend
    n_workers : int
        How many calls are made at a time.
    setup : WorkerSetup
        With the memory of the level.
    costs : sequence of float
        Of every unit of the job: how long it is expected to take, in whatever unit.
    watched : sequence of int
        Processes without which the work is of no use to anybody.

    Raises
    ------
    CortaxError
        From `wait`: no worker can work, the back-end is gone, or a watched process has ended.
    """

    def __init__(
        self, backend: Backend, n_workers: int, setup: WorkerSetup, costs: Sequence[float], watched: Sequence[int] = ()
    ) -> None:
        self._backend, self._n_workers, self._setup, self._costs = backend, n_workers, setup, costs
        self._watched = watched
        self._next: list[int] = []
        self._again: deque[int] = deque()
        self._calls: dict[Handle, list[int]] = {}
        self._losses: Counter[int] = Counter()
        self._seconds, self._cost = 0.0, 0.0
        self.threads: dict[str, int] = {}

    @property
    def free(self) -> int:
        """How many units it can take now: one, as long as the next call has room for it."""
        return int(len(self._calls) + len(self._again) < self._n_workers and self._has_room())

    def _has_room(self) -> bool:
        if not self._next:
            return True
        if not self._cost:
            return False  # nothing is known yet: one by one
        expected = sum(self._costs[unit] for unit in self._next) * self._seconds / self._cost
        return expected < CALL_SECONDS and len(self._next) < _UNITS_A_CALL

    def give(self, unit: int) -> None:
        """Hand over a unit; it is sent off when the call is full, or nothing is added to it."""
        self._next.append(unit)
        if not self._has_room():
            self._send(self._next)
            self._next = []

    def _send(self, units: list[int]) -> None:
        self._calls[self._backend.submit(work, self._setup, units)] = units

    def wait(self, seconds: float | None = None) -> list[Outcome]:
        """Wait until something has become of a unit, or time is over; return what."""
        if self._next:
            self._send(self._next)
            self._next = []
        while self._again and len(self._calls) < self._n_workers:
            self._send([self._again.popleft()])
        if not all(is_alive(pid) for pid in self._watched):
            raise ProjectError("a process that this job works for has ended (the server was killed?)")
        told: list[Outcome] = []
        for handle in self._backend.wait(list(self._calls), 1.0 if seconds is None else min(seconds, 1.0)):
            told += self._hear(handle, self._calls.pop(handle))
        return told

    def _hear(self, handle: Handle, units: list[int]) -> list[Outcome]:
        try:
            outcomes, threads = handle.result()
        except WorkerLostError as error:
            return self._lost(units, error)
        self.threads |= threads
        self._seconds += sum(outcome.seconds for outcome in outcomes)
        self._cost += sum(self._costs[unit] for unit in units)
        told: list[Outcome] = outcomes
        return told

    def _lost(self, units: list[int], error: WorkerLostError) -> list[Outcome]:
        """Have units done again, each by itself; whoever loses worker after worker has failed."""
        told = []
        for unit in units:
            self._losses[unit] += 1
            if self._losses[unit] < _LOSSES:
                self._again.append(unit)
            else:
                message = f"{_LOSSES} workers were lost with it, the last: {error}"
                told.append(Outcome(unit, "killed", kind=type(error).__name__, message=message))
        return told

    def close(self) -> None:
        """Do nothing: workers are kept for the next level, see `hire_from_backend`."""


@contextmanager
def hire_from_backend(
    name: str,
    payload: PayloadRef,
    folder: Path,
    costs: Sequence[float],
    *,
    shared: int = 0,
    seconds: float | None = None,
    watched: Sequence[int] = (),
    n_threads: int = 1,
) -> Iterator[Callable[[Level], BackendWorkers]]:
    """Start a back-end for the levels of a job, and end it after them.

    Parameters
    ----------
    name : str
        See `BACKEND_MODULES`.
    payload : PayloadRef
        Of the job's task.
    folder : Path
        For what the back-end must write.
    costs : sequence of float
        See `BackendWorkers`.
    shared : int
        Bytes of the payload.
    seconds : float, optional
        That a unit may take.
    watched : sequence of int
        See `BackendWorkers`.
    n_threads : int
        See `WorkerSetup`.

    Yields
    ------
    callable
        What `run_units` hires workers with.

    Raises
    ------
    ProjectError
        See `start_backend`.
    """
    backend: Backend | None = None

    def hire(level: Level) -> BackendWorkers:
        nonlocal backend
        setup = Setup(level.n_workers, level.memory, folder, shared)
        if backend is None:
            backend = start_backend(name, setup)
        else:
            backend.adapt(setup)
        return BackendWorkers(
            backend, level.n_workers, WorkerSetup(payload, level.memory, seconds, n_threads), costs, watched
        )

    try:
        yield hire
    finally:
        if backend is not None:
            backend.close()

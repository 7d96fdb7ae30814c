"""Crews whose workers an engine has: on this machine or on others."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from cortax.errors import ProjectError
from cortax.grid.engines import Engine, Handle, Setup, WorkerLostError, start_engine
from cortax.grid.engines.capsule import Ticket
from cortax.grid.engines.remote import Task, work
from cortax.grid.work.forks import is_alive
from cortax.grid.work.units import Level, Outcome

__all__ = ["EngineCrew", "engine_crews"]

# Units that take less are put together, up to so many seconds: a call costs milliseconds, a lost one at most this.
CALL_SECONDS = 1.0
_UNITS_A_CALL = 500
# How often a unit may lose its worker, the first time perhaps in company, before it is taken for the cause.
_LOSSES = 3


class EngineCrew:
    """Workers of one level.

    Parameters
    ----------
    engine : Engine
    n_workers : int
        How many calls are made at a time.
    task : Task
        With the memory of the level.
    costs : sequence of float
        Of every unit of the job: how long it is expected to take, in whatever unit.
    watched : sequence of int
        Processes without which the work is of no use to anybody.

    Raises
    ------
    CortaxError
        From `wait`: no worker can work, the engine is gone, or a watched process has ended.
    """

    def __init__(
        self, engine: Engine, n_workers: int, task: Task, costs: Sequence[float], watched: Sequence[int] = ()
    ) -> None:
        self._engine, self._n_workers, self._task, self._costs = engine, n_workers, task, costs
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
        self._calls[self._engine.submit(work, self._task, units)] = units

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
        for handle in self._engine.wait(list(self._calls), 1.0 if seconds is None else min(seconds, 1.0)):
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
        """Do nothing: workers are kept for the next level, see `engine_crews`."""


@contextmanager
def engine_crews(
    name: str,
    ticket: Ticket,
    folder: Path,
    costs: Sequence[float],
    *,
    shared: int = 0,
    seconds: float | None = None,
    watched: Sequence[int] = (),
    n_threads: int = 1,
) -> Iterator[Callable[[Level], EngineCrew]]:
    """Start an engine for the levels of a job, and end it after them.

    Parameters
    ----------
    name : str
        See `ENGINES`.
    ticket : Ticket
        Of the job's capsule.
    folder : Path
        For what the engine must write.
    costs : sequence of float
        See `EngineCrew`.
    shared : int
        Bytes of the capsule.
    seconds : float, optional
        That a unit may take.
    watched : sequence of int
        See `EngineCrew`.
    n_threads : int
        See `Task`.

    Yields
    ------
    callable
        What `run_units` hires its crews with.

    Raises
    ------
    ProjectError
        See `start_engine`.
    """
    engine: Engine | None = None

    def hire(level: Level) -> EngineCrew:
        nonlocal engine
        setup = Setup(level.n_workers, level.memory, folder, shared)
        if engine is None:
            engine = start_engine(name, setup)
        else:
            engine.adapt(setup)
        return EngineCrew(engine, level.n_workers, Task(ticket, level.memory, seconds, n_threads), costs, watched)

    try:
        yield hire
    finally:
        if engine is not None:
            engine.close()

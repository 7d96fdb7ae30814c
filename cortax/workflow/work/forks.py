"""Workers that are forks of this process: they share its arrays, and end when it does."""

from __future__ import annotations

import ctypes
import os
import selectors
import signal
import struct
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection, Pipe
from typing import Any

import psutil

from cortax.errors import ProjectError
from cortax.workflow.work.units import Level, Outcome
from cortax.workflow.work.worker import Budget, check_threads, do_unit, lost, pack, quiet_gc, unpack

__all__ = ["ForkedWorkers", "parents"]

_PR_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None, use_errno=True)


def is_alive(pid: int) -> bool:
    """Say whether a process runs, and has not merely not been waited for."""
    try:
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def parents(generations: int) -> list[int]:
    """Return the processes that this one comes from, the nearest first."""
    return [parent.pid for parent in psutil.Process().parents()[:generations] if parent.pid > 1]


@dataclass(eq=False)
class _Worker:
    pid: int
    handle: int  # readable once the process has ended
    pipe: Connection
    resident: int = 0
    unit: int | None = None
    started: float = 0.0
    leaving: bool = False


class ForkedWorkers:
    """Workers of one level that are forks of this process.

    Parameters
    ----------
    work : callable
        Takes the number of a unit, returns its values.
    level : Level
    seconds : float, optional
        How long a unit may take before its worker is killed.
    watched : iterable of int
        Processes without which the work is of no use to anybody.
    n_threads : int
        Of BLAS and OpenMP, of each worker.

    Raises
    ------
    ProjectError
        From `wait`: a watched process has ended, or a worker cannot keep to its threads.
    """

    def __init__(
        self,
        work: Callable[[int], Sequence[bytes]],
        level: Level,
        *,
        seconds: float | None = None,
        watched: Iterable[int] = (),
        n_threads: int = 1,
    ) -> None:
        self._work, self._level, self._seconds, self._n_threads = work, level, seconds, n_threads
        self._workers: list[_Worker] = []
        self._selector = selectors.DefaultSelector()
        self._watched = [_watch(pid) for pid in watched]
        for handle in self._watched:
            self._selector.register(handle, selectors.EVENT_READ, None)
        self.threads: dict[str, int] = {}

    @property
    def free(self) -> int:
        """How many units it can take now."""
        return self._level.n_workers - sum(worker.unit is not None for worker in self._workers)

    def give(self, unit: int) -> None:
        """Hand a unit to a worker that has none."""
        idle = (worker for worker in self._workers if worker.unit is None and not worker.leaving)
        worker = next(idle, None) or self._fork()
        worker.unit, worker.started = unit, time.monotonic()
        with suppress(BrokenPipeError, ConnectionResetError):  # it has ended: `wait` finds out how
            worker.pipe.send_bytes(struct.pack("<q", unit))

    def wait(self, seconds: float | None = None) -> list[Outcome]:
        """Wait until something has become of a unit, or time is over; return what."""
        found: list[Outcome] = []
        for key, _ in self._selector.select(self._patience(seconds)):
            worker = key.data
            if worker is None:
                raise ProjectError("the process that this job works for has ended (the server was killed?)")
            if worker in self._workers:
                found += self._ended(worker) if key.fd == worker.handle else self._heard(worker)
        return found + self._overdue()

    def _patience(self, seconds: float | None) -> float | None:
        if self._seconds is None:
            return seconds
        due = [worker.started + self._seconds - time.monotonic() for worker in self._workers if worker.unit is not None]
        return max(0.0, min([*due, *([] if seconds is None else [seconds])], default=self._seconds))

    def _fork(self) -> _Worker:
        ours, theirs = Pipe()
        parent = os.getpid()
        sys.stdout.flush()  # or a worker would print it once more
        pid = os.fork()
        if pid == 0:
            try:
                for worker in self._workers:
                    worker.pipe.close()
                ours.close()
                _serve(theirs, self._work, self._level.memory, parent, self._n_threads)
            finally:
                os._exit(70)
        theirs.close()
        worker = _Worker(pid, _watch(pid), ours)
        self._workers.append(worker)
        self._selector.register(worker.pipe, selectors.EVENT_READ, worker)
        self._selector.register(worker.handle, selectors.EVENT_READ, worker)
        return worker

    def _heard(self, worker: _Worker) -> list[Outcome]:
        try:
            about, values = unpack(worker.pipe.recv_bytes())
        except (EOFError, ConnectionResetError):
            return self._lost(worker)
        if "refused" in about:
            raise ProjectError(about["refused"])
        if "threads" in about:
            self.threads, worker.resident = about["threads"], about["resident"]
            return []
        worker.unit, worker.leaving = None, about.pop("leaving")
        return [Outcome(**about, values=values)]

    def _ended(self, worker: _Worker) -> list[Outcome]:
        """Hear what a worker said last, and bury it."""
        said: list[Outcome] = []
        while worker in self._workers:
            said += self._heard(worker) if worker.pipe.poll() else self._lost(worker)
        return said

    def _lost(self, worker: _Worker) -> list[Outcome]:
        status, used = self._bury(worker)
        if worker.unit is None:
            return []
        seconds, peak = time.monotonic() - worker.started, max(0, used * 1024 - worker.resident)
        return [lost(worker.unit, status, seconds, peak)]

    def _bury(self, worker: _Worker) -> tuple[int, int]:
        self._workers.remove(worker)
        self._selector.unregister(worker.pipe)
        self._selector.unregister(worker.handle)
        worker.pipe.close()
        _, status, usage = os.wait4(worker.pid, 0)
        os.close(worker.handle)
        return status, usage.ru_maxrss

    def _overdue(self) -> list[Outcome]:
        if self._seconds is None:
            return []
        now, found = time.monotonic(), []
        for worker in list(self._workers):
            if worker.unit is not None and now - worker.started >= self._seconds:
                found.append(self._stop(worker, now - worker.started))
        return found

    def _stop(self, worker: _Worker, seconds: float) -> Outcome:
        assert worker.unit is not None
        signal.pidfd_send_signal(worker.handle, signal.SIGKILL)
        _, used = self._bury(worker)
        return Outcome(
            worker.unit,
            "timeout",
            seconds=seconds,
            peak=max(0, used * 1024 - worker.resident),
            kind="timeout",
            message=f"not done after {self._seconds:g} s",
        )

    def close(self) -> None:
        """End all workers, whatever they are at; when this returns, none is left."""
        for worker in self._workers:
            signal.pidfd_send_signal(worker.handle, signal.SIGKILL)
        for worker in list(self._workers):
            self._bury(worker)
        self._selector.close()
        for handle in self._watched:
            os.close(handle)


def _watch(pid: int) -> int:
    try:
        return os.pidfd_open(pid)
    except ProcessLookupError as error:
        raise ProjectError("the process that this job works for has ended (the server was killed?)") from error


def _serve(pipe: Connection, work: Callable[[int], Sequence[bytes]], allowed: int, parent: int, n_threads: int) -> None:
    """Do units until the parent has no more, or is no more."""
    _libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        return  # it ended before it could be watched
    # The parent decides when to end; ^T and ^C at a terminal go to all.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    quiet_gc()
    try:
        threads = check_threads(n_threads)
    except ProjectError as error:
        pipe.send_bytes(pack({"refused": str(error)}))
        return
    budget = Budget(allowed)
    pipe.send_bytes(pack({"threads": threads, "resident": budget.resident}))
    leaving = False
    while not leaving:
        (unit,) = struct.unpack("<q", pipe.recv_bytes())
        outcome = do_unit(work, unit, budget)
        leaving = outcome.what == "memory" or budget.spent
        about: dict[str, Any] = {**vars(outcome), "leaving": leaving}
        values = about.pop("values")
        sys.stdout.flush()
        pipe.send_bytes(pack(about, values))
    os._exit(0)

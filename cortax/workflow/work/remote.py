"""What runs on a worker, whichever back-end started it: units of work in a helper process that may die without harm.

The helper (`remote_main`) is a fresh interpreter with limits of its own. What a unit does to it (crash, hang, want of
memory) ends the helper, never the back-end's worker, so that failures look the same everywhere. It stays for the next
call.
"""

from __future__ import annotations

import atexit
import os
import select
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cortax
from cortax import errors
from cortax.provenance.closure.places import ROOT_VARIABLE, nearest_project
from cortax.workflow.work.payload import NAME, PayloadRef
from cortax.workflow.work.units import Outcome
from cortax.workflow.work.worker import THREADS, unpack

__all__ = ["WorkerSetup", "work"]

START_SECONDS = 600.0
# How often a worker looks whether anybody still wants what it does.
_LOOK_SECONDS = 5.0
_STARTS = 3


@dataclass(frozen=True)
class WorkerSetup:
    """What all units of a level have in common.

    Attributes
    ----------
    payload : PayloadRef
        Of the job's task.
    memory : int
        Bytes that a unit may allocate. Memory-mapped inputs do not count.
    seconds : float, optional
        That a unit may take.
    n_threads : int
        Of BLAS and OpenMP.
    """

    payload: PayloadRef
    memory: int
    seconds: float | None = None
    n_threads: int = 1


class _EndedError(Exception):
    """The helper process is gone; with its exit status (negative: a signal) and what it said last."""

    def __init__(self, status: int, said: str) -> None:
        super().__init__(status, said)
        self.status, self.said = status, said

    def outcome(self, unit: int, seconds: float = 0.0) -> Outcome:
        """Tell what this means for the unit that was being done."""
        tail = f"; it said: {self.said}" if self.said else ""
        if self.status >= 0:
            message = f"the process ended with exit status {self.status}{tail}"
            return Outcome(unit, "crash", seconds=seconds, kind="exit", message=message)
        what = "killed" if -self.status in (signal.SIGKILL, signal.SIGTERM) else "crash"
        kind = signal.Signals(-self.status).name
        guess = " (out of memory?)" if -self.status == signal.SIGKILL else ""
        return Outcome(unit, what, seconds=seconds, kind=kind, message=f"the process ended by {kind}{guess}{tail}")


class _Helper:
    """A helper process and the pipes to it."""

    def __init__(self, setup: WorkerSetup) -> None:
        self.setup = setup
        self._log = tempfile.TemporaryFile()  # noqa: SIM115 - it is closed with the process
        command = [sys.executable, "-m", "cortax.workflow.work.remote_main", setup.payload.folder, setup.payload.token]
        self._process = subprocess.Popen(
            [*command, str(setup.memory), str(os.getpid()), str(setup.n_threads)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            cwd=nearest_project(os.environ.get(ROOT_VARIABLE) or setup.payload.folder)
            or Path(cortax.__file__).parents[1],
            env={**os.environ, **dict.fromkeys(THREADS, str(setup.n_threads))},
            start_new_session=True,
        )
        self._buffer = bytearray()
        self.threads = self._greeting()

    def _greeting(self) -> dict[str, int]:
        try:
            told, _ = self._hear(time.monotonic() + START_SECONDS)
        except TimeoutError:
            told = {"refused": "ProjectError", "message": f"a worker's process did not start in {START_SECONDS:.0f} s"}
        if "refused" in told:
            self.kill()
            raise getattr(errors, told["refused"])(f"{socket.gethostname()}: {told['message']}")
        threads: dict[str, int] = told["threads"]
        return threads

    def do(self, unit: int) -> tuple[Outcome, bool]:
        """Have one unit done; say whether the helper can do another.

        Raises
        ------
        _EndedError
            The helper had ended before it began, so that another can do the unit.
        """
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(struct.pack("<q", unit))
            self._process.stdin.flush()
        except BrokenPipeError:
            raise self._ended() from None
        self._hear(None)  # that it begins
        started = time.monotonic()
        limit = self.setup.seconds
        try:
            about, values = self._hear(None if limit is None else started + limit)
        except TimeoutError:
            self.kill()
            seconds, message = time.monotonic() - started, f"not done after {limit:g} s"
            return Outcome(unit, "timeout", seconds=seconds, kind="timeout", message=message), False
        except _EndedError as ended:
            return ended.outcome(unit, time.monotonic() - started), False
        leaving = about.pop("leaving")
        if leaving:
            self.kill()
        return Outcome(**about, values=values), not leaving

    def _hear(self, deadline: float | None) -> tuple[dict[str, Any], list[bytes]]:
        (size,) = struct.unpack("<Q", self._read(8, deadline))
        return unpack(self._read(size, deadline))

    def _read(self, size: int, deadline: float | None) -> bytes:
        assert self._process.stdout is not None
        pipe = self._process.stdout.fileno()
        poll = select.poll()  # `select` itself knows no file number above 1023
        poll.register(pipe, select.POLLIN)
        while len(self._buffer) < size:
            left = _LOOK_SECONDS if deadline is None else min(_LOOK_SECONDS, deadline - time.monotonic())
            if poll.poll(max(0.0, left) * 1000):
                if not (got := os.read(pipe, 1 << 20)):
                    raise self._ended()
                self._buffer += got
            elif deadline is not None and time.monotonic() >= deadline:
                raise TimeoutError
            else:
                self._end_unless_wanted()
        found = bytes(self._buffer[:size])
        del self._buffer[:size]
        return found

    def _end_unless_wanted(self) -> None:
        """The payload goes with its build: a back-end that was there before goes on with calls that it was given."""
        try:
            os.stat(Path(self.setup.payload.folder, NAME))
        except FileNotFoundError:
            with suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
        except OSError:
            return  # the file system does not answer now

    def _ended(self) -> _EndedError:
        status = self._process.wait()
        self._log.seek(max(0, self._log.seek(0, os.SEEK_END) - 2000))
        said = self._log.read().decode(errors="replace").strip()
        self.kill()
        return _EndedError(status, said)

    def alive(self) -> bool:
        """Whether the process is there."""
        return self._process.poll() is None

    def kill(self) -> None:
        """End it, with whatever it started."""
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait()
        for stream in (self._process.stdin, self._process.stdout, self._log):
            assert stream is not None
            with suppress(BrokenPipeError):
                stream.close()


# Helpers that wait. A back-end may make several calls at a time in threads of one process: each has its own helper.
_lock = threading.Lock()
_waiting: list[_Helper] = []


def _find(setup: WorkerSetup) -> _Helper:
    """Return a helper that waits, or a new one. Those of other jobs have no more to do."""
    found, others = None, []
    with _lock:
        for helper in _waiting:
            if helper.setup == setup and helper.alive() and found is None:
                found = helper
            else:
                others.append(helper)
        _waiting[:] = [helper for helper in others if helper.setup == setup and helper.alive()]
        ended = [helper for helper in others if helper not in _waiting]
    for helper in ended:
        helper.kill()
    return found or _Helper(setup)


@atexit.register
def _end_helpers() -> None:
    with _lock:
        ended, _waiting[:] = _waiting[:], []
    for helper in ended:
        helper.kill()


def work(setup: WorkerSetup, units: Sequence[int]) -> tuple[list[Outcome], dict[str, int]]:
    """Do units of a job one after the other. One that fails does not keep the next from being done.

    Parameters
    ----------
    setup : WorkerSetup
    units : sequence of int

    Returns
    -------
    list of Outcome
        Of all units, in their order.
    dict
        For each BLAS and OpenMP library its number of threads, see `check_threads`.

    Raises
    ------
    CortaxError
        No unit could be done here: the payload is not seen, or the code is not the same.
    """
    threads: dict[str, int] = {}
    return [_do(setup, unit, threads) for unit in units], threads


def _do(setup: WorkerSetup, unit: int, threads: dict[str, int]) -> Outcome:
    for _ in range(_STARTS):
        try:
            helper = _find(setup)
            outcome, stays = helper.do(unit)
        except _EndedError as error:
            ended = error
            continue
        threads |= helper.threads
        if stays:
            with _lock:
                _waiting.append(helper)
        return outcome
    return ended.outcome(unit)

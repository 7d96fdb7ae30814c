"""One worker: a process that does unit after unit within its memory, and tells what became of each.

It knows nothing of what a unit is, nor who started it: every back-end runs the same.
"""

from __future__ import annotations

import errno
import gc
import json
import math
import os
import resource
import signal
import struct
import time
import traceback
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import threadpoolctl
from scipy.linalg.blas import dgemm

from cortax.errors import ProjectError
from cortax.workflow.work.units import Outcome

__all__ = ["THREADS", "Budget", "check_threads", "do_unit", "lost", "pack", "quiet_gc", "unpack"]

# By these a fresh process is told how many threads its libraries may use; they look when they are loaded.
THREADS = tuple(
    f"{name}_NUM_THREADS" for name in ("OMP", "OPENBLAS", "MKL", "BLIS", "NUMEXPR", "VECLIB_MAXIMUM", "NUMBA")
)

_PAGE = resource.getpagesize()


class Budget:
    """How much this process may allocate from now on; what it had before, and what it only reads from files, is free.

    Parameters
    ----------
    allowed : int
        Bytes.
    """

    def __init__(self, allowed: int) -> None:
        self.allowed = allowed
        _fill_buffers()
        self._hard = resource.getrlimit(resource.RLIMIT_DATA)[1]
        # Kept open because it is read twice a unit: 5 us; psutil opens it anew, 60 us (thousands of units a second).
        self._pages = os.open("/proc/self/statm", os.O_RDONLY | os.O_CLOEXEC)
        self._data, self.resident = self._allocated()
        try:
            self._reset: int | None = os.open("/proc/self/clear_refs", os.O_WRONLY | os.O_CLOEXEC)
        except OSError:
            self._reset = None  # peaks are then those since the process began

    def begin(self) -> None:
        """Allow what there is, and forget the last peak."""
        limit = self._data + self.allowed
        soft = limit if self._hard == resource.RLIM_INFINITY else min(limit, self._hard)
        resource.setrlimit(resource.RLIMIT_DATA, (soft, self._hard))
        if self._reset is not None:
            with suppress(OSError):
                os.write(self._reset, b"5")

    def lift(self) -> None:
        """Allow everything until the next `begin`: what was found, or failed, must be told, which takes some memory."""
        resource.setrlimit(resource.RLIMIT_DATA, (self._hard, self._hard))

    @property
    def held(self) -> int:
        """Bytes allocated since the worker began and not given back."""
        return max(0, self._allocated()[0] - self._data)

    @property
    def peak(self) -> int:
        """Bytes of memory that the process had at most since `begin`, beyond what it began with."""
        return max(0, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 - self.resident)

    @property
    def spent(self) -> bool:
        """Whether so much is not given back that a new process would have notably more."""
        return self.held > self.allowed // 4

    def _allocated(self) -> tuple[int, int]:
        """Bytes of private writable memory, which is what the limit counts, and of memory in use."""
        pages = os.pread(self._pages, 200, 0).split()
        return int(pages[5]) * _PAGE, int(pages[1]) * _PAGE


def _fill_buffers() -> None:
    """Have numpy's and scipy's OpenBLAS take the 32 MiB that each works with: where it gets none it tries for ever."""
    square = np.ones((256, 256))  # large enough for the way that needs them
    np.dot(square, square)
    dgemm(1.0, square, square)


def check_threads(n_threads: int = 1) -> dict[str, int]:
    """Make sure that every BLAS and OpenMP library of this process uses so many threads.

    Parameters
    ----------
    n_threads : int
        One in every build; others are measured only, see `cortax bench-parallel`.

    Returns
    -------
    dict
        For each library, with the kind of processor that its kernels are for, its number of threads: what can be shown.

    Raises
    ------
    ProjectError
        One cannot be kept to that.
    """
    threadpoolctl.threadpool_limits(limits=n_threads)
    found = {
        f"{Path(pool['filepath']).name} ({', '.join(filter(None, (pool['user_api'], pool.get('architecture'))))})": int(
            pool["num_threads"]
        )
        for pool in threadpoolctl.threadpool_info()
    }
    if others := {name: n for name, n in found.items() if n != n_threads}:
        wanted = "one thread" if n_threads == 1 else f"{n_threads} threads"
        raise ProjectError(f"workers must use {wanted} each; found {others}: set OMP_NUM_THREADS={n_threads}")
    return found


def do_unit(work: Callable[[int], Sequence[bytes]], unit: int, budget: Budget) -> Outcome:
    """Do one unit within a budget; whatever it raises is an outcome, too."""
    budget.begin()
    started = time.perf_counter()
    try:
        values = work(unit)
    except BaseException as error:
        budget.lift()
        seconds = time.perf_counter() - started
        short = _wanted(error)
        return Outcome(
            unit,
            "error" if short is None else "memory",
            seconds=seconds,
            peak=budget.peak,
            # What is held still is what was held then: the traceback keeps it.
            needs=0 if short is None else max(budget.held + short, budget.allowed + 1),
            kind=type(error).__name__,
            message=str(error),
            traceback="".join(traceback.format_exception(error)),
        )
    budget.lift()
    return Outcome(unit, "done", values, time.perf_counter() - started, budget.peak)


def _wanted(error: BaseException | None) -> int | None:
    """Return the bytes that an error asked for in vain; None where it is not for want of memory.

    Whoever caught and raised it again may have kept no more than its words: what it asked for is then in its cause.
    """
    found: int | None = None
    while error is not None:
        shape = getattr(error, "shape", None)  # of numpy's own
        if isinstance(error, MemoryError) and shape is not None:
            return int(math.prod(shape)) * np.dtype(getattr(error, "dtype", "u1")).itemsize
        cplusplus, system = "bad_alloc" in str(error), getattr(error, "errno", None) == errno.ENOMEM
        if isinstance(error, MemoryError) or cplusplus or system:
            found = 0
        error = error.__cause__ or error.__context__
    return found


def lost(unit: int, status: int, seconds: float, peak: int) -> Outcome:
    """Return what became of a unit whose worker ended and did not say: `status` is that of `os.wait`."""
    if os.WIFSIGNALED(status):
        number = os.WTERMSIG(status)
        what = "killed" if number in (signal.SIGKILL, signal.SIGTERM) else "crash"
        kind = {known.value: known.name for known in signal.Signals}.get(number, f"signal {number}")
        message = f"the process ended by {kind}" + (" (out of memory?)" if number == signal.SIGKILL else "")
    else:
        what, kind, message = "crash", "exit", f"the process ended with exit status {os.WEXITSTATUS(status)}"
    return Outcome(unit, what, seconds=seconds, peak=peak, kind=kind, message=message)


def pack(about: dict[str, Any], values: Sequence[bytes] = ()) -> bytes:
    """Put a message together: JSON, and bytes as they are."""
    head = json.dumps([about, [len(value) for value in values]]).encode()
    return b"".join([struct.pack("<I", len(head)), head, *values])


def unpack(message: bytes) -> tuple[dict[str, Any], list[bytes]]:
    """Take apart what `pack` put together."""
    (size,) = struct.unpack_from("<I", message)
    about, sizes = json.loads(message[4 : 4 + size])
    values, start = [], 4 + size
    for n in sizes:
        values.append(message[start : start + n])
        start += n
    return about, values


def quiet_gc() -> None:
    """Collect garbage of now on only: looking at what is shared with other processes would copy it."""
    gc.freeze()
    gc.enable()

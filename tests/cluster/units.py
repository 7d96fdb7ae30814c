"""Units of work that behave badly, each on purpose: what `make` returns runs on real workers."""

from __future__ import annotations

import ctypes
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from cortax.grid.engines.capsule import Capsule

Work = Callable[[int], list[bytes]]


def make(capsule: Capsule) -> Work:
    """Do what the capsule says for each unit: the name of a function here, and its argument."""
    plan, values = capsule.about["plan"], capsule.arrays["values"]

    def work(unit: int) -> list[bytes]:
        name, argument = plan[unit]
        print("whatever is printed is no answer")
        return globals()[f"_{name}"](argument, values, unit)

    return work


def _sum(argument: float, values: np.ndarray, unit: int) -> list[bytes]:
    time.sleep(argument)
    assert isinstance(values, np.memmap)
    assert not values.flags.writeable
    return [np.float64(values.sum() + unit).tobytes(), b"x" * unit]


def _raises(argument: str, values: np.ndarray, unit: int) -> list[bytes]:
    raise ValueError(argument)


def _exits(argument: int, values: np.ndarray, unit: int) -> list[bytes]:
    os._exit(argument)


def _segfault(argument: int, values: np.ndarray, unit: int) -> list[bytes]:
    ctypes.string_at(argument)
    return []


def _hangs(argument: float, values: np.ndarray, unit: int) -> list[bytes]:
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM, signal.SIGINT})
    time.sleep(argument)
    return [b"after all"]


def _eats(argument: int, values: np.ndarray, unit: int) -> list[bytes]:
    held = np.ones(argument, dtype=np.uint8)
    return [str(held.nbytes).encode()]


def _threads(argument: int, values: np.ndarray, unit: int) -> list[bytes]:
    import threadpoolctl

    values @ values
    return [str(sorted({pool["num_threads"] for pool in threadpoolctl.threadpool_info()})).encode()]


def _once(argument: str, values: np.ndarray, unit: int) -> list[bytes]:
    """Long the first time, short the second: whoever did it first must have been lost."""
    note = Path(argument)
    if note.exists():
        return [b"second time"]
    # The engine's worker is the parent of this process.
    told = f"{os.getppid()} {os.environ.get('SLURMD_NODENAME', '')} {os.environ.get('SLURM_JOB_ID', '')}"
    note.with_suffix(".new").write_text(told)
    note.with_suffix(".new").replace(note)
    time.sleep(600)
    return [b"not lost"]


def _worker(argument: float, values: np.ndarray, unit: int) -> list[bytes]:
    """Tell which worker it was."""
    time.sleep(argument)
    return [str(os.getppid()).encode()]


def _patricide(argument: int, values: np.ndarray, unit: int) -> list[bytes]:
    os.kill(os.getppid(), signal.SIGKILL)
    time.sleep(600)
    return []

"""A task whose units behave badly, each on purpose; it runs on real workers."""

from __future__ import annotations

import ctypes
import os
import signal
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from cortax.workflow.task import Unit


@dataclass(frozen=True, eq=False)
class PlannedTask:
    """Does what its plan says for each unit: the name of a function here, and its argument.

    Keys are the number of the unit and of the value: "0/0", "0/1", "1/0", ...
    """

    plan: Sequence[tuple[str, Any]]
    values: np.ndarray

    def units(self) -> list[Unit]:
        return [
            Unit(tuple(f"{unit}/{value}" for value in range(2 if name == "sum" else 1)))
            for unit, (name, _) in enumerate(self.plan)
        ]

    def do(self, unit: int) -> list[bytes]:
        name, argument = self.plan[unit]
        print("whatever is printed is no answer")
        done: list[bytes] = globals()[f"_{name}"](argument, self.values, unit)
        return done

    def pack(self) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
        return {"values": self.values}, {"plan": list(self.plan)}

    @classmethod
    def unpack(cls, arrays: Mapping[str, np.ndarray], about: Mapping[str, Any]) -> PlannedTask:
        return cls(about["plan"], arrays["values"])


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
    # The back-end's worker is the parent of this process.
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

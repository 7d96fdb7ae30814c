"""Units of work as values: the smallest piece a worker takes, what became of it, and how many work at once."""

from __future__ import annotations

import random
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy.typing as npt

from cortax.errors import SearchError

__all__ = ["Level", "Outcome", "Task", "Unit", "UnitFailure", "check_failures", "levels", "longest_first"]


@dataclass(frozen=True)
class Unit:
    """The smallest piece of work that a worker takes.

    Attributes
    ----------
    keys : tuple of str
        What it returns one value (bytes) for each: names that people can read, each in one unit of its job only.
    cost : float
        How long it is expected to take, in any measure that all units of the job share.
    """

    keys: tuple[str, ...]
    cost: float = 1.0


class Task(Protocol):
    """What a job's workers do, wherever they are."""

    def units(self) -> Sequence[Unit]:
        """Return the pieces of work, always the same ones in the same order."""

    def do(self, unit: int) -> Sequence[bytes]:
        """Do a unit by its number; return one value for each of its keys."""

    def pack(self) -> tuple[Mapping[str, npt.NDArray[Any]], Mapping[str, Any]]:
        """Return arrays, and JSON values, from which `unpack` makes an equal task."""

    @classmethod
    def unpack(cls, arrays: Mapping[str, npt.NDArray[Any]], about: Mapping[str, Any]) -> Task:
        """Return the task that `pack` was called on; the arrays may be memory-mapped and read-only."""


@dataclass(frozen=True)
class Level:
    """How many work at once, and how many bytes each may allocate."""

    n_workers: int
    memory: int


@dataclass(frozen=True)
class Outcome:
    """What became of one attempt at a unit.

    Attributes
    ----------
    unit : int
        Its number.
    what : {"done", "error", "memory", "crash", "killed", "timeout"}
        "error" is an exception, which would come again; "crash" an end of the process by its own doing, "killed"
        one by somebody else's, which is also how the system takes back memory.
    values : list of bytes
        One for each key of the unit, where it is done.
    seconds : float
    peak, needs : int
        See `UnitFailure`.
    kind, message, traceback : str
        See `UnitFailure`.
    """

    unit: int
    what: str
    values: Sequence[bytes] = ()
    seconds: float = 0.0
    peak: int = 0
    needs: int = 0
    kind: str = ""
    message: str = ""
    traceback: str = ""


@dataclass(frozen=True)
class UnitFailure:
    """One attempt at a unit of work that came to nothing.

    Attributes
    ----------
    keys : tuple of str
        Of the unit.
    attempt : int
        From 1.
    kind : str
        The exception's class; "exit", the signal's name or "timeout" where there was none.
    message, traceback : str
    seconds : float
    peak : int
        Bytes that the attempt held at most, as far as the system can tell.
    needs : int
        Bytes that it would have held at least, had it been given what it asked for; 0 where memory was not what
        failed.
    allowed : int
        Bytes that it might allocate.
    workers : int
        How many worked at once then.
    final : bool
        Whether it is not tried again in this build.
    """

    keys: tuple[str, ...]
    attempt: int
    kind: str
    message: str
    traceback: str
    seconds: float
    peak: int
    needs: int
    allowed: int
    workers: int
    final: bool


def levels(n_workers: int, memory: int) -> list[Level]:
    """Return the levels that a unit goes through when it fails for want of memory: half as many with twice as much.

    Parameters
    ----------
    n_workers : int
        Of the first level.
    memory : int
        Bytes that all workers together may allocate.

    >>> [(level.n_workers, level.memory) for level in levels(5, 1000)]
    [(5, 200), (2, 500), (1, 1000)]
    """
    found = [Level(n_workers, memory // n_workers)]
    while (n := found[-1].n_workers) > 1:
        found.append(Level(n // 2, memory // (n // 2)))
    return found


def longest_first(units: Sequence[Unit], numbers: Iterable[int], seed: str) -> list[int]:
    """Order units so that none that takes long is begun last; those that take equally long at random."""
    order = sorted(numbers)
    random.Random(seed).shuffle(order)  # noqa: S311 - an order, no secret
    return sorted(order, key=lambda number: -units[number].cost)


def check_failures(failed: Iterable[UnitFailure]) -> None:
    """Raise one error for all units that failed, if any did.

    Raises
    ------
    SearchError
        What failed, why, and what memory it would need. Failures of one kind and message are told as one.
    """
    alike: dict[tuple[str, str], list[UnitFailure]] = {}
    for failure in sorted(failed, key=lambda failure: failure.keys):
        alike.setdefault((failure.kind, failure.message), []).append(failure)
    if alike:
        n_units = sum(map(len, alike.values()))
        lines = [_tell(kind, message, failures) for (kind, message), failures in alike.items()]
        raise SearchError("\n  ".join([f"{n_units} unit{'s' * (n_units > 1)} failed; the others are kept:", *lines]))


def _tell(kind: str, message: str, failures: Sequence[UnitFailure]) -> str:
    keys = [key for failure in failures for key in failure.keys]
    more = [f"{len(keys) - 3} more"] if len(keys) > 3 else []
    named = "; ".join([*keys[:3], *more])
    tries = max(failure.attempt for failure in failures)
    needs = max(failure.needs for failure in failures)
    short = ""
    if needs:
        allowed = max(failure.allowed for failure in failures)
        short = f"; it needs at least {_size(needs)}, and had {_size(allowed)}: set CORTAX_MEMORY higher"
    again = f" (tried {tries} times)" if tries > 1 else ""
    said = f"{kind}: {message}" if message else kind
    return f"{named}: {said}{short}{again}"


def _size(n_bytes: int) -> str:
    for name, size in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if n_bytes >= size:
            return f"{n_bytes / size:.4g} {name}"
    return f"{n_bytes} B"

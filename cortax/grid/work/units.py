"""Units of work as values: what a worker does at a time, what became of it, and how many try at once."""

from __future__ import annotations

import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from cortax.errors import SearchError

__all__ = ["Cell", "Level", "Outcome", "Unit", "UnitFailure", "check_failures", "levels", "longest_first"]

# Name of the target, number of the outer fold.
Cell = tuple[str, int]


@dataclass(frozen=True)
class Unit:
    """Cells that are worked on together, and how long that is expected to take, in whatever unit."""

    cells: tuple[Cell, ...]
    cost: float = 1.0


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
        One for each cell of the unit, where it is done.
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
    cells : tuple of (target, outer fold)
        What the unit would have finished.
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

    cells: tuple[Cell, ...]
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
    random.Random(seed).shuffle(order)
    return sorted(order, key=lambda number: -units[number].cost)


def check_failures(failed: Iterable[UnitFailure]) -> None:
    """Raise one error for all units that failed, if any did.

    Raises
    ------
    SearchError
        What failed, why, and what memory it would need. Failures of one kind and message are told as one.
    """
    told: dict[tuple[str, str], list[UnitFailure]] = {}
    for failure in sorted(failed, key=lambda failure: failure.cells):
        told.setdefault((failure.kind, failure.message), []).append(failure)
    if told:
        n_cells = sum(len(failure.cells) for found in told.values() for failure in found)
        lines = [_tell(kind, message, found) for (kind, message), found in told.items()]
        raise SearchError("\n  ".join([f"{n_cells} cell{'s' * (n_cells > 1)} failed; the others are kept:", *lines]))


def _tell(kind: str, message: str, failures: Sequence[UnitFailure]) -> str:
    cells = [cell for failure in failures for cell in failure.cells]
    named = ", ".join(f"{target} in outer fold {outer}" for target, outer in cells[:3])
    more = f" and {len(cells) - 3} more" if len(cells) > 3 else ""
    tries = max(failure.attempt for failure in failures)
    needs = max(failure.needs for failure in failures)
    short = ""
    if needs:
        allowed = max(failure.allowed for failure in failures)
        short = f"; it needs at least {_size(needs)}, and had {_size(allowed)}: set CORTAX_MEMORY higher"
    again = f" (tried {tries} times)" if tries > 1 else ""
    said = f"{kind}: {message}" if message else kind
    return f"{named}{more}: {said}{short}{again}"


def _size(n_bytes: int) -> str:
    for name, size in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if n_bytes >= size:
            return f"{n_bytes / size:.4g} {name}"
    return f"{n_bytes} B"

"""Units of work, done by workers, level after level, and kept as they get done.

What fails for want of memory, or by a crash, is tried again by half as many workers with twice as much memory each,
down to one with all of it. Who did what, in which order and at which attempt has no influence on what is kept.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from cortax.workflow.work.checkpoint import Checkpoint
from cortax.workflow.work.units import Level, Outcome, Unit, UnitFailure, levels, longest_first

__all__ = ["Report", "Workers", "run_units"]

# How often a unit is tried where there is nothing better: alone, with all the memory. Who was killed may be innocent.
_TRIES_ALONE = {"memory": 1, "crash": 1, "timeout": 1, "killed": 3}


class Workers(Protocol):
    """Workers of one level, wherever they are."""

    threads: dict[str, int]

    @property
    def free(self) -> int:
        """How many units it can take now."""

    def give(self, unit: int) -> None:
        """Hand a unit to a worker."""

    def wait(self, seconds: float | None = None) -> list[Outcome]:
        """Wait until something has become of a unit, or time is over; return what."""

    def close(self) -> None:
        """End all workers, whatever they are at."""


@dataclass
class Report:
    """What a run did.

    Attributes
    ----------
    n_units, n_resumed : int
        All of them, and those that were there before.
    n_keys, n_begun : int
        All keys, and how many were handed to workers since the job was first tried: one that was lost on the way, or
        failed, counts each time.
    done : dict of int to int
        For each number of workers, how many units got done by so many.
    failed : list of UnitFailure
        Of this run and, in the same build, of those before; the final ones.
    seconds : float
        Work, added up over workers.
    peak : int
        Bytes that a unit held at most.
    threads : dict
        For each BLAS and OpenMP library its number of threads in the workers.
    """

    n_units: int
    n_resumed: int
    n_keys: int = 0
    n_begun: int = 0
    done: dict[int, int] = field(default_factory=dict)
    failed: list[UnitFailure] = field(default_factory=list)
    seconds: float = 0.0
    peak: int = 0
    threads: dict[str, int] = field(default_factory=dict)


def run_units(
    units: Sequence[Unit],
    checkpoint: Checkpoint,
    hire: Callable[[Level], Workers],
    *,
    n_workers: int,
    memory: int,
    seed: str = "",
    progress: Callable[[int, int], object] | None = None,
) -> Report:
    """Do what is not done yet.

    Parameters
    ----------
    units : sequence of Unit
        No key is in two of them.
    checkpoint : Checkpoint
        What is in it is not done again; what gets done goes into it at once.
    hire : callable
        Makes the workers of a level.
    n_workers : int
        Of the first level.
    memory : int
        Bytes that all workers together may allocate.
    seed : str
        Orders units of the same cost.
    progress : callable, optional
        Told how many units are done, and how many there are.

    Returns
    -------
    Report
        With what failed, if anything did, see `check_failures`; it is in the checkpoint, too.

    Raises
    ------
    CortaxError
        Something can be neither kept nor worked with.
    """
    run = _Run(units, checkpoint, levels(n_workers, memory), progress)
    for number, level in enumerate(run.levels):
        if waiting := run.waiting[number]:
            workers = hire(level)
            try:
                run.level(number, deque(longest_first(units, waiting, seed)), workers)
            finally:
                workers.close()
            run.report.threads |= workers.threads
    run.report.n_begun = checkpoint.n_begun
    return run.report


class _Run:
    def __init__(
        self,
        units: Sequence[Unit],
        checkpoint: Checkpoint,
        steps: list[Level],
        progress: Callable[[int, int], object] | None,
    ) -> None:
        self._units, self._checkpoint, self._progress = units, checkpoint, progress
        self.levels = steps
        self.waiting: list[list[int]] = [[] for _ in steps]
        self._attempts: Counter[int] = Counter()
        self._alone: Counter[int] = Counter()
        self._sort()

    def _sort(self) -> None:
        """Put every unit that is not done to the level where it is to be tried next."""
        there = self._checkpoint.done()
        failed = {failure.keys: failure for failure in self._checkpoint.failures()}
        final = [failure for failure in failed.values() if failure.final]
        n_resumed = 0
        for number, unit in enumerate(self._units):
            before = failed.get(unit.keys)
            if there.issuperset(unit.keys):
                n_resumed += 1
            elif before is None:
                self.waiting[0].append(number)
            elif not before.final:
                self._attempts[number] = before.attempt
                self.waiting[self._after(before.workers)].append(number)
        n_keys = sum(len(unit.keys) for unit in self._units)
        self.report = Report(len(self._units), n_resumed, n_keys, failed=final)

    def _after(self, n_workers: int) -> int:
        smaller = (number for number, level in enumerate(self.levels) if level.n_workers < n_workers)
        return next(smaller, len(self.levels) - 1)

    def level(self, number: int, todo: deque[int], workers: Workers) -> None:
        """Do the units of a level; those that fail and may yet succeed go to a later one, or come again."""
        busy = 0
        while todo or busy:
            busy += self._hand_out(todo, workers)
            self._checkpoint.keep_count()
            for outcome in workers.wait(self._checkpoint.sync_due):
                # First of all: what was found is kept while the next is worked on, and counted with it.
                busy += self._hand_out(todo, workers) - 1
                if outcome.what == "done":
                    self._keep(outcome, self.levels[number])
                elif self._fail(outcome, number):
                    todo.append(outcome.unit)
            if self._checkpoint.sync_due == 0.0:
                self._checkpoint.sync()

    def _hand_out(self, todo: deque[int], workers: Workers) -> int:
        """Give units to workers as long as any is free; return how many."""
        n_given = 0
        while todo and workers.free > 0:
            unit = todo.popleft()
            workers.give(unit)
            self._checkpoint.begin(len(self._units[unit].keys))
            n_given += 1
        return n_given

    def _keep(self, outcome: Outcome, level: Level) -> None:
        keys = self._units[outcome.unit].keys
        self._attempts[outcome.unit] += 1
        self._checkpoint.add(
            dict(zip(keys, outcome.values, strict=True)),
            seconds=outcome.seconds,
            peak=outcome.peak,
            attempt=self._attempts[outcome.unit],
        )
        report = self.report
        report.done[level.n_workers] = report.done.get(level.n_workers, 0) + 1
        report.seconds += outcome.seconds
        report.peak = max(report.peak, outcome.peak)
        if self._progress is not None:
            self._progress(report.n_resumed + sum(report.done.values()), report.n_units)

    def _fail(self, outcome: Outcome, number: int) -> bool:
        """Note a failure; say whether the unit is to be tried again at the same level."""
        last = len(self.levels) - 1
        self._attempts[outcome.unit] += 1
        self._alone[outcome.unit] += number == last
        final = outcome.what not in _TRIES_ALONE or self._alone[outcome.unit] >= _TRIES_ALONE[outcome.what]
        level = self.levels[number]
        failure = UnitFailure(
            keys=self._units[outcome.unit].keys,
            attempt=self._attempts[outcome.unit],
            kind=outcome.kind,
            message=outcome.message,
            traceback=outcome.traceback,
            seconds=outcome.seconds,
            peak=outcome.peak,
            needs=outcome.needs,
            allowed=level.memory,
            workers=level.n_workers,
            final=final,
        )
        self._checkpoint.fail(failure)
        self.report.seconds += outcome.seconds
        if final:
            self.report.failed.append(failure)
        elif number < last:
            # Who hung is tried alone; who wanted memory, with twice as much.
            self.waiting[last if outcome.what == "timeout" else number + 1].append(outcome.unit)
        return not final and number == last

"""What a job is expected to take before it runs: seconds and memory, for the order of work and for people."""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable

from cortax.workflow.plan.jobspec import JobSpec, Work

__all__ = ["OVERHEAD", "Costs", "duration", "memory_bytes"]

# Seconds that Exax takes to start and end a job, whatever it does.
OVERHEAD = 0.3
_PROCESS = 150e6  # bytes of a worker with its libraries
# Below this, what every worker holds hides what the work itself does.
_TELLING = 64e6


def memory_bytes(work: Work, n_workers: int, ratio: float = 1.0) -> float:
    """Return the expected peak of all workers of a job together, with what they share.

    Parameters
    ----------
    work : Work
    n_workers : int
    ratio : float
        Of what a unit was seen to take to what it is expected to take.
    """
    n_busy = min(n_workers, work.n_batches)
    return work.shared_bytes + n_busy * (ratio * work.unit_bytes + _PROCESS)


class Costs:
    """Expected seconds and bytes of jobs, corrected by what earlier jobs of each method and group took.

    Parameters
    ----------
    n_workers : int
        Processes that a job has.
    earlier : iterable of (JobSpec, Work or None, float, int)
        Jobs as they are planned; the work that an earlier one of that name had, the seconds that it took, with as many
        workers, and the bytes that a unit of it held at most, 0 if that is not known.
    """

    def __init__(self, n_workers: int, earlier: Iterable[tuple[JobSpec, Work | None, float, int]] = ()) -> None:
        self.n_workers = max(n_workers, 1)
        times: dict[tuple[str, str], list[float]] = {}
        peaks: dict[tuple[str, str], list[float]] = {}
        plain: dict[str, list[float]] = {}
        for spec, work, seconds, peak in earlier:
            if spec.work is None or work is None:
                plain.setdefault(spec.method, []).append(seconds)
                continue
            key = (spec.method, work.group)
            if seconds > 2 * OVERHEAD:
                # Of shorter ones the start and end of a job is most.
                times.setdefault(key, []).append((seconds - OVERHEAD) / work.wall_seconds(self.n_workers))
            if peak > _TELLING and work.unit_bytes:
                peaks.setdefault(key, []).append(peak / work.unit_bytes)
        self._plain = {method: statistics.median(values) for method, values in plain.items()}
        # The median: one job that a busy machine slowed says nothing about the others.
        self.ratios = {key: statistics.median(values) for key, values in times.items()}
        self.memory_ratios = {key: statistics.median(values) for key, values in peaks.items()}

    def seconds(self, spec: JobSpec) -> float:
        """Return the seconds of wall time that a job is expected to take."""
        if spec.work is None:
            return self._plain.get(spec.method, OVERHEAD)
        ratio = self.ratios.get((spec.method, spec.work.group), 1.0)
        return OVERHEAD + ratio * spec.work.wall_seconds(self.n_workers)

    def memory(self, spec: JobSpec) -> float:
        """Return the bytes that all workers of a job are expected to hold together; 0 of a job without any."""
        if spec.work is None:
            return 0.0
        return memory_bytes(spec.work, self.n_workers, self.memory_ratios.get((spec.method, spec.work.group), 1.0))


def duration(seconds: float) -> str:
    """Write seconds for people.

    >>> duration(75), duration(600), duration(200_000)
    ('75 s', '10 min', '2.3 d')
    """
    for limit, size, unit in ((90, 1, "s"), (5400, 60, "min"), (129_600, 3600, "h"), (math.inf, 86_400, "d")):
        if seconds < limit:
            return f"{seconds / size:.{0 if size < 3600 else 1}f} {unit}"
    raise ValueError(f"seconds must be a number; got {seconds}")

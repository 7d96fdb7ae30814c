"""What a job costs before it runs: seconds and memory, for the order of work and for people.

Nothing here takes part in a computation, so these modules are no part of any key (`closure.ASIDE`): figures may be
measured anew without a single job running again.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from cortax.grid.planning.cost_table import FIT, REFIT
from cortax.grid.planning.jobspec import JobSpec, Work

__all__ = ["Costs", "batch_seconds", "cpu_seconds", "duration", "memory_bytes", "wall_seconds"]

Law = tuple[float, float, float]

# Seconds that Exax takes to start and end a job, whatever it does.
OVERHEAD = 0.3
# Of what cannot be known, such as a class that a study names: a guess, until a build has measured it.
UNKNOWN: Law = (1e-7, 1.0, 1.0)
# Arrays that a worker holds at its peak: multiples of subjects x regions, regions squared and subjects squared.
_ARRAYS = {"ridge": (2.5, 2.5, 0.0), "elastic": (2.5, 2.5, 0.0), "svm": (2.5, 0.0, 1.5), "lgbm": (3.0, 0.0, 0.0)}
_PROCESS = 150e6  # a worker with its libraries
# How many targets a solver takes at a time, `TOGETHER` of its module: all, or so many. Others take one.
_TOGETHER = {
    ("ridge", "regression"): None,
    ("ridge", "classification"): None,
    ("elastic", "regression"): 15,
    ("elastic", "classification"): None,
    ("svm", "regression"): 8,
    ("svm", "classification"): 8,
}


def _law(laws: Mapping[tuple[str, str], Law], kind: str, task: str) -> Law:
    other = {"regression": "classification", "classification": "regression"}[task]
    return laws.get((kind, task)) or laws.get((kind, other)) or UNKNOWN


def _seconds(law: Law, n_subjects: int, n_regions: int) -> float:
    scale, of_subjects, of_regions = law
    return float(scale * max(n_subjects, 1) ** of_subjects * max(n_regions, 1) ** of_regions)


def _units(method: str, work: Work) -> Iterator[tuple[int, float]]:
    """How many units of work (`Batch`) of which CPU seconds a job has; several where they are alike."""
    laws, fits = (FIT, work.n_inner * work.n_configs) if method == "tune" else (REFIT, 1)
    for task, n_targets in work.n_targets.items():
        each = fits * _seconds(_law(laws, work.kind, task), work.n_subjects, work.n_regions)
        size = min(_TOGETHER.get((work.kind, task), 1) or n_targets, n_targets)
        yield work.n_outer * (n_targets // size), size * each
        yield work.n_outer * bool(n_targets % size), n_targets % size * each


def cpu_seconds(method: str, work: Work) -> float:
    """Return CPU seconds of a search (`tune`) or of a refit (`evaluate`) of all its cells, by the cost table."""
    return sum(n * each for n, each in _units(method, work))


def wall_seconds(method: str, work: Work, n_workers: int) -> float:
    """Return the seconds that many workers take: no fewer than the longest unit, which is one worker's."""
    longest = max((each for n, each in _units(method, work) if n), default=0.0)
    return max(cpu_seconds(method, work) / n_workers, longest)


def memory_bytes(work: Work, n_workers: int) -> float:
    """Return the expected peak of all workers of a job together, and the regions that they share."""
    n, p = work.n_subjects, work.n_regions
    tall, square, kernel = _ARRAYS.get(work.kind, (3.0, 0.0, 0.0))
    each = 8 * (tall * n * p + square * p * p + kernel * n * n) + _PROCESS
    n_busy = min(n_workers, sum(n for n, _ in _units("tune", work)))
    return 8 * n * p + n_busy * each


class Costs:
    """Expected seconds of jobs: the cost table, corrected by what earlier jobs of each pipeline took.

    Parameters
    ----------
    n_workers : int
        Processes that a job has.
    measured : iterable of (JobSpec, dict, float)
        Jobs as they are planned; the options that an earlier one of that name ran with, and the seconds that it
        took, with as many workers.
    """

    def __init__(self, n_workers: int, measured: Iterable[tuple[JobSpec, Mapping[str, Any], float]] = ()) -> None:
        self.n_workers = max(n_workers, 1)
        seen: dict[tuple[str, str], list[float]] = {}
        plain: dict[str, list[float]] = {}
        for spec, options, seconds in measured:
            if spec.work is None:
                plain.setdefault(spec.method, []).append(seconds)
            elif seconds > 2 * OVERHEAD:
                # Of shorter ones the start and end of a job is most.
                expected = wall_seconds(spec.method, _worked(spec.work, options), self.n_workers)
                seen.setdefault((spec.method, spec.about["pipeline"]), []).append((seconds - OVERHEAD) / expected)
        self._plain = {method: statistics.median(found) for method, found in plain.items()}
        # The median: one job that a busy machine slowed says nothing about the others.
        self.ratios = {key: statistics.median(found) for key, found in seen.items()}

    def seconds(self, spec: JobSpec) -> float:
        """Return the seconds of wall time that a job is expected to take."""
        if spec.work is None:
            return self._plain.get(spec.method, OVERHEAD)
        ratio = self.ratios.get((spec.method, spec.about["pipeline"]), 1.0)
        return OVERHEAD + ratio * wall_seconds(spec.method, spec.work, self.n_workers)

    def longest_first(self, specs: Sequence[JobSpec]) -> list[JobSpec]:
        """Order jobs of the same method by falling cost, and keep the order of methods, which is what needs what."""
        methods = list(dict.fromkeys(spec.method for spec in specs))
        models = [method for method in methods if method in ("tune", "evaluate")]
        return sorted(
            specs,
            key=lambda spec: (methods.index(spec.method), -self.seconds(spec) if spec.method in models else 0.0),
        )


def _worked(work: Work, options: Mapping[str, Any]) -> Work:
    """What an earlier job had to do, where its options say so."""
    found = replace(work, n_configs=options.get("n_configs", work.n_configs))
    if "targets" in options:
        tasks = [definition["kind"] for definition in options["targets"].values()]
        found = replace(found, n_targets={task: tasks.count(task) for task in set(tasks)})
    return found


def batch_seconds(problem: Any, batches: Iterable[Any]) -> list[float]:
    """Return the CPU seconds that the search of each batch of a problem (`Problem`, `Batch`) is expected to take."""
    n_subjects, n_regions = problem.regions.shape
    found = []
    for batch in batches:
        task = problem.tasks[batch.targets[0]]
        fits = len(batch.targets) * len(problem.configs[task]) * problem.folds.n_inner
        found.append(fits * _seconds(_law(FIT, problem.kind, task), n_subjects, n_regions))
    return found


def duration(seconds: float) -> str:
    """Write seconds for people.

    >>> duration(75), duration(600), duration(200_000)
    ('75 s', '10 min', '2.3 d')
    """
    for limit, size, unit in ((90, 1, "s"), (5400, 60, "min"), (129_600, 3600, "h"), (math.inf, 86_400, "d")):
        if seconds < limit:
            return f"{seconds / size:.{0 if size < 3600 else 1}f} {unit}"
    raise ValueError(f"seconds must be a number; got {seconds}")

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

from cortax.grid.planning.cost_table import FIT, MEMORY, REFIT
from cortax.grid.planning.jobspec import JobSpec, Work

__all__ = ["Costs", "batch_seconds", "cpu_seconds", "duration", "memory_bytes", "unit_bytes", "wall_seconds"]

Law = tuple[float, float, float]
Arrays = tuple[float, float, float, float]

# Seconds that Exax takes to start and end a job, whatever it does.
OVERHEAD = 0.3
# Of what cannot be known, such as a class that a study names: a guess, until a build has measured it.
UNKNOWN: Law = (1e-7, 1.0, 1.0)
# As many arrays as scikit-learn's own steps make of the regions: also a guess, until a build has measured it.
UNKNOWN_ARRAYS: Arrays = (3.0, 0.0, 0.0, 0.0)
_PROCESS = 150e6  # a worker with its libraries
# Of smaller peaks what every worker has, whatever it does, is most.
_TELLING = 64e6
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
    """How many units of work (`Batch`) of which CPU seconds a job has; several where they are alike.

    Permuted targets are searched and refitted; within the training part there is a refit for every inner fold.
    """
    if method == "permute":
        yield from (*_units("tune", work), *_units("evaluate", work))
        return
    # A regression of a gene has as many fits as trees.
    of_many = method in ("tune", "regress")
    laws, fits = (FIT, work.n_inner * work.n_configs) if of_many else (REFIT, 1)
    fits = work.n_inner if method == "inner" else fits
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


def unit_bytes(work: Work) -> float:
    """Return the peak of one unit of work beyond what its worker has from the start, by the cost table."""
    n, p = work.n_subjects, work.n_regions
    sizes = (n * p, p * p, n * n, 1)
    law = MEMORY.get(work.kind, UNKNOWN_ARRAYS)
    return 8 * sum(each * size for each, size in zip(law, sizes, strict=True))


def memory_bytes(work: Work, n_workers: int, ratio: float = 1.0) -> float:
    """Return the expected peak of all workers of a job together, and the regions that they share.

    Parameters
    ----------
    work : Work
    n_workers : int
    ratio : float
        Of what a unit was seen to take to `unit_bytes`.
    """
    n_busy = min(n_workers, sum(n for n, _ in _units("tune", work)))
    return 4 * work.n_subjects * work.n_regions + n_busy * (ratio * unit_bytes(work) + _PROCESS)


class Costs:
    """Expected seconds and bytes of jobs: the cost table, corrected by what earlier jobs of each pipeline took.

    Parameters
    ----------
    n_workers : int
        Processes that a job has.
    measured : iterable of (JobSpec, dict, float, int)
        Jobs as they are planned; the options that an earlier one of that name ran with, the seconds that it
        took, with as many workers, and the bytes that a unit of it held at most, 0 if that is not known.
    """

    def __init__(self, n_workers: int, measured: Iterable[tuple[JobSpec, Mapping[str, Any], float, int]] = ()) -> None:
        self.n_workers = max(n_workers, 1)
        took: dict[tuple[str, str], list[float]] = {}
        held: dict[tuple[str, str], list[float]] = {}
        plain: dict[str, list[float]] = {}
        for spec, options, seconds, peak in measured:
            if spec.work is None:
                plain.setdefault(spec.method, []).append(seconds)
                continue
            key, work = (spec.method, spec.about["pipeline"]), _worked(spec.work, options)
            if seconds > 2 * OVERHEAD:
                # Of shorter ones the start and end of a job is most.
                expected = wall_seconds(spec.method, work, self.n_workers)
                took.setdefault(key, []).append((seconds - OVERHEAD) / expected)
            if peak > _TELLING:
                held.setdefault(key, []).append(peak / unit_bytes(work))
        self._plain = {method: statistics.median(found) for method, found in plain.items()}
        # The median: one job that a busy machine slowed says nothing about the others.
        self.ratios = {key: statistics.median(found) for key, found in took.items()}
        self.memory_ratios = {key: statistics.median(found) for key, found in held.items()}

    def seconds(self, spec: JobSpec) -> float:
        """Return the seconds of wall time that a job is expected to take."""
        if spec.work is None:
            return self._plain.get(spec.method, OVERHEAD)
        ratio = self.ratios.get((spec.method, spec.about["pipeline"]), 1.0)
        return OVERHEAD + ratio * wall_seconds(spec.method, spec.work, self.n_workers)

    def memory(self, spec: JobSpec) -> float:
        """Return the bytes that all workers of a job are expected to hold together; 0 of a job without any."""
        if spec.work is None:
            return 0.0
        ratio = self.memory_ratios.get((spec.method, spec.about["pipeline"]), 1.0)
        return memory_bytes(spec.work, self.n_workers, ratio)

    def longest_first(self, specs: Sequence[JobSpec]) -> list[JobSpec]:
        """Order jobs of the same method by falling cost, and keep the order of methods, which is what needs what."""
        methods = list(dict.fromkeys(spec.method for spec in specs))
        models = [method for method in methods if method in ("tune", "evaluate", "permute", "regress")]
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

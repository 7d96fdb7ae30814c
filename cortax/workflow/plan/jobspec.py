"""A job as a value: what it is, runs with, needs and costs."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

__all__ = ["JobSpec", "Work", "sorted_keys"]


@dataclass(frozen=True)
class Work:
    """What a job has to do, as far as it can be known before it runs. No result depends on it.

    Attributes
    ----------
    group : str
        Jobs of one method and group are alike: what earlier ones took corrects what later ones are expected to take.
    n_units : int
        What people count.
    batches : tuple of (int, float)
        How many pieces of work take how many CPU seconds; a piece is one worker's.
    unit_bytes, shared_bytes : float
        What a worker holds beyond what every process has, and what all of them map.
    """

    group: str
    n_units: int
    batches: tuple[tuple[int, float], ...]
    unit_bytes: float = 0.0
    shared_bytes: float = 0.0

    @property
    def cpu_seconds(self) -> float:
        """Seconds of all batches on one core."""
        return sum(n * seconds for n, seconds in self.batches)

    @property
    def n_batches(self) -> int:
        """How many workers can have something to do."""
        return sum(n for n, _ in self.batches)

    def wall_seconds(self, n_workers: int) -> float:
        """Return the seconds that many workers take: no fewer than the longest batch, which is one worker's."""
        longest = max((seconds for n, seconds in self.batches if n), default=0.0)
        return max(self.cpu_seconds / n_workers, longest)


@dataclass(frozen=True)
class JobSpec:
    """One job of a study.

    Attributes
    ----------
    name : str
        What users look it up by, such as `tune/schaefer-400/ridge`. It is made of the key and never taken apart.
    method : str
        The Exax method.
    options : dict
        Everything but other jobs that its result depends on; JSON values, keys sorted.
    jobs : dict
        For each job input of the method the name of another job, or a list of names.
    optional : dict
        Inputs that may lack some of their jobs: slot -> option that has an entry for each and must shrink with it.
    key : mapping of axis to str
        Which of the method's jobs it is: parcellation, pipeline and so on. Kept with the job.
    covers : mapping of axis to list of str
        Axes along which it has several values, such as the targets that are searched together.
    work : Work, optional
        What it has to do. No part of what the result depends on.
    links : tuple of str
        Its files that people look for: a finished build links them in the results folder of the study.
    folder : tuple of str
        Below that, the folders that they are linked in.
    shows : bool
        Whether people read it, as they do a page. It is then made of the very jobs of a build, with all that these say
        beside their results, and not of older ones with the same results.
    notes : tuple of str
        Sentences that a plan prints, of what was found in its input.
    """

    name: str
    method: str
    options: dict[str, Any]
    jobs: dict[str, str | list[str]] = field(default_factory=dict)
    optional: dict[str, str] = field(default_factory=dict)
    key: Mapping[str, str] = field(default_factory=dict, compare=False)
    covers: Mapping[str, list[str]] = field(default_factory=dict, compare=False)
    work: Work | None = field(default=None, compare=False)
    links: tuple[str, ...] = field(default=(), compare=False)
    folder: tuple[str, ...] = field(default=(), compare=False)
    shows: bool = field(default=False, compare=False)
    notes: tuple[str, ...] = field(default=(), compare=False)

    @property
    def needs(self) -> set[str]:
        """Names of all jobs that it needs."""
        return {name for names in self.jobs.values() for name in ([names] if isinstance(names, str) else names)}

    def values(self, axis: str) -> list[str]:
        """Return the values that it has on an axis; none where it is of all of them."""
        return [self.key[axis]] if axis in self.key else list(self.covers.get(axis, ()))

    def without(self, missing: Collection[str]) -> JobSpec | None:
        """Return the same job on what is there, or None where it cannot do without the jobs of these names."""
        options, jobs = dict(self.options), dict(self.jobs)
        for slot, option in self.optional.items():
            kept = [place for place, name in enumerate(jobs[slot]) if name not in missing]
            jobs[slot] = [jobs[slot][place] for place in kept]
            options[option] = [options[option][place] for place in kept]
            if not kept:
                return None
        possible = replace(self, options=options, jobs=jobs)
        return None if possible.needs & set(missing) else possible


def sorted_keys(value: Any) -> Any:
    """Sort the keys of nested dicts: Exax takes their order for a difference."""
    if isinstance(value, dict):
        return {key: sorted_keys(value[key]) for key in sorted(value)}
    if isinstance(value, list | tuple):
        return [sorted_keys(item) for item in value]
    return value

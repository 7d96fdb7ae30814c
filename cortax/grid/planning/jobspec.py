"""A job as a value: what it is called, runs with and depends on."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, field, replace
from typing import Any

__all__ = ["JobSpec", "Work", "sorted_keys"]


@dataclass(frozen=True)
class Work:
    """How much a job has to do: what its cost is estimated from.

    Attributes
    ----------
    kind : str
        Of the pipeline.
    n_subjects, n_regions : int
    n_targets : dict of task to int
    n_configs : int
    n_outer, n_inner : int
        Folds that the job works on.
    """

    kind: str
    n_subjects: int
    n_regions: int
    n_targets: dict[str, int]
    n_configs: int
    n_outer: int
    n_inner: int

    @property
    def n_cells(self) -> int:
        """Targets x outer folds."""
        return sum(self.n_targets.values()) * self.n_outer


@dataclass(frozen=True)
class JobSpec:
    """One job of a study.

    Attributes
    ----------
    name : str
        What users look it up by, such as `tune/schaefer-400/ridge`.
    method : str
        The Exax method.
    options : dict
        Everything but other jobs that its result depends on; JSON values, keys sorted.
    jobs : dict
        For each job input of the method the name of another job, or a list of names.
    listed : dict
        For each list of jobs that does with fewer, the option that has an entry for each of them.
    about : dict
        `pipeline`, `parcellation`, `targets`, `fold` of a job that has them: what builds are narrowed by.
    work : Work, optional
        What it has to do. No part of what the result depends on.
    links : tuple of str
        Its files that people look for: a finished build links them in the results folder of the study.
    folder : tuple of str
        Below that, the folders that they are linked in.
    """

    name: str
    method: str
    options: dict[str, Any]
    jobs: dict[str, str | list[str]] = field(default_factory=dict)
    listed: dict[str, str] = field(default_factory=dict)
    about: dict[str, Any] = field(default_factory=dict, compare=False)
    work: Work | None = field(default=None, compare=False)
    links: tuple[str, ...] = field(default=(), compare=False)
    folder: tuple[str, ...] = field(default=(), compare=False)

    @property
    def needs(self) -> set[str]:
        """Names of all jobs that it needs."""
        return {name for names in self.jobs.values() for name in ([names] if isinstance(names, str) else names)}

    def without(self, missing: Collection[str]) -> JobSpec | None:
        """Return the same job on what is there, or None where it cannot do without the jobs of these names."""
        options, jobs = dict(self.options), dict(self.jobs)
        for slot, option in self.listed.items():
            kept = [place for place, name in enumerate(jobs[slot]) if name not in missing]
            jobs[slot] = [jobs[slot][place] for place in kept]
            options[option] = [options[option][place] for place in kept]
            if not kept:
                return None
        left = replace(self, options=options, jobs=jobs)
        return None if left.needs & set(missing) else left


def sorted_keys(value: Any) -> Any:
    """Sort the keys of nested dicts: Exax takes their order for a difference."""
    if isinstance(value, dict):
        return {key: sorted_keys(value[key]) for key in sorted(value)}
    if isinstance(value, list | tuple):
        return [sorted_keys(item) for item in value]
    return value

"""What stands for the whole evaluation of a parcellation and pipeline, and the jobs that it was put together from."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from cortax.grid.planning.jobspec import JobSpec

__all__ = ["Evaluated", "evaluations"]


@dataclass(frozen=True)
class Evaluated:
    """One parcellation and pipeline, all targets and outer folds.

    Attributes
    ----------
    parcellation, pipeline : str
    whole : JobSpec
        The job that holds all its predictions and scores: `collect` where it was made in parts, otherwise `evaluate`.
    parts : tuple of JobSpec
        The `evaluate` jobs that it is made of.
    take : tuple of tuple of str
        The names of the targets that are taken from each part.
    """

    parcellation: str
    pipeline: str
    whole: JobSpec
    parts: tuple[JobSpec, ...]
    take: tuple[tuple[str, ...], ...]


def evaluations(models: Sequence[JobSpec]) -> list[Evaluated]:
    """Group the jobs of models by parcellation and pipeline, in the order of the study."""
    parts: dict[tuple[str, str], list[JobSpec]] = {}
    whole: dict[tuple[str, str], JobSpec] = {}
    for job in models:
        if job.method not in ("evaluate", "collect"):
            continue
        key = (job.about["parcellation"], job.about["pipeline"])
        if job.method == "evaluate":
            parts.setdefault(key, []).append(job)
        whole[key] = job
    return [
        Evaluated(*key, whole[key], tuple(found), tuple(tuple(job.about["targets"]) for job in found))
        for key, found in parts.items()
    ]

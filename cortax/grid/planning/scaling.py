"""The job that ranks a study's parcellations, and says how the ranks follow their sizes."""

from __future__ import annotations

import fnmatch
from collections.abc import Mapping, Sequence
from typing import Any, Literal

from cortax.grid.planning.evaluated import Evaluated
from cortax.grid.planning.jobspec import JobSpec, sorted_keys
from cortax.grid.planning.models import Regions
from cortax.study import Study

__all__ = ["scaling_jobs"]

# The type of a parcellation, by its kind; what is not made by a rule exists.
_TYPES = {"random-growth": "random", "voronoi": "voronoi", "icosahedral": "icosahedral", "ward": "ward"}


def scaling_jobs(
    study: Study, evaluated: Sequence[Evaluated], regions: Mapping[str, Regions], strategies: Sequence[JobSpec]
) -> list[JobSpec]:
    """List the job of the scaling analysis, if the study asks for it.

    Parameters
    ----------
    study : Study
    evaluated : sequence of Evaluated
        Of single parcellations.
    regions : mapping of parcellation (or table) to Regions
    strategies : sequence of JobSpec
        The jobs of ensembles, see `ensemble_jobs`.
    """
    if study.scaling is None:
        return []
    names = list(dict.fromkeys(each.parcellation for each in evaluated))
    options = {
        "parcellations": names,
        "types": {name: _type(study, name) for name in names},
        "sizes": study.scaling.sizes,
        "ensembles": _ensembles(strategies),
        "metrics": {name: _metric(study, target.kind) for name, target in study.targets.items()},
        "n_bootstrap": study.scaling.n_bootstrap,
        "confidence": study.evaluate.confidence,
        "seed": study.seed,
    }
    jobs: dict[str, str | list[str]] = {"scores": "scores", "regions": [regions[name].job for name in names]}
    listed = {"regions": "parcellations"}
    links = ("scaling.json", "ranks.parquet")
    return [JobSpec("scaling", "scaling", sorted_keys(options), jobs, listed=listed, links=links)]


def _type(study: Study, name: str) -> str:
    """The first of the study's types that a parcellation is one of, else that of its kind."""
    asked = study.scaling.types if study.scaling else {}
    for found, patterns in asked.items():
        if any(fnmatch.fnmatchcase(name, pattern) for pattern in patterns):
            return found
    return _TYPES.get(study.parcellations.get(name, {}).get("kind", ""), "existing")


def _ensembles(strategies: Sequence[JobSpec]) -> dict[str, dict[str, Any]]:
    """Strategy and parcellations of each ensemble, but of those that have others in another pipeline: no one size."""
    found: dict[str, list[dict[str, Any]]] = {}
    for job in strategies:
        if job.method == "ensemble":
            members = list(dict.fromkeys(member.rpartition("/")[0] for member in job.options["members"]))
            about = {"strategy": job.options["strategy"], "members": members}
            found.setdefault(job.about["parcellation"], []).append(about)
    return {name: of[0] for name, of in found.items() if all(about == of[0] for about in of)}


def _metric(study: Study, task: Literal["regression", "classification"]) -> str:
    """What targets of a task are ranked by: the first metric that is reported, unless the study says another."""
    reported: list[str] = getattr(study.evaluate.metrics, task)
    return study.scaling.metrics.get(task, reported[0]) if study.scaling else reported[0]

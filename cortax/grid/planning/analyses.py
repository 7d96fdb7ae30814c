"""The jobs that come after evaluation: what is made of all evaluations of a study."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from cortax.grid.planning.comparing import comparing_jobs
from cortax.grid.planning.ensembles import ensemble_jobs, ensembles
from cortax.grid.planning.evaluated import Evaluated, evaluations
from cortax.grid.planning.importances import importances_jobs
from cortax.grid.planning.jobspec import JobSpec, sorted_keys
from cortax.grid.planning.models import Regions
from cortax.grid.planning.permuting import permuting_jobs
from cortax.grid.planning.scaling import scaling_jobs
from cortax.study import Study

__all__ = ["analysis_jobs"]


def analysis_jobs(study: Study, models: Sequence[JobSpec], regions: Mapping[str, Regions]) -> list[JobSpec]:
    """List the jobs that rest on evaluations, each after those that it needs.

    Parameters
    ----------
    study : Study
    models : sequence of JobSpec
        See `model_jobs`.
    regions : mapping of parcellation (or table) to Regions
    """
    evaluated = evaluations(models)
    searches = {job.name: job for job in models if job.method == "tune"}
    strategies = ensemble_jobs(study, evaluated, searches)
    scaling = scaling_jobs(study, evaluated, regions, strategies)
    return [
        *importances_jobs(study, evaluated, searches),
        *strategies,
        _scores(study, [*evaluated, *ensembles(strategies)]),
        *scaling,
        *comparing_jobs(study, [*evaluated, *ensembles(strategies)]),
        *permuting_jobs(study, evaluated, searches),
    ]


def _scores(study: Study, evaluated: Sequence[Evaluated]) -> JobSpec:
    """All scores in one table."""
    options = {"study": study.name, "evaluations": [f"{each.parcellation}/{each.pipeline}" for each in evaluated]}
    return JobSpec(
        "scores",
        "scores",
        sorted_keys(options),
        {"evaluate": [each.whole.name for each in evaluated]},
        listed={"evaluate": "evaluations"},
        links=("scores.parquet",),
    )

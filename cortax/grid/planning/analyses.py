"""The jobs that come after evaluation: what is made of all evaluations of a study."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from cortax.grid.planning.evaluated import Evaluated, evaluations
from cortax.grid.planning.jobspec import JobSpec, sorted_keys
from cortax.grid.planning.models import Regions
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
    del regions
    evaluated = evaluations(models)
    return [_scores(study, evaluated)]


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

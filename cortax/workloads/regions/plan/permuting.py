"""The jobs of permutation tests: null distributions by parcellation and pipeline, and the tests of all of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from cortax.errors import StudyError
from cortax.workflow.plan.jobspec import JobSpec, sorted_keys
from cortax.workloads.regions.costs import ModelWork, expected_work
from cortax.workloads.regions.plan.models import Evaluated
from cortax.workloads.regions.plan.names import FOLD, job_name
from cortax.workloads.regions.study.analyses import Statistics
from cortax.workloads.regions.study.study import RegionsStudy

__all__ = ["ALWAYS", "cut_permutations", "permuting_jobs"]

# These cost next to nothing once predictions are there. So all of them are kept, and a study that comes to report one
# more of them permutes nothing anew.
ALWAYS = {
    "regression": ["explained_variance", "mean_absolute_error", "mean_squared_error", "pearson_r", "r2"],
    "classification": [
        "accuracy",
        "average_precision",
        "balanced_accuracy",
        "brier_score",
        "matthews_corrcoef",
        "roc_auc",
    ],
    "ordinal": [
        "accuracy",
        "balanced_accuracy",
        "cohen_kappa",
        "f1_macro",
        "log_loss",
        "matthews_corrcoef",
        "mean_absolute_error",
        "roc_auc",
    ],
}
# Where blocks of permutations end, and beyond the last each thousand: what people ask for, so that growing from one of
# these to another loses nothing.
_ENDS = (100, 500, 1000)


def permuting_jobs(
    study: RegionsStudy, evaluated: Sequence[Evaluated], searches: Mapping[str, JobSpec], works: Mapping[str, ModelWork]
) -> list[JobSpec]:
    """List the jobs of permutation tests; none without `permutations` in the study's `[statistics]`.

    `searches`: the searches that evaluations rest on. Raises StudyError: no evaluation is of the pipelines and
    parcellations that are to be tested.
    """
    asked = study.statistics
    if asked is None or not asked.permutations:
        return []
    tested = [each for each in evaluated if _is_tested(asked, each)]
    if not tested:
        raise StudyError(
            f"statistics: no evaluation is of pipelines {asked.pipelines} and parcellations {asked.parcellations}; "
            f"there are {sorted({f'{each.parcellation}/{each.pipeline}' for each in evaluated})}"
        )
    jobs: list[JobSpec] = []
    about: list[dict[str, Any]] = []
    for each in tested:
        n_parts = len({part.key.get(FOLD) for part in each.parts})
        for part, take in zip(each.parts, each.take, strict=True):
            for job in _permute(study, asked, part, searches[str(part.jobs["tune"])], works[part.name]):
                jobs.append(job)
                about.append({**each.whole.key, "take": list(take), "n_parts": n_parts})
    return [*jobs, _tests(asked, tested, jobs, about)]


def cut_permutations(n: int) -> list[tuple[int, int]]:
    """Cut so many permutations into blocks [start, end).

    >>> cut_permutations(250), cut_permutations(3000)[2:]
    ([(0, 100), (100, 250)], [(500, 1000), (1000, 2000), (2000, 3000)])
    """
    ends = [*_ENDS, *range(_ENDS[-1] + 1000, n + 1000, 1000)]
    starts = [0, *ends[:-1]]
    return [(start, min(end, n)) for start, end in zip(starts, ends, strict=True) if start < n]


def _is_tested(asked: Statistics, each: Evaluated) -> bool:
    return asked.pipelines.matches(each.pipeline) and asked.parcellations.matches(each.parcellation)


def _permute(
    study: RegionsStudy, asked: Statistics, part: JobSpec, search: JobSpec, models: ModelWork
) -> Iterator[JobSpec]:
    """Permutations of the targets that one evaluation is of, with the search that it rests on."""
    own = {key: value for key, value in search.options.items() if key != "targets"}
    metrics = study.evaluate.metrics.model_dump()
    more = {
        "choose": study.evaluate.choose,
        "exchange": asked.exchange,
        "metrics": {task: sorted({*ALWAYS[task], *names}) for task, names in metrics.items()},
    }
    inputs = {slot: names for slot, names in part.jobs.items() if slot != "tune"}
    for start, end in cut_permutations(asked.permutations):
        n_targets = {task: n * (end - start) for task, n in models.n_targets.items()}
        work = expected_work("permute", replace(models, n_targets=n_targets))
        options = sorted_keys({**own, **more, "start": start, "end": end})
        name = f"{job_name('permute', part.key)}/{start}"
        key = {**part.key, "start": str(start)}
        yield JobSpec(name, "permute", options, inputs, key=key, covers=part.covers, work=work)


def _tests(
    asked: Statistics, tested: Sequence[Evaluated], jobs: Sequence[JobSpec], about: Sequence[dict[str, Any]]
) -> JobSpec:
    options = {
        "evaluations": [dict(each.whole.key) for each in tested],
        "exchange": asked.exchange,
        "nulls": list(about),
    }
    return JobSpec(
        "permutation-tests",
        "permutation_tests",
        sorted_keys(options),
        {"evaluate": [each.whole.name for each in tested], "permute": [job.name for job in jobs]},
        optional={"evaluate": "evaluations", "permute": "nulls"},
        links=("permutations.parquet",),
    )

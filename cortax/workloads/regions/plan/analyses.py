"""The jobs that come after evaluation, and those that rank and compare all evaluations of a study."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

from cortax.errors import StudyError, choices
from cortax.learning.stats.pairs import count_pairs
from cortax.workflow.plan.jobspec import JobSpec, sorted_keys
from cortax.workloads.regions.costs import ModelWork
from cortax.workloads.regions.plan.ensembles import ensemble_jobs, ensembles
from cortax.workloads.regions.plan.importances import importances_jobs
from cortax.workloads.regions.plan.models import Evaluated, Regions, evaluations
from cortax.workloads.regions.plan.names import job_name
from cortax.workloads.regions.plan.permuting import permuting_jobs
from cortax.workloads.regions.study.analyses import Comparisons
from cortax.workloads.regions.study.study import RegionsStudy

__all__ = ["analysis_jobs", "comparing_jobs"]


def comparing_jobs(study: RegionsStudy, evaluated: Sequence[Evaluated]) -> list[JobSpec]:
    """List the jobs of the comparisons, if asked for: influences of groups on each evaluation, and one job that
    compares all.

    What takes time is apart from what depends on all models: with one more parcellation or pipeline groups are left out
    of its scores alone, and the comparison, which takes seconds, runs again.

    `evaluated`: what may be compared, ensembles too. Raises StudyError: a pattern or a reference is of none of them,
    there is no pair, or there are more than the limit.
    """
    asked = study.comparisons
    if asked is None:
        return []
    chosen = _chosen(asked, evaluated)
    _check_pairs(asked, chosen)
    influences = [_jackknife(study, asked, each) for each in chosen]
    return [*influences, _compare(study, asked, chosen, influences)]


def _chosen(asked: Comparisons, evaluated: Sequence[Evaluated]) -> list[Evaluated]:
    """Evaluations of the parcellations and pipelines that are asked for."""
    for key, patterns in (("parcellation", asked.parcellations), ("pipeline", asked.pipelines)):
        patterns.check(f"comparisons.{key}s", {getattr(each, key) for each in evaluated}, StudyError)
        evaluated = [each for each in evaluated if patterns.matches(getattr(each, key))]
    return list(evaluated)


def _check_pairs(asked: Comparisons, chosen: Sequence[Evaluated]) -> None:
    known = {each.pipeline for each in chosen} | {each.parcellation for each in chosen}
    for name in asked.references:
        if name not in known:
            raise StudyError(f"comparisons.reference: {choices(name, known)}")
    n_pairs = count_pairs([(each.parcellation, each.pipeline) for each in chosen], asked.rule, asked.references)
    if not n_pairs:
        raise StudyError(
            "comparisons: there is nothing to compare: no two pipelines share a parcellation, nor the reverse"
        )
    if n_pairs > asked.limit:
        raise StudyError(
            f"comparisons: pairs = {asked.rule!r} are {n_pairs} pairs of models for every target and metric, more "
            f"than limit = {asked.limit}; compare with a reference, name fewer parcellations, or raise the limit"
        )


def _inputs(study: RegionsStudy) -> dict[str, str | list[str]]:
    return {"split": "split", "targets": [f"target/{target}" for target in sorted(study.targets)]}


def _jackknife(study: RegionsStudy, asked: Comparisons, each: Evaluated) -> JobSpec:
    options = {"metrics": _metrics(study, asked)}
    key = {"parcellation": each.parcellation, "pipeline": each.pipeline}
    jobs = {**_inputs(study), "evaluate": each.whole.name}
    return JobSpec(job_name("jackknife", key), "jackknife", options, jobs, key=key)


def _metrics(study: RegionsStudy, asked: Comparisons) -> dict[str, list[str]]:
    reported: dict[str, list[str]] = study.evaluate.metrics.model_dump()
    return {
        task: [name for name in names if not asked.metrics or name in asked.metrics]
        for task, names in sorted(reported.items())
    }


def _compare(
    study: RegionsStudy, asked: Comparisons, chosen: Sequence[Evaluated], influences: Sequence[JobSpec]
) -> JobSpec:
    options = {
        "confidence": study.evaluate.confidence,
        "correction": asked.correction,
        "evaluations": [dict(each.whole.key) for each in chosen],
        "metrics": asked.metrics,
        "pairs": asked.rule,
        "references": asked.references,
        "influences": [dict(job.key) for job in influences],
        "rope": asked.rope,
    }
    jobs: dict[str, str | list[str]] = {
        "evaluate": [each.whole.name for each in chosen],
        "jackknife": [job.name for job in influences],
    }
    optional = {"evaluate": "evaluations", "jackknife": "influences"}
    links = ("comparisons.parquet", "over_targets.parquet", "intervals.parquet")
    return JobSpec("compare", "compare", sorted_keys(options), jobs, optional=optional, links=links)


# The type of a parcellation, by its kind; what is not made by a rule exists.
_TYPES = {"random-growth": "random", "voronoi": "voronoi", "icosahedral": "icosahedral", "ward": "ward"}


def scaling_jobs(
    study: RegionsStudy, evaluated: Sequence[Evaluated], regions: Mapping[str, Regions], strategies: Sequence[JobSpec]
) -> list[JobSpec]:
    """List the job of the scaling analysis, if the study asks for it.

    `evaluated`: of single parcellations. `strategies`: the jobs of ensembles, see `ensemble_jobs`.
    """
    if study.scaling is None:
        return []
    names = list(dict.fromkeys(each.parcellation for each in evaluated))
    options = {
        "parcellations": names,
        "types": {name: _type(study, name) for name in names},
        "sizes": study.scaling.sizes,
        "ensembles": _ensembles(strategies, evaluated),
        "metrics": {name: _metric(study, target.kind) for name, target in study.targets.items()},
        "n_bootstrap": study.scaling.n_bootstrap,
        "confidence": study.evaluate.confidence,
        "seed": study.seed,
    }
    jobs: dict[str, str | list[str]] = {"scores": "scores", "regions": [regions[name].job for name in names]}
    optional = {"regions": "parcellations"}
    links = ("scaling.json", "ranks.parquet")
    return [JobSpec("scaling", "scaling", sorted_keys(options), jobs, optional=optional, links=links)]


def _type(study: RegionsStudy, name: str) -> str:
    """The first of the study's types that a parcellation is one of, else that of its kind."""
    asked = study.scaling.types if study.scaling else {}
    for found, patterns in asked.items():
        if patterns.matches(name):
            return found
    return _TYPES.get(study.parcellations.get(name, {}).get("kind", ""), "existing")


def _ensembles(strategies: Sequence[JobSpec], evaluated: Sequence[Evaluated]) -> dict[str, dict[str, Any]]:
    """Strategy and parcellations of each ensemble, but of those that have others in another pipeline: no one size."""
    parcellations = {each.whole.name: each.parcellation for each in evaluated}
    found: dict[str, list[dict[str, Any]]] = {}
    for job in strategies:
        if job.method == "ensemble":
            members = list(dict.fromkeys(parcellations[name] for name in job.jobs["evaluate"]))
            about = {"strategy": job.options["strategy"], "members": members}
            found.setdefault(job.key["parcellation"], []).append(about)
    return {name: of[0] for name, of in found.items() if all(about == of[0] for about in of)}


def _metric(study: RegionsStudy, task: Literal["regression", "classification", "ordinal"]) -> str:
    """What targets of a task are ranked by: the first metric that is reported, unless the study says another."""
    reported: list[str] = getattr(study.evaluate.metrics, task)
    return study.scaling.metrics.get(task, reported[0]) if study.scaling else reported[0]


def analysis_jobs(
    study: RegionsStudy, models: Sequence[JobSpec], regions: Mapping[str, Regions], works: Mapping[str, ModelWork]
) -> list[JobSpec]:
    """List the jobs that rest on evaluations, each after those that it needs.

    `models`: see `model_jobs`.
    """
    evaluated = evaluations(models)
    searches = {job.name: job for job in models if job.method == "tune"}
    strategies = ensemble_jobs(study, evaluated, searches, works)
    scaling = scaling_jobs(study, evaluated, regions, strategies)
    return [
        *importances_jobs(study, evaluated, searches),
        *strategies,
        _scores(study, [*evaluated, *ensembles(strategies)]),
        *scaling,
        *comparing_jobs(study, [*evaluated, *ensembles(strategies)]),
        *permuting_jobs(study, evaluated, searches, works),
    ]


def _scores(study: RegionsStudy, evaluated: Sequence[Evaluated]) -> JobSpec:
    """All scores in one table."""
    options = {"study": study.name, "evaluations": [dict(each.whole.key) for each in evaluated]}
    return JobSpec(
        "scores",
        "scores",
        sorted_keys(options),
        {"evaluate": [each.whole.name for each in evaluated]},
        optional={"evaluate": "evaluations"},
        links=("scores.parquet",),
    )

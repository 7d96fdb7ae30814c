"""The jobs that compare models: resamples of each evaluation, and one job that compares all of them.

What takes time is apart from what depends on all models: with one more parcellation or pipeline only its own resamples
are drawn, and the comparison, which takes seconds, runs again.
"""

from __future__ import annotations

import fnmatch
from collections.abc import Sequence

from cortax.errors import StudyError, choices
from cortax.grid.planning.evaluated import Evaluated
from cortax.grid.planning.jobspec import JobSpec, sorted_keys
from cortax.stats.pairs import count_pairs
from cortax.study import Comparisons, Study

__all__ = ["comparing_jobs"]


def comparing_jobs(study: Study, evaluated: Sequence[Evaluated]) -> list[JobSpec]:
    """List the jobs of the comparisons, if the study asks for them.

    Parameters
    ----------
    study : Study
    evaluated : sequence of Evaluated
        What may be compared, ensembles too.

    Raises
    ------
    StudyError
        A pattern or a reference is of none of them, there is no pair, or there are more than the limit.
    """
    asked = study.comparisons
    if asked is None:
        return []
    chosen = _chosen(asked, evaluated)
    _check_pairs(asked, chosen)
    resamples = [_resample(study, asked, each) for each in chosen] if asked.n_bootstrap else []
    return [*resamples, _compare(study, asked, chosen, resamples)]


def _chosen(asked: Comparisons, evaluated: Sequence[Evaluated]) -> list[Evaluated]:
    """Evaluations of the parcellations and pipelines that are asked for."""
    for key, patterns in (("parcellation", asked.parcellations), ("pipeline", asked.pipelines)):
        known = sorted({str(getattr(each, key)) for each in evaluated})
        for pattern in patterns:
            if not fnmatch.filter(known, pattern):
                raise StudyError(f"comparisons.{key}s: nothing matches: {choices(pattern, known)}")
        evaluated = [
            each for each in evaluated if any(fnmatch.fnmatchcase(getattr(each, key), pattern) for pattern in patterns)
        ]
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


def _inputs(study: Study) -> dict[str, str | list[str]]:
    return {"split": "split", "targets": [f"target/{target}" for target in sorted(study.targets)]}


def _resample(study: Study, asked: Comparisons, each: Evaluated) -> JobSpec:
    name = f"{each.parcellation}/{each.pipeline}"
    options = {
        "jackknife": asked.interval == "bca",
        "metrics": _metrics(study, asked),
        "n_bootstrap": asked.n_bootstrap,
        "seed": study.seed,
    }
    about = {"parcellation": each.parcellation, "pipeline": each.pipeline}
    jobs = {**_inputs(study), "evaluate": each.whole.name}
    return JobSpec(f"resample/{name}", "resample", options, jobs, about=about)


def _metrics(study: Study, asked: Comparisons) -> dict[str, list[str]]:
    reported: dict[str, list[str]] = study.evaluate.metrics.model_dump()
    return {
        task: [name for name in names if not asked.metrics or name in asked.metrics]
        for task, names in sorted(reported.items())
    }


def _compare(study: Study, asked: Comparisons, chosen: Sequence[Evaluated], resamples: Sequence[JobSpec]) -> JobSpec:
    options = {
        "confidence": study.evaluate.confidence,
        "correction": asked.correction,
        "evaluations": [f"{each.parcellation}/{each.pipeline}" for each in chosen],
        "interval": asked.interval,
        "metrics": asked.metrics,
        "pairs": asked.rule,
        "references": asked.references,
        "resampled": [job.name.partition("/")[2] for job in resamples],
        "rope": asked.rope,
    }
    jobs = {
        **_inputs(study),
        "evaluate": [each.whole.name for each in chosen],
        "resample": [job.name for job in resamples],
    }
    listed = {"evaluate": "evaluations"} | ({"resample": "resampled"} if resamples else {})
    links = ("comparisons.parquet", "over_targets.parquet", *(["intervals.parquet"] if resamples else []))
    return JobSpec("compare", "compare", sorted_keys(options), jobs, listed=listed, links=links)

"""The jobs that find out which regions matter, and those that draw brains for a study's page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from cortax.workflow.plan.jobspec import JobSpec, sorted_keys
from cortax.workloads.regions.plan.models import Evaluated
from cortax.workloads.regions.plan.names import FOLD, job_name
from cortax.workloads.regions.study.analyses import Importance
from cortax.workloads.regions.study.study import RegionsStudy

__all__ = ["importances_jobs", "picture_jobs"]

# Whose models are linear, so that evaluations keep them.
_LINEAR = ("elastic", "ridge")


def importances_jobs(
    study: RegionsStudy, evaluated: Sequence[Evaluated], searches: Mapping[str, JobSpec]
) -> list[JobSpec]:
    """List the jobs of a study's `[importance]`, each after those that it needs; none without that section.

    A part of an evaluation (of some targets, or of one fold) is a job here too, so that a study that grows repeats
    none. What an evaluation kept is taken from it. Other models are fitted once more, and do not depend on it: another
    metric is no reason to fit.

    `searches`: the `tune` jobs.
    """
    asked = study.importance
    if asked is None:
        return []
    parts, wholes = [], []
    for each in evaluated:
        if not (asked.parcellations.matches(each.parcellation) and asked.pipelines.matches(each.pipeline)):
            continue
        made = [_part(study, asked, each.pipeline, part, searches[str(part.jobs["tune"])]) for part in each.parts]
        parts += made
        if each.whole.method == "collect":
            wholes.append(_whole(each, made))
    return [*parts, *wholes]


def _part(study: RegionsStudy, asked: Importance, pipeline: str, part: JobSpec, search: JobSpec) -> JobSpec:
    about = study.pipelines[pipeline]
    options = {
        "n_repeats": asked.n_repeats,
        "scorers": study.search.model_dump(),
        "fold": _fold(part),
        "choose": "",
        "code": {},
    }
    inputs = {**search.jobs, "tune": search.name}
    if about.kind in _LINEAR:
        inputs["evaluate"] = part.name
    else:
        # scikit-learn fits what solvers have chosen: only classes that the study names are code of its own.
        code = search.options["code"] if about.kind == "sklearn" else {}
        options |= {"choose": study.evaluate.choose, "code": code}
    name = job_name("importance", part.key)
    return JobSpec(name, "importance", sorted_keys(options), inputs, key=part.key, covers=part.covers)


def _fold(part: JobSpec) -> int | None:
    return int(part.key[FOLD]) if FOLD in part.key else None


def _whole(each: Evaluated, parts: Sequence[JobSpec]) -> JobSpec:
    inputs: dict[str, str | list[str]] = {"importance": [part.name for part in parts]}
    # As in `collect`: it does without a block that failed, but not without a fold.
    optional = {"importance": "take"} if all(FOLD not in part.key for part in parts) else {}
    options = sorted_keys({"take": [list(names) for names in each.take]})
    key = each.whole.key
    name = job_name("importances", key)
    return JobSpec(name, "importances", options, inputs, optional, key=key, covers=each.whole.covers)


MAX_PICTURES = 12


def picture_jobs(study: RegionsStudy, made: Sequence[JobSpec]) -> list[JobSpec]:
    """List the jobs that draw: every parcellation, and the importance of what the study names.

    Apart from the page, so that another style of it draws no brain anew.

    `made`: all other jobs of the study.
    """
    if not study.report.enabled:
        return []
    jobs = [
        _picture({"parcellation": spec.key["parcellation"]}, {"regions": spec.name})
        for spec in made
        if spec.method == "parcellate"
    ]
    whole = {
        (spec.key["parcellation"], spec.key["pipeline"]): spec.name
        for spec in made
        if spec.method in ("importance", "importances") and FOLD not in spec.key
    }
    for parcellation, pipeline in _shown(study, list(whole)):
        key = {"parcellation": parcellation, "pipeline": pipeline}
        inputs = {
            "regions": job_name("parcellate", {"parcellation": parcellation}),
            "importance": whole[parcellation, pipeline],
        }
        jobs.append(_picture(key, inputs))
    return jobs


def _picture(key: dict[str, str], inputs: dict[str, str]) -> JobSpec:
    options = sorted_keys({"called": "/".join(key.values()), "max_pictures": MAX_PICTURES})
    return JobSpec(job_name("picture", key), "picture", options, dict(inputs), key=key)


def _shown(study: RegionsStudy, known: Sequence[tuple[str, str]]) -> list[tuple[str, str]]:
    """Parcellations and pipelines whose importance is drawn; unless they are named, each pipeline's first."""
    drawable = [key for key in known if key[0] in study.parcellations]
    if study.report.brains is None:
        first: dict[str, tuple[str, str]] = {}
        for key in drawable:
            first.setdefault(key[1], key)
        return list(first.values())
    return [key for key in drawable if study.report.brains.matches("/".join(key))]

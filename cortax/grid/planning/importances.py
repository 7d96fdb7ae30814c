"""The jobs that find out which regions matter: one for each evaluation, and one where that was made in parts."""

from __future__ import annotations

import fnmatch
from collections.abc import Mapping, Sequence

from cortax.grid.planning.evaluated import Evaluated
from cortax.grid.planning.jobspec import JobSpec, sorted_keys
from cortax.study import Importance, Study

__all__ = ["importances_jobs"]

# Whose models are linear, so that evaluations keep them.
_LINEAR = ("elastic", "ridge")


def importances_jobs(study: Study, evaluated: Sequence[Evaluated], searches: Mapping[str, JobSpec]) -> list[JobSpec]:
    """List the jobs of a study's `[importance]`, each after those that it needs; none without that section.

    A part of an evaluation (of some targets, or of one fold) is a job here too, so that a study that grows repeats
    none. What an evaluation kept is taken from it. Other models are fitted once more, and do not depend on it: another
    metric is no reason to fit.

    Parameters
    ----------
    study : Study
    evaluated : sequence of Evaluated
    searches : mapping of name to JobSpec
        The `tune` jobs.
    """
    asked = study.importance
    if asked is None:
        return []
    parts, wholes = [], []
    for each in evaluated:
        if not (_any(each.parcellation, asked.parcellations) and _any(each.pipeline, asked.pipelines)):
            continue
        made = [_part(study, asked, each.pipeline, part, searches[str(part.jobs["tune"])]) for part in each.parts]
        parts += made
        if each.whole.method == "collect":
            wholes.append(_whole(each, made))
    return [*parts, *wholes]


def _any(name: str, patterns: Sequence[str]) -> bool:
    return any(fnmatch.fnmatchcase(name, pattern) for pattern in patterns)


def _part(study: Study, asked: Importance, pipeline: str, part: JobSpec, search: JobSpec) -> JobSpec:
    about = study.pipelines[pipeline]
    options = {
        "n_repeats": asked.n_repeats,
        "scorers": study.search.model_dump(),
        "fold": part.about["fold"],
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
    name = part.name.replace("evaluate/", "importance/", 1)
    return JobSpec(name, "importance", sorted_keys(options), inputs, about=part.about)


def _whole(each: Evaluated, parts: Sequence[JobSpec]) -> JobSpec:
    inputs: dict[str, str | list[str]] = {"importance": [part.name for part in parts]}
    # As in `collect`: it does without a block that failed, but not without a fold.
    listed = {"importance": "take"} if all(part.about["fold"] is None for part in parts) else {}
    options = sorted_keys({"take": [list(names) for names in each.take]})
    name = f"importances/{each.parcellation}/{each.pipeline}"
    return JobSpec(name, "importances", options, inputs, listed, about=each.whole.about)

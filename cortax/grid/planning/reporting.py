"""The jobs that write a study's page: pictures of brains, and the page that rests on all other jobs."""

from __future__ import annotations

import fnmatch
from collections.abc import Callable, Sequence
from pathlib import Path

from cortax.grid.planning.jobspec import JobSpec, sorted_keys
from cortax.study import Study

__all__ = ["picture_jobs", "report_jobs"]

TEMPLATES = "cortax/report/templates"
MAX_PICTURES = 12


def picture_jobs(study: Study, made: Sequence[JobSpec]) -> list[JobSpec]:
    """List the jobs that draw: every parcellation, and the importance of what the study names.

    Apart from the page, so that another style of it draws no brain anew.

    Parameters
    ----------
    study : Study
    made : sequence of JobSpec
        All other jobs of the study.
    """
    if not study.report.enabled:
        return []
    jobs = [
        _picture(spec.about["parcellation"], {"regions": spec.name}) for spec in made if spec.method == "parcellate"
    ]
    whole = {
        (spec.about["parcellation"], spec.about["pipeline"]): spec.name
        for spec in made
        if spec.method in ("importance", "importances") and spec.about["fold"] is None
    }
    for parcellation, pipeline in _shown(study, list(whole)):
        inputs = {"regions": f"parcellate/{parcellation}", "importance": whole[parcellation, pipeline]}
        jobs.append(_picture(f"{parcellation}/{pipeline}", inputs))
    return jobs


def _picture(called: str, inputs: dict[str, str]) -> JobSpec:
    options = sorted_keys({"called": called, "max_pictures": MAX_PICTURES})
    return JobSpec(f"picture/{called}", "picture", options, dict(inputs))


def _shown(study: Study, known: Sequence[tuple[str, str]]) -> list[tuple[str, str]]:
    """Parcellations and pipelines whose importance is drawn; unless they are named, each pipeline's first."""
    drawable = [key for key in known if key[0] in study.parcellations]
    if study.report.brains is None:
        first: dict[str, tuple[str, str]] = {}
        for key in drawable:
            first.setdefault(key[1], key)
        return list(first.values())
    return [key for key in drawable if any(fnmatch.fnmatchcase("/".join(key), p) for p in study.report.brains)]


def report_jobs(study: Study, made: Sequence[JobSpec], root: Path, digest_of: Callable[[Path], str]) -> list[JobSpec]:
    """Return the job that writes the page, if the study wants one.

    Parameters
    ----------
    study : Study
    made : sequence of JobSpec
        All other jobs of the study. What failed is missing on the page.
    root, digest_of
        See `plan`.
    """
    if not study.report.enabled:
        return []
    templates = {path.name: digest_of(path) for path in sorted((root / TEMPLATES).glob("*"))}
    names = [spec.name for spec in made]
    about = {"study": study.name, "title": study.title, "simulated": study.simulated}
    options = sorted_keys({**about, "templates": templates, "names": names})
    return [JobSpec("report", "report", options, {"made": names}, listed={"made": "names"}, links=("report.html",))]

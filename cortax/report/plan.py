"""The job that writes a study's page: it rests on all other jobs. Imports nothing that draws."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from cortax.study.section import Study
from cortax.workflow.plan.jobspec import JobSpec, sorted_keys
from cortax.workflow.workload import Planning

__all__ = ["report_job"]

_TEMPLATES = Path(__file__).parent / "templates"


def report_job(study: Study, others: Sequence[JobSpec], planning: Planning, method: str) -> JobSpec:
    """Return the job that writes the page of a study.

    `others`: all other jobs of the study. What failed is missing on the page. `method`: the workload's own method,
    whose sections are its code; it calls `write_page`.
    """
    options = {
        "study": study.name,
        "title": study.title,
        "simulated": study.simulated,
        # Beside its code, a page is made of these files.
        "templates": {path.name: planning.digest_of(path) for path in sorted(_TEMPLATES.glob("*"))},
        "identities": [{"name": spec.name, "key": dict(spec.key), "jobs": dict(spec.jobs)} for spec in others],
    }
    names = [spec.name for spec in others]
    return JobSpec(
        "report",
        method,
        sorted_keys(options),
        {"made": names},
        optional={"made": "identities"},
        links=("report.html",),
        shows=True,
    )

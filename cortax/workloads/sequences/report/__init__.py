"""The page of a study of sequences."""

from __future__ import annotations

from collections.abc import Iterator

from cortax.report.blocks import PageSection
from cortax.report.page import StudyJobs, work_section
from cortax.workloads.sequences.report import gains, hydrographs, skills, study, trained
from cortax.workloads.sequences.report.material import Material

__all__ = ["SECTIONS", "sections"]

SECTIONS = (study.section, skills.section, gains.section, hydrographs.section, trained.section)


def sections(made: StudyJobs) -> Iterator[PageSection | None]:
    """Make every section; None where there is nothing to show."""
    material = Material(made)
    for section in SECTIONS:
        yield section(material)
    yield work_section(made)

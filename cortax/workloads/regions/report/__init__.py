"""The page of a study of brain regions."""

from __future__ import annotations

from collections.abc import Iterator

from cortax.report.blocks import PageSection
from cortax.report.page import StudyJobs, work_section
from cortax.workloads.regions.report import brains, scaling, searches, study
from cortax.workloads.regions.report.comparisons import comparisons_section, permutations_section
from cortax.workloads.regions.report.material import Material
from cortax.workloads.regions.report.scores import predictions_section, scores_section, strategies_section

__all__ = ["SECTIONS", "sections"]

SECTIONS = (
    study.section,
    scores_section,
    scaling.section,
    strategies_section,
    comparisons_section,
    permutations_section,
    brains.section,
    predictions_section,
    searches.section,
)


def sections(made: StudyJobs) -> Iterator[PageSection | None]:
    """Make every section; None where there is nothing to show."""
    material = Material(made)
    for section in SECTIONS:
        yield section(material)
    yield work_section(made)

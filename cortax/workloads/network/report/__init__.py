"""The page of a study of a network of genes."""

from __future__ import annotations

from collections.abc import Iterator

from cortax.report.blocks import PageSection
from cortax.report.page import StudyJobs, work_section
from cortax.workloads.network.report import graph, study
from cortax.workloads.network.report.links import agreement_section, hubs_section, links_section
from cortax.workloads.network.report.material import Material

__all__ = ["SECTIONS", "sections"]

SECTIONS = (study.section, links_section, graph.section, hubs_section, agreement_section)


def sections(made: StudyJobs) -> Iterator[PageSection | None]:
    """Make every section; None where there is nothing to show."""
    material = Material(made)
    for section in SECTIONS:
        yield section(material)
    yield work_section(made)

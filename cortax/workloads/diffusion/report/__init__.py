"""The page of a diffusion study."""

from __future__ import annotations

from collections.abc import Iterator

from cortax.report.blocks import PageSection
from cortax.report.page import StudyJobs, work_section
from cortax.workloads.diffusion.report import fits, maps, study
from cortax.workloads.diffusion.report.material import Material

__all__ = ["SECTIONS", "sections"]

SECTIONS = (study.section, maps.section, maps.peaks_section, maps.histograms_section, fits.section)


def sections(made: StudyJobs) -> Iterator[PageSection | None]:
    """Yield the sections."""
    material = Material(made)
    for section in SECTIONS:
        yield section(material)
    yield work_section(made)

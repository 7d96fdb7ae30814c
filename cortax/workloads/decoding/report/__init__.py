"""The page of a study of decoding."""

from __future__ import annotations

from collections.abc import Iterator

from cortax.report.blocks import PageSection
from cortax.report.page import StudyJobs, work_section
from cortax.workloads.decoding.report import fits, maps, nulls, study
from cortax.workloads.decoding.report.material import Material

__all__ = ["SECTIONS", "sections"]

SECTIONS = (study.section, maps.section, maps.subjects_section, nulls.section, fits.section, fits.patterns_section)


def sections(made: StudyJobs, *, montage: str | None = None) -> Iterator[PageSection | None]:
    """Make every section; None where there is nothing to show. `montage`: see `DecodingPage`."""
    material = Material(made, montage)
    for section in SECTIONS:
        yield section(material)
    yield work_section(made)

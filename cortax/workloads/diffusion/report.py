"""The page of a diffusion study."""

from __future__ import annotations

from collections.abc import Iterator

from cortax.report.blocks import PageSection
from cortax.report.page import StudyJobs, work_section

__all__ = ["sections"]


def sections(made: StudyJobs) -> Iterator[PageSection | None]:
    """Yield the sections."""
    yield work_section(made)

"""Putting the page together: sections, style and script in one file that needs no network."""

from __future__ import annotations

import html
from collections.abc import Callable, Sequence
from pathlib import Path

from cortax.report.blocks import Section
from cortax.report.figures import style
from cortax.report.material import Material
from cortax.report.sections import (
    brains,
    comparisons,
    permutations,
    predictions,
    scaling,
    scores,
    searches,
    strategies,
    study,
    work,
)

__all__ = ["SECTIONS", "make_sections", "render"]

TEMPLATES = Path(__file__).parent / "templates"

SECTIONS: tuple[Callable[[Material], Section | None], ...] = (
    study.section,
    scores.section,
    scaling.section,
    strategies.section,
    comparisons.section,
    permutations.section,
    brains.section,
    predictions.section,
    searches.section,
    work.section,
)


def make_sections(material: Material) -> list[Section]:
    """Make every section that has something to show."""
    with style():
        made = [make(material) for make in SECTIONS]
    return [section for section in made if section is not None]


def render(title: str, *, simulated: bool, sections: Sequence[Section], study: str) -> str:
    """Return the page.

    Parameters
    ----------
    title, study : str
        Of the study; plain text.
    simulated : bool
        Whether the data are; the title says so.
    sections : sequence of Section
    """
    import jinja2  # here and not above: the server imports every method, whatever a build asks for

    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES),
        autoescape=jinja2.select_autoescape(["html"]),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    shown = f"SIMULATED DATA: {title}" if simulated and "SIMULATED" not in title else title
    return environment.get_template("page.html").render(
        title=html.unescape(shown),
        study=study,
        simulated=simulated,
        sections=sections,
        css=(TEMPLATES / "page.css").read_text(),
        script=(TEMPLATES / "page.js").read_text(),
    )

"""Null distributions: the highest value of each map of a null, and that of the observed one."""

from __future__ import annotations

import html
from typing import Any

import numpy as np

from cortax.learning.arrays import Floats
from cortax.report.blocks import Choice, Figure, PageSection, Text
from cortax.report.figures import COLOURS, as_svg, new_figure
from cortax.workloads.decoding.report.material import Material, TestedMap

__all__ = ["section"]

N_BINS = 40
N_SUBJECTS = 6


def section(material: Material) -> PageSection | None:
    """Return the section."""
    if not material.maps:
        return None
    figures = tuple((tested.name, _figure(tested)) for tested in material.maps)
    text = "<p>The line is the highest value of the observed map, bars are the highest values of maps of the null.</p>"
    return PageSection("nulls", "Null distributions", (Text(text), Choice("null-bars", "map", figures)))


def _panels(tested: TestedMap) -> list[tuple[str, Floats, float, float, str]]:
    """Title, null, observed value, p and what the value is, of each panel."""
    arrays = tested.arrays
    if tested.is_group:
        called = {"labels": "permuted labels", "signs": "flipped signs"}
        peak = float(arrays["t"].max())
        return [
            (called[null], arrays[f"largest_{null}"], peak, float(arrays[f"p_{null}"].min()), "largest t")
            for null in tested.options["null"]
        ]
    names = arrays["names"][:N_SUBJECTS]
    return [
        (str(name), arrays["largest_subjects"][k], float(arrays["highest"][k]), float(arrays["p_subjects"][k].min()),
         "largest score less chance")
        for k, name in enumerate(names)
    ]  # fmt: skip


def _figure(tested: TestedMap) -> Figure:
    panels = _panels(tested)
    figure = new_figure(3.2 * len(panels), 2.6)
    for axes, panel in zip(figure.subplots(1, len(panels), squeeze=False)[0], panels, strict=True):
        _draw(axes, *panel)
    words = "; ".join(f"{title}: observed {value:.3f}, p {p:.2g}" for title, _, value, p, _ in panels)
    alt = f"Histograms of the highest value of a map under each null, {tested.name}. {words}."
    return Figure(as_svg(figure, alt), f"{html.escape(tested.name)}: {html.escape(words)}.")


def _draw(axes: Any, title: str, null: Floats, value: float, p: float, what: str) -> None:
    axes.hist(null[np.isfinite(null)], bins=N_BINS, color=COLOURS[5])
    axes.axvline(value, color=COLOURS[1], linewidth=2)
    axes.set_title(f"{title}: p = {p:.2g}", fontsize=9)
    axes.set(xlabel=what, yticks=[])

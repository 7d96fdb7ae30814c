"""Maps, bins trained in by bins tested in, of the group and of every subject; and their diagonals."""

from __future__ import annotations

import html
from typing import Any

import numpy as np

from cortax.learning.arrays import Bools, Floats
from cortax.report.blocks import Choice, Figure, PageSection, Text, job_link
from cortax.report.figures import COLOURS, HEAT, as_png, as_svg, new_figure
from cortax.workloads.decoding.report.material import Material, TestedMap

__all__ = ["section", "subjects_section"]

ALPHA = 0.05
N_ACROSS = 6


def section(material: Material) -> PageSection | None:
    """Return the section of the group: a map and a diagonal for each phase, features and decoder."""
    shown = [tested for tested in material.maps if tested.is_group]
    if not shown:
        return None
    maps = tuple((tested.name, _map(tested)) for tested in shown)
    diagonals = tuple((tested.name, _diagonal(tested)) for tested in shown)
    text = (
        "<p>A row is a bin that decoders were trained in, a column a bin that they are tested in. Outlined: clusters "
        f"with p &lt; {ALPHA:g}, corrected for the map. A cluster says that there is an effect; not that every cell of "
        "it has one, nor when exactly it begins.</p>"
    )
    return PageSection(
        "maps", "Maps of the group", (Text(text), Choice("maps", "map", maps), Choice("diagonals", "map", diagonals))
    )


def _significant(tested: TestedMap) -> Bools:
    """Cells of clusters that are significant by every null that was asked for."""
    clusters = tested.arrays["clusters"]
    found = np.ones(clusters.shape, dtype=bool)
    for null in tested.options["null"]:
        p = np.append(1.0, tested.arrays[f"cluster_p_{null}"])
        found &= p[clusters] < ALPHA
    return found


def _edges(centres: Floats) -> tuple[float, float, float, float]:
    half = (centres[1] - centres[0]) / 2 if len(centres) > 1 else 0.5
    return centres[0] - half, centres[-1] + half, centres[0] - half, centres[-1] + half


def _draw(axes: Any, values: Floats, centres: Floats, limits: tuple[float, float], mask: Bools | None) -> Any:
    image = axes.imshow(
        values, origin="lower", extent=_edges(centres), aspect="equal", cmap=HEAT, vmin=limits[0], vmax=limits[1]
    )
    if mask is not None and mask.any():
        _outline(axes, mask, centres)
    return image


def _outline(axes: Any, mask: Bools, centres: Floats) -> None:
    """Draw lines between cells that are inside and cells that are not."""
    from matplotlib.collections import LineCollection

    left, right, _, _ = _edges(centres)
    ticks = np.linspace(left, right, len(centres) + 1)
    padded = np.pad(mask, 1)
    lines = [
        [(ticks[column - 1], ticks[row]), (ticks[column], ticks[row])]
        for row, column in np.argwhere(padded[1:] != padded[:-1])
    ]
    lines += [
        [(ticks[column], ticks[row - 1]), (ticks[column], ticks[row])]
        for row, column in np.argwhere(padded[:, 1:] != padded[:, :-1])
    ]
    # Black on white: seen on any shade.
    for colour, width in (("white", 2.4), ("black", 1.2)):
        axes.add_collection(
            LineCollection(lines, colors=colour, linewidths=width, capstyle="projecting"), autolim=False
        )


def _map(tested: TestedMap) -> Figure:
    mean, centres = tested.arrays["mean"], tested.arrays["centres"][0]
    figure = new_figure(6.6, 4.8)
    axes = figure.subplots()
    mask = _significant(tested)
    image = _draw(axes, mean, centres, (float(mean.min()), float(mean.max())), mask)
    figure.colorbar(image, ax=axes, label=tested.metric.replace("_", " "), shrink=0.8)
    axes.set(xlabel=f"tested in {tested.phase}, s", ylabel=f"trained in {tested.options['trained']}, s")
    place = np.unravel_index(int(np.argmax(mean)), mean.shape)
    n = len(tested.arrays["names"])
    alt = (
        f"Map of mean scores of {n} subjects, {tested.name}. Highest {mean.max():.3f}, trained at "
        f"{centres[place[0]]:.3g} s and tested at {centres[place[1]]:.3g} s; chance "
        f"{tested.arrays['chance'].mean():.3f}. {int(mask.sum())} of {mask.size} cells are in significant clusters."
    )
    caption = f"{html.escape(tested.name)}: mean over {n} subjects. Job {job_link(tested.job.id, tested.job.name)}."
    return Figure(as_png(figure, alt), caption)


def _diagonal(tested: TestedMap) -> Figure:
    arrays, centres = tested.arrays, tested.arrays["centres"][0]
    figure = new_figure(6.5, 2.8)
    axes = figure.subplots()
    mean, low, high, chance = (np.diag(arrays[name]) for name in ("mean", "low", "high", "chance"))
    axes.fill_between(centres, low, high, color=COLOURS[5], alpha=0.5, linewidth=0, label="interval of the mean")
    axes.plot(centres, mean, color=COLOURS[0], marker="o", markersize=3, label="mean over subjects")
    axes.plot(centres, chance, color="black", linestyle="--", linewidth=1, label="chance")
    inside = np.diag(_significant(tested))
    if inside.any():
        bottom = axes.get_ylim()[0]
        axes.plot(
            centres[inside], np.full(inside.sum(), bottom), "s", color=COLOURS[1], markersize=4, label="in a cluster"
        )
    axes.set(xlabel="trained and tested at, s", ylabel=tested.metric.replace("_", " "))
    axes.legend(loc="upper left", bbox_to_anchor=(1.01, 1.0))
    words = ", ".join(f"{time:.3g} s {value:.3f}" for time, value in zip(centres, mean, strict=True))
    confidence = tested.options["confidence"]
    alt = (
        f"Mean score where bins trained and tested in are one, {tested.name}, with {confidence:.0%} intervals: {words}."
    )
    return Figure(
        as_svg(figure, alt), f"{html.escape(tested.name)}: the diagonal, {confidence:.0%} intervals (Student's t)."
    )


def subjects_section(material: Material) -> PageSection | None:
    """Return the section of every subject's map."""
    if not material.maps:
        return None
    figures = tuple((tested.name, _subjects(tested)) for tested in material.maps)
    text = (
        f"<p>Each map is of one subject. Outlined: cells with p &lt; {ALPHA:g} by the subject's own permuted labels, "
        "corrected for the map.</p>"
    )
    return PageSection("subjects", "Every subject", (Text(text), Choice("subject-maps", "map", figures)))


def _subjects(tested: TestedMap) -> Figure:
    scores, names = tested.arrays["subjects"], tested.arrays["names"]
    across = min(N_ACROSS, len(names))
    down = -(-len(names) // across)
    size = 3.2 if across < 3 else 1.7
    figure = new_figure(size * across + 0.9, (size + 0.3) * down)
    # Laid out by hand: to arrange many panels takes longer than to draw them.
    figure.set_layout_engine("none")
    places = {"left": 0.06, "right": 0.88, "bottom": 0.08, "top": 0.9, "wspace": 0.3, "hspace": 0.35}
    panels = np.atleast_1d(figure.subplots(down, across, squeeze=False, gridspec_kw=places)).ravel()
    limits = (float(scores.min()), float(scores.max()))
    image: Any = None
    for place, axes in enumerate(panels):
        if place >= len(names):
            axes.set_axis_off()
            continue
        mask = tested.arrays["p_subjects"][place] < ALPHA
        image = _draw(axes, scores[place], tested.arrays["centres"][place], limits, mask)
        axes.set_title(str(names[place]), fontsize=8)
        axes.tick_params(labelsize=6)
    scale = figure.add_axes((0.9, 0.2, 0.012, 0.6))
    figure.colorbar(image, cax=scale, label=tested.metric.replace("_", " "))
    words = ", ".join(
        f"{name} highest {values.max():.3f}, p {p.min():.3g}"
        for name, values, p in zip(names, scores, tested.arrays["p_subjects"], strict=True)
    )
    alt = f"Maps of every subject, {tested.name}: {words}."
    return Figure(as_png(figure, alt), f"{html.escape(tested.name)}: trained (up) by tested (across), seconds.")

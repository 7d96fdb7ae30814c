"""Maps: slices with a scale in common, their distributions, and the directions of fibres."""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from cortax.report.blocks import Choice, Figure, PageSection, Text
from cortax.report.figures import HEAT, as_png, as_svg, marks_of, new_figure, put_legend
from cortax.workloads.diffusion.models.maps import MAPS
from cortax.workloads.diffusion.report.material import FittedVolume, Material

__all__ = ["histograms_section", "peaks_section", "section"]

# A page of more volumes would be too large; all are in the exported files.
_N_VOLUMES, _N_SLICES = 6, 5
_COLOUR_MAP = "color_fa"
_N_BINS = 60
# The first that a model has.
_DIRECTIONS = ("peaks", "v1")


def section(material: Material) -> PageSection | None:
    """Return the section of slices."""
    figures = []
    for (model, name), fitted in material.by_map().items():
        shown = fitted[:_N_VOLUMES]
        values = [each.read(name) for each in shown]
        if name == _COLOUR_MAP or values[0].ndim == 3:
            figures.append((f"{model}: {name}", _slices(model, name, shown, values, len(fitted))))
    if not figures:
        return None
    words = (
        "<p>Slices along the third axis of the image, at even steps; the first axis runs to the right, the second up. "
        "All volumes have one scale, from the 2nd to the 98th percentile of all voxels that are shown. Grey: outside "
        "the mask, or not fitted.</p>"
    )
    return PageSection("maps", "Maps", (Text(words), Choice("map", "Map", tuple(figures))))


def _slices(
    model: str, name: str, shown: Sequence[FittedVolume], values: Sequence[npt.NDArray[Any]], n_all: int
) -> Figure:
    is_colour = name == _COLOUR_MAP
    known = np.concatenate([each[np.isfinite(each)] for each in values])
    low, high = np.percentile(known, [2, 98]) if known.size and not is_colour else (0.0, 1.0)
    figure = new_figure(1.35 * _N_SLICES + 1.2, 1.45 * len(shown) + 0.3)
    grid = figure.subplots(len(shown), _N_SLICES, squeeze=False)
    drawn = None
    for row, each, volume in zip(grid, shown, values, strict=True):
        places = _places(each.mask)
        for axes, place in zip(row, [*places, *[None] * (_N_SLICES - len(places))], strict=True):
            axes.set_axis_off()
            if place is None:
                continue
            axes.set_facecolor("0.8")
            layer = np.swapaxes(volume[:, :, place], 0, 1)
            if is_colour:
                layer = np.where(np.isfinite(layer), layer, 0.8).clip(0, 1)
            drawn = axes.imshow(layer, origin="lower", cmap=_heat(), vmin=low, vmax=high, interpolation="nearest")
            axes.set_title(f"{each.volume}, {place + 1}" if place == places[0] else str(place + 1), fontsize=7)
    if drawn is not None and not is_colour:
        figure.colorbar(drawn, ax=grid, shrink=0.8, label=MAPS[name].unit)
    more = f" The first {len(shown)} of {n_all} volumes." if n_all > len(shown) else ""
    said = f"{MAPS[name].title} by {model}, {low:.3g} to {high:.3g} {MAPS[name].unit}".strip()
    return Figure(as_png(figure, f"Slices of {said}."), html.escape(f"{said}.{more}"))


def _heat() -> Any:
    import matplotlib as mpl

    return mpl.colormaps[HEAT].with_extremes(bad="0.8")


def _places(mask: npt.NDArray[np.bool_]) -> list[int]:
    """Slices of the third axis at even steps through the mask."""
    there = np.flatnonzero(mask.any(axis=(0, 1)))
    middles = np.unique((2 * np.arange(_N_SLICES) + 1) * len(there) // (2 * _N_SLICES))
    return [int(place) for place in there[middles]]


def histograms_section(material: Material) -> PageSection | None:
    """Return the section of distributions."""
    figures = []
    for (model, name), fitted in material.by_map().items():
        values = {each.volume: each.read(name) for each in fitted[:_N_VOLUMES]}
        if all(volume.ndim == 3 for volume in values.values()):
            figures.append((f"{model}: {name}", _histogram(model, name, values)))
    if not figures:
        return None
    return PageSection("distributions", "Distributions", (Choice("histogram", "Map", tuple(figures)),))


def _histogram(model: str, name: str, values: Mapping[str, npt.NDArray[Any]]) -> Figure:
    known = {volume: found[np.isfinite(found)] for volume, found in values.items()}
    every = np.concatenate(list(known.values()))
    low, high = np.percentile(every, [0.5, 99.5]) if every.size else (0.0, 1.0)
    edges = np.linspace(low, high if high > low else low + 1, _N_BINS + 1)
    figure = new_figure(6.5, 2.8)
    axes = figure.subplots()
    for volume, (colour, _) in marks_of(list(known)).items():
        counts = np.histogram(known[volume], edges)[0]
        axes.stairs(counts / max(len(known[volume]), 1), edges, color=colour, label=volume)
    axes.set_xlabel(" ".join(filter(None, (MAPS[name].title, MAPS[name].unit and f"({MAPS[name].unit})"))))
    axes.set_ylabel("share of voxels")
    put_legend(axes, "volume")
    medians = ", ".join(f"{volume} {np.median(found):.3g}" for volume, found in known.items() if found.size)
    words = f"Distribution of {MAPS[name].title} by {model}; medians: {medians}."
    return Figure(as_svg(figure, words), html.escape(words))


def peaks_section(material: Material) -> PageSection | None:
    """Return the section of directions of fibres."""
    figures = []
    for each in material.fitted:
        name = next((name for name in _DIRECTIONS if name in each.options["maps"]), None)
        if name is not None:
            figures.append((f"{each.model}: {each.volume}", _directions(each, name)))
    if not figures:
        return None
    words = (
        "<p>Directions in the middle slice along the third axis, seen along it: a line is longer the more it lies in "
        "the slice. Red runs along the first axis of the image, green along the second, blue along the third.</p>"
    )
    return PageSection(
        "directions", "Directions", (Text(words), Choice("direction", "Model and volume", tuple(figures)))
    )


def _directions(each: FittedVolume, name: str) -> Figure:
    from matplotlib.collections import LineCollection

    values, places = each.read(name), _places(each.mask)
    place = places[len(places) // 2]
    layer = values[:, :, place].reshape(*values.shape[:2], -1, 3)
    x, y, _ = np.nonzero(np.isfinite(layer).all(axis=-1) & layer.any(axis=-1))
    directions = layer[np.isfinite(layer).all(axis=-1) & layer.any(axis=-1)]
    colours = np.abs(directions) / np.linalg.norm(directions, axis=1, keepdims=True)
    centres = np.stack([x, y], axis=1)
    figure = new_figure(6.5, 6.5 * min(layer.shape[1] / layer.shape[0], 1.6))
    axes = figure.subplots()
    half = 0.48 * directions[:, :2] / np.linalg.norm(directions, axis=1, keepdims=True)
    axes.add_collection(
        LineCollection(list(np.stack([centres - half, centres + half], axis=1)), colors=colours, linewidths=1.2)
    )
    axes.set(xlim=(-1, layer.shape[0]), ylim=(-1, layer.shape[1]), aspect="equal")
    axes.set_axis_off()
    words = f"{MAPS[name].title} by {each.model}, {each.volume}, slice {place + 1}: {len(directions)} lines"
    return Figure(as_png(figure, f"{words}."), html.escape(words))

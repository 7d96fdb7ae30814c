"""Scores: the best of each target, every one in a table, and one heat map for each pipeline."""

from __future__ import annotations

import html
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from cortax.report.blocks import Block, Figure, Section, Sheet, Text, html_table, job_link
from cortax.report.figures import HEAT, as_png, as_svg, new_figure
from cortax.report.material import Material

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Canvas

__all__ = ["section"]

# So many cells have room for a number, and so many for its interval too.
WITH_VALUES, WITH_INTERVALS = 600, 120
LARGE = 2500
SMALL = 7


def section(material: Material) -> Section:
    """Return the section."""
    best = _best(material)
    blocks: list[Block] = [best, _sheet(material)]
    limits = _limits(material.main_scores)
    for pipeline in material.main_scores["pipeline"].unique():
        blocks.append(_heat_map(material.main_scores, str(pipeline), limits))
    return Section("scores", "Scores", tuple(blocks))


def _best(material: Material) -> Text:
    rows = []
    for target, found in material.main_scores.groupby("target", sort=False):
        high = material.is_better_high(str(target))
        ordered = found.sort_values("value", ascending=not high, kind="stable", na_position="last")
        top = ordered.iloc[0]
        cells = [target, top["metric"], top["parcellation"], top["pipeline"]]
        numbers = f"{top['value']:.3f}", f"{top['low']:.3f} to {top['high']:.3f}"
        rows.append((*map(html.escape, map(str, cells)), *numbers, job_link(str(top["job"]))))
    names = ("target", "metric", "parcellation", "pipeline", "mean over folds", "interval", "job")
    caption = (
        "The best of each target. Being the best of many, it is optimistic: see the intervals of the others below."
    )
    return html_table(names, rows, caption)


def _sheet(material: Material) -> Sheet:
    mean = material.scores[material.scores["fold"] == "mean"]
    ids = [material.evaluated[key].id for key in zip(mean["parcellation"], mean["pipeline"], strict=True)]
    names = ["parcellation", "pipeline", "target", "metric", "value", "low", "high", "n_subjects"]
    return Sheet(
        "all-scores",
        "Every score: the mean over folds, with its interval",
        mean[names].assign(job=ids),
        filters=("pipeline", "target", "metric"),
        jobs={"value": "job"},
    )


def _limits(scores: pd.DataFrame) -> dict[str, tuple[float, float]]:
    """Ends of the colours of each metric: the same for every pipeline, and a few extremes do not bleach the rest."""
    known = scores.dropna(subset=["value"]).groupby("metric")["value"]
    return {str(metric): (float(values.quantile(0.02)), float(values.quantile(0.98))) for metric, values in known}


def _heat_map(scores: pd.DataFrame, pipeline: str, limits: Mapping[str, tuple[float, float]]) -> Figure:
    found = scores[scores["pipeline"] == pipeline]
    parcellations = list(dict.fromkeys(found["parcellation"]))
    metrics = list(dict.fromkeys(found["metric"]))
    targets = {m: list(dict.fromkeys(found.loc[found["metric"] == m, "target"])) for m in metrics}
    n_columns = sum(map(len, targets.values()))
    n_cells = n_columns * len(parcellations)
    width = 2.2 + n_columns * (0.95 if n_cells <= WITH_INTERVALS else 0.6 if n_cells <= WITH_VALUES else 0.22)
    height = 1.3 + len(parcellations) * (
        0.42 if n_cells <= WITH_INTERVALS else 0.22 if n_cells <= WITH_VALUES else 0.13
    )
    figure = new_figure(max(width, 4), height)
    panels = figure.subplots(1, len(metrics), width_ratios=[len(targets[m]) for m in metrics], squeeze=False)[0]
    for place, (axes, metric) in enumerate(zip(panels, metrics, strict=True)):
        part = found[found["metric"] == metric]
        tables = {
            name: part.pivot(index="parcellation", columns="target", values=name).loc[parcellations, targets[metric]]
            for name in ("value", "low", "high")
        }
        _panel(figure, axes, tables, limits.get(metric, (0.0, 1.0)), metric, n_cells)
        axes.set_yticks(range(len(parcellations)) if place == 0 else [], parcellations if place == 0 else [])
        axes.tick_params(axis="y", labelsize=SMALL if n_cells > WITH_VALUES else None)
        axes.set(xlabel="target", ylabel="parcellation" if place == 0 else "")
    caption = f"{html.escape(pipeline)}: mean over folds of each parcellation and target"
    caption += ", with its interval." if n_cells <= WITH_INTERVALS else "; intervals are in the table above."
    caption += " A colour means the same value for every pipeline."
    alt = (
        f"Heat map of pipeline {pipeline}: {len(parcellations)} parcellations by {n_columns} targets. "
        f"{_in_words(found)} The table of all scores holds the same numbers."
    )
    return Figure((as_png if n_cells > LARGE else as_svg)(figure, alt), caption)


def _panel(
    figure: Canvas,
    axes: Any,
    tables: Mapping[str, pd.DataFrame],
    limits: tuple[float, float],
    metric: str,
    n_cells: int,
) -> None:
    values, lows, highs = (tables[name].to_numpy(dtype=np.float64) for name in ("value", "low", "high"))
    image = axes.imshow(values, aspect="auto", cmap=HEAT, interpolation="nearest", vmin=limits[0], vmax=limits[1])
    axes.set_xticks(range(values.shape[1]), tables["value"].columns, rotation=60, ha="right", rotation_mode="anchor")
    figure.colorbar(image, ax=axes, fraction=0.05, pad=0.02, label=metric, extend="both", aspect=30)
    if n_cells > WITH_VALUES:
        return
    middle = sum(limits) / 2
    for row, column in np.ndindex(values.shape):
        value = float(values[row, column])
        text = "\u2013" if np.isnan(value) else f"{value:.2f}"
        if n_cells <= WITH_INTERVALS and not np.isnan(value):
            text += f"\n{lows[row, column]:.2f} to {highs[row, column]:.2f}"
        colour = "black" if value > middle else "white"
        axes.text(column, row, text, ha="center", va="center", fontsize=6.5, color=colour, linespacing=1.1)


def _in_words(found: pd.DataFrame) -> str:
    known = found.dropna(subset=["value"])
    parts = [
        f"{metric} runs from {values.min():.3f} to {values.max():.3f}."
        for metric, values in known.groupby("metric", sort=False)["value"]
    ]
    return " ".join(parts)

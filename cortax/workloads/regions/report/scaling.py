"""How performance grows with the number of regions: mean ranks with their power law, and the scores themselves."""

from __future__ import annotations

import html
import json
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from cortax.report.blocks import Block, Choice, Figure, PageSection, Text, job_link
from cortax.report.figures import as_pixels, as_png, as_svg, log_axis, marks_of, new_figure, put_legend
from cortax.report.page import MadeJob
from cortax.workloads.regions.report.material import Material

__all__ = ["section"]

# So many different sizes make a curve.
MIN_SIZES = 3
RANKS = {"across": "mean over pipelines", "inter": "all pairs of parcellation and pipeline"}


def section(material: Material) -> PageSection | None:
    """Return the section."""
    blocks = [block for job in material.of("scaling") for block in _ranks(job)]
    curves = _curves(material)
    if curves:
        blocks.append(Choice("by-size", "target", curves))
    return PageSection("scaling", "Number of regions", tuple(blocks)) if blocks else None


def _ranks(job: MadeJob) -> list[Block]:
    """The rankings of the analysis, each with its law, and what it warns of."""
    table = pd.read_parquet(job.folder / "ranks.parquet")
    report = json.loads((job.folder / "scaling.json").read_text())
    # A ranking of all pairs is one, whatever their pipelines.
    table["of"] = table["pipeline"].where(table["ranks"] != "inter", "*")
    figures = []
    for key, rows in table.groupby(["group", "ranks", "of"], sort=False):
        group, ranks, pipeline = map(str, key)
        fit = _fit_of(report["fits"], group, ranks, pipeline)
        title = RANKS.get(ranks, f"within {pipeline}") + (", with ensembles" if group != "single" else "")
        figures.append((title, _draw_ranks(rows, fit, title, report["confidence"])))
    words = (
        "<p>Parcellations are ranked by score, target by target; 1 is the best. Straight lines on log axes are power "
        f"laws: log10(mean rank) = intercept + slope x log10(number of regions). Made by {job_link(job.id)}.</p>"
    )
    blocks: list[Block] = [Text(words), Choice("ranks", "ranking", tuple(figures))]
    if report["warnings"]:
        items = "".join(f"<li>{html.escape(text)}</li>" for text in report["warnings"])
        count = f"{len(report['warnings'])} remarks on these rankings and fits"
        blocks.append(Text(f"<details><summary>{count}</summary><ul>{items}</ul></details>"))
    return blocks


def _fit_of(fits: Sequence[Mapping[str, Any]], group: str, ranks: str, pipeline: str) -> Mapping[str, Any] | None:
    about = {"group": group, "ranks": ranks, "pipeline": pipeline, "type": "*"}
    return next((fit for fit in fits if all(fit[key] == value for key, value in about.items())), None)


def _draw_ranks(rows: pd.DataFrame, fit: Mapping[str, Any] | None, title: str, confidence: float) -> Figure:
    what = "type" if rows["ranks"].iloc[0] != "inter" else "pipeline"
    figure = new_figure(7.5, 3.6)
    axes = figure.subplots()
    law = fit["law"] if fit else None
    behind = as_pixels(axes, len(rows))
    for name, (colour, marker) in marks_of(list(dict.fromkeys(rows[what]))).items():
        some = rows[rows[what] == name]
        axes.vlines(some["size"], some["low"], some["high"], color=colour, linewidth=0.8, alpha=0.5, zorder=behind)
        axes.scatter(some["size"], some["mean_rank"], s=26, color=colour, marker=marker, label=name, zorder=behind)
        if law:
            ends = np.array(law["region"], dtype=np.float64)
            exponent = law["intercept"] + law["slope"] * np.log10(ends) + law.get(f"{what}[{name}]", 0.0)
            axes.plot(ends, 10**exponent, color=colour, linewidth=1.2)
    log_axis(axes.xaxis, rows["size"])
    log_axis(axes.yaxis, rows[["low", "mean_rank", "high"]].to_numpy().ravel())
    axes.set(xlabel="number of regions (log scale)", ylabel="mean rank, 1 is the best (log scale)")
    put_legend(axes, what)
    words = _law_in_words(fit, confidence)
    best = rows.iloc[int(rows["mean_rank"].to_numpy().argmin())]
    alt = (
        f"Mean rank against number of regions, {title}: {len(rows)} points, of {int(rows['size'].min())} to "
        f"{int(rows['size'].max())} regions. "
        f"{best['parcellation']} is the best, with mean rank {best['mean_rank']:.2f}. "
    )
    return Figure(as_svg(figure, alt + words), f"{html.escape(title)}. {html.escape(words)}")


def _law_in_words(fit: Mapping[str, Any] | None, confidence: float) -> str:
    if not fit or not fit["law"]:
        return "No power law could be fitted" + (f": {'; '.join(fit['warnings'])}." if fit else ".")
    law, (low, high) = fit["law"], fit["interval"]["slope"]
    sure = f" ({confidence:.0%} interval {low:.3f} to {high:.3f} over resamples of targets)" if low is not None else ""
    small, large = law["dropped"]
    left = f"; {small} smaller and {large} larger ones do not follow it" if small or large else ""
    r2 = "" if law["r2"] is None else f", R2 {law['r2']:.2f}"
    return (
        f"Slope {law['slope']:.3f}{sure}{r2}, from {law['region'][0]} to {law['region'][1]} regions "
        f"({law['n']} of them{left}); {fit['n_targets']} targets. Vertical lines are {confidence:.0%} intervals."
    )


def _curves(material: Material) -> tuple[tuple[str, Figure], ...]:
    """Scores of single parcellations against their numbers of regions, target by target."""
    scores = material.main_scores
    single = [name for (name, _), job in material.evaluated.items() if job.method != "ensemble"]
    scores = scores[scores["parcellation"].isin(single)]
    scores = scores.assign(size=scores["parcellation"].map(material.sizes)).dropna(subset=["size", "value"])
    if scores["size"].nunique() < MIN_SIZES:
        return ()
    marks = marks_of(list(dict.fromkeys(scores["pipeline"])))
    return tuple((str(target), _curve(str(target), rows, marks)) for target, rows in scores.groupby("target"))


def _curve(target: str, rows: pd.DataFrame, marks: Mapping[str, tuple[str, str]]) -> Figure:
    figure = new_figure(7.5, 3)
    axes = figure.subplots()
    metric, behind = rows["metric"].iloc[0], as_pixels(axes, len(rows))
    for name, some in rows.groupby("pipeline", sort=False):
        colour, marker = marks[str(name)]
        if behind > 0:
            axes.vlines(some["size"], some["low"], some["high"], color=colour, linewidth=0.8, alpha=0.5)
        axes.scatter(some["size"], some["value"], s=22, color=colour, marker=marker, label=name, zorder=behind)
    log_axis(axes.xaxis, rows["size"])
    axes.set(xlabel="number of regions (log scale)", ylabel=f"{metric}, mean over folds")
    put_legend(axes, "pipeline")
    best = rows.iloc[int(rows["value"].to_numpy().argmax())]
    alt = (
        f"{metric} of {target} against the number of regions, by pipeline: {len(rows)} points from "
        f"{rows['value'].min():.3f} to {rows['value'].max():.3f}; the highest is of {best['parcellation']} "
        f"({int(best['size'])} regions) by {best['pipeline']}."
    )
    sure = "with its interval" if behind > 0 else "whose intervals are in the table of all scores"
    caption = f"{html.escape(target)}: each parcellation and pipeline, {sure}."
    return Figure((as_svg if behind > 0 else as_png)(figure, alt), caption)

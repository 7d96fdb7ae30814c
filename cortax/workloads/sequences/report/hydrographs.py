"""Observed and predicted days of the test period, with the spread of seeds."""

from __future__ import annotations

import html

import numpy as np

from cortax.report.blocks import Choice, Figure, PageSection, job_link
from cortax.report.figures import COLOURS, as_png, new_figure
from cortax.report.page import MadeJob
from cortax.workloads.sequences.predicting import open_predictions
from cortax.workloads.sequences.report.material import Material

__all__ = ["section"]

_MOST = 8
_DAYS = 730


def section(material: Material) -> PageSection | None:
    """Return the section: of the first sites, their last two years."""
    chosen = material.table("choose", "choices.parquet")
    factors = dict(zip(chosen["site"], chosen["factor"], strict=True)) if len(chosen) else {}
    figures = []
    for site, job in list(material.predict.items())[:_MOST]:
        figures.append((site, _figure(site, job, float(factors.get(site, np.nan)))))
    if not figures:
        return None
    return PageSection("hydrographs", "Predictions", (Choice("hydrographs", "site", tuple(figures)),))


def _figure(site: str, job: MadeJob, factor: float) -> Figure:
    part = open_predictions(str(job.folder), "test")
    factor = part.factors[0] if np.isnan(factor) else factor
    rows = [row for row, own in enumerate(part.factors) if own == factor and not part.diverged[row]]
    days = part.days[-_DAYS:]
    figure = new_figure(7.5, 2.8)
    axes = figure.subplots()
    axes.plot(days, part.observed[-_DAYS:, 0], color="black", linewidth=0.8, label="observed")
    words = "all models diverged"
    if rows:
        values = part.values[rows, -_DAYS:, 0].astype(np.float64)
        axes.fill_between(
            days,
            values.min(axis=0),
            values.max(axis=0),
            color=COLOURS[5],
            alpha=0.5,
            linewidth=0,
            label="range of seeds",
        )
        axes.plot(days, values.mean(axis=0), color=COLOURS[0], linewidth=0.8, label="mean of seeds")
        words = f"mean of {len(rows)} seeds, highest {np.nanmax(values.mean(axis=0)):.3g}"
    axes.set(ylabel=part.targets[0])
    axes.legend(loc="upper left", bbox_to_anchor=(1.01, 1.0))
    alt = (
        f"{part.targets[0]} of {site} from {days[0]} to {days[-1]}: observed, highest "
        f"{np.nanmax(part.observed[-_DAYS:, 0], initial=-np.inf):.3g}; predicted with factor {factor:g}, {words}."
    )
    caption = f"{html.escape(site)}, factor {factor:g}: the end of the test period. Job {job_link(job.id, job.name)}."
    return Figure(as_png(figure, alt), caption)

"""Whether secondary targets help, site by site."""

from __future__ import annotations

import numpy as np
import pandas as pd

from cortax.report.blocks import Block, Figure, PageSection, Sheet, Text, small_table
from cortax.report.figures import COLOURS, as_svg, new_figure
from cortax.workloads.sequences.report.material import Material

__all__ = ["section"]


def section(material: Material) -> PageSection | None:
    """Return the section; None where there are no factors to compare."""
    table = material.table("sequences_compare", "gains.parquet")
    if table.empty:
        return None
    options = material.made.one("sequences_compare").setup["options"]
    counts = material.table("sequences_compare", "counts.parquet").drop(columns="job")
    text = (
        "<p>For every site the factor above 0 with the best median over seeds in the validation period is compared "
        "with factor 0 in the test period. Models of one seed begin with the same weights, so the difference is taken "
        f"seed by seed: the mean with a {options['confidence']:.0%} interval (Student's t), and a signed-rank test, "
        f"corrected over sites ({options['correction']}). Positive is better. The tests are of chance in training: "
        "they say nothing about years that differ from these. With fewer than six seeds no p can be below .05.</p>"
    )
    blocks: list[Block] = [
        Text(text),
        small_table(counts, f"Sites by verdict, with {options['confidence']:.0%} intervals of their share"),
        _figure(table, options["metric"]),
        Sheet("gains", "Gain of every site", table, (), {"gain": "job"}),
    ]
    choices = material.table("choose", "choices.parquet")
    blocks.append(Sheet("choices", "Factors chosen by validation", choices, (), {"factor": "job"}))
    return PageSection("gains", "What secondary targets are worth", tuple(blocks))


def _figure(table: pd.DataFrame, metric: str) -> Figure:
    ordered = table.dropna(subset="gain").sort_values("gain").reset_index(drop=True)
    figure = new_figure(6.5, 1.2 + 0.22 * min(len(ordered), 40))
    axes = figure.subplots()
    y = np.arange(len(ordered))
    for verdict, colour in (("gains", COLOURS[0]), ("loses", COLOURS[1]), ("neither", "grey")):
        own = (ordered["verdict"] == verdict).to_numpy()
        low, high = ordered["gain"] - ordered["low"], ordered["high"] - ordered["gain"]
        if own.any():
            axes.errorbar(
                ordered["gain"][own],
                y[own],
                xerr=[low[own], high[own]],
                fmt="o",
                color=colour,
                markersize=3,
                label=verdict,
            )
    axes.axvline(0, color="black", linewidth=0.8)
    if len(ordered) <= 40:
        axes.set_yticks(y, ordered["site"])
    axes.set(xlabel=f"gain in {metric.upper()}, test period")
    axes.legend(loc="upper left", bbox_to_anchor=(1.01, 1.0))
    words = ", ".join(f"{row.site} {row.gain:.3f} ({row.verdict})" for row in ordered.head(40).itertuples())
    return Figure(as_svg(figure, f"Gain of secondary targets by site: {words}."), "Mean over seeds, with its interval.")

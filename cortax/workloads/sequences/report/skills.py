"""Skill by factor, with the spread of seeds."""

from __future__ import annotations

import html

import numpy as np
import pandas as pd

from cortax.report.blocks import Block, Choice, Figure, PageSection, Sheet, Text
from cortax.report.figures import COLOURS, as_svg, new_figure
from cortax.workloads.sequences.report.material import Material

__all__ = ["section"]

# More sites are in the table only.
_MOST = 12


def section(material: Material) -> PageSection | None:
    """Return the section."""
    if material.skill.empty:
        return None
    test = material.skill[material.skill["period"] == "test"]
    blocks: list[Block] = [
        Text(
            "<p>Nash-Sutcliffe efficiency (NSE) is 1 where predictions are right, and 0 where they are no better than "
            "the mean; a point is a seed. It and the Kling-Gupta efficiency (KGE) are not defined where the target "
            "does not vary.</p>"
        )
    ]
    figures = []
    for target, part in test.groupby("target", sort=False):
        for site in list(dict.fromkeys(part["site"]))[:_MOST]:
            figures.append((f"{site}, {target}", _figure(part[part["site"] == site], f"{site}, {target}")))
    blocks.append(Choice("skill-figures", "site", tuple(figures)))
    means = material.table("skill", "means.parquet")
    filters = tuple(name for name in ("site", "period", "target") if means[name].nunique() > 1)
    blocks.append(Sheet("means", "Skill of the mean prediction over seeds", means, filters, {"nse": "job"}))
    blocks.append(Sheet("skill", "Skill of every model", material.skill, filters, {"nse": "job"}))
    return PageSection("skill", "Skill", tuple(blocks))


def _figure(part: pd.DataFrame, name: str) -> Figure:
    factors = sorted(part["factor"].unique())
    figure = new_figure(6.5, 2.8)
    axes = figure.subplots()
    words = []
    for place, factor in enumerate(factors):
        values = part.loc[part["factor"] == factor, "nse"].dropna().to_numpy(dtype=np.float64)
        if not len(values):
            words.append(f"factor {factor:g} not defined")
            continue
        spread = np.linspace(-0.15, 0.15, len(values)) if len(values) > 1 else np.zeros(1)
        axes.plot(place + spread, values, "o", color=COLOURS[5], markersize=3)
        axes.plot([place - 0.25, place + 0.25], [np.median(values)] * 2, color=COLOURS[0])
        words.append(f"factor {factor:g} {np.median(values):.3f} ({values.min():.3f} to {values.max():.3f})")
    axes.set_xticks(range(len(factors)), [f"{factor:g}" for factor in factors])
    axes.set(xlabel="factor of secondary losses", ylabel="NSE, test period")
    alt = f"NSE in the test period of {name}, median over seeds and range: {', '.join(words)}."
    return Figure(as_svg(figure, alt), f"{html.escape(name)}: seeds, and their median.")

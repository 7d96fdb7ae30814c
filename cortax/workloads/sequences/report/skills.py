"""Skill by factor, with the spread of seeds."""

from __future__ import annotations

import html
from collections.abc import Iterator

import numpy as np
import pandas as pd

from cortax.report.blocks import Block, Choice, Figure, PageSection, Sheet, Text, Warned
from cortax.report.figures import COLOURS, as_svg, new_figure
from cortax.workloads.sequences.baselines import SPANS
from cortax.workloads.sequences.report.material import Material

__all__ = ["section"]

# More sites are in the table only.
_MOST = 12


def section(material: Material) -> PageSection | None:
    """Return the section."""
    if material.skill.empty:
        return None
    test = material.skill[material.skill["period"] == "test"]
    means = material.table("skill", "means.parquet")
    blocks: list[Block] = [
        Text(
            "<p>Nash-Sutcliffe efficiency (NSE) is 1 where predictions are right, and 0 where they are no better than "
            "the mean; a point is a seed. It and the Kling-Gupta efficiency (KGE) are not defined where the target "
            "does not vary. Lines are what networks should beat, fitted to the training period: the mean of the day "
            "of the year, and ridge regression on the inputs of the last "
            f"{SPANS[-1][-1]} days, or as many as the warm-up has.</p>"
        ),
        *(Warned(text) for text in _undefined(means)),
    ]
    figures = []
    for target, part in test.groupby("target", sort=False):
        for site in list(dict.fromkeys(part["site"]))[:_MOST]:
            lines = means.query("site == @site and target == @target and period == 'test' and model != 'networks'")
            figures.append((f"{site}, {target}", _figure(part[part["site"] == site], lines, f"{site}, {target}")))
    blocks.append(Choice("skill-figures", "site", tuple(figures)))
    filters = tuple(name for name in ("site", "period", "target") if means[name].nunique() > 1)
    blocks.append(
        Sheet("means", "Skill of the mean prediction over seeds, beside a linear model", means, filters, {"nse": "job"})
    )
    blocks.append(Sheet("skill", "Skill of every model", material.skill, filters, {"nse": "job"}))
    return PageSection("skill", "Skill", tuple(blocks))


def _undefined(means: pd.DataFrame) -> Iterator[str]:
    there = means[(means["n_days"] > 0) & means["nse"].isna() & means["rmse"].notna()]
    for site, period, target in dict.fromkeys(there[["site", "period", "target"]].itertuples(index=False, name=None)):
        yield f"{site}: {target} does not vary in {period}, so that NSE and KGE are not defined"


def _figure(part: pd.DataFrame, baselines: pd.DataFrame, name: str) -> Figure:
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
    for style, (baseline, nse) in zip(
        ("--", ":"), baselines[["model", "nse"]].itertuples(index=False, name=None), strict=True
    ):
        if not np.isnan(nse):
            axes.axhline(nse, color="black", linestyle=style, linewidth=0.8, label=baseline)
        words.append(f"{baseline} {nse:.3f}")
    if axes.get_legend_handles_labels()[0]:
        axes.legend(loc="upper left", bbox_to_anchor=(1.01, 1.0))
    axes.set_xticks(range(len(factors)), [f"{factor:g}" for factor in factors])
    axes.set(xlabel="factor of secondary losses", ylabel="NSE, test period")
    alt = f"NSE in the test period of {name}, median over seeds and range: {', '.join(words)}."
    return Figure(as_svg(figure, alt), f"{html.escape(name)}: seeds, and their median.")

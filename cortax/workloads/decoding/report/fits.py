"""What decoders learnt: chosen configurations and numbers of selected columns by bin, and activation patterns."""

from __future__ import annotations

import html
from collections import Counter

import numpy as np
import pandas as pd

from cortax.learning.arrays import Floats
from cortax.report.blocks import Block, Choice, Figure, PageSection, Sheet, Text, Warned
from cortax.report.figures import COLOURS, HEAT, as_png, as_svg, new_figure
from cortax.report.page import MadeJob
from cortax.workloads.decoding.report.material import Material
from cortax.workloads.decoding.report.topomaps import draw_heads, electrode_positions
from cortax.workloads.decoding.store import Decoded, open_decoded

__all__ = ["patterns_section", "section"]

# More than this share of choices at an end of the grid, and a better configuration may lie beyond it.
MANY = 0.2


def section(material: Material) -> PageSection | None:
    """Return the section of choices."""
    table = material.table("decode", "choices.parquet")
    if table.empty:
        return None
    blocks: list[Block] = [Warned(text) for text in _warnings(table, material)]
    pairs = [([str(name) for name in pair], part) for pair, part in table.groupby(["features", "decoder"], sort=False)]
    figures = tuple((", ".join(pair), _figure(part, *pair)) for pair, part in pairs)
    blocks.append(Choice("choices-figures", "decoder", figures))
    blocks.append(_sheet(table))
    return PageSection("choices", "What inner folds chose", tuple(blocks))


def _warnings(table: pd.DataFrame, material: Material) -> list[str]:
    found = []
    for (features, decoder), part in table.groupby(["features", "decoder"], sort=False):
        share = float((part["edge"] == "yes").mean())
        if share > MANY:
            found.append(
                f"{features}, {decoder}: {share:.0%} of all choices are at an end of the grid: a better configuration "
                "may lie beyond it, and an effect may be missed; widen the grid"
            )
        if n_failed := int(part["n_failed"].sum()):
            found.append(f"{features}, {decoder}: {n_failed} inner fits failed; their configurations were out")
    empty: Counter[str] = Counter()
    for job in material.made.of("decode"):
        empty[f"{job.key['features']}, {job.key['decoder']}"] += int(open_decoded(job.folder).n_empty.sum())
    found += [
        f"{pair}: in {n} training sets, of all subjects, bins and folds, no column was selected; they predict their "
        "most frequent class"
        for pair, n in empty.items()
        if n
    ]
    return found


def _figure(part: pd.DataFrame, features: str, decoder: str) -> Figure:
    figure = new_figure(7.5, 2.8)
    left, right = figure.subplots(1, 2)
    counts = pd.crosstab(part["time"], part["configuration"])
    order = sorted(counts.columns, key=lambda name: (_number(name), name))
    bottom, width = np.zeros(len(counts)), _width(counts.index.to_numpy(dtype=np.float64))
    for number, name in enumerate(order):
        share = (counts[name] / counts.sum(axis=1)).to_numpy(dtype=np.float64)
        left.bar(counts.index, share, width, bottom, color=COLOURS[number % len(COLOURS)], label=name)
        bottom += share
    left.set(xlabel="bin, s", ylabel="share of folds")
    left.legend(title="configuration", fontsize=7, loc="upper left", bbox_to_anchor=(1.01, 1.0))
    selected = part.groupby("time")["n_selected"]
    right.fill_between(selected.min().index, selected.min(), selected.max(), color=COLOURS[5], alpha=0.5, linewidth=0)
    right.plot(selected.median().index, selected.median(), color=COLOURS[0], marker="o", markersize=3)
    right.set(xlabel="bin, s", ylabel="columns selected")
    overall = part["configuration"].value_counts(normalize=True)
    words = ", ".join(f"{name} {share:.0%}" for name, share in overall.items())
    alt = f"Configurations chosen by bin, and columns selected, of {features}, {decoder}. Over all: {words}."
    caption = (
        f"{html.escape(features)}, {html.escape(decoder)}: all subjects and outer folds; median and range of columns."
    )
    return Figure(as_svg(figure, alt), caption)


def _number(name: str) -> float:
    try:
        return float(name)
    except ValueError:
        return 0.0


def _width(times: Floats) -> float:
    return float(np.diff(times).min()) * 0.9 if len(times) > 1 else 0.1


def _sheet(table: pd.DataFrame) -> Block:
    keys = ["features", "decoder", "subject", "time"]
    summary = table.groupby([*keys, "job"], sort=False, as_index=False).agg(
        **{
            "configurations": ("configuration", lambda values: ", ".join(sorted(set(values)))),
            "at an end of the grid": ("edge", lambda values: int((values == "yes").sum())),
            "columns, median": ("n_selected", "median"),
            "inner score": ("inner_score", "mean"),
        }
    )
    filters = tuple(name for name in keys[:3] if summary[name].nunique() > 1)
    return Sheet("choices", "Choices of every bin, over outer folds", summary, filters, {"configurations": "job"})


def patterns_section(material: Material) -> PageSection | None:
    """Return the section of activation patterns: root mean square over subjects' patterns of each channel and bin."""
    by_pair: dict[tuple[str, str], list[MadeJob]] = {}
    for job in material.made.of("decode"):
        by_pair.setdefault((job.key["features"], job.key["decoder"]), []).append(job)
    figures = []
    for (features, decoder), jobs in by_pair.items():
        decoded = [open_decoded(job.folder) for job in jobs]
        for called, members in _alike(decoded, jobs).items():
            if members[0].patterns.shape[1]:
                name = f"{features}, {decoder}{called}"
                figures.append((name, _pattern_figure(members, name, material)))
    if not figures:
        return None
    text = (
        "<p>Weights tell how to read a signal, not where it is from. These are activation patterns (Haufe et al. 2014):"
        " how strongly each channel follows the decoder's output, in its own units, as root mean square over columns "
        "of a channel, classes and subjects.</p>"
    )
    return PageSection(
        "patterns", "Activation patterns", (Text(text), Choice("patterns-figures", "decoder", tuple(figures)))
    )


def _alike(decoded: list[Decoded], jobs: list[MadeJob]) -> dict[str, list[Decoded]]:
    """Put decoders of the same channels together; others are apart, by subject."""
    if len({made.about.channels for made in decoded}) == 1:
        return {"": decoded}
    return {f", {job.key['subject']}": [made] for job, made in zip(jobs, decoded, strict=True)}


def _pattern_figure(members: list[Decoded], name: str, material: Material) -> Figure:
    about = members[0].about
    squares = np.mean([made.patterns.astype(np.float64) ** 2 for made in members], axis=(0, 3))
    # (n_bins, n_columns) -> (n_channels, n_bins)
    strength = np.sqrt(squares.reshape(len(squares), len(about.channels), -1).mean(axis=2)).T
    channel, place = np.unravel_index(int(np.argmax(strength)), strength.shape)
    strongest = f"Strongest in channel {about.channels[channel]} at {about.centres[place]:.3g} s."
    caption = f"{html.escape(name)}: {len(members)} subjects."
    if positions := electrode_positions(material, about.channels):
        drawn = as_png(
            draw_heads(strength, about.channels, positions, about.centres),
            f"Strength of activation patterns of {name} on the head, bin by bin. {strongest}",
        )
        unknown = [html.escape(other) for other in about.channels if other not in positions]
        return Figure(drawn, caption + (f" Without a position: {', '.join(unknown)}." if unknown else ""))
    figure = new_figure(7.0, 1.0 + 0.18 * len(about.channels))
    axes = figure.subplots()
    half = (about.centres[1] - about.centres[0]) / 2 if len(about.centres) > 1 else 0.5
    extent = (about.centres[0] - half, about.centres[-1] + half, len(about.channels) - 0.5, -0.5)
    image = axes.imshow(strength, aspect="auto", cmap=HEAT, extent=extent, interpolation="nearest")
    axes.set_yticks(range(len(about.channels)), about.channels, fontsize=7)
    axes.set(xlabel="bin, s")
    figure.colorbar(image, ax=axes, label="strength, in units of the channel")
    alt = f"Strength of activation patterns of {name}: channels by bins. {strongest}"
    return Figure(as_png(figure, alt), caption)

"""The strongest links, the hubs among regulators, and agreement with what is known: areas and their curves."""

from __future__ import annotations

import html
from itertools import combinations

import numpy as np
import pandas as pd

from cortax.report.blocks import Block, Choice, Figure, PageSection, Sheet, Text, html_table, job_link, small_table
from cortax.report.figures import COLOURS, as_svg, new_figure, put_legend
from cortax.report.page import MadeJob
from cortax.workloads.network.report.material import Material, is_known

__all__ = ["agreement_section", "hubs_section", "links_section"]

# More are in links.parquet: a page is for the first ones.
N_SHOWN = 500
N_COMPARED = 100


def links_section(material: Material) -> PageSection | None:
    """Return the section of links."""
    if not material.links:
        return None
    blocks: list[Block] = [_links_sheet(material)]
    if len(material.links) > 1:
        blocks.append(_agreement(material))
    return PageSection("links", "Links", tuple(blocks))


def _links_sheet(material: Material) -> Sheet:
    parts = []
    for forest, links in material.links.items():
        part = links.head(N_SHOWN).reset_index(drop=True)
        part.insert(0, "forest", forest)
        part.insert(1, "rank", part.index + 1)
        parts.append(part.assign(job=material.ranked[forest].id))
    table = pd.concat(parts, ignore_index=True)
    if material.known is not None:
        known = ["yes" if known else "no" for known in is_known(table, material.known)]
        table.insert(len(table.columns) - 1, "in the gold standard", known)
    return Sheet(
        "strongest-links",
        f"The strongest links of each forest, {N_SHOWN} at most; links.parquet has all that are kept",
        table,
        filters=("forest", *(["in the gold standard"] if material.known is not None else [])),
        jobs={"importance": "job"},
    )


def _agreement(material: Material) -> Block:
    rows = []
    for (first, a), (second, b) in combinations(material.links.items(), 2):
        tops = [set(zip(t["regulator"], t["target"], strict=True)) for t in (a.head(N_COMPARED), b.head(N_COMPARED))]
        both = a.merge(b, on=["regulator", "target"])
        ranks = both[["importance_x", "importance_y"]].corr(method="spearman").to_numpy(dtype=np.float64)
        rows.append(
            {
                "forest": first,
                "other forest": second,
                f"Jaccard index of the first {N_COMPARED} links": len(tops[0] & tops[1]) / len(tops[0] | tops[1]),
                "rank correlation of importances": float(ranks[0, 1]),
                "links that both keep": len(both),
            }
        )
    return small_table(
        pd.DataFrame(rows),
        "How much the forests agree: links among the first of both, by links among the first of either; and Spearman's "
        "rank correlation, over the links that both keep",
    )


N_BARS = 20


def hubs_section(material: Material) -> PageSection | None:
    """Return the section of hubs."""
    regulators = {forest: genes[genes["n_targets"] > 0] for forest, genes in material.genes.items()}
    regulators = {forest: genes for forest, genes in regulators.items() if len(genes)}
    if not regulators:
        return None
    figures = tuple((forest, _bars(forest, genes)) for forest, genes in regulators.items())
    text = (
        "<p>A hub has more targets in the graph than the mean of its genes plus two standard deviations, and at least "
        "two. How many that are depends on how many links the graph is made of (<code>[graph]</code>).</p>"
    )
    return PageSection(
        "hubs", "Hubs", (Text(text), Choice("hub-bars", "forest", figures), _hubs_sheet(material, regulators))
    )


def _bars(forest: str, genes: pd.DataFrame) -> Figure:
    top = genes.head(N_BARS)
    figure = new_figure(6.5, 0.9 + 0.22 * len(top))
    axes = figure.subplots()
    for is_hub, colour, hatch, name in ((True, COLOURS[0], "", "hub"), (False, COLOURS[5], "///", "other")):
        places = [place for place, hub in enumerate(top["hub"]) if hub == is_hub]
        values = top["n_targets"].to_numpy()[places]
        axes.barh(places, values, color=colour, hatch=hatch, edgecolor="white", linewidth=0.0, label=name)
    for place, n in enumerate(top["n_targets"]):
        axes.text(n, place, f" {n}", va="center", fontsize=8)
    # A name with dollar signs is no formula.
    axes.set_yticks(range(len(top)), top["gene"], parse_math=False)
    axes.invert_yaxis()
    axes.set_xlabel("targets in the graph")
    put_legend(axes, "")
    words = ", ".join(f"{gene} {n}" for gene, n in zip(top["gene"], top["n_targets"], strict=True))
    alt = f"Bars of the number of targets of the first {len(top)} regulators of {forest}: {words}."
    return Figure(as_svg(figure, alt), f"{html.escape(forest)}: the regulators with the most targets.")


def _hubs_sheet(material: Material, regulators: dict[str, pd.DataFrame]) -> Sheet:
    parts = [
        genes.assign(
            forest=forest, job=material.graphs[forest].id, hub=["yes" if hub else "no" for hub in genes["hub"]]
        )
        for forest, genes in regulators.items()
    ]
    columns = ["forest", "gene", "n_targets", "importance_out", "n_regulators", "hub", "component", "job"]
    names = {
        "gene": "regulator",
        "n_targets": "targets",
        "importance_out": "importance of all its links",
        "n_regulators": "its own regulators",
    }
    table = pd.concat(parts, ignore_index=True)[columns].rename(columns=names)
    return Sheet("regulators", "Every regulator of the graphs", table, ("forest", "hub"), {"targets": "job"})


LINES = ("-", "--", "-.", ":")
# Curve, its title, its axes, and where the scores have the area below it.
PANELS = (
    ("roc", "ROC", "false positive rate", "true positive rate"),
    ("precision-recall", "Precision and recall", "recall", "precision"),
)


def agreement_section(material: Material) -> PageSection | None:
    """Return the section of agreement."""
    made = material.made.of("network_scores")
    if not made:
        return None
    (job,) = made
    scores = pd.read_parquet(job.folder / "scores.parquet")
    blocks: list[Block] = [_text(scores), _table(scores, job)]
    for traced in material.made.of("network_curves"):
        curves = pd.read_parquet(traced.folder / "curves.parquet")
        if len(curves):
            blocks.append(_figure(curves, scores, traced))
    return PageSection("agreement", "Agreement with what is known", tuple(blocks))


def _text(scores: pd.DataFrame) -> Text:
    first = scores.iloc[0]
    return Text(
        f"<p>{first['n_candidates']} pairs of a regulator and a target are known to the gold standard, and "
        f"{first['n_true']} of them are links. All pairs are ranked, not only the links that are kept. "
        f"{first['n_outside']} genes of the study are unknown to the gold standard; their links are left out. AUPR is "
        "average precision. Of few links among many pairs, it says more than AUROC about the strongest ones.</p>"
    )


def _table(scores: pd.DataFrame, job: MadeJob) -> Text:
    rows = []
    for row in scores.to_dict("records"):
        numbers = [f"{row[name]:.3f}" for name in ("auroc", "auroc_of_chance", "aupr", "aupr_of_chance")]
        gain = f"{row['aupr'] / row['aupr_of_chance']:.1f}" if row["aupr_of_chance"] else "\u2013"
        rows.append([html.escape(row["forest"]), *numbers, gain, str(row["n_unranked"]), job_link(job.id)])
    names = ("forest", "AUROC", "of chance", "AUPR", "of chance", "AUPR by that of chance", "pairs not ranked", "job")
    return html_table(names, rows, "Agreement of each forest with the gold standard")


def _figure(curves: pd.DataFrame, scores: pd.DataFrame, job: MadeJob) -> Figure:
    figure = new_figure(8.5, 3.6)
    panels = figure.subplots(1, 2)
    chance = float(scores["aupr_of_chance"].iloc[0])
    for axes, (curve, title, x, y) in zip(panels, PANELS, strict=True):
        for place, (forest, points) in enumerate(curves[curves["curve"] == curve].groupby("forest", sort=False)):
            look = {"color": COLOURS[place % len(COLOURS)], "linestyle": LINES[place % len(LINES)]}
            axes.plot(points["x"], points["y"], **look, linewidth=1.3, label=forest)
        ends = (0, 1) if curve == "roc" else (chance, chance)
        axes.plot((0, 1), ends, color="#777777", linestyle=(0, (1, 1)), linewidth=1, label="chance")
        axes.set(title=title, xlabel=x, ylabel=y, xlim=(-0.01, 1.01), ylim=(-0.01, 1.03))
    put_legend(panels[1], "forest")
    areas = "; ".join(f"{r['forest']} AUROC {r['auroc']:.3f}, AUPR {r['aupr']:.3f}" for r in scores.to_dict("records"))
    alt = (
        f"ROC curves and precision-recall curves of every forest, with lines of chance (0.5 and {chance:.3f}). "
        f"Areas below them: {areas}."
    )
    caption = f"How the strongest links are found first: {job_link(job.id, job.name)}. Dotted: a random order."
    return Figure(as_svg(figure, alt), caption)

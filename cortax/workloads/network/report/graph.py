"""The network drawn: the strongest links of each forest, hubs by name, known links apart from others."""

from __future__ import annotations

import hashlib
import html
from collections import Counter
from typing import Any

import networkx as nx
import numpy as np
import pandas as pd

from cortax.report.blocks import Choice, Figure, PageSection, job_link
from cortax.report.figures import COLOURS, as_svg, new_figure
from cortax.workloads.network.report.material import Material, is_known

__all__ = ["section"]

# More cannot be told apart.
N_DRAWN = 60
# So few genes have room for their names.
FEW_GENES = 70
# Colour and line of links: known ones, and others; where nothing is known all are like the first.
KNOWN, OTHER = (COLOURS[1], "-", 1.4), ("#5f6b76", (0, (4, 2)), 0.9)


def section(material: Material) -> PageSection | None:
    """Return the section."""
    drawn = tuple((forest, _figure(material, forest)) for forest, edges in material.edges.items() if len(edges))
    return PageSection("network", "The network", (Choice("graphs", "forest", drawn),)) if drawn else None


def _figure(material: Material, forest: str) -> Figure:
    edges = material.edges[forest].head(N_DRAWN)
    known = [True] * len(edges) if material.known is None else is_known(edges, material.known)
    genes = material.genes[forest]
    n_targets = Counter(edges["regulator"])
    places = _places(edges)
    hubs = [gene for gene in genes.loc[genes["hub"], "gene"] if gene in places]
    figure = new_figure(8, 7.5)
    axes = figure.subplots()
    sizes = {gene: 25.0 + 22.0 * n_targets[gene] for gene in places}
    for link, is_true in zip(zip(edges["regulator"], edges["target"], strict=True), known, strict=True):
        _draw_link(axes, [places[gene] for gene in link], [sizes[gene] for gene in link], KNOWN if is_true else OTHER)
    x, y = np.array(list(places.values())).T
    colours = [COLOURS[0] if gene in hubs else COLOURS[5] for gene in places]
    axes.scatter(x, y, s=list(sizes.values()), c=colours, edgecolors="black", linewidths=0.5, zorder=3)
    for gene in places if len(places) <= FEW_GENES else hubs:
        label: Any = {"xytext": (0, np.sqrt(sizes[gene]) / 2 + 2), "textcoords": "offset points", "ha": "center"}
        # A name with dollar signs is no formula.
        axes.annotate(gene, places[gene], **label, fontsize=9 if gene in hubs else 6.5, zorder=4, parse_math=False)
    if material.known is not None:
        for name, (colour, line, width) in (("in the gold standard", KNOWN), ("not in it", OTHER)):
            axes.plot([], [], color=colour, linestyle=line, linewidth=width, label=f"link {name}")
        axes.legend(loc="upper center", bbox_to_anchor=(0.5, 0.0), ncols=2)
    axes.set_axis_off()
    axes.margins(0.08)
    n_true = None if material.known is None else sum(known)
    caption = _caption(material, forest, n_true)
    return Figure(as_svg(figure, _in_words(forest, edges, hubs, n_targets, n_true)), caption)


def _places(edges: pd.DataFrame) -> dict[str, Any]:
    """Place genes by springs along their links: the same links, the same places.

    Each part that hangs together gets a square of its own, in rows, the largest first: springs alone would push the
    parts so far apart that nothing is seen of them.
    """
    links = list(zip(edges["regulator"], edges["target"], strict=True))
    seed = int.from_bytes(hashlib.sha256(repr(links).encode()).digest()[:4], "big")
    springs = nx.Graph(links)
    parts = sorted((sorted(part) for part in nx.connected_components(springs)), key=lambda part: (-len(part), part))
    sides = [len(part) ** 0.7 for part in parts]
    row_width = max(1.1 * sum(side**2 for side in sides) ** 0.5, sides[0])
    places: dict[str, Any] = {}
    left, top, height = 0.0, 0.0, 0.0
    for part, side in zip(parts, sides, strict=True):
        if left + side > row_width + 1e-9:
            left, top, height = 0.0, top - height, 0.0
        # The order of its genes is a part of what a layout begins with.
        ordered = nx.Graph()
        ordered.add_nodes_from(part)
        ordered.add_edges_from(springs.subgraph(part).edges)
        middle = (left + side / 2, top - side / 2)
        places |= nx.spring_layout(ordered, iterations=200, seed=seed, scale=0.37 * side, center=middle)
        left, height = left + side, max(height, side)
    return places


def _draw_link(axes: Any, ends: list[Any], sizes: list[float], look: tuple[str, Any, float]) -> None:
    colour, line, width = look
    # Slightly bent, so that both directions between two genes are seen.
    arrow = {"arrowstyle": "-|>", "color": colour, "linestyle": line, "linewidth": width, "mutation_scale": 9}
    gaps = [np.sqrt(size) / 2 for size in sizes]
    arrow |= {"shrinkA": gaps[0], "shrinkB": gaps[1] + 1, "connectionstyle": "arc3,rad=0.1"}
    axes.annotate("", xy=ends[1], xytext=ends[0], arrowprops=arrow)


def _caption(material: Material, forest: str, n_true: int | None) -> str:
    n_drawn, n_edges = min(N_DRAWN, len(material.edges[forest])), len(material.edges[forest])
    known = "" if n_true is None else f", {n_true} of them in the gold standard"
    made = job_link(material.graphs[forest].id, material.graphs[forest].name)
    return (
        f"{html.escape(forest)}: the {n_drawn} strongest of {n_edges} links of {made}{known}. An arrow leads from a "
        "regulator to its target; a circle is the larger the more of the drawn links leave it; hubs (see below) are "
        "dark, with their names in large letters."
    )


def _in_words(forest: str, edges: pd.DataFrame, hubs: list[str], n_targets: Counter[str], n_true: int | None) -> str:
    genes = {*edges["regulator"], *edges["target"]}
    known = "" if n_true is None else f" {n_true} of the links are in the gold standard, drawn as solid lines."
    named = ", ".join(f"{gene} with {n_targets[gene]} targets" for gene in hubs) or "none"
    return (
        f"The {len(edges)} strongest links of {forest} between {len(genes)} genes, as arrows. Hubs: {named}.{known} "
        "The table of links holds the same."
    )

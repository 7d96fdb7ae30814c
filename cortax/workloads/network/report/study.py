"""What was run: samples, genes, forests and their options, and what is missing."""

from __future__ import annotations

import html

import numpy as np
import pandas as pd

from cortax.report.blocks import Block, PageSection, Text, Warned, small_table
from cortax.workloads.network.report.material import Material
from cortax.workloads.network.store import open_genes

__all__ = ["section"]

MAX_NAMES = 10


def section(material: Material) -> PageSection:
    """Return the section."""
    blocks: list[Block] = []
    if material.made.simulated:
        blocks.append(Warned("The data are SIMULATED. Nothing on this page says anything about a living cell."))
    blocks += [_summary(material), *_missing(material), _forests(material)]
    return PageSection("study", "What was run", tuple(blocks))


def _summary(material: Material) -> Text:
    genes = open_genes(material.made.one("expression").folder)
    (regulators,) = (job for job in material.made.of("genes") if job.name == "regulators")
    names = set(open_genes(regulators.folder).names)
    constant = [name for name, values in zip(genes.names, genes.values, strict=True) if np.ptp(values) == 0]
    text = (
        f"{genes.values.shape[1]} samples of {len(genes.names)} genes. {len(names)} of them may regulate others, and "
        f"{max(material.n_targets.values(), default=0)} are targets: each is regressed on all regulators but itself, "
        "and a link from a regulator to a target is as important as the regulator is to the trees of the target."
    )
    if constant:
        shown = ", ".join(map(html.escape, constant[:MAX_NAMES]))
        more = f" and {len(constant) - MAX_NAMES} more" if len(constant) > MAX_NAMES else ""
        text += (
            f" {len(constant)} genes have the same value in all samples, so that nothing can be said of them: "
            f"{shown}{more}."
        )
    return Text(f"<p>{text}</p>")


def _missing(material: Material) -> list[Warned]:
    """Forests that lack targets that others have, and those that were to be compared but have no links."""
    most = max(material.n_targets.values(), default=0)
    compared = [job for method in ("network_scores", "network_curves") for job in material.made.of(method)]
    gone = {forest for job in compared for forest in job.setup["options"]["n_blocks"]} - material.ranked.keys()
    found = [f"{forest} has no links" for forest in sorted(gone)]
    found += [f"{forest} has links to {n} of {most} targets" for forest, n in material.n_targets.items() if n < most]
    return [Warned(f"INCOMPLETE: {'; '.join(found)}. The other regressions failed.")] if found else []


def _forests(material: Material) -> Text:
    rows = [
        {
            "forest": forest,
            "method": options["method"],
            "trees": options["n_trees"],
            "regulators tried at a split": options["max_features"],
            "samples in a leaf, at least": options["min_samples_leaf"],
            "links kept": len(material.links[forest]),
        }
        for forest, options in material.forests.items()
        if forest in material.links
    ]
    return small_table(pd.DataFrame(rows), "Forests")

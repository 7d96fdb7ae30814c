"""Tables of a network study as people look them up, and what a terminal shows of it."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from cortax.errors import ProjectError
from cortax.terminal import console, print_heading, print_table
from cortax.workflow.lookup.results import read_table

__all__ = ["print_network", "with_ranks"]


def with_ranks(links: pd.DataFrame) -> pd.DataFrame:
    """Number the links of each forest by falling importance, which is their order.

    `links`: forest, regulator, target, importance. Returns DataFrame: forest, rank, regulator, target, importance.
    """
    ranks = links.groupby("forest", sort=False).cumcount() + 1
    links.insert(1, "rank", ranks)
    return links


_FEW = 5


def print_network(root: Path, study: str) -> None:
    """Agreement with what is known, the first links of each forest, and how to look further."""
    print_heading(study, "the most important links of each forest")
    links = read_table(root, study, "links")
    print_table(links.groupby("forest", sort=False).head(_FEW).reset_index(drop=True))
    try:
        scores = read_table(root, study, "scores")
    except ProjectError:
        console().print("nothing is known of this network: [truth] of its study file would name a list of links")
    else:
        console().print("\nagreement with what is known, of all candidate links")
        print_table(scores.drop(columns="study"))
    console().print(
        f"\ncortax results {study}                links, of {len(links)} that are kept\n"
        f"cortax results {study} --table genes  degrees, hubs and components of the graph\n"
        f"cortax results {study} --why          what ran, and why\n"
        f"results/{study}/                      report.html; of each forest links.parquet, network.graphml, network.tsv"
    )

"""A network as a graph: which links are kept, what is told about each gene, and files that other programs open."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import networkx as nx
import numpy as np
import pandas as pd

from cortax.errors import InputError

__all__ = ["EDGES", "GRAPHML", "network_graph", "node_table", "write_graph"]

GRAPHML, EDGES = "network.graphml", "network.tsv"


def network_graph(links: pd.DataFrame, *, threshold: float | None = None, n_links: int | None = None) -> nx.DiGraph:
    """Make a graph of the strongest links; both limits hold where both are given.

    Parameters
    ----------
    threshold : float, optional
        The least importance.
    n_links : int, optional
        The largest number of links.

    Returns
    -------
    networkx.DiGraph
        Edges from regulator to target with `importance` and `rank` (from 1). Genes without a link are no nodes.

    Raises
    ------
    InputError
        The links are not in order, or a limit is negative.
    """
    importance = links["importance"].to_numpy(dtype=np.float64)
    if (np.diff(importance) > 0).any():
        raise InputError("network graph: links must be in order of importance, the strongest first")
    if n_links is not None and n_links < 0:
        raise InputError(f"network graph: n_links must be 0 or more, got {n_links}")
    n_kept = len(links) if threshold is None else int((importance >= threshold).sum())
    kept = links.head(n_kept if n_links is None else min(n_kept, n_links))
    graph = nx.DiGraph()
    names = zip(kept["regulator"].tolist(), kept["target"].tolist(), kept["importance"].tolist(), strict=True)
    for rank, (regulator, target, value) in enumerate(names, 1):
        graph.add_edge(regulator, target, importance=value, rank=rank)
    return graph


def node_table(graph: nx.DiGraph) -> pd.DataFrame:
    """Describe every gene of a graph.

    Returns
    -------
    DataFrame, one row a gene, by out-degree, then name
        gene; n_targets and n_regulators (out- and in-degree); importance_out and importance_in (their sums); hub;
        component (weakly connected, 1 is the largest; equal ones by their first name).
        A hub has more targets than the mean of all genes plus two standard deviations (divisor n_genes), and at
        least two.
    """
    order = sorted(graph, key=lambda gene: (-graph.out_degree(gene), gene))
    table = pd.DataFrame({"gene": order})
    for column, degrees in (("n_targets", graph.out_degree), ("n_regulators", graph.in_degree)):
        table[column] = np.array([degrees(gene) for gene in order], dtype=np.int64)
    for column, degrees in (("importance_out", graph.out_degree), ("importance_in", graph.in_degree)):
        table[column] = np.array([degrees(gene, weight="importance") for gene in order], dtype=np.float64)
    n_targets = table["n_targets"].to_numpy()
    limit = n_targets.mean() + 2 * n_targets.std() if len(order) else 0.0
    table["hub"] = (n_targets > limit) & (n_targets >= 2)
    component = _components(graph)
    table["component"] = np.array([component[gene] for gene in order], dtype=np.int64)
    return table


def _components(graph: nx.DiGraph) -> dict[Any, int]:
    parts = sorted(nx.weakly_connected_components(graph), key=lambda part: (-len(part), min(part)))
    return {gene: number for number, part in enumerate(parts, 1) for gene in part}


def write_graph(graph: nx.DiGraph, folder: Path) -> list[Path]:
    """Write a graph as GraphML (with what `node_table` tells of the genes) and its links as a tab-separated table.

    Returns list of Path: `network.graphml` and `network.tsv` in the folder. Links lie in order of rank, importances
    with all digits.
    """
    links = sorted(graph.edges(data=True), key=lambda link: link[2]["rank"])
    table = node_table(graph)
    whole = nx.DiGraph()
    for row in table.to_dict("records"):
        whole.add_node(row["gene"], **{str(key): value for key, value in row.items() if key != "gene"})
    whole.add_edges_from(links)
    nx.write_graphml_xml(whole, folder / GRAPHML)
    rows = [(told["rank"], regulator, target, told["importance"]) for regulator, target, told in links]
    frame = pd.DataFrame(rows, columns=["rank", "regulator", "target", "importance"])
    frame.to_csv(folder / EDGES, sep="\t", index=False, lineterminator="\n")
    return [folder / GRAPHML, folder / EDGES]

"""Graphs of links: which are kept, what is told about genes, and files that come back as they were."""

import networkx as nx
import numpy as np
import pandas as pd
import pytest

from cortax.errors import InputError
from cortax.workloads.network.graphs import network_graph, node_table, write_graph


def links_of(*rows):
    return pd.DataFrame(list(rows), columns=["regulator", "target", "importance"])


LINKS = links_of(("a", "b", 0.9), ("a", "c", 0.5), ("d", "e", 0.5), ("b", "a", 0.1 + 0.2), ("c", "e", 0.0))


def test_limits():
    assert [len(network_graph(LINKS, threshold=t).edges) for t in (1.0, 0.5, 0.4, 0.0)] == [0, 3, 3, 5]
    assert [len(network_graph(LINKS, n_links=n).edges) for n in (0, 2, 9)] == [0, 2, 5]
    assert len(network_graph(LINKS, threshold=0.5, n_links=1).edges) == 1
    graph = network_graph(LINKS)
    assert next(iter(graph.edges(data=True))) == ("a", "b", {"importance": 0.9, "rank": 1})
    assert graph.edges["c", "e"] == {"importance": 0.0, "rank": 5}


def test_genes():
    table = node_table(network_graph(LINKS, n_links=4)).set_index("gene")
    assert list(table.index) == ["a", "b", "d", "c", "e"]
    assert list(table["n_targets"]) == [2, 1, 1, 0, 0]
    assert list(table["n_regulators"]) == [1, 1, 0, 1, 1]
    np.testing.assert_allclose(table["importance_out"], [1.4, 0.3, 0.5, 0, 0])
    np.testing.assert_allclose(table["importance_in"], [0.3, 0.9, 0, 0.5, 0.5])
    assert list(table["component"]) == [1, 1, 2, 1, 2]
    assert not table["hub"].any()


def test_a_hub_stands_out():
    star = links_of(*(("hub", f"t{i}", 1.0) for i in range(20)), ("t0", "t1", 1.0))
    table = node_table(network_graph(star)).set_index("gene")
    assert list(table.index[table["hub"]]) == ["hub"]


def test_files_come_back(tmp_path):
    graph = network_graph(LINKS)
    files = write_graph(graph, tmp_path)
    assert [file.name for file in files] == ["network.graphml", "network.tsv"]
    back = nx.read_graphml(files[0])
    assert dict(back.edges) == dict(graph.edges)
    assert back.nodes["a"]["n_targets"] == 2
    assert back.nodes["a"]["hub"] is False
    table = pd.read_csv(files[1], sep="\t")
    assert list(table.columns) == ["rank", "regulator", "target", "importance"]
    pd.testing.assert_frame_equal(table.drop(columns="rank"), LINKS, check_dtype=False)
    before = [file.read_bytes() for file in files]
    assert [file.read_bytes() for file in write_graph(graph, tmp_path)] == before


def test_an_empty_graph(tmp_path):
    graph = network_graph(LINKS, n_links=0)
    assert node_table(graph).empty
    assert list(node_table(graph).columns) == list(node_table(network_graph(LINKS)).columns)
    assert nx.read_graphml(write_graph(graph, tmp_path)[0]).number_of_nodes() == 0


def test_what_is_refused():
    with pytest.raises(InputError, match="must be in order of importance"):
        network_graph(LINKS.iloc[::-1])
    with pytest.raises(InputError, match="n_links must be 0 or more, got -1"):
        network_graph(LINKS, n_links=-1)

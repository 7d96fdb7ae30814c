"""Make a graph of the most important links, and say of every gene what it is in it."""

from pathlib import Path

from cortax.provenance import outputs
from cortax.provenance.closure import manifest

description = "Make a graph of the most important links"
depend_extra = manifest(__name__)
options = {
    "n_links": None,
    "threshold": None,
}
jobs = ("rank",)


def synthesis(job):
    import pandas as pd

    from cortax.workloads.network.graphs import network_graph, node_table, write_graph

    outputs.check_all(jobs)
    links = pd.read_parquet(jobs.rank.filename("links.parquet"))
    graph = network_graph(links, threshold=options.threshold, n_links=options.n_links)
    table = node_table(graph)
    table.to_csv(job.filename("genes.tsv"), sep="\t", index=False, lineterminator="\n")
    written = [path.name for path in write_graph(graph, Path(job.path))]
    print(f"{len(table)} genes, {graph.number_of_edges()} links, {int(table['hub'].sum())} hubs")
    outputs.record(job.path, ["genes.tsv", *written], method=job.method, name=job.params.caption)

"""Rank the links of a network, and keep the most important ones."""

from cortax.provenance import outputs
from cortax.provenance.closure import manifest

description = "Rank the links of a network, and keep the most important ones"
depend_extra = manifest(__name__)
options = {
    "n_links": 1,
    "blocks": [],  # of each regression its forest, and its genes that are not asked for (`left_out`)
}
jobs = ("regulators", ["regress"])


def synthesis(job):
    from cortax.workloads.network.links import TopLinks
    from cortax.workloads.network.store import open_genes, open_importances

    outputs.check_all(jobs)
    regulators = open_genes(jobs.regulators.path).names
    top = TopLinks(options.n_links, regulators)
    constant = []
    for source, block in zip(jobs.regress, options.blocks, strict=True):
        found = open_importances(source.path, regulators)
        constant += found.constant
        for gene, importances in found.rows(block["left_out"]):
            top.add(gene, importances)
    links = top.links()
    links.to_parquet(job.filename("links.parquet"), index=False)
    print(f"{len(links)} links; {len(constant)} genes are constant, and nothing is known about them: {constant[:5]}")
    outputs.record(job.path, ["links.parquet"], method=job.method, name=job.params.caption)

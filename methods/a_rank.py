"""Rank the links of a network, and keep the most important ones."""

from cortax.networks.links import TopLinks
from cortax.networks.store import open_genes, open_importances
from cortax.provenance import outputs
from cortax.provenance.closure import manifest

description = "Rank the links of a network, and keep the most important ones"
depend_extra = manifest(__name__)
options = {
    "n_links": 1,
    "blocks": [],  # what each of the regressions is called
    "leave": {},  # by that name, genes that are not asked for any more
}
jobs = ("regulators", ["regress"])


def synthesis(job):
    for source in (jobs.regulators, *jobs.regress):
        outputs.check(source.path)
    regulators = open_genes(jobs.regulators.path).names
    top = TopLinks(options.n_links)
    constant = []
    for source, block in zip(jobs.regress, options.blocks, strict=True):
        found = open_importances(source.path, regulators)
        constant += found.constant
        for gene, importances in found.rows(options.leave.get(block, ())):
            top.add(gene, regulators, importances)
    links = top.links()
    links.to_parquet(job.filename("links.parquet"), index=False)
    print(f"{len(links)} links; {len(constant)} genes are constant, and nothing is known about them: {constant[:5]}")
    outputs.record(job.path, ["links.parquet"], method=job.method, name=job.params.caption)

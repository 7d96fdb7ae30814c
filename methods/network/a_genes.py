"""Take genes out of a matrix of expression: the regulators, or the targets of one block.

Apart from both, so that a gene more in the matrix changes nothing for those that are not it.
"""

from cortax.provenance import outputs
from cortax.provenance.closure import manifest

description = "Take genes out of a matrix of expression"
depend_extra = manifest(__name__)
options = {
    "genes": None,  # names; or None for all
}
jobs = ("expression",)


def synthesis(job):
    from cortax.workloads.network.store import open_genes, save_genes, some_genes

    outputs.check_all(jobs)
    results = save_genes(job.path, some_genes(open_genes(jobs.expression.path), options.genes))
    outputs.record(job.path, results, method=job.method, name=job.params.caption)

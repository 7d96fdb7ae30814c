"""Read a matrix of gene expression."""

from cortax.provenance import outputs
from cortax.provenance.closure import find_root, manifest

description = "Read a matrix of gene expression"
depend_extra = manifest(__name__)
options = {
    "file": "",
    "digest": "",
    "genes_in": "",
    "names_in": None,
}


def synthesis(job):
    from cortax.data.files import reading_once
    from cortax.errors import InputError
    from cortax.workloads.network.expression import read_expression
    from cortax.workloads.network.store import GeneValues, save_genes

    path = find_root() / options.file
    with reading_once() as digest_of:
        expression = read_expression(path, genes_in=options.genes_in, names_in=options.names_in)
        digest = digest_of(path)
    if digest != options.digest:
        raise InputError(f"{options.file}: changed since the build began; start it again")
    constant = expression.constant()
    print(f"{len(expression.samples)} samples, {len(expression.genes)} genes, {len(constant)} of them constant")
    results = save_genes(job.path, GeneValues(expression.genes, expression.values.T))
    outputs.record(job.path, results, method=job.method, name=job.params.caption)

"""Read a matrix of gene expression."""

from pathlib import Path

from cortax.data.expression import read_expression
from cortax.errors import InputError
from cortax.networks.store import GeneValues, save_genes
from cortax.provenance import outputs
from cortax.provenance.closure import manifest
from cortax.provenance.files import file_digest

description = "Read a matrix of gene expression"
depend_extra = manifest(__name__)
options = {
    "file": "",
    "digest": "",
    "genes_in": "",
    "names_in": None,
}

ROOT = Path(__file__).resolve().parents[1]


def synthesis(job):
    path = ROOT / options.file
    expression = read_expression(path, genes_in=options.genes_in, names_in=options.names_in)
    if file_digest(path) != options.digest:
        raise InputError(f"{options.file}: changed since the build began; start it again")
    constant = expression.constant()
    print(f"{len(expression.samples)} samples, {len(expression.genes)} genes, {len(constant)} of them constant")
    results = save_genes(job.path, GeneValues(expression.genes, expression.values.T))
    outputs.record(job.path, results, method=job.method, name=job.params.caption)

"""Read the table of one site: one row a day."""

from cortax.provenance import outputs
from cortax.provenance.closure import find_root, manifest

description = "Read the table of one site"
depend_extra = manifest(__name__)
options = {
    "site": "",
    "file": "",
    "digest": "",
    "time": "",
    "inputs": [],
    "targets": [],  # column and transform of each, the primary one first
    "fill": 0,
}


def synthesis(job):
    from cortax.errors import InputError
    from cortax.provenance.files import file_digest
    from cortax.workloads.sequences.dataset import save_series
    from cortax.workloads.sequences.reading import read_site

    series = read_site(find_root(), options)
    if file_digest(find_root() / options.file) != options.digest:
        raise InputError(f"{options.file}: changed since the build began; start it again")
    print(f"{len(series.days)} days from {series.days[0]} to {series.days[-1]}", *series.notes, sep="\n")
    outputs.record(job.path, save_series(job.path, series), method=job.method, name=job.params.caption)

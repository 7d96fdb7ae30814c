"""Make maps of one model, as NIfTI images with sidecars."""

from cortax.provenance import outputs
from cortax.provenance.closure import manifest

description = "Make maps of one model, as NIfTI images with sidecars"
depend_extra = manifest(__name__)
options = {
    "maps": [],
    "stem": "",  # begin of file names
    "sources": [],  # files that the volume was read from
    "kind": "",
    "solver": "",
    "options": {},  # of the model
}
jobs = (["volume"], ["fit"])


def synthesis(job):
    from cortax.workloads.diffusion.mapping import save_maps

    outputs.check_all(jobs)
    results = save_maps(job.path, [made.path for made in jobs.volume], [made.path for made in jobs.fit], options)
    outputs.record(job.path, results, method=job.method, name=job.params.caption)

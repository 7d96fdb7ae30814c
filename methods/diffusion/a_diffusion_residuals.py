"""Count what became of every voxel of one model, and what is left of the signals."""

from cortax.provenance import outputs
from cortax.provenance.closure import manifest

description = "Count what became of every voxel of one model, and what is left of the signals"
depend_extra = manifest(__name__)
options = {
    "kind": "",
    "solver": "",
    "options": {},  # of the model
    "response": None,  # as in the fits
}
jobs = (["volume"], ["fit"], "response")


def synthesis(job):
    from cortax.store import save
    from cortax.workloads.diffusion.residuals import residual_tables

    outputs.check_all(jobs)
    files = residual_tables(jobs, options)
    outputs.record(job.path, save(job.path, files), method=job.method, name=job.params.caption)

"""Estimate the response of a single fibre from the voxels of one volume."""

from cortax.provenance import outputs
from cortax.provenance.closure import manifest

description = "Estimate the response of a single fibre from the voxels of one volume"
depend_extra = manifest(__name__)
options = {"fa_threshold": 0.0, "shell": None, "where": ""}
jobs = (["volume"],)


def synthesis(job):
    from cortax.store import save
    from cortax.workloads.diffusion.responding import estimate_response

    outputs.check_all(jobs)
    response = estimate_response(
        [made.path for made in jobs.volume],
        fa_threshold=options.fa_threshold,
        shell=options.shell,
        where=options.where,
    )
    outputs.record(job.path, save(job.path, {"response.json": response}), method=job.method, name=job.params.caption)

"""Add up a round."""

from cortax.provenance import outputs
from cortax.provenance.closure import manifest

description = "Add up a round"
depend_extra = manifest(__name__)
jobs = ("count",)


def synthesis(job):
    from cortax.store import load, save

    outputs.check_all(jobs)
    (values,) = load(jobs.count.path, "values.json")
    files = save(job.path, {"total.json": sum(values) % 1_000_003})
    outputs.record(job.path, files, method=job.method, name=job.params.caption)

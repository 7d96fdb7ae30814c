"""Test maps of scores, of every subject and of the group."""

from cortax.provenance import outputs
from cortax.provenance.closure import manifest

description = "Test maps of scores, of every subject and of the group"
depend_extra = manifest(__name__)
options = {
    "phase": "",
    "trained": "",
    "maps": [],  # features and decoder of each `decoding_null` job
    "group": True,
    "null": [],
    "threshold": 0.05,
    "draws": 1,
    "confidence": 0.95,
    "seed": 0,
}
jobs = (["null"],)


def synthesis(job):
    from cortax.store import save, save_dataset
    from cortax.workloads.decoding.group import make_tests

    made = make_tests(jobs.null, options)
    save_dataset(job, made.scores, "scores.parquet")
    files = {"maps.npz": made.arrays, "group.parquet": made.group, "clusters.parquet": made.clusters}
    results = ["scores.parquet", *save(job.path, files)]
    outputs.record(job.path, results, method=job.method, name=job.params.caption)

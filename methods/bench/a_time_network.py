"""Time a network in one setting of processes and estimator jobs."""

from pathlib import Path

from cortax.provenance import outputs
from cortax.provenance.closure import find_root, manifest

description = "Time a network in one setting of processes and estimator jobs"
depend_extra = manifest(__name__)
options = {
    "machine": "",  # what is timed on one does not stand for another
    "solver": "",
    "forest": {},
    "seed": 0,
    "n_genes": 1,
    "n_targets": 1,
    "processes": 1,
    "jobs": 1,
    "setting": "",
    "repeat": 1,
    "round": 1,
    "limit": 600.0,
}
jobs = ("expression",)


def synthesis(job):
    from cortax.store import save
    from cortax.workloads.bench.networks import time_network
    from cortax.workloads.network.forests import ForestOptions

    outputs.check_all(jobs)
    asked = {key: options[key] for key in ("solver", "n_genes", "n_targets", "processes", "jobs")}
    forest = ForestOptions(**options.forest, seed=options.seed)
    timing = time_network(asked, Path(jobs.expression.path), forest, find_root(), limit=options.limit)
    files = save(job.path, {"timing.json": {**asked, **timing}})
    outputs.record(job.path, files, method=job.method, name=job.params.caption)

"""Time a network in one setting of processes and estimator jobs."""

import json
from pathlib import Path

from cortax.networks.forests import ForestOptions
from cortax.parallel.networks import time_network
from cortax.provenance import outputs
from cortax.provenance.closure import manifest

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
    outputs.check(jobs.expression.path)
    about = {key: options[key] for key in ("solver", "n_genes", "n_targets", "processes", "jobs")}
    forest = ForestOptions(**options.forest, seed=options.seed)
    found = time_network(about, Path(jobs.expression.path), forest, limit=options.limit)
    with open(job.filename("timing.json"), "w", encoding="utf-8") as file:
        json.dump({**about, **found}, file)
    outputs.record(job.path, ["timing.json"], method=job.method, name=job.params.caption)

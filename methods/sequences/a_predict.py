"""Predict the days after training by all networks of one site."""

from cortax.provenance import outputs
from cortax.provenance.closure import manifest

description = "Predict the days after training by all networks of one site"
depend_extra = manifest(__name__)
options = {
    "site": "",
    "inputs": [],
    "targets": [],
    "transforms": [],
    "names": [],  # what the study calls the targets
    "day_of_year": True,
    "window": 0,
    "warm_up": 0,
    "network": {},
    "code": {},  # what a module of the study depends on
    "train": [],
    "validation": [],
    "test": [],
    "models": [],  # factor and seed of each
}
jobs = ("site", ["train"])


def synthesis(job):
    from cortax.workloads.sequences.predicting import predict_site, save_predictions

    outputs.check_all(jobs)
    found = predict_site(jobs.site, jobs.train, options)
    outputs.record(job.path, save_predictions(job.path, found), method=job.method, name=job.params.caption)

"""Score the predictions of one site, beside a linear model and the mean of the day of the year."""

from cortax.provenance import outputs
from cortax.provenance.closure import manifest

description = "Score the predictions of one site"
depend_extra = manifest(__name__)
options = {
    "site": "",
    "inputs": [],
    "targets": [],
    "transforms": [],
    "day_of_year": True,
    "window": 0,
    "warm_up": 0,
    "train": [],
    "validation": [],
    "test": [],
}
jobs = ("site", "predict")


def synthesis(job):
    from cortax.store import save
    from cortax.workloads.sequences.baselines import predict_baselines
    from cortax.workloads.sequences.dataset import Dataset, open_series
    from cortax.workloads.sequences.predicting import PERIODS, open_predictions, skill_tables

    outputs.check_all(jobs)
    baselines = predict_baselines(Dataset(open_series(jobs.site.path), options), options)
    models, means = skill_tables({name: open_predictions(jobs.predict.path, name) for name in PERIODS}, baselines)
    results = save(job.path, {"skill.parquet": models, "means.parquet": means})
    outputs.record(job.path, results, method=job.method, name=job.params.caption)

"""Score the predictions of one site."""

from cortax.provenance import outputs
from cortax.provenance.closure import manifest

description = "Score the predictions of one site"
depend_extra = manifest(__name__)
jobs = ("predict",)


def synthesis(job):
    from cortax.store import save
    from cortax.workloads.sequences.predicting import PERIODS, open_predictions, skill_tables

    outputs.check_all(jobs)
    models, means = skill_tables({name: open_predictions(jobs.predict.path, name) for name in PERIODS})
    results = save(job.path, {"skill.parquet": models, "means.parquet": means})
    outputs.record(job.path, results, method=job.method, name=job.params.caption)

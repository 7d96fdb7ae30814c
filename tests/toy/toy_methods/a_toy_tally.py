"""The totals of all rounds."""

from cortax.provenance import outputs
from cortax.provenance.closure import manifest

description = "The totals of all rounds"
depend_extra = manifest(__name__)
options = {"rounds": []}
jobs = (["totals"],)


def synthesis(job):
    import pandas as pd

    from cortax.store import load, save_dataset

    outputs.check_all(jobs)
    totals = [load(source.path, "total.json")[0] for source in jobs.totals]
    table = pd.DataFrame({"round": list(options.rounds), "total": totals})
    save_dataset(job, table, "totals.parquet")
    outputs.record(job.path, ["totals.parquet"], method=job.method, name=job.params.caption)

"""All scores of a study in one dataset, and the same as Parquet."""

from cortax.provenance import outputs
from cortax.provenance.closure import manifest

description = "All scores of a study in one dataset, and the same as Parquet"
depend_extra = manifest(__name__)
options = {
    "study": "",
    "evaluations": [],  # parcellation and pipeline of each evaluation or ensemble, in the same order
}
jobs = (["evaluate"],)


def synthesis(job):
    import pandas as pd

    from cortax.store import save_dataset

    outputs.check_all(jobs)
    parts = []
    for source, model in zip(jobs.evaluate, options.evaluations, strict=True):
        table = pd.read_parquet(source.filename("scores.parquet"))
        for place, column in enumerate(("parcellation", "pipeline")):
            table.insert(place, column, model[column])
        table.insert(0, "study", options.study)
        parts.append(table)
    scores = pd.concat(parts, ignore_index=True)
    save_dataset(job, scores, "scores.parquet")
    outputs.record(job.path, ["scores.parquet"], method=job.method, name=job.params.caption)

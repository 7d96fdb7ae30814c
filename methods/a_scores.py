"""All scores of a study in one dataset, and the same as Parquet."""

import pandas as pd

from cortax.grid.dataset import save_dataset
from cortax.provenance import outputs
from cortax.provenance.closure import manifest

description = "All scores of a study in one dataset, and the same as Parquet"
depend_extra = manifest(__name__)
options = {
    "study": "",
    "evaluations": [],  # "parcellation/pipeline" of each evaluation or ensemble, in the same order
}
jobs = (["evaluate"],)


def synthesis(job):
    parts = []
    for source, name in zip(jobs.evaluate, options.evaluations, strict=True):
        outputs.check(source.path)
        parcellation, _, pipeline = name.rpartition("/")
        table = pd.read_parquet(source.filename("scores.parquet"))
        about = {"study": options.study, "parcellation": parcellation, "pipeline": pipeline}
        for place, (column, value) in enumerate(about.items()):
            table.insert(place, column, value)
        parts.append(table)
    scores = pd.concat(parts, ignore_index=True)
    save_dataset(job, scores, "scores.parquet")
    outputs.record(job.path, ["scores.parquet"], method=job.method, name=job.params.caption)

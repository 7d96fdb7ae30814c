"""All scores of a study in one dataset, and the same as Parquet."""

import pandas as pd

from cortax.provenance import outputs
from cortax.provenance.closure import manifest

description = "All scores of a study in one dataset, and the same as Parquet"
depend_extra = manifest(__name__)
options = {
    "study": "",
    "evaluations": [],  # "parcellation/pipeline" of each evaluation or ensemble, in the same order
}
jobs = (["evaluate"],)

COLUMNS = {"float64": "float64", "int64": "int64"}


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
    scores.to_parquet(job.filename("scores.parquet"), index=False)
    kinds = {name: COLUMNS.get(str(kind), "unicode") for name, kind in scores.dtypes.items()}
    # One slice holds it all: the table is small, and does not depend on the number of slices.
    writer = job.datasetwriter(columns=kinds, allow_missing_slices=True)
    writer.set_slice(0)
    for row in scores.to_dict("records"):
        writer.write_dict(row)
    writer.finish()
    outputs.record(job.path, ["scores.parquet"], method=job.method, name=job.params.caption)

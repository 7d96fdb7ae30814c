"""Test all evaluations against their null distributions."""

from cortax.provenance import outputs
from cortax.provenance.closure import manifest

description = "Test all evaluations against their null distributions"
depend_extra = manifest(__name__)
options = {
    "evaluations": [],  # parcellation and pipeline of each evaluate job, in the same order
    "exchange": "",
    "nulls": [],  # of each permute job parcellation, pipeline, the targets that are taken, and how many parts it has
}
jobs = (["evaluate"], ["permute"])


def synthesis(job):
    import pandas as pd

    from cortax.learning.stats.nulls import open_nulls
    from cortax.learning.stats.permutation_tests import NullsPart, permutation_table, warnings_of

    outputs.check_all(jobs)
    scores = {
        (model["parcellation"], model["pipeline"]): pd.read_parquet(source.filename("scores.parquet"))
        for source, model in zip(jobs.evaluate, options.evaluations, strict=True)
    }
    parts = [
        NullsPart(part["parcellation"], part["pipeline"], part["take"], part["n_parts"], open_nulls(source.path))
        for source, part in zip(jobs.permute, options.nulls, strict=True)
    ]
    table = permutation_table(scores, parts, exchange=options.exchange)
    for warning in warnings_of(table):
        print(warning)
    table.to_parquet(job.filename("permutations.parquet"), index=False)
    outputs.record(job.path, ["permutations.parquet"], method=job.method, name=job.params.caption)

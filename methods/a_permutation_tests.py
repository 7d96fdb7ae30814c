"""Test all evaluations against their null distributions."""

import pandas as pd

from cortax.provenance import outputs
from cortax.provenance.closure import manifest
from cortax.stats.permutation_tests import Part, permutation_table, warnings_of
from cortax.stats.store_nulls import open_nulls

description = "Test all evaluations against their null distributions"
depend_extra = manifest(__name__)
options = {
    "evaluations": [],  # "parcellation/pipeline" of each evaluate job, in the same order
    "exchange": "",
    "nulls": [],  # for each permute job its `cell`, the targets that are taken, and how many parts there are of it
}
jobs = (["evaluate"], ["permute"])


def synthesis(job):
    for source in (*jobs.evaluate, *jobs.permute):
        outputs.check(source.path)
    scores = {
        tuple(cell.split("/")): pd.read_parquet(source.filename("scores.parquet"))
        for source, cell in zip(jobs.evaluate, options.evaluations, strict=True)
    }
    parts = [
        Part(*about["cell"].split("/"), about["take"], about["n_parts"], open_nulls(source.path))
        for source, about in zip(jobs.permute, options.nulls, strict=True)
    ]
    table = permutation_table(scores, parts, exchange=options.exchange)
    for warning in warnings_of(table):
        print(warning)
    table.to_parquet(job.filename("permutations.parquet"), index=False)
    outputs.record(job.path, ["permutations.parquet"], method=job.method, name=job.params.caption)

"""All timings of networks in one table: speed-up, scaling, throughput, memory and cost."""

import json

from cortax.parallel.network_table import timing_table
from cortax.provenance import outputs
from cortax.provenance.closure import manifest

description = "All timings of networks in one table"
depend_extra = manifest(__name__)
options = {
    "n_cores": 1,
    "prices": {},
    "names": [],  # of the timings
}
jobs = (["timed"],)


def synthesis(job):
    rows = []
    for source in jobs.timed:
        outputs.check(source.path)
        with open(source.filename("timing.json"), encoding="utf-8") as file:
            rows.append(json.load(file))
    table = timing_table(rows, options.n_cores, options.prices)
    table.to_parquet(job.filename("timings.parquet"), index=False)
    outputs.record(job.path, ["timings.parquet"], method=job.method, name=job.params.caption)

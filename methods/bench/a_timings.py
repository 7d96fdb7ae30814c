"""All timings of networks in one table: speed-up, scaling, throughput, memory and cost."""

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
    from cortax.store import load, save
    from cortax.workloads.bench.networks import timing_table

    outputs.check_all(jobs)
    rows = [load(source.path, "timing.json")[0] for source in jobs.timed]
    table = timing_table(rows, options.n_cores, options.prices)
    outputs.record(job.path, save(job.path, {"timings.parquet": table}), method=job.method, name=job.params.caption)

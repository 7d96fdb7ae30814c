"""Measure how long cells take in one setting of processes, BLAS threads and back-end."""

from cortax.provenance import outputs
from cortax.provenance.closure import find_root, manifest

description = "Measure how long cells take in one setting of processes, BLAS threads and back-end"
depend_extra = manifest(__name__)
options = {
    "setting": {},
    "cases": [],
    "limit": 60.0,
    "salt": "",  # when it is measured: no measurement stands for a later one
}


def synthesis(job):
    from cortax.store import save
    from cortax.workloads.bench.cases import Case, measure_cases
    from cortax.workloads.bench.measure import Setting

    cases = [Case(**case) for case in options.cases]
    rows = measure_cases(Setting(**options.setting), cases, find_root(), limit=options.limit)
    outputs.record(job.path, save(job.path, {"runs.json": rows}), method=job.method, name=job.params.caption)

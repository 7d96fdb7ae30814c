"""Measure how long cells take in one setting of processes, BLAS threads and back-end."""

import json
from pathlib import Path

from cortax.parallel.asking import measure
from cortax.parallel.setting import Setting, read_load
from cortax.provenance import outputs
from cortax.provenance.closure import manifest

description = "Measure how long cells take in one setting of processes, BLAS threads and back-end"
depend_extra = manifest(__name__)
options = {
    "setting": {},
    "loads": [],
    "limit": 60.0,
    "salt": "",  # when it is measured: no measurement stands for a later one
}

ROOT = Path(__file__).resolve().parents[1]


def synthesis(job):
    rows = measure(Setting(**options.setting), [read_load(load) for load in options.loads], ROOT, limit=options.limit)
    with open(job.filename("runs.json"), "w", encoding="utf-8") as file:
        json.dump(rows, file, indent=1)
    outputs.record(job.path, ["runs.json"], method=job.method, name=job.params.caption)

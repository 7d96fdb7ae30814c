"""Rank parcellations by score, and fit the power law between their sizes and mean ranks."""

import json

from cortax.provenance import outputs
from cortax.provenance.closure import manifest

description = "Rank parcellations by score, and fit the power law between their sizes and mean ranks"
depend_extra = manifest(__name__)
options = {
    "parcellations": [],  # the name of each job of regions, in the same order
    "types": {},
    "sizes": {},
    "ensembles": {},  # for each its strategy and the parcellations of its members
    "metrics": {},  # for each target, what it is ranked by
    "n_bootstrap": 1000,
    "confidence": 0.95,
    "seed": 0,
}
jobs = ("scores", ["regions"])


def synthesis(job):
    import pandas as pd

    from cortax.learning.scaling.analysis import analyse
    from cortax.workloads.regions.sizes import describe

    outputs.check_all(jobs)
    folders = {name: source.path for name, source in zip(options.parcellations, jobs.regions, strict=True)}
    ranks, report = analyse(
        pd.read_parquet(jobs.scores.filename("scores.parquet")),
        describe(folders, types=options.types, sizes=options.sizes, ensembles=options.ensembles),
        metrics=options.metrics,
        n_bootstrap=options.n_bootstrap,
        confidence=options.confidence,
        seed=options.seed,
    )
    ranks.to_parquet(job.filename("ranks.parquet"), index=False)
    with open(job.filename("scaling.json"), "w", encoding="utf-8") as file:
        json.dump(report, file, indent=1, allow_nan=False)
    for text in report["warnings"]:
        print(f"warning: {text}")
    outputs.record(job.path, ["ranks.parquet", "scaling.json"], method=job.method, name=job.params.caption)

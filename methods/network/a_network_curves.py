"""Trace how well every forest's network finds links that are known, from its first link to its last."""

from cortax.provenance import outputs
from cortax.provenance.closure import find_root, manifest

description = "Trace the curves of every forest's network against links that are known"
depend_extra = manifest(__name__)
options = {
    "study": "",
    "file": "",
    "digest": "",
    "blocks": [],  # see `rank`
    "n_blocks": {},  # by forest; one that lacks some, as a regression failed, has no curves
}
jobs = ("regulators", ["regress"])


def synthesis(job):
    import pandas as pd

    from cortax.store import save, save_dataset
    from cortax.workloads.network.agreement import open_regressed, read_known, trace_forests

    gold = read_known(find_root() / options.file, options.digest)
    curves = trace_forests(open_regressed(jobs.regulators, jobs.regress, options), gold)
    save_dataset(job, curves, "curves.parquet")
    # Whoever draws the network tells known links from others.
    known = pd.DataFrame(sorted(gold.links), columns=["regulator", "target"])
    files = ["curves.parquet", *save(job.path, {"known.parquet": known})]
    outputs.record(job.path, files, method=job.method, name=job.params.caption)

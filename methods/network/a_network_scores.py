"""Score every forest's network against links that are known."""

from cortax.provenance import outputs
from cortax.provenance.closure import find_root, manifest

description = "Score every forest's network against links that are known"
depend_extra = manifest(__name__)
options = {
    "study": "",
    "file": "",
    "digest": "",
    "blocks": [],  # see `rank`
    "n_blocks": {},  # by forest; one that lacks some, as a regression failed, is not scored
}
jobs = ("regulators", ["regress"])


def synthesis(job):
    from cortax.store import save_dataset
    from cortax.workloads.network.agreement import open_regressed, read_known, score_forests

    gold = read_known(find_root() / options.file, options.digest)
    scores = score_forests(open_regressed(jobs.regulators, jobs.regress, options), gold)
    scores.insert(0, "study", options.study)
    save_dataset(job, scores, "scores.parquet")
    outputs.record(job.path, ["scores.parquet"], method=job.method, name=job.params.caption)

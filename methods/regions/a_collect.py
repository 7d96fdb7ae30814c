"""Put the evaluations of one parcellation and pipeline together that were made apart, and score them."""

from cortax.provenance import outputs
from cortax.provenance.closure import manifest

description = "Put the evaluations of one parcellation and pipeline together that were made apart, and score them"
depend_extra = manifest(__name__)
options = {
    "take": [],  # the names of the targets that are taken from each of the evaluations
    "metrics": {},
    "confidence": 0.95,
}
jobs = ("split", ["targets"], ["evaluate"])


def synthesis(job):
    from cortax.learning.cohort import open_cohort, open_targets
    from cortax.learning.folds import open_folds
    from cortax.learning.predictions import Scoring, score_targets
    from cortax.learning.search.merge import merge_evaluations
    from cortax.learning.search.store_evaluation import open_evaluation, save_evaluation
    from cortax.store import build

    outputs.check_all(jobs)
    cohort, folds = open_cohort(jobs.split.path), open_folds(jobs.split.path)
    # Without the evaluation of a block, which may have failed, its targets are not scored.
    there = {name for names in options.take for name in names}
    targets = open_targets([source.path for source in jobs.targets], cohort, there)
    parts = [open_evaluation(source.path) for source in jobs.evaluate]
    whole = merge_evaluations(parts, options.take, targets.names, folds)
    table = score_targets(whole.found, targets, folds.test, cohort.groups, build(Scoring, options))
    table.to_parquet(job.filename("scores.parquet"), index=False)
    results, others = save_evaluation(job.path, whole.found, whole.targets, whole.columns)
    outputs.record(job.path, [*results, "scores.parquet"], others, method=job.method, name=job.params.caption)

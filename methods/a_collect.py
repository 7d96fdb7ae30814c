"""Put the evaluations of one parcellation and pipeline together that were made apart, and score them."""

from cortax.cohort import open_cohort, open_targets
from cortax.folds import open_folds
from cortax.intervals import score_targets
from cortax.provenance import outputs
from cortax.provenance.closure import manifest
from cortax.search.merge import merge_evaluations
from cortax.search.store_evaluation import open_evaluation, save_evaluation

description = "Put the evaluations of one parcellation and pipeline together that were made apart, and score them"
depend_extra = manifest(__name__)
options = {
    "take": [],  # the names of the targets that are taken from each of the evaluations
    "metrics": {},
    "n_bootstrap": 1000,
    "confidence": 0.95,
    "seed": 0,
}
jobs = ("split", ["targets"], ["evaluate"])


def synthesis(job):
    for source in (jobs.split, *jobs.targets, *jobs.evaluate):
        outputs.check(source.path)
    cohort, folds = open_cohort(jobs.split.path), open_folds(jobs.split.path)
    # Without the evaluation of a block, which may have failed, its targets are not scored.
    there = {name for names in options.take for name in names}
    targets = open_targets([source.path for source in jobs.targets], cohort, there)
    parts = [open_evaluation(source.path) for source in jobs.evaluate]
    whole = merge_evaluations(parts, options.take, targets.names, folds)
    table = score_targets(
        whole.found.predictions,
        whole.found.labels,
        targets.values,
        folds.test,
        cohort.groups,
        names=targets.names,
        tasks=targets.tasks,
        metrics=options.metrics,
        n_bootstrap=options.n_bootstrap,
        confidence=options.confidence,
        seed=options.seed,
    )
    table.to_parquet(job.filename("scores.parquet"), index=False)
    results, others = save_evaluation(job.path, whole.found, whole.targets, whole.columns)
    outputs.record(job.path, [*results, "scores.parquet"], others, method=job.method, name=job.params.caption)

"""Put the importance of one parcellation and pipeline together that was worked out apart, and average it."""

from cortax.provenance import outputs
from cortax.provenance.closure import manifest

description = "Put the importance of one parcellation and pipeline together that was worked out apart"
depend_extra = manifest(__name__)
options = {
    "take": [],  # the names of the targets that are taken from each of the parts
}
jobs = (["importance"],)


def synthesis(job):
    from cortax.learning.importance.found import merge_importance, open_importance, save_importance

    outputs.check_all(jobs)
    targets = sorted({name for names in options.take for name in names})
    whole = merge_importance([open_importance(source.path) for source in jobs.importance], options.take, targets)
    results = save_importance(job.path, whole)
    outputs.record(job.path, results, method=job.method, name=job.params.caption)

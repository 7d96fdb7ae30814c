"""Pictures of one parcellation: its regions, or what a pipeline's models make of them."""

from cortax.provenance import outputs
from cortax.provenance.closure import manifest

description = "Pictures of one parcellation: its regions, or what a pipeline's models make of them"
depend_extra = manifest(__name__)
options = {
    "called": "",  # what is shown, for people: the parcellation, and the pipeline after a slash
    "max_pictures": 12,
}
jobs = ("regions", "importance")


def synthesis(job):
    from cortax.brain.parcellation.atlas import open_atlas
    from cortax.brain.pictures.gallery import save_pictures, show_importance, show_parcellation
    from cortax.learning.importance.found import open_table

    outputs.check_all(jobs)
    atlas = open_atlas(jobs.regions.path)
    if not jobs.importance:
        shown = show_parcellation(atlas, options.called)
    else:
        shown = show_importance(atlas, open_table(jobs.importance.path), options.called, options.max_pictures)
    outputs.record(job.path, save_pictures(job.path, shown), method=job.method, name=job.params.caption)

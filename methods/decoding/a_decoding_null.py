"""Score the votes of all subjects, and votes against permuted labels."""

from cortax.provenance import outputs
from cortax.provenance.closure import manifest

description = "Score the votes of all subjects, and votes against permuted labels"
depend_extra = manifest(__name__)
options = {
    "subjects": [],  # of each `generalise` job
    "group": True,  # whether they must be alike
    "metric": "",
    "smoothing": 0.0,
    "permutations": 1,
    "exchange": "",
    "seed": 0,
}
jobs = (["generalise"],)


def synthesis(job):
    from cortax.workloads.decoding.maps import make_maps, save_maps

    outputs.check_all(jobs)
    maps = make_maps(jobs.generalise, options)
    outputs.record(job.path, save_maps(job.path, maps), method=job.method, name=job.params.caption)

"""Make features of one subject's trials in one phase: of each trial by itself, whoever makes them."""

from cortax.provenance import outputs
from cortax.provenance.closure import manifest

description = "Make features of one subject's trials in one phase"
depend_extra = manifest(__name__)
options = {
    "phase": "",
    "features": "",  # their name, for messages
    "kind": "",
    "n_bins": 1,
    "window": None,
    "points": None,
    "frequencies": None,
    "n_cycles": 5.0,
    "bands": None,
}
jobs = ("epochs",)


def prepare(job):
    import numpy as np

    from cortax.workloads.decoding.epochs import open_trials
    from cortax.workloads.decoding.making import transform_of

    outputs.check_all(jobs)
    trials = open_trials(jobs.epochs.path, options.phase)
    transform = transform_of(options, trials)
    shape = (options.n_bins, len(trials.labels), transform.n_columns(len(trials.channels)))
    np.lib.format.open_memmap(job.filename("features.npy"), mode="w+", dtype=np.float32, shape=shape).flush()
    return trials, transform


def analysis(sliceno, slices, job, prepare_res):
    import numpy as np

    trials, transform = prepare_res
    features = np.lib.format.open_memmap(job.filename("features.npy"), mode="r+")
    for number in range(sliceno, len(trials.labels), slices):
        features[:, number] = transform(np.asarray(trials.data[number]))
    features.flush()


def synthesis(job, prepare_res):
    from cortax.store import save
    from cortax.workloads.decoding.making import described

    about = described(*prepare_res)
    results = ["features.npy", *save(job.path, {"features.json": about.__dict__})]
    outputs.record(job.path, results, method=job.method, name=job.params.caption)

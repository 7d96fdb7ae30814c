"""Read the trials of one subject in all phases."""

from cortax.provenance import outputs
from cortax.provenance.closure import find_root, manifest

description = "Read the trials of one subject in all phases"
depend_extra = manifest(__name__)
options = {
    "subject": "",
    "train": "",
    "files": {},  # phase -> path
    "digests": {},  # path of each file that is read -> its digest
    "file_rate": None,
    "file_start": 0.0,
    "label": "",
    "group": None,
    "classes": None,
    "channels": [],
    "exclude": [],
    "rate": None,
    "baseline": None,
    "window": None,
    "continuous": False,
}


def synthesis(job):
    from cortax.workloads.decoding.epochs import save_trials
    from cortax.workloads.decoding.reading import read_subject

    phases = read_subject(find_root(), options)
    results = [name for phase, trials in phases.items() for name in save_trials(job.path, phase, trials)]
    for phase, trials in phases.items():
        n_trials, n_channels, n_times = trials.data.shape
        print(
            f"{phase}: {n_trials} trials x {n_channels} channels x {n_times} samples; left out {dict(trials.dropped)}"
        )
    outputs.record(job.path, results, method=job.method, name=job.params.caption)

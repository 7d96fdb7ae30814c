"""Predict every bin of one subject in one phase by the decoders of every bin that was trained in."""

from cortax.provenance import outputs
from cortax.provenance.closure import find_root, manifest

description = "Predict every bin of one phase by the decoders of every bin that was trained in"
depend_extra = manifest(__name__)
options = {
    "where": "",  # for messages
    "same": False,  # whether the phase is the one that was trained in
    "kind": "",
    "configs": [],
    "select": None,
    "estimator": None,
    "plain": False,
    "scoring": "",
    "seed": 0,
}
jobs = ("decode", "trained", "tested")


def prepare():
    from cortax.workloads.decoding.generalising import open_generalise_task

    return open_generalise_task(jobs, options)


def analysis(sliceno, slices, job, prepare_res):
    from accelerator import status

    from cortax.workflow.task import run_task

    run_task(prepare_res[0], job, find_root(), sliceno, slices, status)


def synthesis(job, prepare_res):
    from cortax.workflow.task import collect_task
    from cortax.workloads.decoding.store import save_votes

    task, classes, about = prepare_res
    votes = task.votes(collect_task(task, job, find_root()), classes, about)
    outputs.record(job.path, save_votes(job.path, votes), ["pool.json"], method=job.method, name=job.params.caption)

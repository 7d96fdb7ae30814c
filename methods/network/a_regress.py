"""Regress target genes on all regulators, and say how much each regulator tells about each gene."""

from cortax.provenance import outputs
from cortax.provenance.closure import find_root, manifest

description = "Regress target genes on all regulators"
depend_extra = manifest(__name__)
options = {
    "method": "",
    "n_trees": 1000,
    "max_features": None,  # "sqrt", "all" or a number
    "min_samples_leaf": 1,
    "seed": 0,
    "genes": [],  # the targets: what a later build knows this block by
}
jobs = ("regulators", "targets")


def prepare():
    from cortax.workloads.network.tasks import open_regression_task

    return open_regression_task(jobs, options)


def analysis(sliceno, slices, job, prepare_res):
    from accelerator import status

    from cortax.workflow.task import run_task

    run_task(prepare_res, job, find_root(), sliceno, slices, status)


def synthesis(job, prepare_res):
    from cortax.workflow.task import collect_task
    from cortax.workloads.network.store import save_importances

    task = prepare_res
    rows = task.read(collect_task(task, job, find_root()))
    results = save_importances(job.path, task.targets, rows, len(task.regulators.names))
    outputs.record(job.path, results, ["pool.json"], method=job.method, name=job.params.caption)

"""Decode each bin of one subject in the phase that is trained in: nested folds, a grid of configurations."""

from cortax.provenance import outputs
from cortax.provenance.closure import find_root, manifest

description = "Decode each bin of one subject in the phase that is trained in"
depend_extra = manifest(__name__)
options = {
    "subject": "",
    "where": "",  # for messages
    "kind": "",
    "configs": [],
    "select": None,
    "estimator": None,
    "plain": False,
    "scoring": "",
    "n_outer": 0,
    "n_inner": 0,
    "seed": 0,
}
jobs = ("features",)


def prepare():
    from cortax.workloads.decoding.training import open_decode_task

    return open_decode_task(jobs, options)


def analysis(sliceno, slices, job, prepare_res):
    from accelerator import status

    from cortax.workflow.task import run_task

    run_task(prepare_res[0], job, find_root(), sliceno, slices, status)


def synthesis(job, prepare_res):
    from cortax.workflow.task import collect_task
    from cortax.workloads.decoding.choices import choices_table
    from cortax.workloads.decoding.store import save_decoded

    task, about, classes = prepare_res
    fits = task.read(collect_task(task, job, find_root()))
    results = save_decoded(job.path, fits, task.folds, about, classes=classes, configs=list(options.configs))
    choices_table(fits, options.configs, about.centres).to_parquet(job.filename("choices.parquet"), index=False)
    results.append("choices.parquet")
    outputs.record(job.path, results, ["pool.json"], method=job.method, name=job.params.caption)

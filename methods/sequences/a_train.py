"""Train networks of one site, a model each factor and seed, by so many epochs more."""

from cortax.provenance import outputs
from cortax.provenance.closure import find_root, manifest

description = "Train networks of one site, a model each factor and seed"
depend_extra = manifest(__name__)
options = {
    "site": "",
    "inputs": [],
    "targets": [],
    "transforms": [],
    "day_of_year": True,
    "window": 0,
    "warm_up": 0,
    "network": {},
    "code": {},  # what a module of the study depends on
    "train": [],
    "validation": [],
    "epochs": 0,
    "rate": 0.0,
    "batch": 0,
    "clip": None,
    "patience": None,
    "models": [],  # factor and seed of each
    "seed": 0,
}
jobs = ("site", "before")


def prepare():
    from cortax.workloads.sequences.tasks import open_train_task

    return open_train_task(jobs, options)


def analysis(sliceno, slices, job, prepare_res):
    from accelerator import status

    from cortax.workflow.task import run_task

    run_task(prepare_res, job, find_root(), sliceno, slices, status)


def synthesis(job, prepare_res):
    from cortax.workflow.task import collect_task
    from cortax.workloads.sequences.tasks import check_code, save_models

    models, curves = prepare_res.read(collect_task(prepare_res, job, find_root()))
    check_code(options)
    results = save_models(job.path, models, curves, options.models)
    outputs.record(job.path, results, ["pool.json"], method=job.method, name=job.params.caption)

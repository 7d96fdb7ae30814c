"""Square numbers, and add the total of the round before."""

from cortax.provenance import outputs
from cortax.provenance.closure import find_root, manifest

description = "Square numbers, and add the total of the round before"
depend_extra = manifest(__name__)
options = {"numbers": 1, "seed": 0}
jobs = ("before",)


def prepare():
    import numpy as np
    from toy.task import CountTask

    from cortax.store import load

    outputs.check_all(jobs)
    (before,) = load(jobs.before.path, "total.json") if jobs.before else [0]
    return CountTask(np.arange(options.numbers) + options.seed, before)


def analysis(sliceno, slices, job, prepare_res):
    from accelerator import status

    from cortax.workflow.task import run_task

    run_task(prepare_res, job, find_root(), sliceno, slices, status)


def synthesis(job, prepare_res):
    from cortax.store import save
    from cortax.workflow.task import collect_task

    values = prepare_res.read(collect_task(prepare_res, job, find_root()))
    outputs.record(
        job.path, save(job.path, {"values.json": values}), ["pool.json"], method=job.method, name=job.params.caption
    )

"""Fit one model in every voxel of one block of a volume."""

from cortax.provenance import outputs
from cortax.provenance.closure import find_root, manifest

description = "Fit one model in every voxel of one block of a volume"
depend_extra = manifest(__name__)
options = {
    "where": "",  # for messages
    "kind": "",
    "solver": "",
    "options": {},  # of the model
    "response": None,  # diffusivities along and across fibres, and S0, where no job estimates them
    "voxels_per_unit": 1,  # no result depends on it
}
jobs = ("volume", "response")


def prepare():
    from cortax.workloads.diffusion.fitting import open_fit_task

    return open_fit_task(jobs, options)


def analysis(sliceno, slices, job, prepare_res):
    from accelerator import status

    from cortax.workflow.task import run_task

    run_task(prepare_res, job, find_root(), sliceno, slices, status)


def synthesis(job, prepare_res):
    from cortax.store import save
    from cortax.workflow.task import collect_task
    from cortax.workloads.diffusion.store import fit_files

    task = prepare_res
    fit = task.read(collect_task(task, job, find_root()))
    files = fit_files(fit)
    files["model.json"] = {"names": task.model.names}
    results = save(job.path, files)
    outputs.record(job.path, results, ["pool.json"], method=job.method, name=job.params.caption)

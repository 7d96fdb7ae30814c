"""Predict within the outer training parts by the chosen configurations: what stacked ensembles are fitted on."""

from cortax.provenance import outputs
from cortax.provenance.closure import find_root, manifest

description = "Predict within the outer training parts by the chosen configurations"
depend_extra = manifest(__name__)
options = {
    "choose": "",
    "code": {},  # what the pipeline's own classes and solver depend on
    "fold": None,  # one outer fold, or None for all
}
jobs = ("regions", "split", ["targets"], "tune")


def prepare():
    from cortax.workloads.regions.tasks.inner import InnerTask
    from cortax.workloads.regions.tasks.searched import open_searched

    task, _ = open_searched(InnerTask, jobs, options)
    task.cut.check_code(options.code)
    return task


def analysis(sliceno, slices, job, prepare_res):
    from accelerator import status

    from cortax.workflow.task import run_task

    run_task(prepare_res, job, find_root(), sliceno, slices, status)


def synthesis(job, prepare_res):
    from cortax.learning.ensemble.store_inner import save_inner
    from cortax.workflow.task import collect_task

    task = prepare_res
    done = task.read(collect_task(task, job, find_root()))
    task.cut.check_code(options.code)
    problem = task.cut.problem
    results, others = save_inner(job.path, done, problem.names, problem.folds.n_subjects)
    print(f"{len(done)} units, {sum(cell.not_converged for cell in done.values())} fits not converged")
    outputs.record(job.path, results, [*others, "pool.json"], method=job.method, name=job.params.caption)

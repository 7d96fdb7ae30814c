"""Score every configuration of one pipeline on the inner folds, for all targets and outer folds."""

from cortax.provenance import outputs
from cortax.provenance.closure import find_root, manifest

description = "Score every configuration of one pipeline on the inner folds, for all targets and outer folds"
depend_extra = manifest(__name__)
options = {
    "kind": "",
    "n_configs": 60,
    "space": {},
    "regression": None,  # "module:Class" of a pipeline of kind "sklearn"
    "classification": None,
    "steps": [],  # what comes before that class
    "solver": "fast",
    "strategy": {},
    "code": {},  # what that class and the solver depend on
    "scorers": {},
    "targets": {},  # what each target of this block is, by name: what a later build knows it by
    "fold": None,  # one outer fold, or None for all
    "seed": 0,
}
jobs = ("regions", "split", ["targets"])


def prepare():
    from cortax.workloads.regions.tasks.search import open_search_task

    return open_search_task(jobs, options)


def analysis(sliceno, slices, job, prepare_res):
    from accelerator import status

    from cortax.workflow.task import run_task

    run_task(prepare_res, job, find_root(), sliceno, slices, status)


def synthesis(job, prepare_res):
    from cortax.learning.search.cells import collect
    from cortax.learning.search.store import save_search
    from cortax.workflow.task import collect_task

    task = prepare_res
    done = task.read(collect_task(task, job, find_root()))
    task.cut.check_code(options.code)
    problem = task.cut.problem
    result = collect(done, len(problem.names), problem.folds, problem.configs)
    about = {key: options[key] for key in ("kind", "regression", "classification", "solver", "seed")}
    about |= {"steps": options.steps} if options.steps else {}
    results, others = save_search(job.path, result, problem.configs, about)
    print(f"{len(done)} units, {int(result.not_converged.sum())} fits not converged, {len(result.failures)} failed")
    outputs.record(job.path, results, [*others, "pool.json"], method=job.method, name=job.params.caption)

"""Which regions the models of one pipeline rest on, by target and outer fold, and on average."""

from cortax.provenance import outputs
from cortax.provenance.closure import check_class_code, find_root, manifest

description = "Coefficients, activation patterns and permutation importance of every region"
depend_extra = manifest(__name__)
options = {
    "n_repeats": 5,
    "scorers": {},
    "choose": "",  # of models that are fitted once more; those that an evaluation kept were chosen there
    "code": {},  # what their own classes depend on
    "fold": None,  # one outer fold, or None for all
}
jobs = ("regions", "split", ["targets"], "tune", "evaluate")  # without `evaluate`, models are fitted once more


def prepare():
    from cortax.learning.search.registry import estimator_names
    from cortax.workloads.regions.tasks.importance import open_importance_task

    task, columns = open_importance_task(jobs, options)
    check_class_code(estimator_names(task.cut.estimators), options.code)
    return task, columns


def analysis(sliceno, slices, job, prepare_res):
    from accelerator import status

    from cortax.workflow.task import run_task

    run_task(prepare_res[0], job, find_root(), sliceno, slices, status)


def synthesis(job, prepare_res):
    from cortax.learning.importance.found import collect_importance, save_importance
    from cortax.learning.search.registry import estimator_names
    from cortax.workflow.task import collect_task

    task, columns = prepare_res
    cut = task.cut
    done = task.read(collect_task(task, job, find_root()))
    check_class_code(estimator_names(cut.estimators), options.code)
    problem = cut.problem
    ordinal = [name for name, kind in zip(problem.names, problem.tasks, strict=True) if kind == "ordinal"]
    found = collect_importance(done, problem.names, columns, problem.folds.n_outer, ordinal=ordinal)
    results = save_importance(job.path, found)
    print(f"{len(done)} units, {len(found.failures)} failed")
    outputs.record(job.path, results, ["pool.json"], method=job.method, name=job.params.caption)

"""Refit the chosen configurations, predict out of fold, and score."""

from cortax.provenance import outputs
from cortax.provenance.closure import find_root, manifest

description = "Refit the chosen configurations, predict out of fold, and score"
depend_extra = manifest(__name__)
options = {
    "choose": "",
    "metrics": {},
    "confidence": 0.95,
    "code": {},  # what the pipeline's own classes and solver depend on
    "seed": 0,
    "fold": None,  # one outer fold, which is scored where all are collected; or None for all
}
jobs = ("regions", "split", ["targets"], "tune")


def prepare():
    from cortax.workloads.regions.tasks.evaluate import EvaluationTask
    from cortax.workloads.regions.tasks.searched import open_searched

    task, opened = open_searched(EvaluationTask, jobs, options)
    task.cut.check_code(options.code)
    return task, opened


def analysis(sliceno, slices, job, prepare_res):
    from accelerator import status

    from cortax.workflow.task import run_task

    run_task(prepare_res[0], job, find_root(), sliceno, slices, status)


def synthesis(job, prepare_res):
    from cortax.learning.cohort import Targets
    from cortax.learning.predictions import Scoring, score_targets
    from cortax.learning.search.evaluations import collect_evaluations
    from cortax.learning.search.store_evaluation import save_evaluation
    from cortax.store import build
    from cortax.workflow.task import collect_task

    task, opened = prepare_res
    done = task.read(collect_task(task, job, find_root()))
    task.cut.check_code(options.code)
    problem = opened.problem
    found = collect_evaluations(done, len(problem.names), problem.folds)
    results, others = save_evaluation(job.path, found, problem.names, opened.columns)
    if options.fold is None:
        targets = Targets(problem.targets, problem.names, problem.tasks)
        table = score_targets(found, targets, problem.folds.test, opened.cohort.groups, build(Scoring, options))
        table.to_parquet(job.filename("scores.parquet"), index=False)
        results.append("scores.parquet")
    print(f"{int(found.not_converged.sum())} refits not converged")
    outputs.record(job.path, results, [*others, "pool.json"], method=job.method, name=job.params.caption)

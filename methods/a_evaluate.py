"""Refit the chosen configurations, predict out of fold, and score."""

from accelerator import status

from cortax.cohort import open_cohort, rows_of
from cortax.data.regions import open_regions
from cortax.folds import open_folds
from cortax.grid.pool import SharedQueue
from cortax.intervals import score_targets
from cortax.provenance import outputs
from cortax.provenance.closure import check_class_code, manifest
from cortax.search.cells import Problem
from cortax.search.evaluations import collect_evaluations
from cortax.search.pipelines import pipeline_kind
from cortax.search.refit import evaluate_batch
from cortax.search.solvers import plan_batches, solver_modules
from cortax.search.store import open_search
from cortax.search.store_evaluation import save_evaluation

description = "Refit the chosen configurations, predict out of fold, and score"
depend_extra = manifest(__name__)
options = {
    "choose": "",
    "metrics": {},
    "n_bootstrap": 1000,
    "confidence": 0.95,
    "code": {},  # what the pipeline's own classes and solver depend on
    "seed": 0,
}
jobs = ("regions", "split", "tune")


def _check_code():
    pipeline = open_search(jobs.tune.path).pipeline
    solvers = solver_modules(pipeline["kind"]) if pipeline["solver"] == "fast" else []
    check_class_code([pipeline["regression"], pipeline["classification"], *solvers], options.code)


def prepare():
    for source in (jobs.regions, jobs.split, jobs.tune):
        outputs.check(source.path)
    _check_code()
    cohort, folds = open_cohort(jobs.split.path), open_folds(jobs.split.path)
    regions, search = open_regions(jobs.regions.path), open_search(jobs.tune.path)
    problem = Problem(
        regions=regions.values[rows_of(cohort, regions.subjects, f"job {jobs.regions}")],
        targets=cohort.targets,
        tasks=cohort.tasks,
        names=cohort.target_names,
        folds=folds,
        kind=search.pipeline["kind"],
        configs=search.configs,
        confounds=cohort.confounds,
        seed=search.pipeline["seed"],
        plain=search.pipeline["solver"] == "scikit-learn",
    )
    batches = plan_batches(problem)
    return problem, search, batches, SharedQueue(len(batches)), cohort.groups, regions.columns


def analysis(sliceno, prepare_res):  # noqa: ARG001 - Exax asks for it
    problem, search, batches, queue, _, _ = prepare_res
    estimators = {task: search.pipeline[task] for task in ("regression", "classification") if search.pipeline[task]}
    pipeline = pipeline_kind(problem.kind, estimators, name=problem.kind)
    done = {}
    with status("batches") as update:
        for number in queue:
            update(f"{number + 1}/{queue.n}")
            batch = batches[number]
            done |= evaluate_batch(
                problem,
                batch,
                pipeline,
                scores={t: search.scores[t, batch.outer] for t in batch.targets},
                configs={t: search.configs_of(t, batch.outer, problem.tasks[t]) for t in batch.targets},
                rule=options.choose,
            )
    return done


def synthesis(job, prepare_res, analysis_res):
    problem, _, _, _, groups, columns = prepare_res
    done = {cell: found for part in analysis_res for cell, found in part.items()}
    _check_code()
    found = collect_evaluations(done, len(problem.names), problem.folds)
    table = score_targets(
        found.predictions,
        found.labels,
        problem.targets,
        problem.folds.test,
        groups,
        names=problem.names,
        tasks=problem.tasks,
        metrics=options.metrics,
        n_bootstrap=options.n_bootstrap,
        confidence=options.confidence,
        seed=options.seed,
    )
    table.to_parquet(job.filename("scores.parquet"), index=False)
    results, others = save_evaluation(job.path, found, columns)
    print(f"{int(found.not_converged.sum())} refits not converged")
    outputs.record(job.path, [*results, "scores.parquet"], others, method=job.method, name=job.params.caption)

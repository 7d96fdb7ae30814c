"""Refit the chosen configurations, predict out of fold, and score."""

from accelerator import status

from cortax.cohort import open_cohort, rows_of
from cortax.data.regions import open_regions
from cortax.folds import open_folds
from cortax.grid.pool import SharedQueue
from cortax.intervals import score_targets
from cortax.provenance import outputs
from cortax.provenance.closure import check_class_code, manifest
from cortax.search.evaluate import collect_evaluations, evaluate_chosen
from cortax.search.pipelines import pipeline_kind
from cortax.search.reference import all_cells
from cortax.search.store import open_search
from cortax.search.store_evaluation import save_evaluation

description = "Refit the chosen configurations, predict out of fold, and score"
depend_extra = manifest(__name__)
options = {"choose": "", "metrics": {}, "n_bootstrap": 1000, "confidence": 0.95, "seed": 0}
jobs = ("regions", "split", "tune")


def _check_code():
    pipeline = open_search(jobs.tune.path).pipeline
    check_class_code([pipeline["regression"], pipeline["classification"]], pipeline["estimator_code"])


def prepare():
    for source in (jobs.regions, jobs.split, jobs.tune):
        outputs.check(source.path)
    _check_code()
    cohort, folds = open_cohort(jobs.split.path), open_folds(jobs.split.path)
    regions = open_regions(jobs.regions.path)
    values = regions.values[rows_of(cohort, regions.subjects, f"job {jobs.regions}")]
    cells = all_cells(len(cohort.target_names), folds.n_outer)
    return cohort, folds, values, regions.columns, cells, SharedQueue(len(cells))


def analysis(sliceno, prepare_res):  # noqa: ARG001 - Exax asks for it
    cohort, folds, values, _, cells, queue = prepare_res
    search = open_search(jobs.tune.path)
    pipeline = search.pipeline
    estimators = {task: pipeline[task] for task in ("regression", "classification") if pipeline[task]}
    kind = pipeline_kind(pipeline["kind"], estimators, name=pipeline["kind"])
    done = {}
    with status("cells") as update:
        for number in queue:
            update(f"{number + 1}/{queue.n}")
            target, outer = cells[number]
            task = cohort.tasks[target]
            done[target, outer] = evaluate_chosen(
                values,
                cohort.targets[:, target],
                folds,
                outer,
                scores=search.scores[target, outer],
                kind=kind,
                task=task,
                configs=search.configs[task],
                rule=options.choose,
                target=cohort.target_names[target],
                confounds=cohort.confounds,
                seed=pipeline["seed"],
            )
    return done


def synthesis(job, prepare_res, analysis_res):
    cohort, folds, _, columns, _, _ = prepare_res
    done = {cell: found for part in analysis_res for cell, found in part.items()}
    _check_code()
    found = collect_evaluations(done, len(cohort.target_names), folds)
    table = score_targets(
        found.predictions,
        found.labels,
        cohort.targets,
        folds.test,
        cohort.groups,
        names=cohort.target_names,
        tasks=cohort.tasks,
        metrics=options.metrics,
        n_bootstrap=options.n_bootstrap,
        confidence=options.confidence,
        seed=options.seed,
    )
    table.to_parquet(job.filename("scores.parquet"), index=False)
    results, others = save_evaluation(job.path, found, columns)
    print(f"{int(found.not_converged.sum())} refits not converged")
    outputs.record(job.path, [*results, "scores.parquet"], others, method=job.method, name=job.params.caption)

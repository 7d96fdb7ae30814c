"""Score every configuration of one pipeline on the inner folds, for all targets and outer folds."""

from accelerator import status

from cortax.cohort import open_cohort, rows_of
from cortax.data.regions import open_regions
from cortax.folds import open_folds
from cortax.grid.pool import SharedQueue
from cortax.provenance import outputs
from cortax.provenance.closure import check_class_code, manifest
from cortax.search.pipelines import pipeline_kind
from cortax.search.reference import all_cells, collect, search_cell
from cortax.search.spaces import sample_configs
from cortax.search.store import save_search

description = "Score every configuration of one pipeline on the inner folds, for all targets and outer folds"
depend_extra = manifest(__name__)
options = {
    "kind": "",
    "n_configs": 60,
    "space": {},
    "regression": None,  # "module:Class" of a pipeline of kind "sklearn"
    "classification": None,
    "estimator_code": {},  # what that class depends on
    "scorers": {},
    "seed": 0,
}
jobs = ("regions", "split")


def _pipeline():
    estimators = {task: options[task] for task in ("regression", "classification") if options[task]}
    return pipeline_kind(options.kind, estimators, name=options.kind)


def _check_code():
    check_class_code([options.regression, options.classification], options.estimator_code)


def prepare():
    _check_code()
    for source in (jobs.regions, jobs.split):
        outputs.check(source.path)
    cohort, folds = open_cohort(jobs.split.path), open_folds(jobs.split.path)
    regions = open_regions(jobs.regions.path)
    configs = {
        task: sample_configs(options.kind, task, options.n_configs, seed=options.seed, space=options.space)
        for task in sorted(set(cohort.tasks))
    }
    values = regions.values[rows_of(cohort, regions.subjects, f"job {jobs.regions}")]
    cells = all_cells(len(cohort.target_names), folds.n_outer)
    return cohort, folds, values, configs, cells, SharedQueue(len(cells))


def analysis(sliceno, prepare_res):  # noqa: ARG001 - Exax asks for it
    cohort, folds, values, configs, cells, queue = prepare_res
    done = {}
    with status("cells") as update:
        for number in queue:
            update(f"{number + 1}/{queue.n}")
            target, outer = cells[number]
            done[target, outer] = search_cell(
                values,
                cohort.targets[:, target],
                folds,
                outer,
                kind=_pipeline(),
                task=cohort.tasks[target],
                configs=configs[cohort.tasks[target]],
                target=cohort.target_names[target],
                scorer=options.scorers[cohort.tasks[target]],
                confounds=cohort.confounds,
                seed=options.seed,
            )
    return done


def synthesis(job, prepare_res, analysis_res):
    cohort, folds, _, configs, _, _ = prepare_res
    done = {cell: found for part in analysis_res for cell, found in part.items()}
    _check_code()
    result = collect(done, len(cohort.target_names), folds, configs)
    about = {key: options[key] for key in ("kind", "regression", "classification", "estimator_code", "seed")}
    results, others = save_search(job.path, result, configs, about)
    print(f"{len(done)} cells, {int(result.not_converged.sum())} fits not converged, {len(result.failures)} failed")
    outputs.record(job.path, results, others, method=job.method, name=job.params.caption)

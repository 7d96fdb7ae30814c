"""Score every configuration of one pipeline on the inner folds, for all targets and outer folds."""

from accelerator import status

from cortax.cohort import open_cohort, rows_of
from cortax.data.regions import open_regions
from cortax.folds import open_folds
from cortax.grid.pool import SharedQueue
from cortax.provenance import outputs
from cortax.provenance.closure import check_class_code, manifest
from cortax.search.cells import Problem, collect
from cortax.search.pipelines import pipeline_kind
from cortax.search.solvers import plan_batches, search_batch, solver_modules, warm_up
from cortax.search.spaces import sample_configs, search_space
from cortax.search.store import save_search

description = "Score every configuration of one pipeline on the inner folds, for all targets and outer folds"
depend_extra = manifest(__name__)
options = {
    "kind": "",
    "n_configs": 60,
    "space": {},
    "regression": None,  # "module:Class" of a pipeline of kind "sklearn"
    "classification": None,
    "solver": "fast",
    "strategy": {},
    "code": {},  # what that class and the solver depend on
    "scorers": {},
    "seed": 0,
}
jobs = ("regions", "split")


def _check_code():
    solvers = solver_modules(options.kind) if options.solver == "fast" else []
    check_class_code([options.regression, options.classification, *solvers], options.code)


def _pipeline():
    estimators = {task: options[task] for task in ("regression", "classification") if options[task]}
    return pipeline_kind(options.kind, estimators, name=options.kind)


def _strategy(tasks):
    strategy = dict(options.strategy)
    if strategy == {"racing": False, "sampler": "random", "staged": False}:
        return {}
    return {**strategy, "space": {task: search_space(options.kind, task, options.space) for task in tasks}}


def prepare():
    _check_code()
    for source in (jobs.regions, jobs.split):
        outputs.check(source.path)
    cohort, folds = open_cohort(jobs.split.path), open_folds(jobs.split.path)
    regions = open_regions(jobs.regions.path)
    tasks = sorted(set(cohort.tasks))
    problem = Problem(
        regions=regions.values[rows_of(cohort, regions.subjects, f"job {jobs.regions}")],
        targets=cohort.targets,
        tasks=cohort.tasks,
        names=cohort.target_names,
        folds=folds,
        kind=options.kind,
        configs={
            task: sample_configs(options.kind, task, options.n_configs, seed=options.seed, space=options.space)
            for task in tasks
        },
        scorers=dict(options.scorers),
        confounds=cohort.confounds,
        seed=options.seed,
        strategy=_strategy(tasks),
        plain=options.solver == "scikit-learn",
    )
    warm_up(problem, _pipeline())
    batches = plan_batches(problem)
    return problem, batches, SharedQueue(len(batches))


def analysis(sliceno, prepare_res):  # noqa: ARG001 - Exax asks for it
    problem, batches, queue = prepare_res
    done = {}
    with status("batches") as update:
        for number in queue:
            update(f"{number + 1}/{queue.n}")
            done |= search_batch(problem, batches[number], _pipeline())
    return done


def synthesis(job, prepare_res, analysis_res):
    problem, _, _ = prepare_res
    done = {cell: found for part in analysis_res for cell, found in part.items()}
    _check_code()
    result = collect(done, len(problem.names), problem.folds, problem.configs)
    about = {key: options[key] for key in ("kind", "regression", "classification", "solver", "seed")}
    results, others = save_search(job.path, result, problem.configs, about)
    print(f"{len(done)} cells, {int(result.not_converged.sum())} fits not converged, {len(result.failures)} failed")
    outputs.record(job.path, results, others, method=job.method, name=job.params.caption)

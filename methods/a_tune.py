"""Score every configuration of one pipeline on the inner folds, for all targets and outer folds."""

from pathlib import Path

from accelerator import status

from cortax.grid.engines.capsule_search import write_search_capsule
from cortax.grid.planning.costs import batch_seconds
from cortax.grid.work.cells import collect_cells, run_cells
from cortax.provenance import outputs
from cortax.provenance.closure import check_class_code, manifest
from cortax.search.cells import collect
from cortax.search.opening import open_problem
from cortax.search.pipelines import pipeline_kind
from cortax.search.solvers import plan_batches, search_batch, solver_modules, warm_up
from cortax.search.spaces import sample_configs
from cortax.search.store import save_search
from cortax.search.store_cells import read_search, write_search

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
    "targets": {},  # what each target of this block is, by name: what a later build knows it by
    "fold": None,  # one outer fold, or None for all
    "seed": 0,
}
jobs = ("regions", "split", ["targets"])

ROOT = Path(__file__).resolve().parents[1]


def _check_code():
    solvers = solver_modules(options.kind) if options.solver == "fast" else []
    check_class_code([options.regression, options.classification, *solvers], options.code)


def _estimators():
    return {task: options[task] for task in ("regression", "classification") if options[task]}


def _pipeline():
    return pipeline_kind(options.kind, _estimators(), name=options.kind)


def prepare():
    _check_code()
    for source in (jobs.regions, jobs.split, *jobs.targets):
        outputs.check(source.path)
    opened = open_problem(
        jobs.split.path,
        jobs.regions.path,
        [source.path for source in jobs.targets],
        lambda task: sample_configs(options.kind, task, options.n_configs, seed=options.seed, space=options.space),
        kind=options.kind,
        seed=options.seed,
        plain=options.solver == "scikit-learn",
        scorers=options.scorers,
        strategy=options.strategy,
        space=options.space,
    )
    problem = opened.problem
    warm_up(problem, _pipeline())
    return problem, [batch for batch in plan_batches(problem) if options.fold in (None, batch.outer)]


def analysis(sliceno, slices, job, prepare_res):
    if sliceno:
        return  # the first forks workers, as many as there are slices, and anew whenever one is lost
    problem, batches = prepare_res
    with status("batches") as update:
        run_cells(
            ROOT,
            Path(job.path),
            problem,
            batches,
            lambda batch: search_batch(problem, batch, _pipeline()),
            write_search,
            lambda folder: write_search_capsule(folder, problem, batches, _estimators(), first=["methods"]),
            n_slices=slices,
            costs=batch_seconds(problem, batches),
            progress=lambda done, n: update(f"{done}/{n}"),
        )


def synthesis(job, prepare_res):
    problem, batches = prepare_res
    done = collect_cells(ROOT, Path(job.path), problem, batches, read_search)
    _check_code()
    result = collect(done, len(problem.names), problem.folds, problem.configs)
    about = {key: options[key] for key in ("kind", "regression", "classification", "solver", "seed")}
    results, others = save_search(job.path, result, problem.configs, about)
    print(f"{len(done)} cells, {int(result.not_converged.sum())} fits not converged, {len(result.failures)} failed")
    outputs.record(job.path, results, [*others, "pool.json"], method=job.method, name=job.params.caption)

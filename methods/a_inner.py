"""Predict within the outer training parts by the chosen configurations: what stacked ensembles are fitted on."""

from pathlib import Path

from accelerator import status

from cortax.ensemble.inner import predict_inner
from cortax.ensemble.store_inner import save_inner
from cortax.grid.engines.capsule_inner import write_inner_capsule
from cortax.grid.planning.costs import batch_seconds
from cortax.grid.work.cells import collect_cells, run_cells
from cortax.provenance import outputs
from cortax.provenance.closure import check_class_code, manifest
from cortax.search.opening import open_problem
from cortax.search.pipelines import pipeline_kind
from cortax.search.solvers import plan_batches, solver_modules
from cortax.search.store import open_search
from cortax.search.store_cells import read_evaluation, write_evaluation

description = "Predict within the outer training parts by the chosen configurations"
depend_extra = manifest(__name__)
options = {
    "choose": "",
    "code": {},  # what the pipeline's own classes and solver depend on
    "fold": None,  # one outer fold, or None for all
}
jobs = ("regions", "split", ["targets"], "tune")

ROOT = Path(__file__).resolve().parents[1]


def _check_code():
    pipeline = open_search(jobs.tune.path).pipeline
    solvers = solver_modules(pipeline["kind"]) if pipeline["solver"] == "fast" else []
    check_class_code([pipeline["regression"], pipeline["classification"], *solvers], options.code)


def prepare():
    for source in (jobs.regions, jobs.split, *jobs.targets, jobs.tune):
        outputs.check(source.path)
    _check_code()
    search = open_search(jobs.tune.path)
    opened = open_problem(
        jobs.split.path,
        jobs.regions.path,
        [source.path for source in jobs.targets],
        search.configs.__getitem__,
        kind=search.pipeline["kind"],
        seed=search.pipeline["seed"],
        plain=search.pipeline["solver"] == "scikit-learn",
    )
    problem = opened.problem
    return problem, search, [batch for batch in plan_batches(problem) if options.fold in (None, batch.outer)]


def analysis(sliceno, slices, job, prepare_res):
    if sliceno:
        return  # the first forks workers, as many as there are slices, and anew whenever one is lost
    problem, search, batches = prepare_res
    estimators = {task: search.pipeline[task] for task in ("regression", "classification") if search.pipeline[task]}
    pipeline = pipeline_kind(problem.kind, estimators, name=problem.kind)

    def work(batch):
        return predict_inner(
            problem,
            batch,
            pipeline,
            **search.found_of(batch, problem.tasks),
            rule=options.choose,
        )

    with status("batches") as update:
        run_cells(
            ROOT,
            Path(job.path),
            problem,
            batches,
            work,
            write_evaluation,
            lambda folder: write_inner_capsule(
                folder, problem, batches, estimators, search, options.choose, first=["methods"]
            ),
            n_slices=slices,
            costs=batch_seconds(problem, batches),
            progress=lambda done, n: update(f"{done}/{n}"),
        )


def synthesis(job, prepare_res):
    problem, _, batches = prepare_res
    done = collect_cells(ROOT, Path(job.path), problem, batches, read_evaluation)
    _check_code()
    results, others = save_inner(job.path, done, problem.names, problem.folds.n_subjects)
    print(f"{len(done)} cells, {sum(cell.not_converged for cell in done.values())} fits not converged")
    outputs.record(job.path, results, [*others, "pool.json"], method=job.method, name=job.params.caption)

"""Which regions the models of one pipeline rest on, by target and outer fold, and on average."""

from pathlib import Path

from accelerator import status

from cortax.grid.engines.capsule_importance import write_chosen_capsule, write_kept_capsule
from cortax.grid.work.cells import collect_cells, run_cells
from cortax.importance.cells import importance_of_chosen, importance_of_kept
from cortax.importance.found import collect_importance
from cortax.importance.store import read_importance, save_importance, write_importance
from cortax.provenance import outputs
from cortax.provenance.closure import check_class_code, manifest
from cortax.search.cells import Batch
from cortax.search.opening import open_problem
from cortax.search.pipelines import pipeline_kind
from cortax.search.solvers import plan_batches
from cortax.search.store import open_search
from cortax.search.store_evaluation import open_evaluation

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

ROOT = Path(__file__).resolve().parents[1]


def _estimators(search):
    return {task: search.pipeline[task] for task in ("regression", "classification") if search.pipeline[task]}


def prepare():
    for source in (jobs.regions, jobs.split, *jobs.targets, jobs.tune, *([jobs.evaluate] if jobs.evaluate else [])):
        outputs.check(source.path)
    search = open_search(jobs.tune.path)
    check_class_code(_estimators(search).values(), options.code)
    opened = open_problem(
        jobs.split.path,
        jobs.regions.path,
        [source.path for source in jobs.targets],
        search.configs.__getitem__,
        kind=search.pipeline["kind"],
        seed=search.pipeline["seed"],
        plain=search.pipeline["solver"] == "scikit-learn",
        scorers=options.scorers,
    )
    problem = opened.problem
    batches = [batch for batch in plan_batches(problem) if options.fold in (None, batch.outer)]
    if not jobs.evaluate:
        # A refit shares little with others: the smaller the batches, the more workers have something to do.
        batches = [Batch(batch.outer, (target,)) for batch in batches for target in batch.targets]
    return problem, search, batches, opened.columns


def _ways(problem, search, batches):
    """What a worker does with a batch, and what writes down what it needs."""
    n_repeats = options.n_repeats
    if jobs.evaluate:
        found = open_evaluation(jobs.evaluate.path).found
        return (
            lambda batch: importance_of_kept(problem, batch, found, n_repeats=n_repeats),
            lambda folder: write_kept_capsule(folder, problem, batches, found, n_repeats, first=["methods"]),
        )
    estimators = _estimators(search)
    pipeline = pipeline_kind(problem.kind, estimators, name=problem.kind)

    def work(batch):
        return importance_of_chosen(
            problem,
            batch,
            pipeline,
            **search.found_of(batch, problem.tasks),
            n_repeats=n_repeats,
            rule=options.choose,
        )

    def capsule(folder):
        return write_chosen_capsule(
            folder, problem, batches, estimators, search, options.choose, n_repeats, first=["methods"]
        )

    return work, capsule


def analysis(sliceno, slices, job, prepare_res):
    if sliceno:
        return  # the first forks workers, as many as there are slices, and anew whenever one is lost
    problem, search, batches, _ = prepare_res
    work, capsule = _ways(problem, search, batches)
    with status("batches") as update:
        run_cells(
            ROOT,
            Path(job.path),
            problem,
            batches,
            work,
            write_importance,
            capsule,
            n_slices=slices,
            progress=lambda done, n: update(f"{done}/{n}"),
        )


def synthesis(job, prepare_res):
    problem, search, batches, columns = prepare_res
    done = collect_cells(ROOT, Path(job.path), problem, batches, read_importance)
    check_class_code(_estimators(search).values(), options.code)
    found = collect_importance(done, problem.names, columns, problem.folds.n_outer)
    results = save_importance(job.path, found)
    print(f"{len(done)} cells, {len(found.failures)} failed")
    outputs.record(job.path, results, ["pool.json"], method=job.method, name=job.params.caption)

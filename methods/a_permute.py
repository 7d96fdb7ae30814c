"""Search, refit and score permuted targets: the null distribution of every score."""

from pathlib import Path

from accelerator import status

from cortax.grid.engines.capsule_permuted import write_permuted_capsule
from cortax.grid.work.cells import collect_cells, run_cells
from cortax.provenance import outputs
from cortax.provenance.closure import check_class_code, manifest
from cortax.search.opening import open_problem
from cortax.search.pipelines import pipeline_kind
from cortax.search.solvers import solver_modules, warm_up
from cortax.search.spaces import sample_configs
from cortax.stats.nulls import Permuted, null_scores, plan_permutations
from cortax.stats.store_nulls import collect_nulls, read_null, save_nulls, write_null

description = "Search, refit and score permuted targets: the null distribution of every score"
depend_extra = manifest(__name__)
options = {
    "kind": "",
    "n_configs": 60,
    "space": {},
    "regression": None,  # as in `tune`, whose search this repeats on permuted targets
    "classification": None,
    "solver": "fast",
    "strategy": {},
    "code": {},
    "scorers": {},
    "fold": None,  # one outer fold, or None for all
    "seed": 0,
    "choose": "",  # as in `evaluate`
    "metrics": {},
    "exchange": "",
    "start": 0,  # the first permutation, and the one after the last
    "end": 0,
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
    permuted = Permuted(
        problem=problem,
        groups=opened.cohort.groups,
        exchange=options.exchange,
        numbers=range(options.start, options.end),
        metrics={task: list(options.metrics[task]) for task in sorted(set(problem.tasks))},
        rule=options.choose,
    )
    return permuted, [batch for batch in plan_permutations(permuted) if options.fold in (None, batch.outer)]


def analysis(sliceno, slices, job, prepare_res):
    if sliceno:
        return  # the first forks workers, as many as there are slices, and anew whenever one is lost
    permuted, batches = prepare_res
    with status("batches") as update:
        run_cells(
            ROOT,
            Path(job.path),
            permuted,
            batches,
            lambda batch: null_scores(permuted, batch, _pipeline()),
            write_null,
            lambda folder: write_permuted_capsule(folder, permuted, batches, _estimators(), first=["methods"]),
            n_slices=slices,
            progress=lambda done, n: update(f"{done}/{n}"),
        )


def synthesis(job, prepare_res):
    permuted, batches = prepare_res
    done = collect_cells(ROOT, Path(job.path), permuted, batches, read_null)
    _check_code()
    results = save_nulls(job.path, collect_nulls(permuted, done))
    failed = [cell.failure for cell in done.values() if cell.failure]
    print(f"{len(permuted.numbers)} permutations, {len(failed)} of them with fits that failed", *failed[:1], sep="\n")
    outputs.record(job.path, results, ["pool.json"], method=job.method, name=job.params.caption)

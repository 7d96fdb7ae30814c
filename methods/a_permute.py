"""Search, refit and score permuted targets: the null distribution of every score."""

from pathlib import Path

from accelerator import status

from cortax.cohort import open_cohort, open_targets, rows_of
from cortax.data.regions import open_regions
from cortax.folds import open_folds
from cortax.grid.engines.capsule_permuted import write_permuted_capsule
from cortax.grid.work.cells import collect_cells, run_cells
from cortax.provenance import outputs
from cortax.provenance.closure import check_class_code, manifest
from cortax.search.cells import Problem
from cortax.search.pipelines import pipeline_kind
from cortax.search.solvers import solver_modules, warm_up
from cortax.search.spaces import sample_configs, search_space
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


def _strategy(tasks):
    strategy = dict(options.strategy)
    if strategy == {"racing": False, "sampler": "random", "staged": False}:
        return {}
    return {**strategy, "space": {task: search_space(options.kind, task, options.space) for task in tasks}}


def prepare():
    _check_code()
    for source in (jobs.regions, jobs.split, *jobs.targets):
        outputs.check(source.path)
    cohort, folds = open_cohort(jobs.split.path), open_folds(jobs.split.path)
    regions = open_regions(jobs.regions.path)
    targets = open_targets([source.path for source in jobs.targets], cohort)
    tasks = sorted(set(targets.tasks))
    problem = Problem(
        regions=regions.values[rows_of(cohort, regions.subjects, f"job {jobs.regions}")],
        targets=targets.values,
        tasks=targets.tasks,
        names=targets.names,
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
    permuted = Permuted(
        problem=problem,
        groups=cohort.groups,
        exchange=options.exchange,
        numbers=range(options.start, options.end),
        metrics={task: list(options.metrics[task]) for task in tasks},
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

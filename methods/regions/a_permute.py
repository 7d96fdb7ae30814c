"""Search, refit and score permuted targets: the null distribution of every score."""

from cortax.provenance import outputs
from cortax.provenance.closure import find_root, manifest

description = "Search, refit and score permuted targets: the null distribution of every score"
depend_extra = manifest(__name__)
options = {
    "kind": "",
    "n_configs": 60,
    "space": {},
    "regression": None,  # as in `tune`, whose search this repeats on permuted targets
    "classification": None,
    "steps": [],  # what comes before that class
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


def prepare():
    from cortax.workloads.regions.tasks.permute import open_permutation_task

    return open_permutation_task(jobs, options)


def analysis(sliceno, slices, job, prepare_res):
    from accelerator import status

    from cortax.workflow.task import run_task

    run_task(prepare_res, job, find_root(), sliceno, slices, status)


def synthesis(job, prepare_res):
    from cortax.learning.stats.nulls import collect_nulls, save_nulls
    from cortax.workflow.task import collect_task

    task = prepare_res
    done = task.read(collect_task(task, job, find_root()))
    task.cut.check_code(options.code)
    results = save_nulls(job.path, collect_nulls(task.permuted, done))
    failed = [cell.failure for cell in done.values() if cell.failure]
    n_permutations = len(task.permuted.numbers)
    print(f"{n_permutations} permutations, {len(failed)} of them with fits that failed", *failed[:1], sep="\n")
    outputs.record(job.path, results, ["pool.json"], method=job.method, name=job.params.caption)

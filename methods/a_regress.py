"""Regress target genes on all regulators, and say how much each regulator tells about each gene."""

from pathlib import Path

import numpy as np
from accelerator import status

from cortax.errors import InputError
from cortax.grid.engines.capsule_regressions import write_regressions_capsule
from cortax.grid.work.cells import collect_cells, run_cells
from cortax.networks.forests import ForestOptions, Regulators
from cortax.networks.regressions import Regressions, plan_regressions, regress_batch, warm_up
from cortax.networks.store import open_genes, read_cell, save_importances, write_cell
from cortax.provenance import outputs
from cortax.provenance.closure import manifest

description = "Regress target genes on all regulators"
depend_extra = manifest(__name__)
options = {
    "method": "",
    "n_trees": 1000,
    "max_features": None,  # "sqrt", "all" or a number
    "min_samples_leaf": 1,
    "seed": 0,
    "genes": [],  # the targets: what a later build knows this block by
}
jobs = ("regulators", "targets")

ROOT = Path(__file__).resolve().parents[1]


def prepare():
    for source in (jobs.regulators, jobs.targets):
        outputs.check(source.path)
    regulators, targets = open_genes(jobs.regulators.path), open_genes(jobs.targets.path)
    if list(targets.names) != options.genes:
        raise InputError("the target genes are not those that are asked for")
    about = ForestOptions(**{key: value for key, value in options.items() if key != "genes"})
    shared = Regulators.prepare(np.asarray(regulators.values).T, regulators.names)
    problem = Regressions(shared, targets.names, targets.values, about)
    warm_up(problem)
    return problem, plan_regressions(problem)


def analysis(sliceno, slices, job, prepare_res):
    if sliceno:
        return  # the first forks workers, as many as there are slices, and anew whenever one is lost
    problem, batches = prepare_res
    with status("genes") as update:
        run_cells(
            ROOT,
            Path(job.path),
            problem,
            batches,
            lambda batch: regress_batch(problem, batch),
            write_cell,
            lambda folder: write_regressions_capsule(
                folder,
                open_genes(jobs.regulators.path),
                open_genes(jobs.targets.path),
                problem.options,
                first=["methods"],
            ),
            n_slices=slices,
            progress=lambda done, n: update(f"{done}/{n}"),
        )


def synthesis(job, prepare_res):
    problem, batches = prepare_res
    done = collect_cells(ROOT, Path(job.path), problem, batches, read_cell)
    results = save_importances(job.path, open_genes(jobs.targets.path), done, len(problem.regulators.names))
    outputs.record(job.path, results, ["pool.json"], method=job.method, name=job.params.caption)

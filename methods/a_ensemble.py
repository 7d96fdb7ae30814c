"""Make one prediction of those of several models that exist already, and score it; no model is fitted anew."""

from cortax.cohort import open_cohort, open_targets
from cortax.ensemble.members import Member, parts_by_member
from cortax.ensemble.store_inner import open_inner
from cortax.ensemble.strategies import Ensemble, ensemble_cell, weights_table
from cortax.folds import open_folds
from cortax.intervals import score_targets
from cortax.provenance import outputs
from cortax.provenance.closure import manifest
from cortax.search.cells import all_cells
from cortax.search.evaluations import collect_evaluations
from cortax.search.store import open_search
from cortax.search.store_evaluation import open_evaluation, save_evaluation

description = "Make one prediction of those of several models, and score it"
depend_extra = manifest(__name__)
options = {
    "strategy": "",
    "members": [],  # "parcellation/pipeline" of each evaluation, in the same order
    "parts": [],  # whose each search (grid) or each job of inner predictions (stacked) is, and what it has
    "scorers": {},  # of stacked models alone, as is `choose`
    "choose": "best",
    "metrics": {},
    "n_bootstrap": 1000,
    "confidence": 0.95,
    "seed": 0,
}
jobs = ("split", ["targets"], ["evaluate"], ["tune"], ["inner"])


def _members():
    n = len(options.members)
    searched = parts_by_member(
        [open_search(source.path) for source in jobs.tune], options.parts if jobs.tune else [], n
    )
    inner = parts_by_member([open_inner(source.path) for source in jobs.inner], options.parts if jobs.inner else [], n)
    evaluations = [open_evaluation(source.path) for source in jobs.evaluate]
    return tuple(Member(*found) for found in zip(options.members, evaluations, searched, inner, strict=True))


def prepare():
    for source in (jobs.split, *jobs.targets, *jobs.evaluate, *jobs.tune, *jobs.inner):
        outputs.check(source.path)
    cohort, folds = open_cohort(jobs.split.path), open_folds(jobs.split.path)
    targets = open_targets([source.path for source in jobs.targets], cohort)
    return Ensemble(options.strategy, _members(), targets, folds, options.scorers, options.choose), cohort.groups


def analysis(sliceno, slices, prepare_res):
    ensemble, _ = prepare_res
    cells = all_cells(len(ensemble.targets.names), ensemble.folds.n_outer)
    return {cell: ensemble_cell(ensemble, *cell) for cell in cells[sliceno::slices]}


def synthesis(job, prepare_res, analysis_res):
    ensemble, groups = prepare_res
    targets, folds = ensemble.targets, ensemble.folds
    found = collect_evaluations(analysis_res.merge_auto(), len(targets.names), folds)
    table = score_targets(
        found.predictions,
        found.labels,
        targets.values,
        folds.test,
        groups,
        names=targets.names,
        tasks=targets.tasks,
        metrics=options.metrics,
        n_bootstrap=options.n_bootstrap,
        confidence=options.confidence,
        seed=options.seed,
    )
    table.to_parquet(job.filename("scores.parquet"), index=False)
    weights = weights_table(found, options.strategy, targets=targets.names, members=options.members)
    weights.to_parquet(job.filename("weights.parquet"), index=False)
    results, others = save_evaluation(job.path, found, targets.names, options.members)
    print(f"{len(options.members)} members, {len(found.failures)} of {found.chosen.size} cells failed")
    results += ["scores.parquet", "weights.parquet"]
    outputs.record(job.path, results, others, method=job.method, name=job.params.caption)

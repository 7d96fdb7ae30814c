"""Make one prediction of those of several models that exist already, and score it; no model is fitted anew."""

from cortax.provenance import outputs
from cortax.provenance.closure import manifest

description = "Make one prediction of those of several models, and score it"
depend_extra = manifest(__name__)
options = {
    "strategy": "",
    "members": [],  # "parcellation/pipeline" of each evaluation, in the same order
    "parts": [],  # whose each search (grid) or each job of inner predictions (stacked) is, and what it has
    "scorers": {},  # of stacked models alone, as is `choose`
    "choose": "best",
    "metrics": {},
    "confidence": 0.95,
}
jobs = ("split", ["targets"], ["evaluate"], ["tune"], ["inner"])


def _members():
    from cortax.learning.ensemble.store_inner import open_inner
    from cortax.learning.ensemble.strategies import EnsembleMember, parts_by_member
    from cortax.learning.search.store import open_search
    from cortax.learning.search.store_evaluation import open_evaluation

    n = len(options.members)
    searched = parts_by_member(
        [open_search(source.path) for source in jobs.tune], options.parts if jobs.tune else [], n
    )
    inner = parts_by_member([open_inner(source.path) for source in jobs.inner], options.parts if jobs.inner else [], n)
    evaluations = [open_evaluation(source.path) for source in jobs.evaluate]
    return tuple(EnsembleMember(*found) for found in zip(options.members, evaluations, searched, inner, strict=True))


def prepare():
    from cortax.learning.cohort import open_cohort, open_targets
    from cortax.learning.ensemble.strategies import Ensemble
    from cortax.learning.folds import open_folds

    outputs.check_all(jobs)
    cohort, folds = open_cohort(jobs.split.path), open_folds(jobs.split.path)
    targets = open_targets([source.path for source in jobs.targets], cohort)
    return Ensemble(options.strategy, _members(), targets, folds, options.scorers, options.choose), cohort.groups


def analysis(sliceno, slices, prepare_res):
    from cortax.learning.ensemble.strategies import ensemble_cell
    from cortax.learning.search.cells import all_cells

    ensemble, _ = prepare_res
    cells = all_cells(len(ensemble.targets.names), ensemble.folds.n_outer)
    return {cell: ensemble_cell(ensemble, *cell) for cell in cells[sliceno::slices]}


def synthesis(job, prepare_res, analysis_res):
    from cortax.learning.ensemble.strategies import weights_table
    from cortax.learning.predictions import Scoring, score_targets
    from cortax.learning.search.evaluations import collect_evaluations
    from cortax.learning.search.store_evaluation import save_evaluation
    from cortax.store import build

    ensemble, groups = prepare_res
    targets, folds = ensemble.targets, ensemble.folds
    found = collect_evaluations(analysis_res.merge_auto(), len(targets.names), folds)
    table = score_targets(found, targets, folds.test, groups, build(Scoring, options))
    table.to_parquet(job.filename("scores.parquet"), index=False)
    weights = weights_table(found, options.strategy, targets=targets, members=options.members)
    weights.to_parquet(job.filename("weights.parquet"), index=False)
    results, others = save_evaluation(job.path, found, targets.names, options.members)
    print(f"{len(options.members)} members, {len(found.failures)} of {found.chosen.size} units failed")
    results += ["scores.parquet", "weights.parquet"]
    outputs.record(job.path, results, others, method=job.method, name=job.params.caption)

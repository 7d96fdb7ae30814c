"""Evaluations that were made apart, by block or by fold, come together as if they had been made at once."""

from dataclasses import replace

import numpy as np
import pytest

from cortax.errors import SearchError
from cortax.learning.folds import make_folds
from cortax.learning.search import solvers
from cortax.learning.search.cells import Problem
from cortax.learning.search.evaluations import collect_evaluations, failed_cell
from cortax.learning.search.merge import merge_evaluations
from cortax.learning.search.pipelines import PIPELINES
from cortax.learning.search.refit import evaluate_batch
from cortax.learning.search.spaces import sample_configs
from cortax.learning.search.store_evaluation import open_evaluation, save_evaluation

NAMES, TASKS = ("iq", "mood", "pace", "sex", "smoker", "tired"), ("regression",) * 3 + ("classification",) * 3
SPACE = {
    "lgbm": {"n_estimators": {"low": 3, "high": 12, "integer": True}, "min_child_samples": 5, "min_child_weight": 1e-3},
    "svm": {"C": {"low": 0.5, "high": 5.0}, "gamma": {"low": 0.05, "high": 0.5}, "tol": 1e-5},
}
# How far an inner score moves with the company that its target is searched in: sums over several targets at once are
# rounded in another order. SVMs start where a neighbour ended, and stop within their tolerance.
SCORE = {"ridge": 1e-12, "elastic": 1e-12, "svm": 1e-4, "lgbm": 0.0}
# Every target is refitted by itself; the distances that SVMs share are updated target by target. In their spread.
PREDICTION = {"ridge": 0.0, "elastic": 0.0, "svm": 1e-3, "lgbm": 0.0}


def problem_of(kind, n_subjects=90, seed=0, n_regions=6):
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n_subjects, n_regions))
    Y = X[:, :1] + rng.normal(size=(n_subjects, len(NAMES)))
    Y[:, 3:] = Y[:, 3:] > 0.3
    # Targets of the same subjects share most: here all but the first of each task.
    Y[3, 0] = Y[[8, 9], 3] = np.nan
    configs = {task: sample_configs(kind, task, 3, seed=0, space=SPACE.get(kind, {})) for task in set(TASKS)}
    folds = make_folds(np.arange(n_subjects) // 2, n_outer=3, n_inner=2, seed=seed)
    scorers = {"regression": "r2", "classification": "roc_auc"}
    return Problem(X, Y, TASKS, NAMES, folds, kind, configs, scorers, rng.normal(size=(n_subjects, 2)))


def of_targets(problem, *places):
    """The problem of a block."""
    return replace(
        problem,
        targets=problem.targets[:, places],
        tasks=tuple(TASKS[t] for t in places),
        names=tuple(NAMES[t] for t in places),
    )


def evaluated(problem, folder, folds=None, failing=()):
    """Search and evaluate some folds, save and open what is found."""
    found, pipeline = {}, PIPELINES[problem.kind]
    for batch in solvers.plan_batches(problem):
        if folds is None or batch.outer in folds:
            searched = solvers.search_batch(problem, batch, pipeline)
            found |= evaluate_batch(
                problem,
                batch,
                pipeline,
                scores={t: searched[t, batch.outer].scores for t in batch.targets},
                configs={t: problem.configs[problem.tasks[t]] for t in batch.targets},
            )
    found |= {cell: failed_cell("it failed") for cell in failing if cell in found}
    whole = collect_evaluations(found, len(problem.names), problem.folds)
    folder.mkdir()
    save_evaluation(folder, whole, problem.names, [f"region {i}" for i in range(problem.regions.shape[1])])
    return open_evaluation(folder)


def saved(folder, part):
    folder.mkdir()
    names, _ = save_evaluation(folder, part.found, part.targets, part.columns)
    return {name: (folder / name).read_bytes() for name in names}


@pytest.mark.parametrize("kind", sorted(PIPELINES))
@pytest.mark.parametrize("failing", [(), ((1, 2),)])
def test_folds_apart_are_the_whole_to_the_byte(kind, failing, tmp_path):
    problem = problem_of(kind)
    whole = evaluated(problem, tmp_path / "whole", failing=failing)
    parts = [evaluated(problem, tmp_path / f"{k}", [k], failing) for k in (2, 0, 1)]
    merged = merge_evaluations(parts, [NAMES] * 3, NAMES, problem.folds)
    assert saved(tmp_path / "a", merged) == saved(tmp_path / "b", whole)
    assert len(merged.found.failures) == len(failing)


@pytest.mark.parametrize("kind", sorted(PIPELINES))
def test_blocks_apart_find_the_same(kind, tmp_path):
    problem, blocks = problem_of(kind), [(0, 1, 3, 4), (2, 5)]
    together = solvers.search(problem, PIPELINES[kind]).scores
    for block in blocks:
        apart = solvers.search(of_targets(problem, *block), PIPELINES[kind]).scores
        np.testing.assert_allclose(apart, together[list(block)], rtol=0, atol=SCORE[kind])
    whole = evaluated(problem, tmp_path / "whole")
    parts = [evaluated(of_targets(problem, *block), tmp_path / f"{block}") for block in blocks]
    merged = merge_evaluations(parts, [[NAMES[t] for t in block] for block in blocks], NAMES, problem.folds)
    np.testing.assert_array_equal(merged.found.chosen, whole.found.chosen)
    np.testing.assert_array_equal(merged.found.train_rows, whole.found.train_rows)
    spread = np.nanstd(whole.found.predictions, axis=(0, 2))
    moved = np.nanmax(np.abs(merged.found.predictions - whole.found.predictions), axis=(0, 2)) / spread
    assert moved.max() <= PREDICTION[kind], moved
    np.testing.assert_array_equal(np.isnan(merged.found.predictions), np.isnan(whole.found.predictions))


def test_folds_of_some_targets_and_the_whole_of_others(tmp_path):
    problem = problem_of("ridge")
    whole = evaluated(problem, tmp_path / "whole")
    parts = [evaluated(of_targets(problem, 0, 1, 3), tmp_path / f"{k}", [k]) for k in range(3)]
    parts.append(evaluated(of_targets(problem, 2, 4, 5), tmp_path / "rest"))
    take = [*[[NAMES[t] for t in (0, 1, 3)]] * 3, [NAMES[t] for t in (2, 4, 5)]]
    merged = merge_evaluations(parts, take, NAMES, problem.folds)
    np.testing.assert_array_equal(merged.found.chosen, whole.found.chosen)
    np.testing.assert_allclose(merged.found.predictions, whole.found.predictions, rtol=1e-9)


def test_what_is_taken_from_whom(tmp_path):
    """A block may still hold what went by a target's name before."""
    problem = problem_of("ridge")
    before = evaluated(of_targets(problem, 0, 1), tmp_path / "before")
    turned = of_targets(problem, 1)
    now = evaluated(replace(turned, targets=-turned.targets), tmp_path / "now")
    merged = merge_evaluations([before, now], [["iq"], ["mood"]], ("iq", "mood"), problem.folds)
    np.testing.assert_array_equal(merged.found.predictions[:, 0], before.found.predictions[:, 0])
    np.testing.assert_array_equal(merged.found.predictions[:, 1], now.found.predictions[:, 0])
    with pytest.raises(SearchError, match="target 'mood', outer fold 0: 2 evaluations have it, one must"):
        merge_evaluations([before, now], [["iq", "mood"], ["mood"]], ("iq", "mood"), problem.folds)
    with pytest.raises(SearchError, match="target 'mood', outer fold 0: 0 evaluations have it, one must"):
        merge_evaluations([before], [["iq"]], ("iq", "mood"), problem.folds)
    other = replace(now, columns=("another",))
    with pytest.raises(SearchError, match="different regions"):
        merge_evaluations([before, other], [["iq"], ["mood"]], ("iq", "mood"), problem.folds)


def test_lost_timings_are_no_lost_result(tmp_path):
    problem = of_targets(problem_of("ridge"), 0)
    evaluated(problem, tmp_path / "part")
    (tmp_path / "part/seconds.npy").write_bytes(b"")
    found = open_evaluation(tmp_path / "part").found
    assert np.isnan(found.seconds).all()
    assert np.isfinite(found.predictions).any()

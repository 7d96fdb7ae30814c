"""LightGBM's strategies for several classes and ordered ones: forests that grow together, against plain fits."""

from dataclasses import replace

import numpy as np
import pytest

from cortax.learning.folds import make_folds
from cortax.learning.search import reference, solvers
from cortax.learning.search.cells import Problem
from cortax.learning.search.pipelines import PIPELINES, PipelineKind
from cortax.learning.search.spaces import sample_configs, search_space
from cortax.learning.search.trees.racing import tree_counts

KIND = PIPELINES["lgbm"]
TASKS, NAMES = ("classification", "ordinal"), ("diagnosis", "grade")
SPACE = {
    "n_estimators": {"low": 3, "high": 20, "integer": True},
    "learning_rate": {"low": 0.05, "high": 0.4, "log": True},
    "min_child_samples": 5,
    "boosting": ["gbdt", "goss", "dart"],
    "class_weight": [None, "balanced"],
}


def problem_of(n_configs, **more):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(90, 5))
    three = np.digitize(X[:, 0] - X[:, 1] + 0.4 * rng.normal(size=90), [-0.7, 0.7])
    grade = np.digitize(X[:, 2] + 0.4 * rng.normal(size=90), [-0.6, 0.3])
    Y = np.column_stack([three, grade]).astype(float)
    Y[7, 0] = np.nan
    folds = make_folds(np.arange(90), n_outer=2, n_inner=3, seed=1)
    configs = {task: sample_configs("lgbm", task, n_configs, seed=2, space=SPACE) for task in TASKS}
    return Problem(X, Y, TASKS, NAMES, folds, "lgbm", configs, **more)


def staged(n_configs):
    """The space bounds the numbers of trees, as studies have it."""
    space = {task: search_space("lgbm", task, SPACE) for task in ("classification", "regression")}
    return problem_of(n_configs, strategy={"staged": True, "space": space})


def test_every_configuration_on_every_fold_is_the_plain_search():
    problem = problem_of(6, strategy={"sampler": "random"})
    found = solvers.search(problem, KIND)
    expected = solvers.search(replace(problem, strategy={}), KIND)
    assert not found.failures
    np.testing.assert_allclose(found.scores, expected.scores, rtol=0, atol=1e-12)
    slow = reference.search_cell(problem, (1, 0), KIND)
    np.testing.assert_allclose(found.scores[1, 0], slow.scores, rtol=0, atol=1e-12)


@pytest.mark.parametrize("target", [0, 1])
def test_staged_scores_are_means_over_fits_with_some_trees_more_or_less(target):
    problem = staged(4)
    found, task = solvers.search(problem, KIND), TASKS[target]
    assert {config["boosting"] for config in problem.configs[task]} >= {"gbdt", "dart"}
    for number, config in enumerate(found.configs[target, 0]):
        drawn = problem.configs[task][number]
        counts = tree_counts(3, drawn["n_estimators"] if config["boosting"] == "dart" else 20)
        position = counts.index(config["n_estimators"])
        again = reference_scores(problem, target, number, counts[max(position - 2, 0) : position + 3])
        # Where growth stopped, the last numbers of trees have fewer neighbours.
        means = [again[:last].mean(axis=0) for last in range(1 + min(position, 2), len(again) + 1)]
        differences = np.abs(np.array(means) - found.scores[target, 0, number]).max(axis=1)
        assert differences.min() < 1e-12
        assert config | {"n_estimators": 0} == drawn | {"n_estimators": 0}


def reference_scores(problem, target, number, counts):
    """Scores of scikit-learn's classifier of all classes, of shape (n_counts, n_inner)."""
    task, rows = problem.tasks[target], []
    seed = solvers.fit_seed(problem, target, 0, number)
    kind = PipelineKind("fixed", {"classification": lambda config, _: KIND.estimators["classification"](config, seed)})
    for count in counts:
        configs = {**problem.configs, task: [problem.configs[task][number] | {"n_estimators": count}]}
        rows.append(reference.search_cell(replace(problem, configs=configs), (target, 0), kind).scores[0])
    return np.array(rows)


def test_racing_drops_rows_and_keeps_the_others_as_they_are():
    problem = problem_of(10, strategy={"racing": True})
    found = solvers.search(problem, KIND)
    expected = solvers.search(replace(problem, strategy={}), KIND)
    seen = ~np.isnan(found.scores)
    np.testing.assert_allclose(found.scores[seen], expected.scores[seen], rtol=0, atol=1e-12)
    assert seen[..., 0].all()
    assert (~seen).any(axis=(1, 2, 3)).all(), "of both targets some are dropped"
    assert (seen[..., :-1] >= seen[..., 1:]).all()


def test_altered_test_subjects_change_no_search():
    problem = staged(3)
    before = solvers.search(problem, KIND)
    test = problem.folds.test[0]
    regions, targets = problem.regions.copy(), problem.targets.copy()
    regions[test] = 1000.0
    targets[test] = (targets[test] + 1) % 3
    after = solvers.search(replace(problem, regions=regions, targets=targets), KIND)
    np.testing.assert_array_equal(before.scores[:, 0], after.scores[:, 0])
    assert [before.configs[t, 0] for t in (0, 1)] == [after.configs[t, 0] for t in (0, 1)]


def test_a_class_that_a_training_part_lacks_fails_its_cell_alone():
    problem = staged(2)
    targets = problem.targets.copy()
    inner = problem.folds.valid[0, 1]
    targets[~problem.folds.test[0] & ~inner & (targets[:, 0] == 2), 0] = 1
    found = solvers.search(replace(problem, targets=targets), KIND)
    assert np.isnan(found.scores[0, 0]).all()
    assert np.isfinite(found.scores[1]).all()
    (failure,) = (each for each in found.failures if each["outer"] == 0)
    assert (failure["target"], failure["inner"], failure["config"]) == ("diagnosis", 1, -1)
    assert "nobody of class 2 of 3 classes" in failure["message"]

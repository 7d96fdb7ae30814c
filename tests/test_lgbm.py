"""LightGBM: bit by bit the plain loop, and what a search by strategy may and may not change."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from plain import search

from cortax.errors import SearchError
from cortax.learning.folds import make_folds
from cortax.learning.search import lgbm, reference, solvers
from cortax.learning.search.cells import Problem
from cortax.learning.search.front import fit_front
from cortax.learning.search.pipelines import PIPELINES, PipelineKind, make_back
from cortax.learning.search.spaces import SPACES, sample_configs
from cortax.learning.search.training import TrainingSet
from cortax.learning.search.trees import boosting, lgbm_race
from cortax.learning.search.trees.racing import tree_counts

TASKS = ("regression", "classification")
KIND = PIPELINES["lgbm"]


def awkward(rng, n, p):
    """Columns of every sort: noise, constant, twice the same, few values, one rare value, huge and tiny units."""
    X = rng.normal(size=(n, p)) * 10.0 ** rng.integers(-6, 6, p)
    for column, values in enumerate([np.full(n, 3.0), X[:, -1], rng.integers(0, 3, n), np.arange(n) == 1]):
        if column + 1 < p:
            X[:, column] = values
    return X


def training_set(X, n_train, dtype=np.float64):
    rows = np.arange(len(X))
    return TrainingSet.of(
        fit_front(X.astype(dtype), None, rows[:n_train], rows[n_train:]), rows[:n_train], rows[n_train:]
    )


def labels(rng, X, task):
    y = X[:, -1] / (X[:, -1].std() or 1) + rng.normal(size=len(X))
    return y if task == "regression" else (y > 0).astype(float)


def by_scikit_learn(part, y, config, task, seed):
    """Decisions of the plain estimator: raw scores."""
    back = make_back(KIND, task, config, seed=seed)
    back.fit(part.X, y if task == "regression" else y.astype(int))
    return back.predict(part.X_valid, raw_score=True)


def configs_of(task, seed, n_configs, **space):
    return sample_configs("lgbm", task, n_configs, seed=seed, space={"n_estimators": [1, 4, 15], **space})


# Small leaves, so that something is learned from few rows, among the sizes that leave out columns.
LEAVES = {"min_child_samples": [1, 2, 5, 14, 40, 500], "min_child_weight": [1e-3, 1.0, 4.0, 1e4]}


@settings(deadline=None, max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    task=st.sampled_from(TASKS),
    seed=st.integers(0, 10**6),
    n=st.integers(4, 120),
    p=st.integers(1, 12),
    dtype=st.sampled_from([np.float32, np.float64]),
)
def test_every_fit_has_the_bits_of_scikit_learn(task, seed, n, p, dtype):
    rng = np.random.default_rng(seed)
    X = awkward(rng, n + 10, p)
    part = training_set(X, n, dtype)
    Y = np.column_stack([labels(rng, X, task)[:n] for _ in range(2)])
    if task == "classification":
        Y[:2] = [[0, 1], [1, 0]]
    configs = configs_of(task, seed, 8, **LEAVES, learning_rate=[0.1, 0.5], max_bin=[255, 255, 15], max_depth=[-1, 3])
    seeds = rng.integers(0, 2**31, (2, 8))
    found = lgbm.fit(part, Y, configs, task=task, seeds=seeds)
    assert found.failures == ()
    assert not found.not_converged.any()
    for target, number in np.ndindex(2, 8):
        expected = by_scikit_learn(part, Y[:, target], configs[number], task, int(seeds[target, number]))
        np.testing.assert_array_equal(found.decisions[target, number], expected)
        # What the training set keeps from other fits changes nothing.
        alone = lgbm.fit(part, Y[:, [target]], [configs[number]], task=task, seeds=seeds[[target]][:, [number]])
        np.testing.assert_array_equal(alone.decisions[0, 0], expected)


@pytest.mark.parametrize("task", TASKS)
def test_a_whole_search_has_the_bits_of_the_plain_loop(task):
    problem = small_problem(task, n_configs=6)
    found = solvers.search(problem, KIND)
    assert solvers.find_solver("lgbm", task, problem.configs[task]) is lgbm
    expected = plain(problem)
    # The decisions have the same bits; the fast scorers round once more or less.
    np.testing.assert_allclose(found.scores, expected.scores, rtol=0, atol=1e-14)
    assert found.failures == expected.failures == ()
    assert np.ptp(found.scores) > 0.02


def small_problem(task, n_configs, n_subjects=150, n_targets=2, space=None, **more):
    rng = np.random.default_rng(1)
    X = rng.normal(size=(n_subjects, 8)).astype(np.float32)
    X[rng.random(X.shape) < 0.02] = np.nan
    Y = np.column_stack([labels(rng, np.nan_to_num(X), task) for _ in range(n_targets)])
    Y[3, 0] = np.nan
    space = {"n_estimators": {"low": 3, "high": 40, "integer": True}, "min_child_samples": [5, 20], **(space or {})}
    space = {"min_child_weight": [1e-3, 3.0], **space}
    if "strategy" in more:
        more["strategy"] = {**more["strategy"], "space": {task: {**SPACES["lgbm", task], **space}}}
    return Problem(
        X,
        Y,
        (task,) * n_targets,
        tuple(f"target {t}" for t in range(n_targets)),
        make_folds(np.arange(n_subjects) // 2, n_outer=2, n_inner=3, seed=0),
        "lgbm",
        {task: sample_configs("lgbm", task, n_configs, seed=0, space=space)},
        confounds=rng.normal(size=(n_subjects, 1)),
        **more,
    )


def plain(problem):
    return search(problem, KIND)


def test_bins_are_shared_only_where_columns_are_left_out_alike():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(110, 3))
    X[:, 0] = np.arange(110) % 10 == 0
    part = training_set(X, 100)

    def bins(leaf):
        made = boosting.recipe("regression", {"min_child_samples": leaf, "n_estimators": 1}, seed=0)
        return boosting.find_bins(part, made)

    first = bins(10)
    assert bins(1) is bins(5) is first
    assert bins(11) is not first
    assert bins(11) is bins(30)


@pytest.mark.parametrize("value", [0.0, 1.0])
def test_a_training_set_of_one_class(value):
    rng = np.random.default_rng(0)
    part = training_set(rng.normal(size=(60, 3)), 40)
    y = np.full(40, value)
    config = {"n_estimators": 3, "class_weight": "balanced"}
    found = lgbm.fit(part, y[:, None], [config], task="classification", seeds=[[0]])
    fitted = make_back(KIND, "classification", config, seed=0).fit(part.X, y.astype(int))
    np.testing.assert_array_equal(found.decisions[0, 0] > 0, fitted.predict(part.X_valid) == 1)


def test_what_fails_is_told_and_the_others_go_on():
    rng = np.random.default_rng(0)
    part = training_set(rng.normal(size=(60, 3)), 40)
    y = rng.normal(size=(40, 1))
    configs = [{"num_leaves": 1}, {"n_estimators": 2}, {"n_estimators": 0}, {"max_bin": 1}, {"boosting": "none"}]
    found = lgbm.fit(part, y, configs, task="regression", seeds=[[0] * 5])
    assert [(number, type(error).__name__) for _, number, error in found.failures] == [
        (0, "LightGBMError"),
        (2, "ValueError"),
        (3, "LightGBMError"),
        (4, "LightGBMError"),
    ]
    assert np.isfinite(found.decisions[0]).all(axis=1).tolist() == [False, True, False, False, False]


def test_memory_errors_are_left_to_the_caller(monkeypatch):
    import lightgbm

    part = training_set(np.random.default_rng(0).normal(size=(60, 3)), 40)
    for error in (MemoryError, lightgbm.basic.LightGBMError("std::bad_alloc")):

        def fail(*_, error=error):
            raise error

        monkeypatch.setattr(lgbm, "forest", fail)
        with pytest.raises(MemoryError):
            lgbm.fit(part, np.zeros((40, 1)), [{}], task="regression", seeds=[[0]])


def test_unknown_parameters_go_to_the_plain_loop():
    assert "min_data_in_bin" in lgbm.unable("regression", [{"n_estimators": 3}, {"min_data_in_bin": 9}])
    assert lgbm.unable("classification", sample_configs("lgbm", "classification", 9, seed=0)) == ""


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("boosting_type", ["gbdt", "goss", "dart"])
def test_growing_is_fitting_with_fewer_trees(task, boosting_type):
    rng = np.random.default_rng(0)
    X = awkward(rng, 160, 6)
    part = training_set(X, 120)
    y = labels(rng, X, task)[:120]
    config = configs_of(task, 1, 1, boosting=boosting_type, min_child_samples=5, min_child_weight=1e-3)[0]
    config["learning_rate"] = 0.3
    counts = (1, 2, 5, 30)
    made = boosting.recipe(task, config, seed=3)
    grown = list(boosting.curve(part, y, made, counts))
    for count, found in zip(counts, grown, strict=True):
        expected = by_scikit_learn(part, y, config | {"n_estimators": count}, task, 3)
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-10)
        if task == "regression" and boosting_type != "dart":
            np.testing.assert_array_equal(found, expected)
    assert np.ptp(grown[-1] - grown[0]) > 0.1


def found_by(task, strategy, n_configs=8, **more):
    problem = small_problem(task, n_configs, strategy=strategy, **more)
    return problem, solvers.search(problem, KIND)


@pytest.mark.parametrize("task", TASKS)
def test_staged_scores_are_means_over_fits_with_some_trees_more_or_less(task):
    problem, found = found_by(task, {"staged": True}, n_configs=3, n_targets=1)
    for (target, outer), configs in found.configs.items():
        for number, config in enumerate(configs):
            drawn = problem.configs[task][number]
            counts = tree_counts(3, drawn["n_estimators"] if config["boosting"] == "dart" else 40)
            position = counts.index(config["n_estimators"])
            again = reference_scores(problem, target, outer, number, counts[max(position - 2, 0) : position + 3])
            # Where growth stopped, the last numbers of trees have fewer neighbours.
            means = [again[:last].mean(axis=0) for last in range(1 + min(position, 2), len(again) + 1)]
            differences = np.abs(np.array(means) - found.scores[target, outer, number]).max(axis=1)
            assert differences.min() < 1e-12
            assert config | {"n_estimators": 0} == drawn | {"n_estimators": 0}


def reference_scores(problem, target, outer, number, counts):
    """Scores of the plain estimator, of shape (n_counts, n_inner), by another way than the search's."""
    task, rows = problem.tasks[target], []
    seed = solvers.fit_seed(problem, target, outer, number)
    for count in counts:
        kind = PipelineKind("fixed", {task: lambda config, _: KIND.estimators[task](config, seed)})
        configs = {task: [problem.configs[task][number] | {"n_estimators": count}]}
        cell = reference.search_cell(replace(problem, configs=configs), (target, outer), kind)
        rows.append(cell.scores[0])
    return np.array(rows)


def test_racing_drops_only_rows_that_would_have_lost_and_keeps_the_others_as_they_are():
    problem, found = found_by("regression", {"racing": True}, n_configs=12)
    expected = plain(problem)
    seen = ~np.isnan(found.scores)
    np.testing.assert_allclose(found.scores[seen], expected.scores[seen], rtol=0, atol=1e-12)
    assert seen[..., 0].all()
    assert not seen.all()
    # A row that ran on a fold ran on those before it.
    assert (seen[..., :-1] >= seen[..., 1:]).all()
    best = expected.scores.mean(axis=3).argmax(axis=2)
    for cell, number in np.ndenumerate(best):
        assert seen[cell][number].all()


def test_bins_are_a_parameter_that_is_kept():
    problem, found = found_by("regression", {"max_bin": 15}, n_configs=3)
    coarse = [{**config, "max_bin": 15} for config in problem.configs["regression"]]
    assert {cell: list(configs) for cell, configs in found.configs.items()} == dict.fromkeys(found.configs, coarse)
    again = small_problem("regression", 3, space={"max_bin": 15})
    np.testing.assert_allclose(found.scores, plain(again).scores, rtol=0, atol=1e-12)


def test_a_failing_configuration_loses_and_is_told():
    problem = small_problem("regression", 2, strategy={"staged": True, "racing": True})
    problem.configs["regression"][1]["num_leaves"] = 1
    found = solvers.search(problem, KIND)
    assert np.isnan(found.scores[:, :, 1]).all()
    assert not np.isnan(found.scores[:, :, 0]).any()
    assert {(f["config"], f["inner"], f["kind"]) for f in found.failures} == {(1, 0, "LightGBMError")}


def test_a_failing_front_end_fails_the_cell():
    problem = small_problem("regression", 2, strategy={"racing": True})
    problem.regions[np.flatnonzero(problem.folds.valid[0, 0])[4], 1] = np.inf
    cell = lgbm.search(problem, solvers.plan_batches(problem)[0])[0, 0]
    assert np.isnan(cell.scores).all()
    assert cell.scores.shape == (2, 3)
    assert {f["config"] for f in cell.failures} == {-1}


@pytest.mark.parametrize(
    ("strategy", "message"),
    [
        ({"stagd": True}, "strategy: got 'stagd'.*did you mean 'staged'"),
        ({"sampler": "tpe"}, "sampler: got 'tpe'.*'random'"),
    ],
)
def test_a_strategy_that_makes_no_sense(strategy, message):
    problem = small_problem("regression", 2, strategy=strategy)
    with pytest.raises(SearchError, match=message):
        lgbm.search(problem, solvers.plan_batches(problem)[0])


def test_what_never_splits_is_a_constant_at_every_number_of_trees():
    rng = np.random.default_rng(0)
    part = training_set(rng.normal(size=(60, 3)), 40)
    made = boosting.recipe("regression", {"n_estimators": 9, "min_child_samples": 21}, seed=0)
    y = rng.normal(size=40) + 5
    assert boosting.never_splits(made, 40)
    for found in boosting.curve(part, y, made, (1, 4, 9)):
        np.testing.assert_array_equal(found, boosting.forest(part, y, made)[0])
        np.testing.assert_allclose(found, y.mean(), rtol=1e-6)


@pytest.mark.parametrize(("level", "n_finished"), [(1e-9, 8), (0.4999, 1)])
def test_the_level_says_how_many_are_dropped(monkeypatch, level, n_finished):
    monkeypatch.setattr(lgbm_race, "LEVEL", level)
    # At the highest level, who is best on the first fold comes first and drops all others.
    _, found = found_by("regression", {"racing": True}, n_targets=1, space={"n_estimators": [20], "boosting": "gbdt"})
    assert (~np.isnan(found.scores).any(axis=3)).sum(axis=2).tolist() == [[n_finished, n_finished]]

"""Support vector machines: scikit-learn's decisions, on distances that all configurations share."""

import warnings
from dataclasses import replace

import numpy as np
import plain
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cortax.learning.folds import make_folds
from cortax.learning.search import solvers, svm
from cortax.learning.search.cells import Problem
from cortax.learning.search.front import fit_front
from cortax.learning.search.kernel import distances
from cortax.learning.search.pipelines import PIPELINES, fit_counting, make_back
from cortax.learning.search.refit import evaluate_batch
from cortax.learning.search.spaces import sample_configs
from cortax.learning.search.training import TrainingSet

TASKS = ["regression", "classification"]


def a_part(n_train, n_regions, *, n_valid=11, seed=0, spoil=None, dtype=float):
    rng = np.random.default_rng(seed)
    regions = rng.normal(size=(n_train + n_valid, n_regions)) + rng.normal(size=(n_train + n_valid, 2)) @ rng.normal(
        size=(2, n_regions)
    )
    if spoil is not None:
        spoil(regions)
    train, valid = np.arange(n_train), np.arange(n_train, n_train + n_valid)
    return TrainingSet.of(fit_front(regions.astype(dtype), None, train, valid), train, valid)


def targets(part, n_targets, task, seed=1):
    rng = np.random.default_rng(seed)
    Y = part.X @ rng.normal(size=(part.n_regions, n_targets)) / np.sqrt(part.n_regions)
    Y = Y + rng.normal(size=Y.shape)
    return Y if task == "regression" else (np.quantile(Y, 0.6, axis=0) < Y) * 1.0


def fitted(part, Y, configs, task, **more):
    return svm.fit(part, Y, configs, task=task, seeds=np.zeros((Y.shape[1], len(configs)), int), **more)


def fitted_by_scikit_learn(part, y, config, task):
    back = make_back(PIPELINES["svm"], task, config, seed=0)
    fit_counting(back, part.X, y if task == "regression" else y.astype(int))
    return back


def decisions_of(back, part, task):
    return back.predict(part.X_valid) if task == "regression" else back.decision_function(part.X_valid)


def scikit_learn(part, y, config, task):
    return decisions_of(fitted_by_scikit_learn(part, y, config, task), part, task)


def intercept_is_free(back, config):
    """Whether all coefficients are at their bounds: then rounding decides which of many right intercepts it is."""
    machine = back[-1]
    bounds = config.get("C", 1.0) * np.atleast_1d(getattr(machine, "class_weight_", 1.0))
    return np.isclose(np.abs(machine.dual_coef_)[..., None], bounds, rtol=1e-9).any(axis=-1).all()


def tolerance(config, n_train):
    """libsvm's own: its tolerance, and its kernel's single precision times coefficients of the size of C."""
    return 1e-5 + 20 * config.get("tol", 1e-3) + 6e-8 * max(n_train, 33) * config.get("C", 1.0)


def assert_as_scikit_learn(part, Y, configs, task, found):
    assert found.failures == ()
    assert not found.not_converged.any()
    for t, y in enumerate(Y.T):
        for number, config in enumerate(configs):
            back = fitted_by_scikit_learn(part, y, config, task)
            expected = decisions_of(back, part, task)
            if intercept_is_free(back, config):
                offset = np.median(found.decisions[t, number] - expected)
                assert abs(offset) < 2
                expected = expected + offset
            allowed = tolerance(config, len(part.train))
            np.testing.assert_allclose(found.decisions[t, number], expected, rtol=0, atol=allowed)


def some_configs(task, n_configs, seed, **more):
    configs = sample_configs("svm", task, n_configs, seed=seed)
    return [config | {"C": min(config["C"], 300.0), "tol": 1e-7} | more for config in configs]


@pytest.mark.parametrize("task", TASKS)
@given(
    n_train=st.integers(12, 60),
    n_regions=st.integers(2, 80),
    n_targets=st.integers(1, 3),
    n_configs=st.integers(1, 8),
    seed=st.integers(0, 100),
)
@settings(deadline=None, max_examples=30)
def test_equals_scikit_learn(task, n_train, n_regions, n_targets, n_configs, seed):
    part = a_part(n_train, n_regions, seed=seed)
    Y, configs = targets(part, n_targets, task), some_configs(task, n_configs, seed)
    assert_as_scikit_learn(part, Y, configs, task, fitted(part, Y, configs, task))


@pytest.mark.parametrize("task", TASKS)
def test_defaults_and_named_gammas(task):
    part = a_part(60, 9)
    configs = [{}, {"gamma": "scale", "percentile": 60}, {"gamma": "auto"}, {"gamma": 0.1, "max_iter": -1}]
    if task == "classification":
        configs += [{"class_weight": "balanced"}, {"class_weight": None, "percentile": 70.5}]
    else:
        configs += [{"epsilon": 0.0}, {"epsilon": 0.7, "gamma": "scale"}, {"epsilon": 100.0}]
    configs = [config | {"tol": 1e-7} for config in configs]
    Y = targets(part, 2, task)
    assert_as_scikit_learn(part, Y, configs, task, fitted(part, Y, configs, task))


def duplicated(regions):
    regions[:, 3] = regions[:, 2]
    regions[5] = regions[4]
    regions[-1] = regions[0]


def constant(regions):
    regions[:, 0] = 0.0
    regions[:, 2] = 7.0
    regions[1:, 1] = 3.0


def outlying(regions):
    regions[0, 0] = 1e6
    regions[1, 1] = -1e5


@pytest.mark.parametrize("spoil", [duplicated, constant, outlying])
@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize(("n_train", "n_regions"), [(50, 8), (20, 70)])
@pytest.mark.parametrize("n_targets", [1, 4])
def test_odd_columns_and_rows(spoil, task, n_train, n_regions, n_targets):
    part = a_part(n_train, n_regions, spoil=spoil)
    Y, configs = targets(part, n_targets, task), some_configs(task, 6, 3)
    assert_as_scikit_learn(part, Y, configs, task, fitted(part, Y, configs, task))


@pytest.mark.parametrize("task", TASKS)
def test_single_precision_regions(task):
    part = a_part(40, 12, dtype=np.float32)
    Y, configs = targets(part, 2, task), some_configs(task, 4, 0)
    assert_as_scikit_learn(part, Y, configs, task, fitted(part, Y, configs, task))


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("C", [1e-10, 1e-4, 1e4])
@pytest.mark.parametrize("gamma", [1e-12, 1e-3, 1e3])
def test_extreme_penalties_are_as_good_as_libsvm(task, C, gamma):
    part = a_part(40, 5)
    y = targets(part, 1, task)[:, 0]
    config = {"C": C, "gamma": gamma}
    found = fitted(part, y[:, None], [config], task)
    assert not found.not_converged.any()
    expected = scikit_learn(part, y, config | {"tol": 1e-7}, task)
    np.testing.assert_allclose(found.decisions[0, 0], expected, rtol=5e-3, atol=5e-3)


@pytest.mark.parametrize("task", TASKS)
def test_a_penalty_beyond_libsvms_precision_converges(task):
    part = a_part(30, 5)
    Y = targets(part, 1, task)
    configs = [{"C": 1e9, "gamma": gamma} for gamma in (1e-9, 1e-3, 0.1, 10.0)]
    found = fitted(part, Y, configs, task)
    assert not found.not_converged.any()
    assert np.isfinite(found.decisions).all()


def test_the_intercept_of_classes_that_weigh_the_same_is_libsvms():
    for seed in range(10):
        part = a_part(200 + 3 * seed, 6, seed=seed)
        y = targets(part, 1, "classification", seed)
        configs = [{"C": C, "gamma": 0.01, "class_weight": "balanced"} for C in (1e-3, 3e-4, 1e-4)]
        found = fitted(part, y, configs, "classification")
        for number, config in enumerate(configs):
            expected = scikit_learn(part, y[:, 0], config, "classification")
            np.testing.assert_allclose(found.decisions[0, number], expected, rtol=0, atol=2e-3)


@pytest.mark.parametrize("task", TASKS)
def test_company_order_and_earlier_calls_do_not_matter(task):
    together, alone, reverse = (a_part(70, 30) for _ in range(3))
    Y, configs = targets(together, 6, task), some_configs(task, 10, 5)
    found = fitted(together, Y, configs, task)
    assert "svm.full" in together.shared
    backwards = fitted(reverse, Y[:, ::-1], configs[::-1], task)
    for t in (0, 3, 5):
        for part in (alone, together):
            single = fitted(part, Y[:, [t]], [configs[4]], task, coefficients=True)
            assert single.coefficients is None
            atol = tolerance(configs[4], len(part.train))
            np.testing.assert_allclose(single.decisions[0, 0], found.decisions[t, 4], rtol=0, atol=atol)
            np.testing.assert_allclose(backwards.decisions[5 - t, 5], found.decisions[t, 4], rtol=0, atol=atol)
    again = fitted(a_part(70, 30), Y, configs, task)
    np.testing.assert_array_equal(again.decisions, found.decisions)


def test_distances_move(monkeypatch):
    monkeypatch.setattr(distances, "_ROWS", 7)
    monkeypatch.setattr(distances, "_COLUMNS", 5)
    rng = np.random.default_rng(0)
    part = a_part(30, 40)
    found = distances.no_distances(part)
    rows = np.vstack([part.X, part.X_valid])
    for share in (0.2, 0.9, 0.5, 1.0, 0.4, 0.6, 0.05, 0.0, 0.8):
        columns = rng.random(40) < share
        distances.move(part, found, columns)
        some = rows[:, columns]
        exact = ((some[:30, None] - some[None]) ** 2).sum(axis=2)
        np.testing.assert_allclose(found.values, exact, rtol=3e-6, atol=1e-5)
        np.testing.assert_array_equal(found.columns, columns)


def test_a_large_column_that_goes_takes_its_rounding_along():
    part = a_part(30, 20)
    part.X[3, 0] = 1e5
    found = distances.no_distances(part)
    columns = np.ones(20, bool)
    distances.move(part, found, columns)
    columns[0] = False
    distances.move(part, found, columns)
    some = np.vstack([part.X, part.X_valid])[:, 1:]
    np.testing.assert_allclose(found.values, ((some[:30, None] - some[None]) ** 2).sum(axis=2), rtol=1e-5, atol=1e-5)


FAILING = [
    ("regression", {"percentile": 0}, None),
    ("classification", {"percentile": 0}, None),
    ("classification", {}, 1.0),
    ("regression", {}, np.inf),
]


@pytest.mark.parametrize(("task", "config", "value"), FAILING)
def test_what_fails_fails_in_scikit_learns_words(task, config, value):
    part = a_part(20, 5)
    Y = targets(part, 2, task)
    if value is not None:
        Y[:, 0] = value
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = fitted(part, Y, [config, {}], task)
        with pytest.raises(ValueError) as error:  # noqa: PT011  (the message is compared)
            scikit_learn(part, Y[:, 0], config, task)
    where, number, failure = found.failures[0]
    assert (where, number) == (0, 0)
    assert type(failure) is type(error.value)
    assert str(failure) == str(error.value)
    assert np.isnan(found.decisions[0, 0]).all()
    assert np.isfinite(found.decisions[1, 1]).all()


def test_no_column_that_varies():
    part = a_part(20, 3, spoil=lambda regions: regions.fill(2.0))
    found = fitted(part, np.arange(20.0)[:, None], [{}], "regression")
    assert "No feature in X meets the variance threshold" in str(found.failures[0][2])


def test_constant_targets():
    part = a_part(20, 3)
    found = fitted(part, np.full((20, 1), 3.0), [{}, {"percentile": 67}], "regression")
    np.testing.assert_array_equal(found.decisions, 3.0)


def test_values_beyond_single_precision_are_left_to_scikit_learn():
    part = a_part(20, 3)
    Y = targets(part, 1, "regression") * 1e20
    found = fitted(part, Y, [{}], "regression")
    np.testing.assert_array_equal(found.decisions[0, 0], scikit_learn(part, Y[:, 0], {}, "regression"))


def test_steps_are_bounded():
    part = a_part(60, 4)
    Y = targets(part, 1, "regression")
    found = fitted(part, Y, [{"C": 1e3, "max_iter": 5}, {"C": 1e3}], "regression")
    assert found.not_converged.tolist() == [[1, 0]]
    assert found.iterations[0, 0] <= 5
    assert np.isfinite(found.decisions).all()


def test_memory_errors_pass(monkeypatch):
    def no_memory(*_):
        raise MemoryError

    monkeypatch.setattr(svm, "_fit_plainly", no_memory)
    with pytest.raises(MemoryError):
        fitted(a_part(20, 3), np.ones((20, 1)), [{}], "classification")


@pytest.mark.parametrize(
    ("task", "config"),
    [
        ("regression", {"C": 0}),
        ("regression", {"C": "1"}),
        ("regression", {"gamma": 0.0}),
        ("regression", {"gamma": "auto?"}),
        ("regression", {"tol": 0}),
        ("regression", {"epsilon": -0.1}),
        ("regression", {"class_weight": None}),
        ("regression", {"max_iter": 1.5}),
        ("regression", {"percentile": 101}),
        ("regression", {"kernel": "linear"}),
        ("classification", {"class_weight": "even"}),
        ("classification", {"C": True}),
    ],
)
def test_what_is_left_to_scikit_learn(task, config):
    assert svm.unable(task, [{}, config]) != ""


@pytest.mark.parametrize("task", TASKS)
def test_what_is_sampled_can_be_done(task):
    assert svm.unable(task, sample_configs("svm", task, 50, seed=0)) == ""
    assert svm.unable(task, [{"epsilon": 0.2, "tol": 1e-4, "max_iter": 100}]) == ""
    assert svm.unable("ranking", []) != ""


def a_problem(task, seed=0):
    rng = np.random.default_rng(seed)
    n = 90
    regions = rng.normal(size=(n, 14)).astype(np.float32)
    Y = regions[:, :3] + rng.normal(size=(n, 3))
    if task == "classification":
        Y = (Y > 0.2) * 1.0
    Y[:5, 1] = np.nan
    regions[3, 4] = np.nan
    # With so few rows and a tiny penalty, libsvm's intercept may be a matter of the order of ties.
    configs = [config | {"C": max(config["C"], 0.1)} for config in some_configs(task, 6, seed)]
    return Problem(
        regions=regions,
        targets=Y,
        tasks=(task,) * 3,
        names=("a", "b", "c"),
        folds=make_folds(np.arange(n), n_outer=2, n_inner=3, seed=0),
        kind="svm",
        configs={task: configs},
        confounds=rng.normal(size=(n, 2)),
    )


@pytest.mark.parametrize("task", TASKS)
def test_a_search_is_that_of_the_plain_loop(task):
    problem = a_problem(task)
    found = solvers.search(problem, PIPELINES["svm"])
    assert solvers.find_solver("svm", task, problem.configs[task]) is svm
    expected = plain.search(problem, PIPELINES["svm"])
    assert found.failures == expected.failures == ()
    np.testing.assert_allclose(found.scores, expected.scores, rtol=0, atol=1e-4)
    np.testing.assert_array_equal(found.scores.mean(axis=3).argmax(axis=2), expected.scores.mean(axis=3).argmax(axis=2))


@pytest.mark.parametrize("task", TASKS)
def test_a_refit_is_that_of_the_plain_loop(task):
    problem = a_problem(task)
    batch = solvers.plan_batches(problem)[0]
    found = solvers.search_batch(problem, batch, PIPELINES["svm"])
    scores = {t: found[t, batch.outer].scores for t in batch.targets}
    configs = dict.fromkeys(batch.targets, problem.configs[task])
    mine = evaluate_batch(problem, batch, PIPELINES["svm"], scores=scores, configs=configs)
    theirs = evaluate_batch(replace(problem, plain=True), batch, PIPELINES["svm"], scores=scores, configs=configs)
    for key, cell in mine.items():
        np.testing.assert_allclose(cell.predictions, theirs[key].predictions, rtol=0, atol=2e-3)
        np.testing.assert_array_equal(cell.labels, theirs[key].labels)

"""Elastic net regression: scikit-learn's scores, predictions and coefficients at a tight tolerance."""

import warnings
from dataclasses import replace

import numpy as np
import plain
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.linear_model import ElasticNet

from cortax.learning.folds import make_folds
from cortax.learning.search import elastic, solvers
from cortax.learning.search.cells import Problem
from cortax.learning.search.front import fit_front
from cortax.learning.search.pipelines import PIPELINES
from cortax.learning.search.refit import evaluate_batch
from cortax.learning.search.spaces import sample_configs
from cortax.learning.search.training import TrainingSet


def a_part(n_train, n_regions, *, n_valid=11, seed=0, spoil=None):
    rng = np.random.default_rng(seed)
    mix = rng.normal(size=(n_regions, n_regions)) / np.sqrt(n_regions) + 0.2
    regions = rng.normal(size=(n_train + n_valid, n_regions)) @ mix + rng.normal(size=n_regions)
    if spoil is not None:
        spoil(regions)
    train, valid = np.arange(n_train), np.arange(n_train, n_train + n_valid)
    return TrainingSet.of(fit_front(regions, None, train, valid), train, valid)


def targets(part, n_targets, seed=1):
    rng = np.random.default_rng(seed)
    signal = part.X @ rng.normal(size=(part.X.shape[1], n_targets)) / part.X.shape[1]
    return signal + rng.normal(size=signal.shape) + rng.normal(size=n_targets) * 10


def fitted(part, Y, configs, **more):
    return elastic.fit(part, Y, configs, task="regression", seeds=np.zeros((Y.shape[1], len(configs)), int), **more)


def tight(config):
    return ElasticNet(**{**config, "tol": 1e-13, "max_iter": 200_000})


def slow_fit(model, X, y):
    # Its gap stops at rounding, and it says so.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return model.fit(X, y)


def assert_as_scikit_learn(part, Y, configs, found, atol):
    for t in range(Y.shape[1]):
        for number, config in enumerate(configs):
            model = slow_fit(tight(config), part.X, Y[:, t])
            np.testing.assert_allclose(found.decisions[t, number], model.predict(part.X_valid), rtol=0, atol=atol)
            if found.coefficients is not None:
                rows = part.X @ found.coefficients[t, number] + found.intercepts[t, number]
                np.testing.assert_allclose(rows, model.predict(part.X), rtol=0, atol=atol)


@given(
    n_train=st.integers(3, 40),
    n_regions=st.integers(1, 30),
    n_targets=st.integers(1, 3),
    exponents=st.lists(st.floats(-3, 3), min_size=1, max_size=6),
    ratio=st.sampled_from([0.01, 0.5, 0.9, 1.0]),
    wanted=st.booleans(),
    seed=st.integers(0, 100),
)
@settings(deadline=None, max_examples=40)
def test_equals_scikit_learn(n_train, n_regions, n_targets, exponents, ratio, wanted, seed):
    part = a_part(n_train, n_regions, seed=seed)
    Y = targets(part, n_targets)
    configs = [{"alpha": 10.0**e, "l1_ratio": ratio} for e in exponents]
    found = fitted(part, Y, configs, coefficients=wanted)
    assert (found.coefficients is not None) == wanted
    assert found.failures == ()
    assert not found.not_converged.any()
    if ratio < 1 or n_train > n_regions:
        assert_as_scikit_learn(part, Y, configs, found, 2e-4)


def objective(part, y, config, coef, intercept):
    loss = np.mean((y - intercept - part.X @ coef) ** 2) / 2
    ratio = config["l1_ratio"]
    return loss + config["alpha"] * (ratio * np.abs(coef).sum() + (1 - ratio) / 2 * coef @ coef)


@given(
    n_train=st.integers(3, 30),
    more=st.integers(0, 30),
    exponent=st.floats(-3, 1),
    seed=st.integers(0, 100),
)
@settings(deadline=None, max_examples=30)
def test_a_lasso_with_several_answers_is_as_good_as_scikit_learns(n_train, more, exponent, seed):
    # Few rows, scaled by quantiles, are not in general position: only what is fitted is the same.
    part = a_part(n_train, n_train + more, seed=seed)
    Y, config = targets(part, 1), {"alpha": 10.0**exponent, "l1_ratio": 1.0}
    found = fitted(part, Y, [config], coefficients=True)
    coef, intercept = found.coefficients[0, 0], found.intercepts[0, 0]
    model = slow_fit(tight(config), part.X, Y[:, 0])
    theirs = objective(part, Y[:, 0], config, model.coef_, model.intercept_)
    assert objective(part, Y[:, 0], config, coef, intercept) <= theirs + 1e-11 * Y.var()
    np.testing.assert_allclose(part.X @ coef + intercept, model.predict(part.X), rtol=0, atol=2e-4)


@pytest.mark.parametrize("ratio", [0.02, 0.5, 1.0])
def test_coefficients_where_there_is_one_answer(ratio):
    part = a_part(120, 15)
    Y = targets(part, 3)
    configs = [{"alpha": alpha, "l1_ratio": ratio} for alpha in (1e-4, 1e-2, 0.1, 1e3)]
    found = fitted(part, Y, configs, coefficients=True)
    for t in range(3):
        for number, config in enumerate(configs):
            model = slow_fit(tight(config), part.X, Y[:, t])
            np.testing.assert_allclose(found.coefficients[t, number], model.coef_, rtol=0, atol=1e-5)
            np.testing.assert_allclose(found.intercepts[t, number], model.intercept_, rtol=0, atol=1e-5)


def test_a_ridge_alone():
    part = a_part(40, 60)
    Y = targets(part, 2)
    found = fitted(part, Y, [{"alpha": 0.1, "l1_ratio": 0}], coefficients=True)
    H, q = part.gram, part.cross(Y)
    expected = np.linalg.solve(H + 40 * 0.1 * np.eye(60), q).T
    np.testing.assert_allclose(found.coefficients[:, 0], expected, atol=1e-6)


def duplicated(regions):
    regions[:, 3] = regions[:, 2]
    regions[:, 4] = regions[:, 5] - 2 * regions[:, 6]


def constant(regions):
    regions[:, 2] = 7.0
    regions[:, 0] = 0.0
    regions[1:, 1] = 3.0


@pytest.mark.parametrize("spoil", [duplicated, constant])
@pytest.mark.parametrize(("n_train", "n_regions"), [(60, 12), (14, 30)])
def test_columns_that_say_nothing_new(spoil, n_train, n_regions):
    part = a_part(n_train, n_regions, spoil=spoil)
    configs = [{"alpha": alpha, "l1_ratio": 0.5} for alpha in (1e-3, 1e-2, 0.3, 1e5)]
    Y = targets(part, 2)
    assert_as_scikit_learn(part, Y, configs, fitted(part, Y, configs, coefficients=True), 2e-4)


def test_company_and_order_change_nothing():
    part = a_part(150, 80, n_valid=50)
    Y, configs = targets(part, 6), sample_configs("elastic", "regression", 40, seed=3)
    together = fitted(part, Y, configs, coefficients=True)
    assert together.not_converged.sum() == 0
    for t in (0, 5):
        alone = fitted(a_part(150, 80, n_valid=50), Y[:, [t]], configs, coefficients=True)
        np.testing.assert_allclose(alone.decisions[0], together.decisions[t], rtol=0, atol=1e-4)
    order = np.random.default_rng(0).permutation(40)
    shuffled = fitted(part, Y, [configs[n] for n in order])
    np.testing.assert_array_equal(shuffled.decisions, together.decisions[:, order])
    single = fitted(part, Y[:, [2]], [configs[7]], coefficients=True)
    np.testing.assert_allclose(single.decisions[0, 0], together.decisions[2, 7], rtol=0, atol=1e-4)


def test_the_inverse_is_used_and_right(monkeypatch):
    part = a_part(300, 90, n_valid=50)
    Y, configs = targets(part, 8), [{"alpha": 10.0**e, "l1_ratio": 0.3} for e in (-2, -3, -4, -5)]
    used = []
    make = elastic._inverse
    monkeypatch.setattr(elastic, "_inverse", lambda *a: used.append(make(*a)) or used[-1])
    found = fitted(part, Y, configs)
    assert any(inverse.size for inverse in used)
    l2 = 300 * 1e-5 * 0.7
    np.testing.assert_allclose(used[-1] @ (part.gram + l2 * np.eye(90)), np.eye(90), atol=1e-8)
    monkeypatch.setattr(elastic, "_inverse", lambda *_: np.empty((0, 0)))
    np.testing.assert_allclose(fitted(part, Y, configs).decisions, found.decisions, rtol=0, atol=1e-4)


def test_a_constant_target_and_one_that_is_not_finite():
    part = a_part(30, 5)
    Y = targets(part, 4)
    Y[:, 1] = 3.0
    Y[4, 2] = np.nan
    configs = [{"alpha": 1e-2}, {}]
    found = fitted(part, Y, configs)
    np.testing.assert_array_equal(found.decisions[1], 3.0)
    assert np.isnan(found.decisions[2]).all()
    assert [(t, number, type(error)) for t, number, error in found.failures] == [(2, 0, ValueError), (2, 1, ValueError)]
    np.testing.assert_allclose(found.decisions[3], fitted(part, Y[:, [3]], configs).decisions[0], atol=1e-5)


def test_regions_that_overflow_are_failures():
    part = a_part(30, 5)
    part.X[:, 2] = 1e200 * np.sign(part.X[:, 2])
    with np.errstate(over="ignore", invalid="ignore"):
        found = fitted(part, targets(part, 2), [{"alpha": 1.0}, {"alpha": 2.0}])
    assert len(found.failures) == 4
    assert np.isnan(found.decisions).all()


def test_what_overflows_on_the_way_never_passes_for_converged():
    part = a_part(30, 5)
    part.X[:, 1:3] = 3e152 * np.sign(part.X[:, 1:3])
    with np.errstate(over="ignore", invalid="ignore"):
        found = fitted(part, targets(part, 2), [{"alpha": 1.0}, {"alpha": 2.0}])
    failed = np.zeros((2, 2), dtype=bool)
    for t, number, _ in found.failures:
        failed[t, number] = True
    assert (failed | (found.not_converged == 1)).all()


@pytest.mark.parametrize("error", [np.linalg.LinAlgError("singular"), MemoryError()])
def test_a_factorisation_that_fails(monkeypatch, error):
    part = a_part(30, 5)

    def refuse(*_):
        raise error

    monkeypatch.setattr(elastic, "descend_all", refuse)
    if isinstance(error, MemoryError):
        with pytest.raises(MemoryError):
            fitted(part, targets(part, 2), [{"alpha": 1e-3}])
    else:
        found = fitted(part, targets(part, 2), [{"alpha": 1e-3}])
        assert [failure[2] for failure in found.failures] == [error, error]
        assert np.isnan(found.decisions).all()


def test_a_fit_that_overflows_fails_alone(monkeypatch):
    part = a_part(30, 5)
    Y, configs = targets(part, 3), [{"alpha": 1e-2}, {"alpha": 1e-3}]
    expected, descend_all = fitted(part, Y, configs), elastic.descend_all

    def spoil(H, Q, net, coefs, *rest):
        descend_all(H, Q, net, coefs, *rest)
        if net.l1 > 0.1:
            coefs[1, 0] = np.inf

    monkeypatch.setattr(elastic, "descend_all", spoil)
    with np.errstate(invalid="ignore"):
        found = fitted(part, Y, configs)
    assert [(t, number) for t, number, _ in found.failures] == [(1, 0)]
    assert np.isnan(found.decisions[1, 0]).all()
    np.testing.assert_allclose(found.decisions[:, 1], expected.decisions[:, 1], atol=1e-5)


def test_what_stops_early_is_counted():
    part = a_part(200, 60)
    Y, config = targets(part, 2), {"alpha": 1e-4, "l1_ratio": 0.5}
    found = fitted(part, Y, [{**config, "max_iter": 1}, config])
    np.testing.assert_array_equal(found.not_converged, [[1, 0], [1, 0]])
    assert (found.iterations[:, 0] == 1).all()
    assert np.isfinite(found.decisions).all()


def test_a_looser_tolerance_is_not_taken():
    part = a_part(200, 60)
    Y, config = targets(part, 2), {"alpha": 1e-3, "l1_ratio": 0.5}
    strict, loose, default = (fitted(part, Y, [{**config, **more}]) for more in ({"tol": 0}, {"tol": 1.0}, {}))
    np.testing.assert_array_equal(loose.decisions, default.decisions)
    np.testing.assert_allclose(strict.decisions, default.decisions, rtol=0, atol=1e-4)
    assert (strict.iterations >= default.iterations).all()


@pytest.mark.parametrize(
    "config",
    [
        {"alpha": 0.0},
        {"alpha": -1.0},
        {"alpha": np.inf},
        {"alpha": True},
        {"l1_ratio": 1.5},
        {"tol": -1.0},
        {"max_iter": 0},
        {"max_iter": 2.5},
        {"positive": True},
    ],
)
def test_what_it_cannot_do_it_says(config):
    reason = elastic.unable("regression", [{"alpha": 1.0}, config])
    assert next(iter(config)) in reason
    assert elastic.unable("regression", [{"alpha": 1.0, "l1_ratio": 1, "tol": 0, "max_iter": 5}, {}]) == ""
    assert "classification" in elastic.unable("classification", [{}])


def a_problem(n=120, n_regions=9, **more):
    rng = np.random.default_rng(5)
    regions = rng.normal(size=(n, n_regions)).astype(np.float32)
    Y = regions[:, :3] + rng.normal(size=(n, 3))
    Y[rng.random(Y.shape) < 0.05] = np.nan
    return Problem(
        **{
            "regions": regions,
            "targets": Y,
            "tasks": ("regression",) * 3,
            "names": ("a", "b", "c"),
            "folds": make_folds(np.arange(n) // 2, n_outer=2, n_inner=3, seed=0),
            "kind": "elastic",
            "configs": {"regression": sample_configs("elastic", "regression", 12, seed=1)},
            "confounds": rng.normal(size=(n, 2)),
            **more,
        }
    )


def plain_search(problem, **more):
    configs = [{**config, **more} for config in problem.configs["regression"]]
    return plain.search(replace(problem, configs={"regression": configs}), PIPELINES["elastic"])


@pytest.mark.parametrize("n_regions", [9, 60])
def test_a_search_is_scikit_learns(n_regions):
    space = {"alpha": {"low": 1e-3 if n_regions < 20 else 3e-2, "high": 1e2, "log": True}}
    configs = {"regression": sample_configs("elastic", "regression", 6, seed=1, space=space)}
    problem = a_problem(n_regions=n_regions, configs=configs)
    found = solvers.search(problem, PIPELINES["elastic"])
    assert solvers.find_solver("elastic", "regression", configs["regression"]) is elastic
    expected = plain_search(problem, tol=1e-12, max_iter=100_000)
    np.testing.assert_allclose(found.scores, expected.scores, rtol=0, atol=1e-6)
    assert found.not_converged.sum() == 0
    assert found.failures == ()


def test_a_refit_is_scikit_learns():
    problem = a_problem(configs={"regression": [{"alpha": 0.05, "l1_ratio": 0.7, "tol": 1e-12}]})
    batches = [batch for batch in solvers.plan_batches(replace(problem, plain=True)) if batch.outer == 0]
    scores = {t: np.ones((1, 3)) for t in range(3)}
    configs = dict.fromkeys(range(3), problem.configs["regression"])
    for batch in batches:
        arguments = {"scores": scores, "configs": configs}
        plain = evaluate_batch(replace(problem, plain=True), batch, PIPELINES["elastic"], **arguments)
        fast = evaluate_batch(problem, batch, PIPELINES["elastic"], **arguments)
        for key, cell in fast.items():
            np.testing.assert_allclose(cell.predictions, plain[key].predictions, rtol=0, atol=1e-6)
            np.testing.assert_allclose(cell.linear.coefficients, plain[key].linear.coefficients, atol=1e-5)

"""Logistic regression: scikit-learn's optimum for every configuration, class weight and shape of data."""

import numpy as np
import plain
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from scipy.special import expit
from sklearn.linear_model import LogisticRegression

from cortax.learning.folds import make_folds
from cortax.learning.search import logistic, solvers
from cortax.learning.search.cells import Problem
from cortax.learning.search.front import fit_front
from cortax.learning.search.pipelines import PIPELINES, make_back
from cortax.learning.search.spaces import sample_configs
from cortax.learning.search.training import TrainingSet

TIGHT = {"tol": 1e-9}


def a_part(n_train, n_regions, *, n_valid=31, seed=0, spoil=None, dtype=np.float64):
    rng = np.random.default_rng(seed)
    n_factors = max(1, n_regions // 3)
    regions = rng.normal(size=(n_train + n_valid, n_factors)) @ rng.normal(size=(n_factors, n_regions))
    regions = (regions + rng.normal(size=regions.shape) + rng.normal(size=n_regions)).astype(dtype)
    if spoil is not None:
        spoil(regions)
    train, valid = np.arange(n_train), np.arange(n_train, n_train + n_valid)
    return TrainingSet.of(fit_front(regions, None, train, valid), train, valid)


def classes(part, n_targets, seed=1, share=0.4, strength=1.0):
    rng = np.random.default_rng(seed)
    signal = part.X @ rng.normal(size=(part.X.shape[1], n_targets)) / np.sqrt(part.X.shape[1])
    latent = strength * signal / (signal.std(axis=0) + 1e-9) + rng.logistic(size=signal.shape)
    Y = 1.0 * (latent > np.quantile(latent, 1 - share, axis=0))
    Y[:2] = [[0], [1]]
    return Y


def fitted(part, Y, configs, **more):
    seeds = np.zeros((Y.shape[1], len(configs)), dtype=int)
    return logistic.fit(part, Y, configs, task="classification", seeds=seeds, **more)


def objective(part, y, config, coef, intercept):
    odds = part.X @ coef + intercept
    share = y.mean()
    weights = np.where(y > 0, 0.5 / share, 0.5 / (1 - share)) if config.get("class_weight") else np.ones(len(y))
    l1_ratio = config.get("l1_ratio", 0.0)
    loss = config["C"] * weights @ np.logaddexp(0, np.where(y > 0, -odds, odds))
    return loss + (1 - l1_ratio) / 2 * coef @ coef + l1_ratio * np.abs(coef).sum()


def saga(part, y, config, max_iter=20_000):
    model = make_back(PIPELINES["elastic"], "classification", config | {"tol": 1e-10, "max_iter": max_iter}, seed=0)
    return model.named_steps["estimate"].fit(part.X, y)


def weights_of(y, config):
    share = y.mean()
    return np.where(y > 0, 0.5 / share, 0.5 / (1 - share)) if config.get("class_weight") else np.ones(len(y))


def violation(part, y, config, coef, intercept):
    """Distance from optimality, by the textbook, relative to what it is at 0, in units of C * sum of losses."""
    weights, C, l1_ratio = weights_of(y, config), config["C"], config.get("l1_ratio", 0.0)
    residuals = C * weights * (expit(part.X @ coef + intercept) - y)
    slopes = part.X.T @ residuals + (1 - l1_ratio) * coef
    outside = np.where(coef == 0, np.maximum(np.abs(slopes) - l1_ratio, 0), np.abs(slopes + l1_ratio * np.sign(coef)))
    null = C * weights * (np.average(y, weights=weights) - y)
    return max(outside.max(), abs(residuals.sum())) / max(np.abs(part.X.T @ null).max(), 1e-300)


def grid(Cs, l1_ratios, **more):
    return [
        {"C": C, "l1_ratio": l1_ratio, "class_weight": weight, **more}
        for C in Cs
        for l1_ratio in l1_ratios
        for weight in (None, "balanced")
    ]


def assert_optimal(part, Y, configs, found, limit):
    assert not found.failures
    assert not found.not_converged.any()
    for t in range(Y.shape[1]):
        for n, config in enumerate(configs):
            coef, intercept = found.coefficients[t, n], found.intercepts[t, n]
            assert violation(part, Y[:, t], config, coef, intercept) < limit, (t, config)
            np.testing.assert_allclose(
                found.decisions[t, n], part.X_valid @ coef + intercept, rtol=1e-9, atol=1e-9 * (1 + abs(intercept))
            )


@given(
    n_train=st.integers(4, 60),
    n_regions=st.integers(1, 80),
    n_targets=st.integers(1, 3),
    exponents=st.lists(st.floats(-5, 5), min_size=1, max_size=4),
    l1_ratios=st.lists(st.one_of(st.just(0.0), st.floats(0.01, 1)), min_size=1, max_size=3),
    seed=st.integers(0, 10),
)
# Decisions beyond 700.
@example(n_train=59, n_regions=24, n_targets=1, exponents=[4.0], l1_ratios=[1.0], seed=9)
@settings(deadline=None, max_examples=40)
def test_every_fit_is_optimal(n_train, n_regions, n_targets, exponents, l1_ratios, seed):
    part = a_part(n_train, n_regions, seed=seed)
    Y = classes(part, n_targets, seed=seed + 1)
    configs = grid([10.0**e for e in exponents], l1_ratios, **TIGHT)
    assert_optimal(part, Y, configs, fitted(part, Y, configs, coefficients=True), 3e-8)


@pytest.mark.parametrize("l1_ratio", [0.05, 0.5, 1.0])
def test_as_saga_where_that_converges(l1_ratio):
    part = a_part(120, 15)
    Y = classes(part, 1)
    configs = grid([1.0, 30.0], [l1_ratio], **TIGHT)
    found = fitted(part, Y, configs, coefficients=True)
    # True second derivatives: fewer steps than an upper bound of them would need.
    assert found.iterations.max() < 15
    for n, config in enumerate(configs):
        model = saga(part, Y[:, 0], config)
        assert model.coef_.any()
        np.testing.assert_allclose(found.coefficients[0, n], model.coef_[0], atol=2e-5)
        np.testing.assert_allclose(found.decisions[0, n], model.decision_function(part.X_valid), atol=2e-4)
        ours = objective(part, Y[:, 0], config, found.coefficients[0, n], found.intercepts[0, n])
        theirs = objective(part, Y[:, 0], config, model.coef_[0], model.intercept_[0])
        assert ours <= theirs * (1 + 1e-10)


@pytest.mark.parametrize(("n_train", "n_regions"), [(150, 20), (40, 90)])
def test_l2_alone_as_newton_cholesky(n_train, n_regions):
    part = a_part(n_train, n_regions)
    Y = classes(part, 3)
    configs = [{"C": C, "class_weight": w, **TIGHT} for C in (1e-6, 1e-2, 1.0, 1e3) for w in (None, "balanced")]
    found = fitted(part, Y, configs, coefficients=True)
    assert not found.not_converged.any()
    for t in range(3):
        for n, config in enumerate(configs):
            model = LogisticRegression(**config | {"tol": 1e-12}, solver="newton-cholesky", max_iter=1000)
            model.fit(part.X, Y[:, t])
            np.testing.assert_allclose(found.coefficients[t, n], model.coef_[0], rtol=1e-5, atol=1e-7)
            np.testing.assert_allclose(found.intercepts[t, n], model.intercept_[0], rtol=1e-5, atol=1e-6)


def constant(regions):
    regions[:, 0] = 3.0
    regions[:, 1] = regions[:, 2]
    regions[:, 3:6] = regions[:, 6:9] + regions[:, 9:12]


@pytest.mark.parametrize("n_train", [30, 200])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_constant_duplicated_and_dependent_columns(n_train, dtype):
    part = a_part(n_train, 14, spoil=constant, dtype=dtype)
    Y = classes(part, 2)
    configs = grid([1e-3, 1.0, 1e5], [0.0, 0.01, 1.0], **TIGHT)
    found = fitted(part, Y, configs, coefficients=True)
    assert_optimal(part, Y, configs, found, 3e-8)
    assert not found.coefficients[:, :, 0].any()


def test_nothing_but_constant_columns():
    part = a_part(20, 3, spoil=lambda regions: regions.fill(1.0))
    Y = classes(part, 1)
    found = fitted(part, Y, grid([1.0], [0.0, 0.5]), coefficients=True)
    assert not found.coefficients.any()
    assert not found.not_converged.any()
    np.testing.assert_allclose(found.intercepts[0, 0], np.log(Y.mean() / (1 - Y.mean())), rtol=1e-9)
    np.testing.assert_allclose(found.intercepts[0, [1, 3]], 0, atol=1e-12)


@pytest.mark.parametrize("l1_ratio", [0.0, 0.01, 1.0])
def test_classes_that_can_be_told_apart_and_next_to_no_penalty(l1_ratio):
    part = a_part(60, 100)
    Y = classes(part, 2)
    configs = grid([1.0, 1e3, 1e5], [l1_ratio])
    found = fitted(part, Y, configs, coefficients=True)
    assert not found.not_converged.any()
    assert found.iterations.max() < 200
    tight = fitted(part, Y, grid([1.0, 1e3, 1e5], [l1_ratio], tol=1e-10), coefficients=True)
    assert not tight.not_converged.any()
    spread = tight.decisions.std(axis=2, keepdims=True)
    assert (np.abs(found.decisions - tight.decisions) < 0.01 * spread).all()


def test_a_search_tolerance_gives_the_scores_of_a_tight_one():
    part = a_part(300, 60, n_valid=300)
    Y = classes(part, 3)
    configs = sample_configs("elastic", "classification", 30, seed=3)
    found = fitted(part, Y, configs).decisions
    tight = fitted(part, Y, [config | {"tol": 1e-10} for config in configs]).decisions
    spread = tight.std(axis=2, keepdims=True)
    assert (np.abs(found - tight) <= 2e-3 * spread + 1e-9).all()


def nearly_dependent(regions):
    smooth = np.cumsum(np.cumsum(regions, axis=1), axis=1)
    regions[:] = smooth + 1e-3 * smooth.std() * regions


@pytest.mark.parametrize("l1_ratio", [0.05, 0.6, 1.0])
def test_weak_penalties_of_nearly_dependent_columns_are_fitted_all_the_way(l1_ratio):
    part = a_part(400, 60, n_valid=400, spoil=nearly_dependent)
    Y = classes(part, 2)
    configs = grid(10.0 ** np.arange(-3, 6), [l1_ratio])
    found = fitted(part, Y, configs)
    tight = fitted(part, Y, [config | {"tol": 1e-10} for config in configs])
    assert not found.not_converged.any()
    assert not tight.not_converged.any()
    spread = tight.decisions.std(axis=2, keepdims=True)
    assert (np.abs(found.decisions - tight.decisions).max(axis=2) <= 1e-2 * spread[..., 0] + 1e-9).all()


def test_targets_do_not_depend_on_their_company_or_order():
    part = a_part(90, 30)
    Y = classes(part, 4)
    configs = grid([1e-2, 1.0, 100.0], [0.0, 0.3, 1.0], **TIGHT)
    together = fitted(part, Y, configs).decisions
    alone = np.concatenate([fitted(part, Y[:, [t]], configs).decisions for t in range(4)])
    np.testing.assert_allclose(together, alone, atol=1e-5)
    backwards = fitted(part, Y[:, ::-1], configs[::-1]).decisions[::-1, ::-1]
    np.testing.assert_allclose(together, backwards, atol=1e-5)
    assert (fitted(part, Y, configs).decisions == together).all()


def test_a_refit_is_the_fit_of_the_search():
    part = a_part(90, 30)
    Y = classes(part, 1)
    configs = grid([1e-2, 1.0, 1e5], [0.0, 0.3, 1.0], **TIGHT)
    found = fitted(part, Y, configs)
    for n, config in enumerate(configs):
        alone = fitted(part, Y, [config], coefficients=True)
        np.testing.assert_allclose(alone.decisions[0, 0], found.decisions[0, n], rtol=1e-5, atol=1e-5)


def test_one_class_is_a_failure_in_the_words_of_scikit_learn():
    part = a_part(20, 3)
    Y = np.column_stack([classes(part, 1), np.ones(20)])
    configs = grid([1.0], [0.0, 0.5])
    found = fitted(part, Y, configs)
    assert np.isfinite(found.decisions[0]).all()
    assert np.isnan(found.decisions[1]).all()
    assert [(t, n) for t, n, _ in found.failures] == [(1, n) for n in range(4)]
    with pytest.raises(ValueError, match="2 classes") as said:
        LogisticRegression().fit(part.X, Y[:, 1].astype(int))
    assert all(type(error) is ValueError and str(error) == str(said.value) for _, _, error in found.failures)


def test_one_sample_of_a_class():
    part = a_part(25, 6)
    Y = np.zeros((25, 1))
    Y[7] = 1
    configs = grid([1e-4, 1.0, 1e4], [0.0, 0.5], **TIGHT)
    assert_optimal(part, Y, configs, fitted(part, Y, configs, coefficients=True), 3e-8)


@pytest.mark.parametrize("l1_ratio", [0.0, 0.5])
def test_a_fit_that_does_not_converge_is_counted(l1_ratio):
    part = a_part(60, 20)
    Y = classes(part, 1)
    found = fitted(part, Y, [{"C": 1e4, "l1_ratio": l1_ratio, "max_iter": 1}])
    assert found.not_converged.tolist() == [[1]]
    assert found.iterations.tolist() == [[1]]
    assert np.isfinite(found.decisions).all()


@pytest.mark.parametrize(
    ("config", "reason"),
    [
        ({"C": 1.0, "l1_ratio": 0.5, "class_weight": "balanced", "tol": 1e-4, "max_iter": 200}, ""),
        ({}, ""),
        ({"C": 0}, "C = "),
        ({"C": float("inf")}, "C = "),
        ({"l1_ratio": 1.5}, "l1_ratio = "),
        ({"l1_ratio": None}, "l1_ratio = "),
        ({"tol": 0.0}, "tol = "),
        ({"max_iter": 1.5}, "max_iter = "),
        ({"class_weight": {0: 1, 1: 2}}, "class_weight"),
        ({"dual": True}, "dual"),
    ],
)
def test_what_it_leaves_to_scikit_learn(config, reason):
    said = logistic.unable("classification", [{"C": 1.0}, config])
    assert reason in said if reason else said == ""
    assert logistic.unable("regression", [{"C": 1.0}])


@pytest.mark.parametrize("kind", ["elastic", "ridge"])
def test_searches_as_the_plain_loop(kind):
    rng = np.random.default_rng(5)
    regions = rng.normal(size=(240, 6)) @ rng.normal(size=(6, 12)) + 0.5 * rng.normal(size=(240, 12))
    latent = regions @ rng.normal(size=(12, 2)) / 8 + rng.logistic(size=(240, 2))
    targets = 1.0 * (latent > 0.3)
    targets[::17, 1] = np.nan
    own = {"elastic": {"l1_ratio": 0.4}, "ridge": {}}[kind]
    configs = [
        {"C": C, "class_weight": w, **own, **extra}
        for C in (0.3, 30.0)
        for w in (None, "balanced")
        for extra in ({"tol": 1e-9, "max_iter": 20_000},)
    ]
    folds = make_folds(np.arange(240), n_outer=2, n_inner=2, seed=1)
    problem = Problem(
        regions,
        targets,
        ("classification",) * 2,
        ("a", "b"),
        folds,
        kind,
        {"classification": configs},
        scorers={"classification": "roc_auc"},
    )
    fast = solvers.search(problem, PIPELINES[kind])
    assert solvers.find_solver(kind, "classification", configs) is logistic
    slow = plain.search(problem, PIPELINES[kind])
    assert not fast.failures
    assert not fast.not_converged.any()
    np.testing.assert_allclose(fast.scores, slow.scores, atol=1e-4)

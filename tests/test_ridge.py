"""Ridge: scikit-learn's scores, predictions and coefficients, from one factorisation."""

import tracemalloc
from dataclasses import replace

import numpy as np
import plain
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.linear_model import Ridge

from cortax.learning.folds import make_folds
from cortax.learning.search import ridge, solvers
from cortax.learning.search.cells import Problem
from cortax.learning.search.front import fit_front
from cortax.learning.search.pipelines import PIPELINES
from cortax.learning.search.refit import evaluate_batch
from cortax.learning.search.spaces import sample_configs
from cortax.learning.search.training import TrainingSet


def a_part(n_train, n_regions, *, n_valid=11, seed=0, spoil=None):
    rng = np.random.default_rng(seed)
    regions = rng.normal(size=(n_train + n_valid, n_regions)) @ rng.normal(size=(n_regions, n_regions))
    regions = regions + rng.normal(size=n_regions)
    if spoil is not None:
        spoil(regions)
    train, valid = np.arange(n_train), np.arange(n_train, n_train + n_valid)
    return TrainingSet.of(fit_front(regions, None, train, valid), train, valid)


def targets(part, n_targets, seed=1):
    rng = np.random.default_rng(seed)
    signal = part.X @ rng.normal(size=(part.X.shape[1], n_targets)) / np.sqrt(part.X.shape[1])
    return signal + rng.normal(size=signal.shape) + rng.normal(size=n_targets) * 10


def fitted(part, Y, configs, **more):
    return ridge.fit(part, Y, configs, task="regression", seeds=np.zeros((Y.shape[1], len(configs)), int), **more)


def alphas(*values):
    return [{"alpha": value} for value in values]


def assert_as_scikit_learn(part, Y, configs, found, atol):
    for t in range(Y.shape[1]):
        for number, config in enumerate(configs):
            model = Ridge(**config).fit(part.X, Y[:, t])
            np.testing.assert_allclose(found.decisions[t, number], model.predict(part.X_valid), rtol=0, atol=atol)
            if found.coefficients is not None:
                np.testing.assert_allclose(found.coefficients[t, number], model.coef_, rtol=0, atol=atol)
                np.testing.assert_allclose(found.intercepts[t, number], model.intercept_, rtol=0, atol=atol)


@given(
    n_train=st.integers(2, 40),
    n_regions=st.integers(1, 60),
    n_targets=st.integers(1, 4),
    exponents=st.lists(st.floats(-3, 6), min_size=1, max_size=30),
    wanted=st.booleans(),
    seed=st.integers(0, 100),
)
@settings(deadline=None, max_examples=60)
def test_equals_scikit_learn(n_train, n_regions, n_targets, exponents, wanted, seed):
    part = a_part(n_train, n_regions, seed=seed)
    Y, configs = targets(part, n_targets), alphas(*(10.0**e for e in exponents))
    found = fitted(part, Y, configs, coefficients=wanted)
    assert (found.coefficients is not None) == wanted
    assert_as_scikit_learn(part, Y, configs, found, 1e-7)
    assert found.failures == ()
    assert not found.not_converged.any()


def duplicated(regions):
    regions[:, 3] = regions[:, 2]
    regions[:, 4] = regions[:, 5] - 2 * regions[:, 6]


def constant(regions):
    regions[:, 2] = 7.0
    regions[:, 0] = 0.0
    regions[1:, 1] = 3.0


def huge(regions):
    regions[:, 1] = 0.0
    regions[[3, 5], 1] = 1e6, 3e6  # no range from the 5th to the 95th percentile: not scaled


@pytest.mark.parametrize("n_alphas", [1, 40])
def test_a_column_in_other_units_does_not_hide_the_others(n_alphas):
    part = a_part(80, 12, spoil=huge)
    assert part.front.scale[1] == 1
    others = np.arange(12) != 1
    y = part.X[:, others].sum(axis=1) + np.random.default_rng(0).normal(size=80)
    configs = alphas(*np.geomspace(1e-3, 1e3, n_alphas))
    found = fitted(part, y[:, None], configs, coefficients=True)
    for number, config in enumerate(configs):
        expected = Ridge(**config, solver="svd").fit(part.X, y).coef_[others]
        np.testing.assert_allclose(found.coefficients[0, number, others], expected, rtol=0, atol=1e-7)


@pytest.mark.parametrize("spoil", [duplicated, constant])
@pytest.mark.parametrize(("n_train", "n_regions"), [(60, 12), (14, 30), (12, 12)])
@pytest.mark.parametrize("n_alphas", [1, 20])
def test_columns_that_say_nothing_new(spoil, n_train, n_regions, n_alphas):
    part = a_part(n_train, n_regions, spoil=spoil)
    Y, configs = targets(part, 2), alphas(*np.geomspace(1e-3, 1e6, n_alphas))
    assert_as_scikit_learn(part, Y, configs, fitted(part, Y, configs, coefficients=True), 1e-6)


@pytest.mark.parametrize(("n_train", "n_regions"), [(50, 20), (20, 45)])
def test_a_refit_is_the_same_by_either_factorisation_and_for_any_company(n_train, n_regions):
    alone, shared = a_part(n_train, n_regions), a_part(n_train, n_regions)
    Y, many = targets(alone, 5), alphas(*np.geomspace(1e-3, 1e5, 40))
    together = fitted(shared, Y, many, coefficients=True)
    assert "ridge.eigen" in shared.shared
    tridiagonal = fitted(alone, Y[:, [2]], many, coefficients=True)
    assert set(alone.shared) & {"ridge.tridiagonal", "ridge.eigen"} == {"ridge.tridiagonal"}
    np.testing.assert_allclose(tridiagonal.decisions[0], together.decisions[2], rtol=0, atol=1e-8)
    alone = a_part(n_train, n_regions)
    for t, number in ((0, 0), (3, 21), (4, 39)):
        single = fitted(alone, Y[:, [t]], [many[number]], coefficients=True)
        np.testing.assert_allclose(single.decisions[0, 0], together.decisions[t, number], rtol=0, atol=1e-8)
        np.testing.assert_allclose(single.coefficients[0, 0], together.coefficients[t, number], rtol=0, atol=1e-8)
    assert not set(alone.shared) & {"ridge.tridiagonal", "ridge.eigen"}
    for _ in range(20):
        fitted(alone, Y[:, [0]], [many[3]])
    assert "ridge.tridiagonal" in alone.shared


@pytest.mark.parametrize(("n_train", "n_regions"), [(50, 8), (20, 45)])
def test_a_thousand_permutations_are_a_thousand_fits(n_train, n_regions, monkeypatch):
    part = a_part(n_train, n_regions)
    y, rng = targets(part, 1)[:, 0], np.random.default_rng(0)
    Y = np.column_stack([rng.permutation(y) for _ in range(1000)])
    monkeypatch.setattr(ridge, "_BLOCK", 4096)  # in many pieces
    configs = alphas(0.1, 30.0)
    found = fitted(part, Y, configs, coefficients=True)
    few = [0, 1, 17, 500, 998, 999]
    some = type(found)(found.decisions[few], *found_of(found, few))
    assert_as_scikit_learn(part, Y[:, few], configs, some, 1e-8)


def found_of(found, few):
    counts = found.not_converged[few], found.iterations[few]
    return *counts, False, found.coefficients[few], found.intercepts[few]


def test_a_penalty_that_is_lost_in_rounding_gives_the_smallest_coefficients():
    part = a_part(40, 12, spoil=duplicated)
    Y = targets(part, 1)
    expected = np.linalg.pinv(part.X - part.means, rcond=1e-10) @ (Y[:, 0] - Y[:, 0].mean())
    for configs in (alphas(1e-14), alphas(*[1e-14] * 9, 1e-200)):
        part.shared.clear()
        found = fitted(part, Y, configs, coefficients=True)
        fits = found.decisions[0] - found.intercepts[0][:, None]
        np.testing.assert_allclose(fits, np.tile(part.X_valid @ expected, (len(configs), 1)), rtol=0, atol=1e-8)


def test_a_target_that_is_not_finite_fails_alone():
    part = a_part(30, 5)
    Y = targets(part, 3)
    Y[2, 1] = np.inf
    found = fitted(part, Y, alphas(1.0, 2.0), coefficients=True)
    assert [(t, number) for t, number, _ in found.failures] == [(1, 0), (1, 1)]
    assert np.isnan(found.decisions[1]).all()
    assert np.isnan(found.coefficients[1]).all()
    assert_as_scikit_learn(part, Y[:, [0]], alphas(1.0, 2.0), fitted(part, Y[:, [0]], alphas(1.0, 2.0)), 1e-9)
    assert np.isfinite(found.decisions[[0, 2]]).all()


def test_columns_that_overflow_are_failures():
    part = a_part(30, 5)
    part.X[0, 0] = 1e200
    with np.errstate(all="ignore"):
        found = fitted(part, np.ones((30, 2)), alphas(1.0, *range(2, 30)))
    assert len(found.failures) == 2 * 29
    assert np.isnan(found.decisions).all()


def test_memory_errors_pass(monkeypatch):
    def full(*arguments, **more):
        raise MemoryError

    monkeypatch.setattr(ridge.lapack, "dsytrd", full)
    with pytest.raises(MemoryError):
        fitted(a_part(30, 12), np.ones((30, 1)), alphas(*range(1, 30)))


@pytest.mark.parametrize(
    ("config", "reason"),
    [
        ({}, ""),
        ({"alpha": 1, "tol": 1e-3, "max_iter": None}, ""),
        ({"alpha": 1e-3, "max_iter": 5}, ""),
        ({"alpha": 0.0}, "alpha = 0.0"),
        ({"alpha": -1.0}, "alpha = -1.0"),
        ({"alpha": np.nan}, "alpha = nan"),
        ({"alpha": "1"}, "alpha = '1'"),
        ({"alpha": True}, "alpha = True"),
        ({"max_iter": 0}, "max_iter = 0"),
        ({"tol": -1}, "tol = -1"),
        ({"positive": True}, "unknown parameter 'positive'"),
    ],
)
def test_says_what_it_leaves_to_scikit_learn(config, reason):
    assert ridge.unable("regression", [{"alpha": 1.0}, config]) == reason
    assert ridge.unable("classification", [])


def a_problem(*, n_subjects=90, n_regions=7, own_rows=False, confounds=False, dtype=np.float32, holes=False):
    rng = np.random.default_rng(3)
    X = rng.normal(size=(n_subjects, n_regions)) @ rng.normal(size=(n_regions, n_regions)) * 30 + 5
    Y = X[:, :3] @ rng.normal(size=(3, 4)) / 50 + rng.normal(size=(n_subjects, 4))
    Y[7, 3] = np.nan
    if own_rows:
        Y[rng.random(Y.shape) < 0.1] = np.nan
    if holes:
        X[rng.random(X.shape) < 0.05] = np.nan
    return Problem(
        regions=X.astype(dtype),
        targets=Y,
        tasks=("regression",) * 4,
        names=tuple("abcd"),
        folds=make_folds(rng.integers(0, n_subjects // 2, n_subjects), n_outer=2, n_inner=2, seed=0),
        kind="ridge",
        configs={"regression": sample_configs("ridge", "regression", 15, seed=0)},
        confounds=rng.normal(size=(n_subjects, 2)) + 100 if confounds else None,
    )


CASES = [
    {},
    {"own_rows": True},
    {"own_rows": True, "confounds": True},
    {"own_rows": True, "confounds": True, "dtype": np.float64},
    {"confounds": True, "holes": True},
    {"own_rows": True, "holes": True, "confounds": True},
    {"n_regions": 70, "confounds": True},
    {"n_regions": 70, "own_rows": True, "confounds": True},
    {"n_regions": 45, "own_rows": True, "confounds": True},
    {"n_subjects": 24, "n_regions": 3, "own_rows": True},
]


@pytest.mark.parametrize("case", CASES)
def test_the_search_equals_the_plain_loop(case):
    problem = a_problem(**case)
    found = solvers.search(problem, PIPELINES["ridge"])
    assert solvers.find_solver("ridge", "regression", problem.configs["regression"]) is ridge
    expected = plain.search(problem, PIPELINES["ridge"])
    assert expected.failures == found.failures == ()
    np.testing.assert_allclose(found.scores, expected.scores, rtol=1e-9, atol=1e-9)
    means = expected.scores.mean(axis=-1)
    chosen = found.scores.mean(axis=-1).argmax(axis=-1)
    regret = means.max(axis=-1) - np.take_along_axis(means, chosen[..., None], axis=-1)[..., 0]
    assert regret.max() <= 1e-9


@pytest.mark.parametrize("case", [CASES[1], CASES[3], CASES[5], CASES[6]])
def test_the_refit_equals_that_of_scikit_learn(case):
    problem = a_problem(**case)
    searched = solvers.search(problem, PIPELINES["ridge"])
    batch = solvers.Batch(1, (0, 1, 2, 3))
    arguments = {
        "scores": {t: searched.scores[t, 1] for t in range(4)},
        "configs": dict.fromkeys(range(4), problem.configs["regression"]),
    }
    expected = evaluate_batch(replace(problem, plain=True), batch, PIPELINES["ridge"], **arguments)
    found = evaluate_batch(problem, batch, PIPELINES["ridge"], **arguments)
    for cell, cell_expected in zip(found.values(), expected.values(), strict=True):
        assert cell.failure == cell_expected.failure
        np.testing.assert_array_equal(cell.rows, cell_expected.rows)
        np.testing.assert_allclose(cell.predictions, cell_expected.predictions, rtol=0, atol=1e-8)
        linear, linear_expected = cell.linear, cell_expected.linear
        np.testing.assert_allclose(linear.coefficients, linear_expected.coefficients, rtol=1e-6, atol=1e-8)
        np.testing.assert_allclose(linear.confound_coefficients, linear_expected.confound_coefficients, atol=1e-7)
        np.testing.assert_allclose(linear.intercept, linear_expected.intercept, rtol=1e-6, atol=1e-6)


def test_memory_is_bounded_whatever_the_number_of_targets(monkeypatch):
    monkeypatch.setattr(ridge, "_BLOCK", 2**16)
    part = a_part(400, 200)
    Y, configs = np.random.default_rng(0).normal(size=(400, 300)), alphas(*np.geomspace(1e-2, 1e4, 30))
    tracemalloc.start()
    found = fitted(part, Y, configs)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    everything = 300 * 30 * 200 * 8
    assert peak - found.decisions.nbytes < everything / 2

"""Selection: the columns that scikit-learn keeps, for all targets and percentiles."""

import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.feature_selection import SelectPercentile, VarianceThreshold, f_classif, f_regression

from cortax.learning.search import selection
from cortax.learning.search.pipelines import PIPELINES, make_back

TESTS = {"regression": f_regression, "classification": f_classif}


def some_data(n, p, task, seed, n_targets=3):
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, p)) * rng.uniform(0.1, 3, size=p) + rng.normal(size=p)
    Y = X[:, :1] * rng.normal(size=n_targets) + rng.normal(size=(n, n_targets))
    if task == "classification":
        Y = (np.median(Y, axis=0) < Y) * 1.0
    return X, Y


def sklearn_keeps(X, y, task, percentile):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        select = SelectPercentile(TESTS[task], percentile=percentile)
        select.fit(X, y if task == "regression" else y.astype(int))
        mask = select.get_support()
    # Of few columns a small share is none; then the best one is kept.
    return (
        mask
        if mask.any() or percentile == 0
        else np.arange(len(mask)) == np.argmax(np.nan_to_num(select.scores_, nan=-np.inf))
    )


def assert_keeps_the_same(X, Y, task, percentiles):
    for y, selector in zip(Y.T, selection.selectors(X, Y, task), strict=True):
        for percentile in percentiles:
            np.testing.assert_array_equal(selector.keep(percentile), sklearn_keeps(X, y, task, percentile))


@pytest.mark.parametrize("task", TESTS)
@given(
    n=st.integers(4, 40),
    p=st.integers(1, 50),
    seed=st.integers(0, 1000),
    percentiles=st.lists(st.one_of(st.integers(0, 100), st.floats(0, 100)), min_size=1, max_size=5),
    copies=st.integers(0, 3),
)
@settings(deadline=None, max_examples=60)
def test_keeps_what_scikit_learn_keeps(task, n, p, seed, percentiles, copies):
    X, Y = some_data(n, p, task, seed)
    for _ in range(copies):
        X = np.hstack([X, X[:, :2]])
    X = X[:, selection.varying(X)]
    assert_keeps_the_same(X, Y, task, percentiles)


@pytest.mark.parametrize("task", TESTS)
def test_ties_go_by_the_order_of_columns(task):
    X, Y = some_data(30, 4, task, 0)
    X = np.repeat(X, 5, axis=1)
    kept = selection.selectors(X, Y, task)[0].keep(40)
    assert kept.sum() == 8
    assert_keeps_the_same(X, Y, task, range(0, 101, 5))


@pytest.mark.parametrize("task", TESTS)
def test_scores_are_those_of_scikit_learn(task):
    X, Y = some_data(50, 12, task, 1)
    found = selection.f_scores(X, Y)
    for y, scores in zip(Y.T, found, strict=True):
        np.testing.assert_allclose(scores, TESTS[task](X, y)[0], rtol=1e-9)


def test_integer_positions_and_large_means_are_left_to_scikit_learn(monkeypatch):
    asked = []
    exact = selection._exact
    monkeypatch.setattr(selection, "_exact", lambda X, y, task: asked.append(task) or exact(X, y, task))
    X, Y = some_data(40, 5, "regression", 2, n_targets=1)
    selector = selection.selectors(X, Y, "regression")[0]
    # The threshold at 50 % is the third score itself.
    np.testing.assert_array_equal(selector.keep(50), sklearn_keeps(X, Y[:, 0], "regression", 50))
    assert asked == ["regression"]
    selector.keep(50)
    assert asked == ["regression"]
    selector.keep(60)
    assert asked == ["regression"]


@pytest.mark.parametrize("task", TESTS)
def test_targets_and_columns_that_explain_all_or_nothing(task):
    X, Y = some_data(20, 6, task, 3)
    Y[:, 0] = 1.0
    X[:, 2] = Y[:, 1]
    X[:, 3] = -2 * Y[:, 1]
    percentiles = [10, 20, 40, 60, 80]
    if task == "regression":
        assert_keeps_the_same(X, Y, task, percentiles)
    else:
        # scikit-learn itself cannot test a single class.
        assert_keeps_the_same(X, Y[:, 1:], task, percentiles)


@pytest.mark.parametrize("value", [0.0, 0.1, 1e8, -3.3])
def test_constant_columns_go(value):
    X, _ = some_data(17, 5, "regression", 4)
    X[:, 1] = value
    X[1:, 3] = value
    expected = VarianceThreshold(0.0).fit(X).get_support()
    np.testing.assert_array_equal(selection.varying(X), expected)
    assert not expected[1]
    assert expected[3]
    assert not selection.varying(X[:1]).any()


@pytest.mark.parametrize("task", TESTS)
@pytest.mark.parametrize("n_columns", [1, 2, 5])
@pytest.mark.parametrize("percentile", [0.01, 1, 10])
def test_at_least_one_column_is_kept(task, n_columns, percentile):
    X, Y = some_data(30, n_columns, task, 4)
    back = make_back(PIPELINES["svm"], task, {"percentile": percentile}, seed=0)
    back.fit(X, Y[:, 0] if task == "regression" else Y[:, 0].astype(int))
    kept = back.named_steps["select"].get_support()
    assert kept.sum() == 1
    np.testing.assert_array_equal(selection.selectors(X, Y, task)[0].keep(percentile), kept)

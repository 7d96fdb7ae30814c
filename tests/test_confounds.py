"""Confound removal: against scikit-learn's own regression."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import LinearRegression

from cortax.learning.confounds import ConfoundRegressor


def data(n_subjects=50, n_features=6, n_confounds=3, seed=0):
    rng = np.random.default_rng(seed)
    confounds = rng.normal(size=(n_subjects, n_confounds)) * [1, 50, 0.01][:n_confounds]
    features = rng.normal(size=(n_subjects, n_features)) + confounds @ rng.normal(size=(n_confounds, n_features))
    return features + 7, confounds


@settings(max_examples=30, deadline=None)
@given(st.integers(10, 60), st.integers(1, 8), st.integers(1, 3), st.integers(0, 99))
def test_equals_linear_regression(n_subjects, n_features, n_confounds, seed):
    features, confounds = data(n_subjects, n_features, n_confounds, seed)
    X = np.hstack([features, confounds])
    train, test = X[: n_subjects // 2], X[n_subjects // 2 :]
    ours = ConfoundRegressor(n_confounds).fit(train)
    oracle = LinearRegression().fit(train[:, n_features:], train[:, :n_features])
    expected = test[:, :n_features] - oracle.predict(test[:, n_features:])
    np.testing.assert_allclose(ours.transform(test), expected, atol=1e-9)


def test_training_residuals_know_nothing_of_the_confounds():
    features, confounds = data()
    X = np.hstack([features, confounds])
    residuals = ConfoundRegressor(3).fit_transform(X)
    np.testing.assert_allclose(residuals.mean(axis=0), 0, atol=1e-12)
    centred = (confounds - confounds.mean(axis=0)) / confounds.std(axis=0)
    np.testing.assert_allclose(centred.T @ residuals, 0, atol=1e-10)


def test_dependent_confounds_change_nothing():
    features, confounds = data()
    once = ConfoundRegressor(3).fit_transform(np.hstack([features, confounds]))
    doubled = np.hstack([features, confounds, confounds[:, :2].sum(axis=1, keepdims=True), np.ones((50, 1))])
    model = ConfoundRegressor(5).fit(doubled)
    np.testing.assert_allclose(model.transform(doubled), once, atol=1e-10)
    assert np.abs(model.coef_).max() < 1e3


def test_none_passes_through():
    features, _ = data()
    model = ConfoundRegressor().fit(features)
    np.testing.assert_array_equal(model.transform(features), features)
    assert model.coef_.shape == (0, 6)


def test_float32_is_computed_in_float64():
    features, confounds = data()
    X = np.hstack([features, confounds]).astype(np.float32)
    exact = ConfoundRegressor(3).fit_transform(X.astype(np.float64))
    np.testing.assert_array_equal(ConfoundRegressor(3).fit_transform(X), exact)


def test_names_and_clone():
    features, confounds = data(n_features=2, n_confounds=1)
    model = clone(ConfoundRegressor(1)).fit(np.hstack([features, confounds]))
    assert model.get_params() == {"n_confounds": 1}
    assert model.get_feature_names_out(["a", "b", "age"]).tolist() == ["a", "b"]
    assert model.get_feature_names_out().tolist() == ["x0", "x1"]


def test_bad_input():
    features, _ = data()
    with pytest.raises(ValueError, match="less than the 6 columns of X; got 6"):
        ConfoundRegressor(6).fit(features)
    with pytest.raises(ValueError, match=r"at least 0 .* got -1"):
        ConfoundRegressor(-1).fit(features)
    with pytest.raises(NotFittedError):
        ConfoundRegressor(1).transform(features)
    with pytest.raises(ValueError, match="NaN"):
        ConfoundRegressor(1).fit(np.where(features > 8, np.nan, features))
    with pytest.raises(ValueError, match="6 features"):
        ConfoundRegressor(1).fit(features).transform(features[:, :5])


def test_nothing_is_made_of_rounding():
    """A constant feature and one that the confounds explain fully are 0, not noise of unit spread once scaled."""
    rng = np.random.default_rng(3)
    confounds = rng.normal(size=(40, 2))
    features = np.column_stack([np.full(40, 3.7), confounds @ [0.3, -2.0] + 1.0, rng.normal(size=40)])
    fitted = ConfoundRegressor(2).fit(np.hstack([features, confounds]))
    left = fitted.transform(np.hstack([features, confounds]))
    assert not left[:, :2].any()
    assert left[:, 2].std() > 0.5
    assert fitted.explained_.tolist() == [True, True, False]

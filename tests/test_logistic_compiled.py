"""The compiled descent of logistic ridge goes the way of the one in step, which serves larger data."""

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from cortax.learning.search.linear import logistic_ridge
from cortax.learning.search.linear.logistic_loss import Classes, Penalty
from cortax.learning.search.linear.logistic_ridge import RidgeFit, fit_rotated, rotation


def fits(y, C, tol=1e-5, max_iter=1000):
    weights = np.where(y > 0.5, 0.5 / y.mean(), 0.5 / (1 - y.mean()))
    return [
        RidgeFit(Classes(y, found), Penalty(0.0, 1 / c, tol, max_iter)) for c in C for found in (weights, 1 + 0 * y)
    ]


@pytest.mark.parametrize(("n", "p"), [(60, 15), (40, 90), (30, 1)])
def test_both_ways_take_the_same_steps(monkeypatch, n, p):
    rng = np.random.default_rng(p)
    X = rng.normal(size=(n, p))
    y = (X[:, 0] + rng.normal(size=n) > 0.4).astype(float)
    rotated = rotation(X)
    compiled, in_step = (fits(y, [1e-4, 0.1, 10.0, 1e3]) for _ in range(2))
    fit_rotated(rotated, compiled)
    monkeypatch.setattr(logistic_ridge, "_IN_CACHE", 0)
    fit_rotated(rotated, in_step)
    for one, other in zip(compiled, in_step, strict=True):
        assert one.converged
        assert other.converged
        assert abs(one.iterations - other.iterations) <= 2
        odds = rotated.Z_T.T @ other.coef
        np.testing.assert_allclose(rotated.Z_T.T @ one.coef, odds, atol=1e-5 * np.ptp(odds) + 1e-9)
        assert one.intercept == pytest.approx(other.intercept, rel=1e-4, abs=1e-6)


def test_it_is_the_optimum_of_scikit_learn():
    rng = np.random.default_rng(8)
    X = rng.normal(size=(80, 12))
    y = (X[:, 0] + rng.normal(size=80) > 0).astype(float)
    rotated, (weighted, plain) = rotation(X), fits(y, [0.3], tol=1e-9)
    fit_rotated(rotated, [weighted, plain])
    for fit, class_weight in ((weighted, "balanced"), (plain, None)):
        model = LogisticRegression(C=0.3, class_weight=class_weight, tol=1e-10, max_iter=5000).fit(X, y)
        np.testing.assert_allclose(rotated.back @ fit.coef, model.coef_[0], rtol=1e-5, atol=1e-8)


def test_it_stops_where_it_is_told_to():
    rng = np.random.default_rng(9)
    y = (rng.random(50) > 0.3).astype(float)
    (fit, _) = fits(y, [1e3], max_iter=2)
    fit_rotated(rotation(rng.normal(size=(50, 20))), [fit])
    assert fit.iterations == 2
    assert not fit.converged

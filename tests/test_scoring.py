"""Scores of many predictions at once are scikit-learn's."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.base import BaseEstimator, ClassifierMixin, RegressorMixin
from sklearn.metrics import get_scorer

from cortax.errors import SearchError
from cortax.learning.search.scoring import _FAST, check_scorer, score_decisions


class Values(RegressorMixin, BaseEstimator):
    def predict(self, X):
        return X[:, 0]

    def __sklearn_is_fitted__(self):
        return True


class Odds(ClassifierMixin, BaseEstimator):
    classes_ = np.array([0, 1])

    def predict(self, X):
        return (X[:, 0] > 0).astype(int)

    def predict_proba(self, X):
        p = 1 / (1 + np.exp(-X[:, 0]))
        return np.column_stack([1 - p, p])

    def decision_function(self, X):
        return X[:, 0]

    def __sklearn_is_fitted__(self):
        return True


SLOW = [("regression", "neg_max_error"), ("classification", "neg_log_loss"), ("classification", "f1")]


@pytest.mark.parametrize(("task", "scorer"), [*sorted(_FAST), *SLOW])
@settings(deadline=None, max_examples=25)
@given(seed=st.integers(0, 10_000), n_valid=st.integers(2, 40), ties=st.booleans())
def test_equal_to_the_scorer(task, scorer, seed, n_valid, ties):
    rng = np.random.default_rng(seed)
    y = rng.normal(size=n_valid) * 10
    decisions = rng.normal(size=(4, n_valid))
    if ties:
        decisions, y = np.round(decisions), np.round(y / 10)
    decisions[0] = 0.3
    if task == "classification":
        y = (rng.random(n_valid) < 0.5).astype(float)
        y[:2] = 0, 1
    found, failures = score_decisions(scorer, task, y, decisions, probabilities=True)
    assert failures == []
    model, truth = (Values(), y) if task == "regression" else (Odds(), y.astype(int))
    expected = [get_scorer(scorer)(model, row[:, None], truth) for row in decisions]
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-12)


def test_a_truth_of_one_value():
    decisions = np.array([[1.0, 1.0, 1.0], [0.0, 1.0, 2.0]])
    found, failures = score_decisions("r2", "regression", np.ones(3), decisions)
    np.testing.assert_array_equal(found, [1.0, 0.0])
    assert failures == []
    with pytest.warns(UserWarning, match="Only one class"):
        found, failures = score_decisions("roc_auc", "classification", np.ones(3), decisions)
    assert np.isnan(found).all()
    assert [(number, str(error)) for number, error in failures] == [(0, "the score is nan"), (1, "the score is nan")]


def test_what_is_not_predicted_has_no_score_and_no_second_failure():
    decisions = np.array([[np.nan, 1.0, 2.0], [0.0, 1.0, 2.0]])
    for scorer in ("r2", "neg_max_error"):
        found, failures = score_decisions(scorer, "regression", np.arange(3.0), decisions)
        assert np.isnan(found[0])
        assert np.isfinite(found[1])
        assert failures == []


def test_a_scorer_that_needs_probabilities_says_so():
    found, failures = score_decisions("neg_log_loss", "classification", np.array([0.0, 1.0]), np.array([[-1.0, 1.0]]))
    assert np.isnan(found).all()
    assert "predict_proba" in str(failures[0][1])


def test_an_unknown_scorer_is_named():
    with pytest.raises(SearchError, match=r"scorer of 'regression': got 'r3'.*did you mean 'r2'"):
        check_scorer("r3", "regression")

"""Metrics of many targets at once are those of each by itself."""

import numpy as np
import pytest

from cortax.errors import SearchError
from cortax.learning.formulas import Resamples
from cortax.learning.scores import METRICS
from cortax.learning.stats.nulls import score_rows


def rows(task, rng, n_rows=40, n=23):
    """Targets and predictions with ties, constant rows and rows of one class."""
    P = rng.normal(size=(n_rows, n)).round(1)
    Y = (P + rng.normal(size=P.shape)).round(2)
    Y[0] = 3.25
    P[1] = -0.5
    Y[2], P[2] = 1.0, 1.0
    P[3] = 0.5 + 1e-9 * P[3]
    if task != "regression":
        P = 1 / (1 + np.exp(-P))
        Y = (Y > 0.3).astype(float)
        Y[4], Y[5] = 1.0, 0.0
    return Y, P, (P > 0.5).astype(float)


@pytest.mark.parametrize("name", METRICS)
def test_each_row_has_the_score_that_it_has_alone(name):
    metric = METRICS[name]
    Y, P, L = rows(metric.tasks[0], np.random.default_rng(3))
    found = score_rows(name, metric.tasks[0], Y, P, L)
    given = L if metric.needs == "label" else P
    alone = [metric.formula(y, p, Resamples(np.ones((1, len(y)))))[0] for y, p in zip(Y, given, strict=True)]
    np.testing.assert_allclose(found, alone, rtol=1e-11, atol=1e-13)
    assert len(np.unique(found)) > 10


@pytest.mark.parametrize(("name", "task"), [("neg_max_error", "regression"), ("neg_log_loss", "classification")])
def test_any_other_scorer_is_asked_row_by_row(name, task):
    Y, P, L = rows(task, np.random.default_rng(4))
    P[7, 3] = np.nan
    found = score_rows(name, task, Y, P, L)
    if task == "regression":
        np.testing.assert_allclose(np.delete(found, 7), -np.abs(np.delete(Y - P, 7, axis=0)).max(axis=1))
    else:
        chosen = np.where(Y == 1, P, 1 - P)
        expected = np.where(np.ptp(Y, axis=1) > 0, np.log(chosen).mean(axis=1), np.nan)
        np.testing.assert_allclose(np.delete(found, 7), np.delete(expected, 7))
    assert np.isnan(found[7])


def test_what_is_not_predicted_has_no_score():
    Y, P, L = rows("regression", np.random.default_rng(5))
    P[3] = np.nan
    found = score_rows("r2", "regression", Y, P, L)
    assert np.isnan(found[3])
    assert np.isfinite(np.delete(found, 3)).all()


def test_bad_arguments():
    Y, P, L = rows("regression", np.random.default_rng(5))
    with pytest.raises(SearchError, match="must be alike"):
        score_rows("r2", "regression", Y, P[1:], L)
    with pytest.raises(SearchError, match="did you mean 'r2'"):
        score_rows("r22", "regression", Y, P, L)

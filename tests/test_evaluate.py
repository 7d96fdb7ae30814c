"""The refit: out-of-fold predictions, coefficients in original units, calibration, failures."""

from dataclasses import replace

import numpy as np
import pytest
from plain import evaluate, search
from scipy.special import expit
from sklearn.calibration import CalibratedClassifierCV
from sklearn.linear_model import ElasticNet
from sklearn.metrics import roc_auc_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import RobustScaler

from cortax.errors import SearchError
from cortax.learning.folds import make_folds
from cortax.learning.search.cells import Batch, Problem
from cortax.learning.search.choose import choose
from cortax.learning.search.evaluations import collect_evaluations
from cortax.learning.search.pipelines import PIPELINES, make, pipeline_kind
from cortax.learning.search.refit import evaluate_batch, evaluate_cell
from cortax.learning.search.spaces import content_seed, sample_configs

NAMES, TASKS = ["iq", "sex"], ["regression", "classification"]


def cohort(seed=0, n_subjects=80, n_regions=6, n_repeats=1):
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n_subjects, n_regions)) * rng.uniform(0.01, 100, n_regions) + 5
    signal = 2 * (X[:, 0] - 5) / X[:, 0].std()
    Y = np.column_stack([signal, signal + rng.normal(size=n_subjects) > 0]).astype(float)
    Y[:, 0] += rng.normal(size=n_subjects)
    Y[3, 0] = Y[[8, 9], 1] = np.nan
    return X, Y, make_folds(rng.integers(0, 50, n_subjects), n_outer=3, n_repeats=n_repeats, seed=seed)


def configs_of(kind, n_configs=3):
    space = {"n_estimators": 5, "min_child_samples": 5} if kind == "lgbm" else {}
    return {task: sample_configs(kind, task, n_configs, seed=0, space=space) for task in TASKS}


def problem_of(kind, X, Y, folds, configs, **more):
    return Problem(X, Y, tuple(TASKS), tuple(NAMES), folds, kind, configs, **more)


def run(kind, X, Y, folds, configs, **more):
    problem = problem_of(kind, X, Y, folds, configs, **more)
    scores = search(problem, PIPELINES[kind]).scores
    return scores, evaluate(problem, PIPELINES[kind], scores)


def test_elastic_equals_a_plain_refit():
    X, Y, folds = cohort()
    configs = configs_of("elastic")
    scores, found = run("elastic", X, Y, folds, configs)
    for outer in range(folds.n_outer):
        number = int(scores[0, outer].mean(axis=1).argmax())
        assert found.chosen[0, outer] == number
        known = ~np.isnan(Y[:, 0])
        train, test = known & ~folds.test[outer], known & folds.test[outer]
        oracle = make_pipeline(RobustScaler(quantile_range=(5, 95)), ElasticNet(**configs["regression"][number]))
        oracle.fit(X[train], Y[train, 0])
        np.testing.assert_allclose(found.predictions[0, 0, test], oracle.predict(X[test]), rtol=0, atol=1e-10)
        assert found.train_rows[0, outer] == train.sum()


@pytest.mark.parametrize("kind", sorted(PIPELINES))
def test_everybody_is_predicted_once_a_repeat(kind):
    X, Y, folds = cohort(n_repeats=2)
    _, found = run(kind, X, Y, folds, configs_of(kind, 2))
    assert found.predictions.shape == found.labels.shape == (2, 2, 80)
    for r in range(2):
        np.testing.assert_array_equal(np.isnan(found.predictions[r]), np.isnan(Y.T))
        np.testing.assert_array_equal(np.isnan(found.labels[r, 1]), np.isnan(Y[:, 1]))
    assert np.isnan(found.labels[:, 0]).all()
    probability = found.predictions[:, 1][~np.isnan(found.predictions[:, 1])]
    assert 0 <= probability.min() <= probability.max() <= 1
    assert set(found.labels[:, 1][~np.isnan(found.labels[:, 1])]) <= {0.0, 1.0}
    assert (found.seconds > 0).all()
    assert found.failures == ()
    assert (found.coefficients is None) == (kind in ("svm", "lgbm"))


@pytest.mark.parametrize("kind", ["ridge", "elastic"])
@pytest.mark.parametrize("n_confounds", [0, 2])
def test_coefficients_reproduce_predictions(kind, n_confounds):
    X, Y, folds = cohort()
    confounds = None
    if n_confounds:
        confounds = np.random.default_rng(1).normal(size=(80, n_confounds)) * [1, 40]
        X = X + confounds[:, :1]
    _, found = run(kind, X, Y, folds, configs_of(kind), confounds=confounds)
    assert found.coefficients.shape == (2, 3, 6)
    assert found.confound_coefficients.shape == (2, 3, n_confounds)
    for t, link in enumerate((lambda decision: decision, expit)):
        for outer in range(folds.n_outer):
            decision = found.intercepts[t, outer] + X @ found.coefficients[t, outer]
            if n_confounds:
                decision += confounds @ found.confound_coefficients[t, outer]
            rows = folds.test[outer] & ~np.isnan(Y[:, t])
            np.testing.assert_allclose(link(decision)[rows], found.predictions[0, t, rows], atol=1e-9)


def test_coefficients_are_per_unit_of_the_original_regions():
    X, Y, folds = cohort()
    configs = {"regression": [{"alpha": 1.0}], "classification": [{"C": 1.0}]}
    _, metres = run("ridge", X, Y, folds, configs)
    _, millimetres = run("ridge", X * 1000, Y, folds, configs)
    np.testing.assert_allclose(millimetres.coefficients * 1000, metres.coefficients, rtol=1e-6)
    np.testing.assert_allclose(millimetres.predictions, metres.predictions, rtol=1e-6)


def test_svm_is_calibrated_on_grouped_folds_and_labelled_by_its_decision():
    X, Y, folds = cohort()
    y, config = Y[:, 1], {"C": 5.0, "gamma": 0.02, "percentile": 80, "class_weight": None}
    problem = problem_of("svm", X, Y, folds, {"regression": [{}], "classification": [config]}, seed=3)
    cell = evaluate_cell(problem, (1, 1), PIPELINES["svm"], [config], 0)
    train = np.flatnonzero(~folds.test[1] & ~np.isnan(y))
    splits = [(np.flatnonzero(~v[train]), np.flatnonzero(v[train])) for v in folds.valid[1]]
    pipeline = make(PIPELINES["svm"], "classification", config, seed=content_seed(3, "svm", "sex", 1, 0))
    oracle = CalibratedClassifierCV(pipeline, cv=splits, ensemble=False).fit(X[train], y[train].astype(int))
    np.testing.assert_allclose(cell.predictions, oracle.predict_proba(X[cell.rows])[:, 1], atol=1e-12)
    alone = pipeline.fit(X[train], y[train].astype(int))
    np.testing.assert_array_equal(cell.labels, alone.predict(X[cell.rows]))
    assert roc_auc_score(y[cell.rows], cell.predictions) == roc_auc_score(
        y[cell.rows], alone.decision_function(X[cell.rows])
    )


def test_order_of_cells_changes_no_bit():
    X, Y, folds = cohort()
    configs = configs_of("lgbm")
    scores, found = run("lgbm", X, Y, folds, configs)
    cells = [(1, 2), (0, 1), (1, 0), (0, 0), (1, 1), (0, 2)]
    problem = problem_of("lgbm", X, Y, folds, configs)
    other = evaluate(problem, PIPELINES["lgbm"], scores, cells=cells)
    for name in ("predictions", "labels", "chosen", "train_rows"):
        assert getattr(found, name).tobytes() == getattr(other, name).tobytes()
    part = evaluate(problem, PIPELINES["lgbm"], scores, cells=cells[:1])
    assert (part.chosen >= 0).sum() == 1


def test_one_standard_error_chooses_the_more_regularised():
    X, Y, folds = cohort()
    configs = {"regression": [{"alpha": 0.1}, {"alpha": 1.0}], "classification": [{"C": 1.0}, {"C": 0.9}]}
    scores = np.broadcast_to(np.array([[0.5, 0.3, 0.4], [0.39, 0.39, 0.39]]), (2, 3, 2, 3))
    found = evaluate(problem_of("ridge", X, Y, folds, configs), PIPELINES["ridge"], scores, rule="one-standard-error")
    assert (found.chosen == 1).all()
    assert choose(scores[0, 0]) == 0


def test_configurations_of_the_other_task_are_not_chosen():
    X, Y, folds = cohort()
    configs = {"regression": [{"alpha": 1.0}], "classification": [{"C": 1.0}, {"C": 0.1}]}
    scores = np.zeros((2, 3, 2, 3))
    scores[0, :, 1] = np.nan
    scores[1, :, 1] = 0.5
    found = evaluate(problem_of("ridge", X, Y, folds, configs), PIPELINES["ridge"], scores)
    np.testing.assert_array_equal(found.chosen, [[0, 0, 0], [1, 1, 1]])


def test_not_converged_is_counted():
    X, Y, folds = cohort()
    configs = {
        "regression": [{"alpha": 1e-4, "l1_ratio": 0.5, "max_iter": 1}],
        "classification": [{"C": 1e-3, "l1_ratio": 0.5}],
    }
    _, found = run("elastic", X, Y, folds, configs)
    np.testing.assert_array_equal(found.not_converged, [[1, 1, 1], [0, 0, 0]])


def test_failures_are_told_and_the_others_go_on():
    X, Y, folds = cohort()
    configs = {"regression": [{"alpha": -1.0}, {"alpha": 1.0}], "classification": [{"C": 1.0}, {"C": 2.0}]}
    scores = np.full((2, 3, 2, 3), 0.5)
    scores[1, 2] = np.nan
    found = evaluate(problem_of("ridge", X, Y, folds, configs), PIPELINES["ridge"], scores)
    assert [(f["target"], f["outer"]) for f in found.failures] == [(0, 0), (0, 1), (0, 2), (1, 2)]
    message = found.failures[0]["message"]
    assert message.startswith("target 'iq', outer fold 0, configuration 0 {'alpha': -1.0}: InvalidParameterError")
    assert found.failures[3]["message"] == "target 'sex', outer fold 2: every configuration failed in the search"
    np.testing.assert_array_equal(found.chosen, [[-1, -1, -1], [0, 0, -1]])
    assert np.isnan(found.predictions[0, 0]).all()
    assert np.isnan(found.predictions[0, 1, folds.test[2]]).all()
    assert np.isnan(found.coefficients[0]).all()
    with pytest.raises(SearchError, match="every cell failed; the first: target 'iq', outer fold 0"):
        evaluate(problem_of("ridge", X, Y, folds, configs), PIPELINES["ridge"], np.full((2, 3, 2, 3), np.nan))


def test_a_users_estimator_without_coefficients_or_probabilities():
    X, Y, folds = cohort()
    kind = pipeline_kind("sklearn", {"regression": "sklearn.neighbors:KNeighborsRegressor"}, name="knn")
    configs = {"regression": [{"n_neighbors": 3}]}
    problem = Problem(X, Y[:, :1], ("regression",), ("iq",), folds, "knn", configs)
    found = evaluate_batch(problem, Batch(0, (0,)), kind, scores={0: [[0.1] * 3]}, configs={0: configs["regression"]})
    cell = found[0, 0]
    assert cell.linear is None
    assert cell.predictions.shape == cell.rows.shape
    assert collect_evaluations({(0, 0): cell}, 1, folds).coefficients is None


def test_bad_input():
    X, Y, folds = cohort()
    configs = configs_of("ridge")
    scores = np.zeros((2, 3, 3, 3))
    problem, kind = problem_of("ridge", X, Y, folds, configs), PIPELINES["ridge"]
    with pytest.raises(SearchError, match=r"target 'iq': scores have shape \(2, 3\), expected \(3, 3\)"):
        evaluate(problem, kind, scores[:, :, :2])
    with pytest.raises(SearchError, match="rule: got 'first'"):
        evaluate(problem, kind, scores, rule="first")
    with pytest.raises(SearchError, match=r"pipeline 'ridge', regression, configuration .*alhpa"):
        evaluate(replace(problem, configs={**configs, "regression": [{"alhpa": 1}] * 3}), kind, scores)

"""The search: equal to a plain scikit-learn loop, the same in any order, and honest about failures."""

import warnings

import numpy as np
import pytest
from plain import search
from sklearn.dummy import DummyClassifier
from sklearn.feature_selection import SelectPercentile, VarianceThreshold, f_classif
from sklearn.linear_model import ElasticNet, LinearRegression, LogisticRegression, Ridge
from sklearn.metrics import explained_variance_score, matthews_corrcoef
from sklearn.model_selection import GridSearchCV, PredefinedSplit
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import RobustScaler
from sklearn.svm import SVC

from cortax.errors import SearchError
from cortax.learning.folds import make_folds
from cortax.learning.search.cells import Problem, collect
from cortax.learning.search.pipelines import PIPELINES, PipelineKind, pipeline_kind
from cortax.learning.search.reference import search_cell
from cortax.learning.search.scoring import check_scorer
from cortax.learning.search.spaces import sample_configs

NAMES, TASKS = ["iq", "sex"], ["regression", "classification"]


def cohort(seed=0, n_subjects=90, n_regions=6):
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n_subjects, n_regions)) * rng.uniform(0.1, 30, n_regions)
    signal = X[:, 0] / X[:, 0].std() + X[:, 1] / X[:, 1].std()
    iq = signal + rng.normal(size=n_subjects)
    sex = (signal + rng.normal(size=n_subjects) > 0).astype(float)
    Y = np.column_stack([iq, sex])
    Y[5, 0] = Y[9, 1] = np.nan
    groups = rng.integers(0, n_subjects // 2, n_subjects)
    return X.astype(np.float32), Y, make_folds(groups, n_outer=3, n_inner=3, seed=seed)


def drawn(kind, n_configs, **space):
    return {task: sample_configs(kind, task, n_configs, seed=0, space=space) for task in TASKS}


def problem_of(kind, configs, X, Y, folds, **more):
    """All targets, or of one task only those that have configurations."""
    kept = [t for t, task in enumerate(TASKS) if task in configs]
    tasks, names = (tuple(values[t] for t in kept) for values in (TASKS, NAMES))
    return Problem(X, Y[:, kept], tasks, names, folds, kind, configs, **more)


def run(kind, configs, X, Y, folds, cells=None, **more):
    return search(problem_of(kind, configs, X, Y, folds, **more), PIPELINES[kind], cells)


def plain_scores(estimator, grid, scoring, X, y, folds, outer):
    """GridSearchCV over the inner folds as a predefined split; its grid has the order of `grid`."""
    known = ~np.isnan(y) & ~folds.test[outer]
    split = PredefinedSplit(folds.valid[outer].argmax(axis=0)[known])
    pipeline = make_pipeline(RobustScaler(quantile_range=(5, 95)), estimator)
    grid = [{f"{pipeline.steps[1][0]}__{k}": [v] for k, v in config.items()} for config in grid]
    searched = GridSearchCV(pipeline, grid, scoring=scoring, cv=split, refit=False)
    searched.fit(np.asarray(X, float)[known], y[known])
    return np.column_stack([searched.cv_results_[f"split{i}_test_score"] for i in range(folds.n_inner)])


def test_ridge_and_elastic_equal_grid_search():
    X, Y, folds = cohort()
    for kind, estimator in (("ridge", Ridge()), ("elastic", ElasticNet())):
        configs = drawn(kind, 6, alpha={"low": 1e-2, "high": 1e2, "log": True})["regression"]
        found = run(kind, {"regression": configs}, X, Y, folds)
        for outer in range(folds.n_outer):
            expected = plain_scores(estimator, configs, "explained_variance", X, Y[:, 0], folds, outer)
            np.testing.assert_allclose(found.scores[0, outer], expected, rtol=0, atol=1e-10)
        assert found.failures == ()
        assert found.scores.max() > 0.3


def test_logistic_ridge_equals_grid_search():
    X, Y, folds = cohort()
    configs = drawn("ridge", 5, C={"low": 1e-2, "high": 1e2, "log": True})
    found = run("ridge", configs, X, Y, folds)
    for outer in range(folds.n_outer):
        expected = plain_scores(
            LogisticRegression(max_iter=1000),
            configs["classification"],
            "matthews_corrcoef",
            X,
            Y[:, 1],
            folds,
            outer,
        )
        np.testing.assert_allclose(found.scores[1, outer], expected, rtol=0, atol=1e-10)


def test_everything_by_hand_with_confounds_missing_values_and_selection():
    X, Y, folds = cohort()
    rng = np.random.default_rng(1)
    X[rng.random(X.shape) < 0.05] = np.nan
    X[:, 4] = np.nan
    confounds = rng.normal(size=(len(X), 2))
    config = {"C": 3.0, "gamma": 0.05, "class_weight": "balanced", "percentile": 60}
    problem = problem_of("svm", {"classification": [config]}, X, Y, folds, confounds=confounds)
    cell = search_cell(problem, (0, 1), PIPELINES["svm"])
    known = ~np.isnan(Y[:, 1])
    for i in range(folds.n_inner):
        train, valid = (np.flatnonzero(known & ~folds.test[1] & m) for m in (~folds.valid[1, i], folds.valid[1, i]))
        medians = np.nan_to_num(
            np.array([np.median(c[~np.isnan(c)]) if (~np.isnan(c)).any() else 0 for c in X[train].T])
        )
        filled = np.where(np.isnan(X), medians, X.astype(float))
        filled -= LinearRegression().fit(confounds[train], filled[train]).predict(confounds)
        scaler = RobustScaler(quantile_range=(5, 95)).fit(filled[train])
        oracle = make_pipeline(
            VarianceThreshold(),
            SelectPercentile(f_classif, percentile=60),
            SVC(C=3.0, gamma=0.05, class_weight="balanced"),
        ).fit(scaler.transform(filled[train]), Y[train, 1])
        expected = matthews_corrcoef(Y[valid, 1], oracle.predict(scaler.transform(filled[valid])))
        assert cell.scores[0, i] == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("kind", sorted(PIPELINES))
def test_order_of_cells_changes_no_bit(kind):
    X, Y, folds = cohort(n_subjects=60)
    configs = drawn(kind, 2, **({"n_estimators": 6, "min_child_samples": 5} if kind == "lgbm" else {}))
    straight = run(kind, configs, X, Y, folds)
    cells = [(1, 2), (0, 0), (1, 0), (0, 2), (0, 1), (1, 1)]
    shuffled = run(kind, configs, X, Y, folds, cells=cells)
    assert straight.scores.tobytes() == shuffled.scores.tobytes()
    assert straight.failures == shuffled.failures == ()
    one = run(kind, configs, X, Y, folds, cells=[(1, 1)])
    assert one.scores[1, 1].tobytes() == straight.scores[1, 1].tobytes()
    assert np.isnan(one.scores[0]).all()


def test_a_seed_matters_to_what_is_random():
    X, Y, folds = cohort(n_subjects=60)
    space = {"boosting": "gbdt", "n_estimators": 6, "min_child_samples": 5, "min_child_weight": 1e-3}
    configs = drawn("lgbm", 1, **space)
    assert (run("lgbm", configs, X, Y, folds).scores != run("lgbm", configs, X, Y, folds, seed=1).scores).any()


@pytest.mark.parametrize("boosting", ["gbdt", "dart", "goss"])
def test_lightgbm_learns(boosting):
    X, Y, folds = cohort(n_subjects=150)
    config = {"boosting": boosting, "n_estimators": 30, "subsample": 0.7, "min_child_samples": 10}
    found = run("lgbm", {task: [config] for task in TASKS}, X, Y, folds)
    assert found.failures == ()
    assert (found.scores.mean(axis=(1, 2, 3)) > [0.03, 0.1]).all()


def test_tasks_may_have_different_numbers_of_configurations():
    X, Y, folds = cohort()
    configs = {"regression": [{"alpha": 1.0}], "classification": [{"C": 1.0}, {"C": 0.1}]}
    found = run("ridge", configs, X, Y, folds)
    assert found.scores.shape == (2, 3, 2, 3)
    assert np.isnan(found.scores[0, :, 1]).all()
    assert not np.isnan(found.scores[1]).any()
    assert (found.seconds > 0).all()


def test_failed_fits_are_counted_and_the_others_go_on():
    X, Y, folds = cohort()
    configs = {"regression": [{"alpha": 1.0}, {"alpha": -1.0}], "classification": [{"C": 1.0}, {"C": 1.0}]}
    found = run("ridge", configs, X, Y, folds)
    assert np.isnan(found.scores[0, :, 1]).all()
    assert not np.isnan(found.scores[:, :, 0]).any()
    assert len(found.failures) == 9
    first = found.failures[0]
    assert {k: first[k] for k in ("target", "outer", "inner", "config")} == {
        "target": "iq",
        "outer": 0,
        "inner": 0,
        "config": 1,
    }
    assert first["kind"] == "InvalidParameterError"
    assert "alpha" in first["message"]


def test_a_failing_front_end_fails_all_configurations_once():
    X, Y, folds = cohort()
    rows = np.flatnonzero(folds.valid[0, 0])
    X[rows[0], 2] = np.inf
    problem = problem_of("ridge", {"regression": [{"alpha": 1.0}] * 2}, X, Y, folds)
    cell = search_cell(problem, (0, 0), PIPELINES["ridge"])
    assert [f["config"] for f in cell.failures] == [-1] * 3
    assert "infinity" in cell.failures[0]["message"]
    assert np.isnan(cell.scores).all()


def test_nothing_but_failures_is_an_error():
    X, Y, folds = cohort()
    message = "every fit failed; the first: target 'iq', outer fold 0, inner fold 0, configuration 0: Invalid"
    with pytest.raises(SearchError, match=message):
        run("ridge", {"regression": [{"alpha": -1.0}], "classification": [{"C": -1.0}]}, X, Y, folds)


def test_what_did_not_converge_is_counted():
    X, Y, folds = cohort()
    configs = {
        "regression": [{"alpha": 1e-4, "l1_ratio": 0.5, "max_iter": 1}, {"alpha": 10.0, "l1_ratio": 0.5}],
        "classification": [{"C": 10.0, "l1_ratio": 0.5, "max_iter": 1}, {"C": 1e-3, "l1_ratio": 0.5}],
    }
    found = run("elastic", configs, X, Y, folds)
    assert (found.not_converged[:, :, 0] == 1).all()
    assert (found.not_converged[:, :, 1] == 0).all()
    assert not np.isnan(found.scores).any()
    assert found.failures == ()


def test_other_warnings_are_not_swallowed():
    class Noisy(DummyClassifier):
        def fit(self, X, y, sample_weight=None):
            warnings.warn("look here", UserWarning, stacklevel=1)
            return super().fit(X, y)

    X, Y, folds = cohort()
    kind = PipelineKind("noisy", {"classification": lambda config, seed: Noisy()})
    # In these tests a warning is an error, and an error of a fit is a failure.
    cell = search_cell(problem_of("noisy", {"classification": [{}]}, X, Y, folds), (0, 0), kind)
    assert [f["message"] for f in cell.failures] == ["look here"] * 3


@pytest.mark.parametrize("error", [MemoryError(), RuntimeError("std::bad_alloc"), SystemError("no exception set")])
def test_memory_errors_are_left_to_the_caller(error):
    class Greedy(DummyClassifier):
        def fit(self, X, y, sample_weight=None):
            raise error

    X, Y, folds = cohort()
    kind = PipelineKind("greedy", {"classification": lambda config, seed: Greedy()})
    with pytest.raises(MemoryError):
        search_cell(problem_of("greedy", {"classification": [{}]}, X, Y, folds), (0, 0), kind)


def test_a_users_estimator_and_scorer():
    X, Y, folds = cohort()
    kind = pipeline_kind("sklearn", {"regression": "sklearn.linear_model:LinearRegression"}, name="ols")
    configs = {"regression": [{}]}
    cell = search_cell(problem_of("ols", configs, X, Y, folds), (0, 0), kind)
    known = ~np.isnan(Y[:, 0]) & ~folds.test[0]
    train, valid = known & ~folds.valid[0, 0], known & folds.valid[0, 0]
    expected = LinearRegression().fit(X[train], Y[train, 0]).predict(X[valid])
    assert cell.scores[0, 0] == pytest.approx(explained_variance_score(Y[valid, 0], expected), abs=1e-5)
    scorers = {"regression": "neg_mean_squared_error"}
    by_error = search_cell(problem_of("ols", configs, X, Y, folds, scorers=scorers), (0, 0), kind)
    assert by_error.scores.max() < 0 < cell.scores.max()


def test_bad_input():
    X, Y, folds = cohort()
    configs = drawn("ridge", 1)
    with pytest.raises(SearchError, match=r"regions have shape \(89, 6\); the folds are of 90 subjects"):
        run("ridge", configs, X[1:], Y, folds)
    with pytest.raises(SearchError, match=r"confounds must be of shape \(90, n_confounds\); got \(90,\)"):
        run("ridge", configs, X, Y, folds, confounds=np.zeros(90))
    with pytest.raises(SearchError, match=r"scorer of 'regression': got 'r3'.*did you mean 'r2'"):
        run("ridge", configs, X, Y, folds, scorers={"regression": "r3", "classification": "f1"})
    with pytest.raises(SearchError, match=r"pipeline 'ridge', regression, configuration .*'alhpa'"):
        run("ridge", {**configs, "regression": [{"alhpa": 1}]}, X, Y, folds)
    assert callable(check_scorer("r2", "regression"))


def test_cells_collect_in_any_order():
    X, Y, folds = cohort()
    configs = drawn("ridge", 2)
    done = {
        (t, outer): search_cell(problem_of("ridge", configs, X, Y, folds), (t, outer), PIPELINES["ridge"])
        for t in (1, 0)
        for outer in (2, 0, 1)
    }
    found = collect(done, 2, folds, configs)
    np.testing.assert_array_equal(found.scores, run("ridge", configs, X, Y, folds).scores)

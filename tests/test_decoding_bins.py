"""Decoders of a bin: what the shared way finds is what scikit-learn's own loop finds; nothing leaks."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.feature_selection import SelectFpr, f_classif, f_regression
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.model_selection import GridSearchCV, PredefinedSplit
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import LinearSVC
from threadpoolctl import threadpool_limits

from cortax.errors import FoldError, SearchError
from cortax.workloads.decoding.bins import BinFit, DecoderOptions, choose_config, fit_bin, score_votes, training_sets
from cortax.workloads.decoding.folds import class_codes, trial_folds
from cortax.workloads.decoding.hinge import hinge_path
from cortax.workloads.decoding.linear import vote
from cortax.workloads.decoding.plain import decision_values, fit_bin_plainly, refit
from cortax.workloads.decoding.selection import set_statistics


@pytest.fixture(autouse=True)
def _one_thread():
    """Threads of small products cost more than they gain."""
    with threadpool_limits(1):
        yield


SVM = DecoderOptions("svm", (1e-4, 1e-3, 1e-2, 1e-1, 1.0), 0.05, "balanced_accuracy", False, None, 0)
KINDS = {
    "svm": SVM,
    "svm-all": replace(SVM, select=None, scoring="accuracy"),
    "logistic": replace(SVM, kind="logistic", configs=(1e-3, 1e-1, 10.0)),
    "lda": replace(SVM, kind="lda", configs=(0.05, 0.3, 0.9, 1.0)),
}


def made(n_classes=3, n_trials=60, n_columns=80, effect=0.8, seed=0):
    rng = np.random.default_rng(seed)
    y = np.arange(n_trials) % n_classes
    X = rng.normal(size=(n_trials, n_columns))
    X[:, :6] += effect * rng.normal(size=(n_classes, 6))[y][:, :n_columns]
    X[:, 1] *= 1e3
    X[:, 2] += 50.0
    return X, y


def folds_of(y, n_outer=4, n_inner=3, groups=()):
    return trial_folds([f"c{label}" for label in y], groups, n_outer=n_outer, n_inner=n_inner, seed=1, subject="s1")


RIDGE = replace(SVM, kind="ridge", configs=(1e-2, 1.0, 100.0, 1e4), scoring="r2")


def made_continuous(n_trials=48, n_columns=80, seed=0):
    X, _ = made(2, n_trials, n_columns, effect=0.0, seed=seed)
    X = X - X.mean(axis=0)
    noise = np.random.default_rng([seed, 1]).normal(size=n_trials)
    return X, 500.0 + 30.0 * (X[:, 0] + 1e-3 * X[:, 1] - X[:, 3] + 0.7 * noise)


def continuous_folds(y, groups=()):
    options = {"n_outer": 4, "n_inner": 3, "seed": 1, "subject": "s1"}
    return trial_folds([repr(float(label)) for label in y], groups, continuous=True, **options)


def decisions(fit: BinFit, X):
    return np.einsum("np,pfo->fno", X, fit.weights) + fit.intercepts[:, None]


@pytest.mark.parametrize("n_classes", [2, 3])
@pytest.mark.parametrize("kind", KINDS)
def test_choices_votes_and_decisions_are_those_of_the_plain_loop(kind, n_classes):
    X, y = made(n_classes)
    folds = folds_of(y)
    options = KINDS[kind]
    fast, plain = fit_bin(X, y, folds, options), fit_bin_plainly(X, y, folds, options)
    assert np.allclose(fast.scores, plain.scores, rtol=0, atol=1e-12)
    assert np.array_equal(fast.chosen, plain.chosen)
    assert np.array_equal(fast.n_selected, plain.n_selected)
    assert fast.n_empty == plain.n_empty == 0
    new = made(n_classes, seed=5)[0]
    for outer, (config, found) in enumerate(zip(plain.chosen, decisions(fast, new), strict=True)):
        rows = ~folds.test[outer]
        model, _ = refit(X[rows], y[rows], options, options.configs[config])
        assert np.array_equal(vote(found), model.predict(new))
        assert np.allclose(found, decision_values(model, new, n_classes), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(("select", "n_columns"), [(0.05, 80), (None, 80), (0.5, 6), (None, 6)])
def test_ridge_is_a_grid_search_over_scikit_learns_pipeline(select, n_columns):
    X, y = made_continuous(n_columns=n_columns)
    folds = continuous_folds(y)
    options = replace(RIDGE, select=select)
    fast, plain = fit_bin(X, y, folds, options), fit_bin_plainly(X, y, folds, options)
    assert np.array_equal(fast.chosen, plain.chosen)
    assert np.array_equal(fast.n_selected, plain.n_selected)
    assert np.allclose(fast.scores, plain.scores, rtol=0, atol=1e-8)
    new = made_continuous(n_columns=n_columns, seed=5)[0]
    predicted = decisions(fast, new)[..., 0]
    tests = [SelectFpr(f_regression, alpha=select)] if select else []
    for outer, test in enumerate(folds.test):
        place = folds.valid[outer].argmax(axis=0)[~test]
        grid = {"ridge__alpha": list(RIDGE.configs)}
        pipe = make_pipeline(*tests, StandardScaler(), Ridge())
        search = GridSearchCV(pipe, grid, cv=PredefinedSplit(place)).fit(X[~test], y[~test])
        found = np.array([search.cv_results_[f"split{inner}_test_score"] for inner in range(3)])
        assert np.allclose(found, fast.scores[outer], rtol=0, atol=1e-8)
        assert fast.chosen[outer] == search.best_index_
        assert np.allclose(search.predict(new), predicted[outer], rtol=1e-8)
    assert len(set(fast.scores.mean(axis=(0, 1)).round(6))) == len(RIDGE.configs)


@given(seed=st.integers(0, 1000), alpha=st.sampled_from([0.05, 0.5]))
@settings(deadline=None, max_examples=15)
def test_selection_for_continuous_labels_is_that_of_scikit_learn(seed, alpha):
    X, y = made_continuous(36, 40, seed)
    X[:, 7] = 3.0
    sets = np.random.default_rng(seed).random((5, 36)) < 0.8
    found = set_statistics(X, y, sets, alpha)
    for rows, keep in zip(sets, found.keep, strict=True):
        varies = np.ptp(X[rows], axis=0) > 0
        expected = varies.copy()
        expected[varies] = f_regression(X[rows][:, varies], y[rows])[1] < alpha
        assert np.array_equal(keep, expected)


def test_continuous_labels_of_tested_trials_change_nothing_and_without_columns_the_mean_is_predicted():
    X, y = made_continuous()
    folds = continuous_folds(y)
    before = fit_bin(X, y, folds, RIDGE)
    for outer, test in enumerate(folds.test):
        altered, labels = X.copy(), y.copy()
        altered[test], labels[test] = 1e3, -1e6
        after = fit_bin(altered, labels, folds, RIDGE)
        assert np.allclose(after.scores[outer], before.scores[outer], rtol=0, atol=1e-10)
        assert np.allclose(after.weights[:, outer], before.weights[:, outer], rtol=1e-8, atol=1e-12)
    nothing = replace(RIDGE, select=1e-30)
    fast, plain = fit_bin(X, y, folds, nothing), fit_bin_plainly(X, y, folds, nothing)
    assert fast.n_empty == plain.n_empty == 16
    assert np.allclose(fast.scores, plain.scores, rtol=0, atol=1e-12)
    means = [y[~test].mean() for test in folds.test]
    assert np.allclose(decisions(fast, X)[..., 0], np.array(means)[:, None])


def test_folds_of_continuous_labels():
    _, y = made_continuous()
    folds = continuous_folds(y)
    assert np.array_equal(folds.test.sum(axis=0), np.ones(48))
    grouped = continuous_folds(y, [f"run {number // 4}" for number in range(48)])
    for test in grouped.test:
        assert (test.reshape(-1, 4).all(axis=1) == test.reshape(-1, 4).any(axis=1)).all()
    with pytest.raises(FoldError, match=r"subject 's1': there are 3 trials: too few for search.n_outer = 4"):
        continuous_folds(y[:3])


def test_the_plain_loop_is_a_grid_search_over_a_pipeline():
    X, y = made(3, seed=2)
    folds = folds_of(y)
    plain = fit_bin_plainly(X, y, folds, SVM)
    for outer, test in enumerate(folds.test):
        place = np.full(len(y), -1)
        for inner, valid in enumerate(folds.valid[outer]):
            place[valid] = inner
        pipe = make_pipeline(SelectFpr(f_classif), StandardScaler(), LinearSVC(loss="hinge", tol=1e-10, max_iter=10**6))
        search = GridSearchCV(
            pipe, {"linearsvc__C": list(SVM.configs)}, scoring="balanced_accuracy", cv=PredefinedSplit(place[~test])
        )
        search.fit(X[~test], y[~test])
        found = np.array([search.cv_results_[f"split{inner}_test_score"] for inner in range(3)])
        assert np.allclose(found, plain.scores[outer], rtol=0, atol=1e-12)
        assert plain.chosen[outer] == search.best_index_


@pytest.mark.parametrize(("n", "p"), [(40, 200), (60, 60), (90, 12), (50, 3)])
def test_support_vector_machines_close_the_gap_between_primal_and_dual(n, p):
    X, y = made(2, n, p)
    X, y = StandardScaler().fit_transform(X), np.where(y == 0, -1.0, 1.0)
    penalties = np.array([1e-4, 1e-2, 1.0, 100.0])
    A, converged = hinge_path(X @ X.T, y, penalties)
    assert converged
    for C, a in zip(penalties, A, strict=True):
        weights, intercept = a @ X, a.sum()
        assert (a * y >= 0).all()
        assert (a * y <= C * (1 + 1e-12)).all()
        norm = (weights @ weights + intercept**2) / 2
        primal = norm + C * np.maximum(0, 1 - y * (X @ weights + intercept)).sum()
        assert primal - ((a * y).sum() - norm) <= 1e-6 * primal


@given(seed=st.integers(0, 1000), n_classes=st.integers(2, 4), alpha=st.sampled_from([None, 0.05, 0.5]))
@settings(deadline=None, max_examples=25)
def test_selection_and_scaling_are_those_of_scikit_learn(seed, n_classes, alpha):
    X, y = made(n_classes, 36, 40, seed=seed)
    X[:, 7] = 3.0
    X[0, 8], X[1:, 8] = 5.0, 0.1
    sets = np.random.default_rng(seed).random((5, 36)) < 0.8
    sets[:, :8] = True
    sets[1, 0] = False  # column 8 does not vary here
    found = set_statistics(X, y, sets, alpha)
    for rows, keep, mean, deviation in zip(sets, found.keep, found.mean, found.deviation, strict=True):
        part = X[rows]
        varies = np.ptp(part, axis=0) > 0
        expected = varies.copy()
        if alpha is not None:
            expected[varies] = f_classif(part[:, varies], y[rows])[1] < alpha
        assert np.array_equal(keep, expected)
        scaler = StandardScaler().fit(part[:, keep]) if keep.any() else None
        if scaler is not None:
            assert np.allclose(mean[keep], scaler.mean_, rtol=1e-12, atol=1e-12)
            assert np.allclose(deviation[keep], scaler.scale_, rtol=1e-10)


def test_trials_that_are_tested_change_nothing_that_is_fitted():
    X, y = made(3)
    folds = folds_of(y)
    before = fit_bin(X, y, folds, SVM)
    for outer, test in enumerate(folds.test):
        altered, labels = X.copy(), y.copy()
        altered[test] = 1e3 * np.random.default_rng(outer).normal(size=altered[test].shape)
        labels[test] = (labels[test] + 1) % 3
        after = fit_bin(altered, labels, folds, SVM)
        assert np.array_equal(after.scores[outer], before.scores[outer])
        assert after.chosen[outer] == before.chosen[outer]
        assert np.allclose(after.weights[:, outer], before.weights[:, outer], rtol=1e-9, atol=1e-15)


def test_validation_trials_change_no_score_of_other_inner_folds():
    X, y = made(2)
    folds = folds_of(y)
    before = fit_bin(X, y, folds, SVM)
    altered = X.copy()
    valid = folds.valid[0, 1]
    altered[valid] *= -100.0
    after = fit_bin(altered, y, folds, SVM)
    assert not np.array_equal(after.scores[0, 1], before.scores[0, 1])
    sets = training_sets(folds)
    a, b = set_statistics(X, y, sets, 0.05), set_statistics(altered, y, sets, 0.05)
    assert np.array_equal(a.keep[2], b.keep[2])
    assert not np.array_equal(a.keep[1], b.keep[1])


def test_where_nothing_is_selected_the_majority_is_predicted_and_counted():
    rng = np.random.default_rng(3)
    y = np.repeat([0, 1], [25, 15])
    X = rng.normal(size=(40, 5))
    options = replace(SVM, select=1e-12)
    folds = folds_of(y)
    fast, plain = fit_bin(X, y, folds, options), fit_bin_plainly(X, y, folds, options)
    assert fast.n_empty == plain.n_empty == 4 * (1 + 3)
    assert (fast.n_selected == 0).all()
    assert (vote(decisions(fast, X)) == 0).all()
    assert np.array_equal(fast.scores, plain.scores)
    assert (fast.chosen == 0).all()


def test_patterns_are_those_of_haufe():
    X, y = made(2)
    folds = folds_of(y)
    found = fit_bin(X, y, folds, replace(SVM, select=None))
    expected = []
    for test, weights in zip(folds.test, found.weights[:, :, 0].T, strict=True):
        covariance = np.cov(X[~test].T, bias=True)
        expected.append(covariance @ weights / np.sqrt(weights @ covariance @ weights))
    assert np.allclose(found.patterns[:, 0], np.mean(expected, axis=0), rtol=1e-10)


def test_any_estimator_is_fitted_by_the_plain_loop_and_one_that_fails_is_out():
    X, y = made(3)
    folds = folds_of(y)
    options = replace(
        SVM, kind="sklearn", plain=True, select=None, estimator="sklearn.neighbors:KNeighborsClassifier",
        configs=({"n_neighbors": 500}, {"n_neighbors": 3}, {"n_neighbors": 9}),
    )  # fmt: skip
    found = fit_bin_plainly(X, y, folds, options)
    assert np.isnan(found.scores[:, :, 0]).all()
    assert (found.chosen > 0).all()
    with pytest.raises(SearchError, match=r"outer fold 0: no configuration could be fitted; .*500.*n_samples"):
        fit_bin_plainly(X, y, folds, replace(options, configs=options.configs[:1]))


def test_the_first_of_equal_configurations_is_chosen_and_one_with_a_nan_is_out():
    assert choose_config(np.array([[0.1, 0.3, 0.2], [0.3, 0.1, 0.2]])) == 0
    assert choose_config(np.array([[np.nan, 0.3], [0.9, 0.1]])) == 1
    assert choose_config(np.full((2, 2), np.nan)) == -1


def test_votes_are_scored_as_by_scikit_learn():
    from sklearn.metrics import accuracy_score, balanced_accuracy_score

    rng = np.random.default_rng(0)
    y, votes = rng.integers(0, 3, 40), rng.integers(0, 3, (2, 40))
    for name, score in (("accuracy", accuracy_score), ("balanced_accuracy", balanced_accuracy_score)):
        assert np.allclose(score_votes(votes, y, name), [score(y, row) for row in votes])


def test_folds_are_stratified_and_keep_groups_whole():
    y = np.arange(60) % 3
    folds = folds_of(y, 5, 4)
    assert np.array_equal(folds.test.sum(axis=0), np.ones(60))
    assert {tuple(np.bincount(y[test])) for test in folds.test} == {(4, 4, 4)}
    groups = [f"run {number // 6}" for number in range(60)]
    grouped = folds_of(y, 5, 3, groups)
    for test in grouped.test:
        assert not {groups[n] for n in np.flatnonzero(test)} & {groups[n] for n in np.flatnonzero(~test)}
    assert not np.array_equal(
        folds.test, trial_folds([f"c{n}" for n in y], (), n_outer=5, n_inner=4, seed=2, subject="s1").test
    )


def test_folds_that_cannot_be_made_are_one_message():
    with pytest.raises(FoldError, match=r"subject 's1': class 'c1' has 3 trials: too few for search.n_outer = 4"):
        folds_of(np.repeat([0, 1], [20, 3]))
    with pytest.raises(FoldError, match=r"class 'c1' has 4 trials: too few .*search.n_inner = 4"):
        folds_of(np.repeat([0, 1], [20, 4]), n_inner=4)
    with pytest.raises(FoldError, match="4 folds need at least 4 groups"):
        folds_of(np.arange(20) % 2, groups=["one"] * 10 + ["two"] * 10)
    assert class_codes(["b", "a", "b"])[1] == ["a", "b"]


def test_oracles_are_the_classifiers_that_the_kinds_name():
    X, y = made(2)
    for kind, estimator in (
        ("logistic", LogisticRegression(C=0.1, tol=1e-9, max_iter=10**5)),
        ("lda", LinearDiscriminantAnalysis(solver="lsqr", shrinkage=0.1)),
    ):
        options = replace(SVM, kind=kind, configs=(0.1,), select=None)
        model, _ = refit(X, y, options, 0.1)
        expected = make_pipeline(StandardScaler(), estimator).fit(X, y)
        assert np.allclose(decision_values(model, X, 2)[:, 0], expected.decision_function(X), atol=1e-5)

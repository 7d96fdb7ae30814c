"""What is held out has no influence, and noise scores at chance."""

import numpy as np
import pytest
from plain import evaluate, search
from sklearn.metrics import r2_score, roc_auc_score

from cortax.learning.folds import make_folds
from cortax.learning.search import reference
from cortax.learning.search.cells import Problem
from cortax.learning.search.pipelines import PIPELINES, fit_counting
from cortax.learning.search.reference import search_cell
from cortax.learning.search.refit import evaluate_cell
from cortax.learning.search.spaces import sample_configs

NAMES, TASKS = ["iq", "sex"], ["regression", "classification"]
# Without these, small training parts have nothing but constant predictions, which would hide a leak.
SPACE = {
    "lgbm": {"n_estimators": 8, "min_child_samples": 5, "min_child_weight": 1e-3},
    "svm": {"C": {"low": 1.0, "high": 5.0}, "gamma": {"low": 0.05, "high": 0.5}},
    "elastic": {"alpha": {"low": 0.01, "high": 0.2}, "C": {"low": 0.5, "high": 5.0}},
}


def cohort(seed=0, n_subjects=72, n_regions=5, signal=1.0):
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n_subjects, n_regions))
    confounds = rng.normal(size=(n_subjects, 2))
    X += confounds[:, :1]
    X[rng.random(X.shape) < 0.03] = np.nan
    score = signal * np.nan_to_num(X[:, 0]) + rng.normal(size=n_subjects)
    Y = np.column_stack([score, score + rng.normal(size=n_subjects) > 0]).astype(float)
    return X, Y, confounds, make_folds(np.arange(n_subjects) // 2, n_outer=3, n_inner=3, seed=seed)


def spoilt(X, Y, confounds, rows, seed=9):
    """Other numbers, of another scale, missing or not, in some rows."""
    rng = np.random.default_rng(seed)
    X, Y, confounds = X.copy(), Y.copy(), confounds.copy()
    X[rows] = rng.normal(50, 1000, size=X[rows].shape)
    X[rows[::3], 1] = np.nan
    confounds[rows] = rng.normal(-5, 100, size=confounds[rows].shape)
    Y[rows, 0] = rng.normal(100, 1e4, size=len(rows))
    Y[rows, 1] = 1 - Y[rows, 1]
    Y[rows[::4]] = np.nan
    return X, Y, confounds


def drawn(kind, n_configs=4):
    return {task: sample_configs(kind, task, n_configs, seed=0, space=SPACE.get(kind)) for task in TASKS}


def problem_of(kind, X, Y, confounds, folds, configs):
    return Problem(X, Y, tuple(TASKS), tuple(NAMES), folds, kind, configs, confounds=confounds)


def both(kind, X, Y, confounds, folds, configs):
    problem = problem_of(kind, X, Y, confounds, folds, configs)
    found = search(problem, PIPELINES[kind])
    return found, evaluate(problem, PIPELINES[kind], found.scores)


@pytest.mark.parametrize("kind", sorted(PIPELINES))
def test_test_rows_change_nothing_of_their_fold(kind):
    X, Y, confounds, folds = cohort()
    configs = drawn(kind, 3)
    outer = 1
    before, chosen_before = both(kind, X, Y, confounds, folds, configs)
    test = np.flatnonzero(folds.test[outer])
    changed = spoilt(X, Y, confounds, test)
    after, chosen_after = both(kind, *changed, folds, configs)
    assert before.scores[:, outer].tobytes() == after.scores[:, outer].tobytes()
    np.testing.assert_array_equal(chosen_before.chosen[:, outer], chosen_after.chosen[:, outer])
    np.testing.assert_array_equal(chosen_before.train_rows[:, outer], chosen_after.train_rows[:, outer])
    if chosen_before.coefficients is not None:
        for name in ("coefficients", "confound_coefficients", "intercepts"):
            ours, theirs = getattr(chosen_before, name), getattr(chosen_after, name)
            assert ours[:, outer].tobytes() == theirs[:, outer].tobytes()
    # The change is not too small to be seen: the folds that train on these rows do see it.
    assert (before.scores[:, 0] != after.scores[:, 0]).any(axis=(1, 2)).all()
    assert np.ptp(before.scores[:, outer], axis=(1, 2)).all(), "scores that could show a leak"


@pytest.mark.parametrize("kind", sorted(PIPELINES))
def test_the_fitted_function_does_not_see_the_test_rows(kind):
    """Replace half of the test rows: the other half is predicted as before, to the bit."""
    X, Y, confounds, folds = cohort()
    configs = drawn(kind, 1)
    test = np.flatnonzero(folds.test[2])
    kept, replaced = test[::2], test[1::2]
    changed = spoilt(X, Y, confounds, replaced)
    problems = [problem_of(kind, *data, folds, configs) for data in ((X, Y, confounds), changed)]
    for t, task in enumerate(TASKS):
        before, after = (evaluate_cell(p, (t, 2), PIPELINES[kind], configs[task], 0) for p in problems)
        for field in ("predictions", "labels"):
            ours = dict(zip(before.rows, getattr(before, field), strict=True))
            theirs = dict(zip(after.rows, getattr(after, field), strict=True))
            # By the last bits of matrix products, whose blocking depends on how many rows there are.
            np.testing.assert_allclose([ours[r] for r in kept], [theirs[r] for r in kept], rtol=1e-12)


@pytest.mark.parametrize("kind", sorted(PIPELINES))
def test_validation_rows_change_nothing_of_what_is_fitted(kind, monkeypatch):
    """Every byte that an estimator is given to fit is as before; the scores of that fold are not."""
    X, Y, confounds, folds = cohort()
    changed = spoilt(X, Y, confounds, np.flatnonzero(folds.valid[0, 1]))
    given = []
    monkeypatch.setattr(
        reference,
        "fit_counting",
        lambda back, X, y: (
            given.append((back.named_steps["estimate"].get_params(), X.tobytes(), y.tobytes())),
            fit_counting(back, X, y),
        )[1],
    )
    problems = [problem_of(kind, *data, folds, drawn(kind, 3)) for data in ((X, Y, confounds), changed)]
    for t in range(len(TASKS)):
        given.clear()
        before, after = (search_cell(p, (t, 0), PIPELINES[kind]) for p in problems)
        # One after the other: inner folds of 3 configurations, before and after the change.
        ours, theirs = given[:9], given[9:]
        assert ours[3:6] == theirs[3:6]
        assert all(a != b for a, b in zip(ours[:3] + ours[6:], theirs[:3] + theirs[6:], strict=True))
        assert (before.scores[:, 1] != after.scores[:, 1]).any()


@pytest.mark.parametrize("kind", ["ridge", "svm"])
def test_noise_scores_at_chance(kind):
    r2, auc = [], []
    for seed in range(3):
        X, Y, confounds, folds = cohort(seed=seed, n_subjects=120, n_regions=20, signal=0.0)
        _, found = both(kind, X, Y, confounds, folds, drawn(kind, 2))
        for test in folds.test:
            r2.append(r2_score(Y[test, 0], found.predictions[0, 0, test]))
            auc.append(roc_auc_score(Y[test, 1], found.predictions[0, 1, test]))
    assert np.mean(r2) < 0.01
    # 9 folds of 40: the standard error of the mean is about .09 / sqrt(9) = .03.
    assert abs(np.mean(auc) - 0.5) < 0.08


def test_signal_scores_above_chance():
    X, Y, confounds, folds = cohort(n_subjects=120, signal=2.0)
    _, found = both("ridge", X, Y, confounds, folds, drawn("ridge"))
    assert r2_score(Y[:, 0], found.predictions[0, 0]) > 0.3
    assert roc_auc_score(Y[:, 1], found.predictions[0, 1]) > 0.7


def test_confounded_signal_is_gone():
    """Regions that know the target only through the confounds predict nothing once those are removed."""
    rng = np.random.default_rng(0)
    age = rng.normal(size=(150, 1))
    X = age + 0.3 * rng.normal(size=(150, 4))
    Y = np.column_stack([age[:, 0], age[:, 0] > 0]).astype(float)
    folds = make_folds(np.arange(150), n_outer=3, seed=0)
    _, free = both("ridge", X, Y, None, folds, drawn("ridge"))
    _, removed = both("ridge", X, Y, age, folds, drawn("ridge"))
    assert r2_score(Y[:, 0], free.predictions[0, 0]) > 0.8
    assert r2_score(Y[:, 0], removed.predictions[0, 0]) < 0.05

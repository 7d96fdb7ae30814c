"""Every fast solver gives the plain loop's answer, sees nothing that is held out, and depends on no order."""

import itertools
from dataclasses import replace

import numpy as np
import plain
import pytest

from cortax.errors import SearchError
from cortax.learning.folds import make_folds
from cortax.learning.search import solvers
from cortax.learning.search.cells import Batch, Problem, collect
from cortax.learning.search.evaluations import collect_evaluations
from cortax.learning.search.pipelines import PIPELINES, pipeline_kind
from cortax.learning.search.refit import evaluate_batch
from cortax.learning.search.spaces import sample_configs

NAMES, TASKS = ("iq", "sex", "mood", "smoker"), ("regression", "classification", "regression", "classification")
KINDS = sorted({kind for kind, _ in solvers.SOLVERS})
SPACE = {
    "lgbm": {"n_estimators": {"low": 3, "high": 12, "integer": True}, "min_child_samples": 5, "min_child_weight": 1e-3},
    "svm": {"C": {"low": 0.5, "high": 5.0}, "gamma": {"low": 0.05, "high": 0.5}, "tol": 1e-5},
    "elastic": {
        "alpha": {"low": 0.01, "high": 0.2},
        "C": {"low": 0.5, "high": 5.0},
        "tol": 1e-8,
        "max_iter": 20_000,
    },
    "ridge": {"C": {"low": 1e-3, "high": 10.0, "log": True}, "tol": 1e-9},
}
# Of a decision (in units of its spread) and of an inner score; trees are to be the same to the bit.
CLOSE = {"ridge": 1e-6, "elastic": 1e-4, "svm": 2e-3, "lgbm": 0.0}


def problem_of(kind, seed=0, n_subjects=90, n_regions=6, n_configs=3, missing=True, **more):
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n_subjects, n_regions)) * rng.uniform(0.1, 30, n_regions) + 5
    confounds = rng.normal(size=(n_subjects, 2)) * [1, 40]
    X += confounds[:, :1]
    signal = (X[:, 0] - X[:, 0].mean()) / X[:, 0].std()
    Y = np.column_stack([signal + rng.normal(size=n_subjects) for _ in NAMES])
    Y[:, 1::2] = Y[:, 1::2] > 0.3
    if missing:
        X[rng.random(X.shape) < 0.02] = np.nan
        Y[3, 0] = Y[[8, 9], 1] = np.nan
    configs = {t: sample_configs(kind, t, n_configs, seed=0, space=SPACE[kind]) for t in set(TASKS)}
    folds = make_folds(np.arange(n_subjects) // 2, n_outer=3, n_inner=2, seed=seed)
    scorers = {"regression": "r2", "classification": "roc_auc"}
    return Problem(X, Y, TASKS, NAMES, folds, kind, configs, scorers, confounds, **more)


def plainly(problem):
    return solvers.search(replace(problem, plain=True), PIPELINES[problem.kind])


def evaluated(problem, scores, rule="best"):
    done = {}
    for batch in solvers.plan_batches(problem):
        done |= evaluate_batch(
            problem,
            batch,
            PIPELINES[problem.kind],
            scores={t: scores[t, batch.outer] for t in batch.targets},
            configs={t: problem.configs[problem.tasks[t]] for t in batch.targets},
            rule=rule,
        )
    return collect_evaluations(done, len(problem.names), problem.folds)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("missing", [False, True])
def test_the_plain_loops_scores_and_refits(kind, missing):
    problem = problem_of(kind, missing=missing)
    fast, plain = solvers.search(problem, PIPELINES[kind]), plainly(problem)
    assert fast.failures == plain.failures == ()
    # A rank may change where two decisions are nearly equal: one pair of a validation part.
    pair = 1 / 49 if kind == "svm" else 0
    np.testing.assert_allclose(fast.scores, plain.scores, rtol=0, atol=max(CLOSE[kind], pair, 1e-12))
    assert np.ptp(plain.scores, axis=(2, 3)).all(), "scores that could differ"
    ours, theirs = evaluated(problem, plain.scores), evaluated(replace(problem, plain=True), plain.scores)
    np.testing.assert_array_equal(ours.chosen, theirs.chosen)
    np.testing.assert_array_equal(ours.train_rows, theirs.train_rows)
    np.testing.assert_array_equal(np.isnan(ours.predictions), np.isnan(theirs.predictions))
    np.testing.assert_allclose(ours.predictions, theirs.predictions, rtol=0, atol=max(5 * CLOSE[kind], 1e-12))
    assert np.mean(ours.labels[:, 1::2] != theirs.labels[:, 1::2]) == np.mean(np.isnan(theirs.labels[:, 1::2]))
    if theirs.coefficients is not None:
        for name in ("coefficients", "confound_coefficients", "intercepts"):
            expected = getattr(theirs, name)
            atol = 20 * CLOSE[kind] * np.abs(expected).max()
            np.testing.assert_allclose(getattr(ours, name), expected, rtol=0, atol=atol)


def test_every_search_is_by_a_solver():
    """If a solver declined, the comparisons above would compare the plain loop with itself."""
    for (kind, task), module in solvers.SOLVERS.items():
        problem = problem_of(kind)
        assert solvers.find_solver(kind, task, problem.configs[task]).__name__ == module
        assert module in solvers.solver_modules(kind)


@pytest.mark.parametrize("kind", KINDS)
def test_no_order_and_no_company_changes_a_score(kind):
    problem = problem_of(kind)
    batches = solvers.plan_batches(problem)
    assert sorted(itertools.chain(*([(t, b.outer) for t in b.targets] for b in batches))) == sorted(
        itertools.product(range(4), range(3))
    )
    done = {}
    for batch in reversed(batches):
        done |= solvers.search_batch(problem, batch, PIPELINES[kind])
    backwards = collect(done, 4, problem.folds, problem.configs)
    forwards = solvers.search(problem, PIPELINES[kind])
    assert backwards.scores.tobytes() == forwards.scores.tobytes()
    alone = solvers.search_batch(problem, Batch(1, (2,)), PIPELINES[kind])[2, 1]
    np.testing.assert_allclose(alone.scores, forwards.scores[2, 1], rtol=0, atol=max(CLOSE[kind], 1e-12))


@pytest.mark.parametrize("kind", KINDS)
def test_test_rows_change_nothing_of_their_fold(kind):
    problem, outer = problem_of(kind), 1
    rng = np.random.default_rng(5)
    rows = np.flatnonzero(problem.folds.test[outer])
    X, Y, confounds = problem.regions.copy(), problem.targets.copy(), problem.confounds.copy()
    X[rows] = rng.normal(50, 1000, size=X[rows].shape)
    X[rows[::3], 1] = np.nan
    confounds[rows] = rng.normal(-5, 100, size=confounds[rows].shape)
    Y[rows, ::2] = rng.normal(100, 1e4, size=(len(rows), 2))
    Y[rows, 1::2] = 1 - Y[rows, 1::2]
    Y[rows[::4]] = np.nan
    spoilt = replace(problem, regions=X, targets=Y, confounds=confounds)
    before, after = (solvers.search(which, PIPELINES[kind]) for which in (problem, spoilt))
    assert before.scores[:, outer].tobytes() == after.scores[:, outer].tobytes()
    assert (before.scores[:, 0] != after.scores[:, 0]).any(axis=(1, 2)).all(), "a change that can be seen"
    ours, theirs = (evaluated(which, before.scores) for which in (problem, spoilt))
    np.testing.assert_array_equal(ours.train_rows[:, outer], theirs.train_rows[:, outer])
    if ours.coefficients is not None:
        for name in ("coefficients", "confound_coefficients", "intercepts"):
            # To rounding: who else is tested decides what is summed together.
            expected = getattr(ours, name)[:, outer]
            np.testing.assert_allclose(getattr(theirs, name)[:, outer], expected, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("kind", KINDS)
def test_validation_targets_change_nothing_of_what_is_predicted(kind, monkeypatch):
    problem = problem_of(kind)
    rows = np.flatnonzero(problem.folds.valid[0, 1] & ~np.isnan(problem.targets).any(axis=1))
    Y = problem.targets.copy()
    Y[rows, ::2] += 1e3
    Y[rows, 1::2] = 1 - Y[rows, 1::2]
    said = []
    score = solvers.score_decisions
    monkeypatch.setattr(
        solvers, "score_decisions", lambda s, t, y, d, **k: (said.append(d.tobytes()), score(s, t, y, d, **k))[1]
    )
    solvers.search_batch(problem, Batch(0, (0, 2)), PIPELINES[kind])
    solvers.search_batch(replace(problem, targets=Y), Batch(0, (0, 2)), PIPELINES[kind])
    # Two inner folds of two targets, twice: the second fold holds the changed rows out, the first trains on them.
    assert len(said) == 8
    assert said[2:4] == said[6:8]
    assert said[0] != said[4]


def test_a_fit_that_fails_is_a_failure_and_the_others_go_on():
    problem = problem_of("ridge")
    problem = replace(problem, configs={**problem.configs, "regression": [{"alpha": -1.0}, {"alpha": 1.0}]})
    fast, plain = solvers.search(problem, PIPELINES["ridge"]), plainly(problem)
    assert {(f["target"], f["outer"], f["inner"], f["config"]) for f in fast.failures} == {
        (f["target"], f["outer"], f["inner"], f["config"]) for f in plain.failures
    }
    np.testing.assert_array_equal(np.isnan(fast.scores), np.isnan(plain.scores))
    found = evaluated(problem, np.where(np.isnan(fast.scores), 0.9, fast.scores))
    assert "configuration 0 {'alpha': -1.0}" in found.failures[0]["message"]


def test_infinite_regions_fail_as_in_the_plain_loop():
    problem = problem_of("ridge", missing=False)
    problem.regions[4, 2] = np.inf
    fast, plain = solvers.search(problem, PIPELINES["ridge"]), plainly(problem)
    assert fast.failures == plain.failures != ()
    np.testing.assert_array_equal(np.isnan(fast.scores), np.isnan(plain.scores))


@pytest.mark.parametrize("error", [MemoryError, KeyboardInterrupt])
def test_memory_and_interrupts_are_no_failures(error, monkeypatch):
    problem = problem_of("ridge")

    def stop(*_, **__):
        raise error

    monkeypatch.setattr(solvers, "score_decisions", stop)
    with pytest.raises(error):
        solvers.search(problem, PIPELINES["ridge"])


def test_what_a_solver_did_not_foresee_is_a_failure_of_what_rests_on_it(monkeypatch):
    problem = problem_of("ridge", missing=False)
    module = solvers.find_solver("ridge", "regression", problem.configs["regression"])
    scores = solvers.search(problem, PIPELINES["ridge"]).scores

    def fit(*_, **__):
        raise RuntimeError("unforeseen")

    monkeypatch.setattr(module, "fit", fit)
    found = solvers.search(problem, PIPELINES["ridge"])
    assert np.isnan(found.scores[::2]).all()
    assert np.isfinite(found.scores[1::2]).all()
    assert len(found.failures) == 2 * 3 * 3 * 2
    assert {(f["kind"], f["message"]) for f in found.failures} == {("RuntimeError", "unforeseen")}
    messages = [failure["message"] for failure in evaluated(problem, scores).failures]
    assert len(messages) == 6
    assert all("RuntimeError: unforeseen" in message for message in messages)


@pytest.mark.parametrize("scorer", ["neg_mean_squared_log_error", "neg_mean_gamma_deviance"])
def test_warming_up_decides_nothing(scorer):
    problem = problem_of("ridge")
    targets = np.where([task == "regression" for task in TASKS], np.abs(problem.targets) + 20, problem.targets)
    problem = replace(problem, targets=targets, scorers={**problem.scorers, "regression": scorer})
    solvers.warm_up(problem, PIPELINES["ridge"])
    assert np.isfinite(solvers.search(problem, PIPELINES["ridge"]).scores).all()


@pytest.mark.parametrize("extra", ["none", "constant", "dummies"])
@pytest.mark.parametrize("near", ["offset", "tiny"])
def test_confounds_that_nearly_depend_on_each_other(extra, near):
    """Whoever takes a short cut here would remove other confounds than scikit-learn does."""
    rng, n = np.random.default_rng(0), 120
    X, a = rng.normal(size=(n, 8)), rng.normal(size=n)
    columns = [a, 1e5 + a] if near == "offset" else [a, rng.normal(size=n) * 2.2e-14]
    if extra == "constant":
        columns.append(np.ones(n))
    if extra == "dummies":
        columns += [np.arange(n) % 2, 1 - np.arange(n) % 2]
    Y = X[:, :1] + rng.normal(size=(n, 4))
    for t in range(4):
        Y[rng.choice(n, 30, replace=False), t] = np.nan
    folds = make_folds(np.arange(n), n_outer=2, n_inner=2, seed=0)
    configs = {"regression": [{"alpha": 1e-2}, {"alpha": 10.0}]}
    tasks = ("regression",) * 4
    problem = Problem(X, Y, tasks, NAMES, folds, "ridge", configs, confounds=np.column_stack(columns))
    fast, plain = solvers.search(problem, PIPELINES["ridge"]), plainly(problem)
    np.testing.assert_allclose(fast.scores, plain.scores, rtol=0, atol=1e-9)


def test_kinds_without_a_solver_use_the_plain_loop():
    problem = problem_of("ridge")
    kind = pipeline_kind("sklearn", {"regression": "sklearn.neighbors:KNeighborsRegressor"}, name="knn")
    problem = Problem(
        problem.regions,
        problem.targets[:, ::2],
        TASKS[::2],
        NAMES[::2],
        problem.folds,
        "knn",
        {"regression": [{"n_neighbors": 3}, {"n_neighbors": 5}]},
    )
    found = solvers.search(problem, kind)
    oracle = plain.search(problem, kind)
    assert found.scores.tobytes() == oracle.scores.tobytes()
    assert [len(batch.targets) for batch in solvers.plan_batches(problem)] == [1] * 6


def test_bad_problems():
    problem = problem_of("ridge")
    with pytest.raises(SearchError, match="targets have shape"):
        replace(problem, names=("iq",))
    with pytest.raises(SearchError, match="confounds must be of shape"):
        replace(problem, confounds=np.zeros((3, 1)))
    with pytest.raises(SearchError, match="no configuration for task 'classification'"):
        replace(problem, configs={"regression": [{"alpha": 1.0}]})
    with pytest.raises(SearchError, match="no scorer for task 'regression'"):
        replace(problem, scorers={"classification": "roc_auc"})
    with pytest.raises(SearchError, match=r"target 'sex': classes must be 0 and 1, .* without a gap; got \[1.0, 2.0\]"):
        replace(problem, targets=np.add(problem.targets, [0, 1, 0, 0]))
    wrong = replace(problem, configs={**problem.configs, "regression": [{"alhpa": 1.0}]})
    with pytest.raises(SearchError, match="alhpa"):
        solvers.search(wrong, PIPELINES["ridge"])


@pytest.mark.parametrize(
    ("kind", "space", "plain", "reason"),
    [
        ("lgbm", {"linear_tree": True}, False, "linear_tree"),
        ("lgbm", {}, True, "scikit-learn itself"),
        ("ridge", {}, False, "one way only"),
    ],
)
def test_a_strategy_that_cannot_be_followed_is_not_ignored(kind, space, plain, reason):
    problem = problem_of(kind, plain=plain, strategy={"staged": True})
    configs = {task: [{**config, **space} for config in found] for task, found in problem.configs.items()}
    problem = replace(problem, configs=configs)
    with pytest.raises(SearchError, match=f"strategy cannot be followed: .*{reason}"):
        solvers.search_batch(problem, solvers.plan_batches(problem)[0], PIPELINES[kind])

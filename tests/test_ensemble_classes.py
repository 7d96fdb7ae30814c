"""Ensembles of targets of several classes, and of ordinal ones, are scikit-learn's own compositions."""

from dataclasses import replace

import numpy as np
import pytest
from plain import evaluate
from sklearn.calibration import CalibratedClassifierCV
from sklearn.ensemble import StackingClassifier, VotingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import cohen_kappa_score, make_scorer
from sklearn.model_selection import GridSearchCV, cross_val_predict
from sklearn.multiclass import OneVsRestClassifier
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler

from cortax.learning.cohort import Targets
from cortax.learning.ensemble.inner import predict_inner
from cortax.learning.ensemble.meta import META, stack
from cortax.learning.ensemble.store_inner import open_inner, save_inner
from cortax.learning.ensemble.strategies import Ensemble, EnsembleMember, EnsemblePart, ensemble_cell, weights_table
from cortax.learning.folds import fold_parts, make_folds
from cortax.learning.search import solvers
from cortax.learning.search.by_class import OrdinalClassifier
from cortax.learning.search.cells import SCORERS, Problem
from cortax.learning.search.evaluations import CellEvaluation, collect_evaluations
from cortax.learning.search.pipelines import PIPELINES, make, make_back, pipeline_kind
from cortax.learning.search.refit import evaluate_batch
from cortax.learning.search.solvers import fit_seed
from cortax.learning.search.store_evaluation import StoredEvaluation, open_evaluation, save_evaluation

NAMES, TASKS = ("diagnosis", "grade"), ("classification", "ordinal")
SIZES = {"coarse": 4, "fine": 6}
CONFIGS = {
    "ridge": [{"C": 0.05, "tol": 1e-10, "max_iter": 20_000}, {"C": 0.3, "tol": 1e-10, "max_iter": 20_000}],
    "svm": [{"C": 2.0, "gamma": 0.1, "tol": 1e-6}],
    "lgbm": [{"n_estimators": 4, "min_child_samples": 5}],
    "own": [{"var_smoothing": 1e-3}],
    "decides": [{"alpha": 3.0}],
}
OWN = {"own": "sklearn.naive_bayes:GaussianNB", "decides": "sklearn.linear_model:RidgeClassifier"}
CLOSE = {"rtol": 0, "atol": 1e-7}


def cohort(n=96):
    rng = np.random.default_rng(0)
    signal = rng.normal(size=(n, 2))
    regions = {
        name: signal @ rng.normal(size=(2, size)) + 0.8 * rng.normal(size=(n, size)) for name, size in SIZES.items()
    }
    three = np.digitize(signal[:, 0] - signal[:, 1], [-0.6, 0.6])
    grade = np.digitize(signal[:, 0] + 0.3 * rng.normal(size=n), [-0.5, 0.5])
    Y = np.column_stack([three, grade]).astype(float)
    Y[5, 0] = Y[[11, 40], 1] = np.nan
    return regions, Y, make_folds(np.arange(n) // 2, n_outer=2, n_inner=2, seed=0)


def kind_of(kind):
    return PIPELINES[kind] if kind in PIPELINES else pipeline_kind("sklearn", {"classification": OWN[kind]}, name=kind)


def problem_of(X, Y, folds, kind, **more):
    return Problem(X, Y, TASKS, NAMES, folds, kind_of(kind).name, dict.fromkeys(TASKS, CONFIGS[kind]), **more)


def worked_out(problem, kind):
    """Search, evaluate, and predict within the training parts."""
    search, refits, inner = solvers.search(problem, kind), {}, {}
    assert not search.failures
    for batch in solvers.plan_batches(problem):
        asked = {
            "scores": {t: search.scores[t, batch.outer] for t in batch.targets},
            "configs": {t: problem.configs[problem.tasks[t]] for t in batch.targets},
        }
        refits |= evaluate_batch(problem, batch, kind, **asked)
        inner |= predict_inner(problem, batch, kind, **asked)
    return collect_evaluations(refits, len(NAMES), problem.folds), inner


def members_of(folder, regions, Y, folds):
    found = []
    for name, X in regions.items():
        evaluated, inner = worked_out(problem_of(X, Y, folds, "ridge"), PIPELINES["ridge"])
        (folder / name).mkdir()
        save_inner(folder / name, inner, NAMES, folds.n_subjects)
        parts = (EnsemblePart(open_inner(folder / name), NAMES, NAMES, None),)
        found.append(EnsembleMember(name, StoredEvaluation(evaluated, NAMES, ()), (), parts))
    return tuple(found)


def ensemble_of(strategy, members, Y, folds):
    return Ensemble(strategy, members, Targets(Y, NAMES, TASKS), folds)


@pytest.fixture(scope="module")
def members(tmp_path_factory):
    return members_of(tmp_path_factory.mktemp("members"), *cohort())


def by_class(task, estimator):
    return OrdinalClassifier(estimator) if task == "ordinal" else OneVsRestClassifier(estimator)


def take(X, first, size):
    return X[:, first : first + size]


def parts_of(target, outer):
    """All columns beside each other, and splits as positions: what a user of scikit-learn has."""
    regions, Y, folds = cohort()
    X, y = np.hstack(list(regions.values())), Y[:, target]
    _, train, test, inner = list(fold_parts(folds, y))[outer]
    splits = [(np.searchsorted(train, fitted), np.searchsorted(train, held_out)) for fitted, held_out in inner]
    return X[train], y[train].astype(int), X[test], splits, test


def estimators_of(members, target, outer):
    found, first = [], 0
    for member in members:
        config = CONFIGS["ridge"][member.evaluation.found.chosen[target, outer]]
        made = make(PIPELINES["ridge"], TASKS[target], config, seed=0)
        made.set_params(estimate__solver="newton-cholesky")  # L-BFGS stops short
        columns = FunctionTransformer(take, kw_args={"first": first, "size": SIZES[member.name]})
        found.append((member.name, by_class(TASKS[target], Pipeline([("columns", columns), *made.steps]))))
        first += SIZES[member.name]
    return found


def meta_search(task, splits):
    model = by_class(
        task, make_pipeline(StandardScaler(), LogisticRegression(solver="newton-cholesky", tol=1e-12, max_iter=1000))
    )
    grid = [
        {f"estimator__logisticregression__{key}": [config[key]] for key in ("C", "class_weight")}
        for config in META["classification"]
    ]
    kappa = make_scorer(cohen_kappa_score, weights="quadratic", labels=range(3))
    return GridSearchCV(model, grid, cv=splits, scoring=kappa if task == "ordinal" else SCORERS[task])


@pytest.mark.parametrize(("target", "outer"), [(0, 0), (0, 1), (1, 0)])
def test_stacked_is_a_stacking_model_of_scikit_learn(members, target, outer, monkeypatch):
    monkeypatch.setitem(META, "classification", META["classification"][::5])  # scikit-learn takes seconds for all
    X, y, X_test, splits, test = parts_of(target, outer)
    model = StackingClassifier(
        estimators_of(members, target, outer),
        meta_search(TASKS[target], splits),
        cv=splits,
        stack_method="predict_proba",
    ).fit(X, y)
    _, Y, folds = cohort()
    cell = ensemble_cell(ensemble_of("stacked", members, Y, folds), target, outer)
    assert not cell.failure
    np.testing.assert_array_equal(cell.rows, test)
    np.testing.assert_allclose(cell.probabilities, model.predict_proba(X_test), **CLOSE)
    np.testing.assert_array_equal(cell.labels, model.predict(X_test))
    assert len(np.unique(cell.labels)) == 3
    chosen = {name.split("__")[-1]: value for name, value in model.final_estimator_.best_params_.items()}
    assert META["classification"][cell.chosen].items() >= chosen.items()
    # What is kept of the stacked model decides as it does: of all classes of the first member, then of the second.
    said = np.hstack([one.predict_proba(X_test) for one in model.estimators_])
    decisions = cell.linear.intercept[:, None] + cell.linear.coefficients @ said.T
    final = model.final_estimator_.best_estimator_.estimators_
    np.testing.assert_allclose(decisions, [each.decision_function(said) for each in final], rtol=0, atol=1e-5)


def test_voted_is_a_voting_model_of_scikit_learn(members):
    X, y, X_test, _, _ = parts_of(0, 1)
    model = VotingClassifier(estimators_of(members, 0, 1), voting="soft").fit(X, y)
    _, Y, folds = cohort()
    cell = ensemble_cell(ensemble_of("voted", members, Y, folds), 0, 1)
    np.testing.assert_allclose(cell.probabilities, model.predict_proba(X_test), **CLOSE)
    np.testing.assert_array_equal(cell.labels, model.predict(X_test))


@pytest.mark.parametrize(
    ("kind", "plain"), [("svm", False), ("svm", True), ("lgbm", False), ("own", True), ("decides", True)]
)
def test_inner_predictions_are_cross_val_predict(kind, plain):
    """Probabilities, or those of the refit's own sigmoids of these very decisions."""
    regions, Y, folds = cohort()
    pipeline = kind_of(kind)
    problem = problem_of(regions["fine"], Y, folds, kind, plain=plain and kind in PIPELINES)
    _, inner = worked_out(problem, pipeline)
    for target, outer in ((0, 1), (1, 0)):
        y, task = Y[:, target], TASKS[target]
        _, train, _, parts = list(fold_parts(folds, y))[outer]
        splits = [(np.searchsorted(train, fitted), np.searchsorted(train, held_out)) for fitted, held_out in parts]
        X, y_train = regions["fine"][train], y[train].astype(int)
        made = make(pipeline, task, CONFIGS[kind][0], seed=fit_seed(problem, target, outer, 0))
        native = pipeline.native and task == "classification"
        if pipeline.calibrates:
            expected = _calibrated(made, X, y_train, splits, task, native)
        else:
            model = made if native else by_class(task, made)
            expected = cross_val_predict(model, X, y_train, cv=splits, method="predict_proba")
        cell = inner[target, outer]
        np.testing.assert_array_equal(cell.rows, train)
        assert np.isnan(cell.predictions).all()
        np.testing.assert_allclose(cell.probabilities, expected, rtol=0, atol=1e-8 if kind != "svm" else 1e-4)
        assert np.ptp(cell.probabilities, axis=0).min() > 0.05


def _calibrated(made, X, y, splits, task, native):
    """The sigmoids of the calibrated refit, of the decisions that they were fitted to."""
    columns = [y > 0, y > 1] if task == "ordinal" else [y == k for k in range(3)]
    if native:
        fitted = CalibratedClassifierCV(made, cv=splits, ensemble=False).fit(X, y).calibrated_classifiers_[0]
        decisions = cross_val_predict(made, X, y, cv=splits, method="decision_function")
        found = np.array([one.predict(d) for one, d in zip(fitted.calibrators, decisions.T, strict=True)])
        return (found / found.sum(axis=0)).T
    found = []
    for column in columns:
        fitted = CalibratedClassifierCV(made, cv=splits, ensemble=False).fit(X, column.astype(int))
        decisions = cross_val_predict(made, X, column.astype(int), cv=splits, method="decision_function")
        found.append(fitted.calibrated_classifiers_[0].calibrators[0].predict(decisions))
    found = np.array(found)
    if task == "ordinal":
        found = np.clip(np.array([1 - found[0], found[0] - found[1], found[1]]), 0, None)
    return (found / found.sum(axis=0)).T


def test_altered_test_subjects_change_nothing_fitted(members, tmp_path):
    regions, Y, folds = cohort()
    outer, rng = 1, np.random.default_rng(3)
    rows = np.flatnonzero(folds.test[outer])
    spoilt = {name: X.copy() for name, X in regions.items()}
    for X in spoilt.values():
        X[rows] = rng.normal(50, 1000, size=X[rows].shape)
    other = Y.copy()
    for target in (0, 1):
        known = rows[~np.isnan(Y[rows, target])]
        other[known, target] = (Y[known, target] + 1) % 3
    changed = members_of(tmp_path, spoilt, other, folds)
    for target in (0, 1):
        ours = ensemble_cell(ensemble_of("stacked", members, Y, folds), target, outer)
        theirs = ensemble_cell(ensemble_of("stacked", changed, other, folds), target, outer)
        assert ours.chosen == theirs.chosen
        np.testing.assert_allclose(ours.linear.coefficients, theirs.linear.coefficients, rtol=1e-9)
        np.testing.assert_allclose(ours.linear.intercept, theirs.linear.intercept, rtol=1e-9)
        assert not np.allclose(ours.probabilities, theirs.probabilities), "a change that can be seen"
        for one, same in zip(members, changed, strict=True):
            kept = [m.evaluation.found.class_models[target].coefficients[outer] for m in (one, same)]
            np.testing.assert_allclose(*kept, rtol=1e-9)


def test_a_class_that_a_training_part_lacks_is_a_failure_that_says_so():
    rng = np.random.default_rng(0)
    y = np.tile([0.0, 1.0, 2.0], 12)
    said = rng.dirichlet(np.ones(3), size=(36, 2))
    lacking = np.flatnonzero(y < 2)
    parts = [(lacking, np.arange(36)), (np.arange(18, 36), np.arange(18))]
    with pytest.raises(Exception, match="target 't': every stacked model failed; the first: ValueError: nobody of cl"):
        stack(said, y, said, parts, task="classification", scorer="accuracy", target="t")


@pytest.mark.parametrize("kind", ["ridge", "elastic"])
def test_coefficients_of_every_column_are_kept_and_decide_as_the_model_does(kind, tmp_path):
    regions, Y, folds = cohort()
    problem = problem_of(regions["coarse"], Y, folds, "ridge")
    if kind == "elastic":
        tight = [{"C": 0.5, "l1_ratio": 0.5, "tol": 1e-7, "max_iter": 20_000}]
        problem = replace(problem, kind="elastic", configs=dict.fromkeys(TASKS, tight))
    scores = np.ones((2, 2, len(problem.configs["ordinal"]), 2))
    fast, _ = worked_out(problem, PIPELINES[kind])
    slow = evaluate(problem, PIPELINES[kind], scores)
    for found in (fast, slow):
        save_evaluation(tmp_path, found, NAMES, ["a"])
        back = open_evaluation(tmp_path).found
        for target, n_columns in ((0, 3), (1, 2)):
            models, stored = found.class_models[target], back.class_models[target]
            assert models.coefficients.shape == (2, n_columns, 4)
            assert stored.coefficients.tobytes() == models.coefficients.tobytes()
            assert stored.intercept.tobytes() == models.intercept.tobytes()
            for outer in (0, 1):
                rows = np.flatnonzero(folds.test[outer] & ~np.isnan(Y[:, target]))
                one = found.linear(target, outer)
                decisions = one.intercept[:, None] + one.coefficients @ problem.regions[rows].T
                labels = decisions.argmax(axis=0) if target == 0 else (decisions > 0).sum(axis=0)
                np.testing.assert_array_equal(labels, found.labels[0, target, rows])
                cell = CellEvaluation.from_bytes(back.cell(target, outer, folds).to_bytes())
                assert cell.linear.coefficients.tobytes() == one.coefficients.tobytes()
    assert fast.coefficients is None
    if kind == "ridge":
        config = CONFIGS["ridge"][fast.chosen[0, 0]]
        train = ~folds.test[0] & ~np.isnan(Y[:, 0])
        oracle = make_back(PIPELINES["ridge"], "classification", config, seed=0)
        oracle.set_params(estimate__solver="newton-cholesky")
        whole = make(PIPELINES["ridge"], "classification", config, seed=0)[:-1].fit(problem.regions[train])
        oracle.fit(whole.transform(problem.regions[train]), Y[train, 0] == 2)
        weights = oracle.named_steps["estimate"].coef_[0] / whole.named_steps["scale"].scale_
        np.testing.assert_allclose(fast.class_models[0].coefficients[0, 2], weights, rtol=1e-6)


def test_weights_say_of_which_class_they_are(members):
    _, Y, folds = cohort()
    names = [member.name for member in members]
    for strategy in ("stacked", "voted"):
        ensemble = ensemble_of(strategy, members, Y, folds)
        cells = {(t, k): ensemble_cell(ensemble, t, k) for t in (0, 1) for k in (0, 1)}
        found = collect_evaluations(cells, 2, folds)
        table = weights_table(found, strategy, targets=ensemble.targets, members=names)
        if strategy == "voted":
            assert list(table.columns) == ["target", "outer", "member", "weight"]
            continue
        assert len(table) == 2 * 2 * 9 + 2 * 2 * 6
        assert list(table["class"].unique()) == ["0", "1", "2", "> 0", "> 1"]
        at = table.set_index(["target", "outer", "class", "member", "predicted"])["weight"]
        assert at["diagnosis", 1, "2", "fine", "1"] == cells[0, 1].linear.coefficients[2, 4]
        assert at["grade", 0, "> 1", "coarse", "2"] == cells[1, 0].linear.coefficients[1, 2]

"""Strategies over several parcellations are scikit-learn's own compositions, and see nothing that is held out."""

from dataclasses import replace

import numpy as np
import pytest
from sklearn.base import BaseEstimator
from sklearn.ensemble import StackingClassifier, StackingRegressor, VotingClassifier, VotingRegressor
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.model_selection import GridSearchCV, cross_val_predict
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler

from cortax.errors import SearchError
from cortax.learning.cohort import Targets
from cortax.learning.ensemble.inner import predict_inner
from cortax.learning.ensemble.meta import META, stack
from cortax.learning.ensemble.store_inner import open_inner, save_inner
from cortax.learning.ensemble.strategies import (
    Ensemble,
    EnsembleMember,
    EnsemblePart,
    ensemble_cell,
    parts_by_member,
    weights_table,
)
from cortax.learning.folds import check_folds, fold_parts, make_folds
from cortax.learning.search import solvers
from cortax.learning.search.cells import Problem
from cortax.learning.search.evaluations import collect_evaluations
from cortax.learning.search.pipelines import PIPELINES, calibrated, make
from cortax.learning.search.refit import evaluate_batch
from cortax.learning.search.spaces import content_seed, sample_configs
from cortax.learning.search.store import StoredSearch
from cortax.learning.search.store_evaluation import StoredEvaluation

NAMES, TASKS = ("iq", "sex"), ("regression", "classification")
SIZES = {"coarse": 4, "middle": 6, "fine": 9}
N_CONFOUNDS = 2
SPACE = {
    "ridge": {"C": {"low": 1e-3, "high": 0.3, "log": True}, "tol": 1e-10, "max_iter": 20_000},
    "lgbm": {"n_estimators": {"low": 3, "high": 12, "integer": True}, "min_child_samples": 5, "min_child_weight": 1e-3},
    "svm": {"C": {"low": 0.5, "high": 5.0}, "gamma": {"low": 0.05, "high": 0.5}, "tol": 1e-6},
}
SCORERS = {"regression": "explained_variance", "classification": "roc_auc"}
CLOSE = {"rtol": 0, "atol": 1e-8}


def cohort(seed=0, n_subjects=96):
    """Regions of three parcellations, targets (some unknown), confounds and folds that keep pairs together."""
    rng = np.random.default_rng(seed)
    signal = rng.normal(size=(n_subjects, 3))
    confounds = rng.normal(size=(n_subjects, N_CONFOUNDS)) * [1, 20]
    regions = {}
    for name, size in SIZES.items():
        X = signal @ rng.normal(size=(3, size)) + 1.5 * rng.normal(size=(n_subjects, size)) + confounds[:, :1]
        X[rng.random(X.shape) < 0.02] = np.nan
        regions[name] = X
    iq = signal[:, 0] + rng.normal(size=n_subjects)
    sex = (signal[:, 1] + 0.7 * rng.normal(size=n_subjects) > 0.2).astype(float)
    Y = np.column_stack([iq, sex])
    Y[5, 0] = Y[[11, 40], 1] = np.nan
    groups = np.arange(n_subjects) // 2
    return regions, Y, confounds, make_folds(groups, n_outer=3, n_inner=3, n_repeats=1, seed=seed), groups


def problem_of(X, Y, confounds, folds, kind):
    configs = {task: sample_configs(kind, task, 4, seed=1, space=SPACE[kind]) for task in TASKS}
    return Problem(X, Y, TASKS, NAMES, folds, kind, configs, SCORERS, confounds)


def member_of(problem, name, folder):
    """Search, evaluate and predict within the training parts: what three jobs do."""
    pipeline = PIPELINES[problem.kind]
    search = solvers.search(problem, pipeline)
    refits, inner = {}, {}
    for batch in solvers.plan_batches(problem):
        asked = {
            "scores": {t: search.scores[t, batch.outer] for t in batch.targets},
            "configs": {t: problem.configs[problem.tasks[t]] for t in batch.targets},
        }
        refits |= evaluate_batch(problem, batch, pipeline, **asked)
        inner |= predict_inner(problem, batch, pipeline, **asked)
    found = collect_evaluations(refits, len(NAMES), problem.folds)
    folder.mkdir(parents=True)
    save_inner(folder, inner, NAMES, problem.folds.n_subjects)
    return EnsembleMember(
        f"{name}/{problem.kind}",
        StoredEvaluation(found, NAMES, ()),
        (EnsemblePart(StoredSearch(search.scores, problem.configs, {}, {}), NAMES, NAMES, None),),
        (EnsemblePart(open_inner(folder), NAMES, NAMES, None),),
    )


def members_of(folder, kind="ridge", data=None, **changes):
    regions, Y, confounds, folds, _ = data or cohort()
    return tuple(
        member_of(replace(problem_of(X, Y, confounds, folds, kind), **changes), name, folder / name)
        for name, X in regions.items()
    )


def ensemble_of(strategy, members, data=None, **more):
    _, Y, _, folds, _ = data or cohort()
    return Ensemble(strategy, members, Targets(Y, NAMES, TASKS), folds, SCORERS, **more)


@pytest.fixture(scope="module")
def ridges(tmp_path_factory):
    return members_of(tmp_path_factory.mktemp("ridges"))


def parts_of(target, outer):
    """Everything that a scikit-learn user has: all columns beside each other, and splits as positions."""
    regions, Y, confounds, folds, _ = cohort()
    X, y = np.hstack([*regions.values(), confounds]), Y[:, target]
    _, train, test, inner = list(fold_parts(folds, y))[outer]
    splits = [(np.searchsorted(train, fitted), np.searchsorted(train, held_out)) for fitted, held_out in inner]
    y_train = y[train] if TASKS[target] == "regression" else y[train].astype(int)
    return X[train], y_train, X[test], splits, test


def take(X, first, size):
    return np.hstack([X[:, first : first + size], X[:, -N_CONFOUNDS:]])


def columns_of(name):
    first = sum(size for other, size in SIZES.items() if list(SIZES).index(other) < list(SIZES).index(name))
    return FunctionTransformer(take, kw_args={"first": first, "size": SIZES[name]})


def chosen_pipelines(members, kind, target, outer):
    """For each parcellation its own columns, and the pipeline with its chosen configuration."""
    task, found = TASKS[target], {}
    for member in members:
        number = member.evaluation.found.chosen[target, outer]
        config = sample_configs(kind, task, 4, seed=1, space=SPACE[kind])[number]
        seed = content_seed(0, kind, NAMES[target], outer, int(number))
        name = member.name.partition("/")[0]
        made = make(PIPELINES[kind], task, config, n_confounds=N_CONFOUNDS, seed=seed)
        if (kind, task) == ("ridge", "classification"):
            made.set_params(estimate__solver="newton-cholesky")  # L-BFGS stops short of 1e-8
        found[name] = Pipeline([("columns", columns_of(name)), *made.steps])
    return found


def meta_search(task, splits):
    """The penalties of a stacked model, as a search of scikit-learn's."""
    if task == "regression":
        model = make_pipeline(StandardScaler(), Ridge())
        grid = {"ridge__alpha": [config["alpha"] for config in META[task]]}
        return GridSearchCV(model, grid, cv=splits, scoring=SCORERS[task])
    model = make_pipeline(StandardScaler(), LogisticRegression(solver="newton-cholesky", tol=1e-12, max_iter=1000))
    grid = [{f"logisticregression__{key}": [config[key]] for key in ("C", "class_weight")} for config in META[task]]
    return GridSearchCV(model, grid, cv=splits, scoring=SCORERS[task])


def predicted(model, X, task):
    return model.predict(X) if task == "regression" else model.predict_proba(X)[:, 1]


@pytest.mark.parametrize("outer", [0, 2])
@pytest.mark.parametrize("target", [0, 1])
def test_voted_is_a_voting_model_of_scikit_learn(ridges, target, outer):
    X, y, X_test, _, test = parts_of(target, outer)
    estimators = list(chosen_pipelines(ridges, "ridge", target, outer).items())
    model = (
        VotingRegressor(estimators) if TASKS[target] == "regression" else VotingClassifier(estimators, voting="soft")
    )
    model.fit(X, y)
    cell = ensemble_cell(ensemble_of("voted", ridges), target, outer)
    np.testing.assert_array_equal(cell.rows, test)
    np.testing.assert_allclose(cell.predictions, predicted(model, X_test, TASKS[target]), **CLOSE)
    if TASKS[target] == "classification":
        np.testing.assert_array_equal(cell.labels, model.predict(X_test))
        assert 0 < cell.labels.mean() < 1
    else:
        assert np.isnan(cell.labels).all()


@pytest.mark.parametrize("outer", [0, 2])
@pytest.mark.parametrize("target", [0, 1])
def test_stacked_is_a_stacking_model_of_scikit_learn(ridges, target, outer):
    X, y, X_test, splits, _ = parts_of(target, outer)
    task = TASKS[target]
    estimators = list(chosen_pipelines(ridges, "ridge", target, outer).items())
    made = StackingRegressor if task == "regression" else StackingClassifier
    model = made(estimators, final_estimator=meta_search(task, splits), cv=splits).fit(X, y)
    cell = ensemble_cell(ensemble_of("stacked", ridges), target, outer)
    np.testing.assert_allclose(cell.predictions, predicted(model, X_test, task), **CLOSE)
    assert (
        META[task][cell.chosen].items()
        >= {name.split("__")[1]: value for name, value in model.final_estimator_.best_params_.items()}.items()
    )
    said = np.column_stack([predicted(one, X_test, task) for one in model.estimators_])
    decisions = cell.linear.intercept + said @ cell.linear.coefficients
    if task == "classification":
        np.testing.assert_allclose(decisions, np.log(cell.predictions / (1 - cell.predictions)), rtol=0, atol=1e-6)
        np.testing.assert_array_equal(cell.labels, model.predict(X_test))
    else:
        np.testing.assert_allclose(decisions, cell.predictions, **CLOSE)


class Parcellated(BaseEstimator):
    """A pipeline of which the parcellation is a parameter."""

    def __init__(self, parcellation="", config=None, task="", seed=0):
        self.parcellation, self.config, self.task, self.seed = parcellation, config, task, seed

    def fit(self, X, y):
        made = make(PIPELINES["ridge"], self.task, self.config, n_confounds=N_CONFOUNDS, seed=self.seed)
        if self.task == "classification":
            made.set_params(estimate__solver="newton-cholesky")
        self.model_ = Pipeline([("columns", columns_of(self.parcellation)), *made.steps]).fit(X, y)
        if self.task == "classification":
            self.classes_ = self.model_.classes_
        return self

    def predict(self, X):
        return self.model_.predict(X)

    def predict_proba(self, X):
        return self.model_.predict_proba(X)

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.estimator_type = "classifier" if self.task == "classification" else "regressor"
        return tags


@pytest.mark.parametrize("outer", [0, 1])
@pytest.mark.parametrize("target", [0, 1])
def test_grid_is_a_search_over_parcellations_and_configurations(ridges, target, outer):
    X, y, X_test, splits, _ = parts_of(target, outer)
    task = TASKS[target]
    configs = sample_configs("ridge", task, 4, seed=1, space=SPACE["ridge"])
    grid = [{"parcellation": [name], "config": [config], "task": [task]} for name in SIZES for config in configs]
    model = GridSearchCV(Parcellated(task=task), grid, cv=splits, scoring=SCORERS[task]).fit(X, y)
    cell = ensemble_cell(ensemble_of("grid", ridges), target, outer)
    assert list(SIZES)[cell.chosen] == model.best_params_["parcellation"]
    np.testing.assert_allclose(cell.predictions, predicted(model, X_test, task), **CLOSE)
    if task == "classification":
        np.testing.assert_array_equal(cell.labels, model.predict(X_test))


def test_members_are_not_all_chosen_for_the_same_reason(ridges):
    grid = ensemble_of("grid", ridges)
    assert len({ensemble_cell(grid, t, k).chosen for t in (0, 1) for k in range(3)}) > 1


@pytest.mark.parametrize(
    ("kind", "plain"), [("ridge", False), ("ridge", True), ("svm", False), ("svm", True), ("lgbm", False)]
)
def test_inner_predictions_are_cross_val_predict(tmp_path, kind, plain):
    data = cohort()
    regions, Y, confounds, folds, _ = data
    problem = replace(problem_of(regions["middle"], Y, confounds, folds, kind), plain=plain)
    member = member_of(problem, "middle", tmp_path / "m")
    for target, outer in ((0, 0), (1, 2)):
        X, y, _, splits, _ = parts_of(target, outer)
        model = chosen_pipelines([member], kind, target, outer)["middle"]
        if kind == "svm" and TASKS[target] == "classification":
            decisions = cross_val_predict(model, X, y, cv=splits, method="decision_function")
            sigmoid = calibrated(model, splits).fit(X, y).calibrated_classifiers_[0].calibrators[0]
            expected = sigmoid.predict(decisions)
        elif TASKS[target] == "classification":
            expected = cross_val_predict(model, X, y, cv=splits, method="predict_proba")[:, 1]
        else:
            expected = cross_val_predict(model, X, y, cv=splits)
        rows = np.flatnonzero(~folds.test[outer] & ~np.isnan(Y[:, target]))
        found = member.inner_predictions(NAMES[target], outer, rows)
        # The own solver of SVMs is as exact as its tolerance, 1e-6 here.
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-4 if kind == "svm" and not plain else 1e-8)
        assert np.ptp(found) > 0.01
        others = np.setdiff1d(np.arange(folds.n_subjects), rows)
        assert np.isnan(member.inner[0].source.of(target, outer)[others]).all()


def test_altered_test_subjects_change_nothing_fitted(ridges, tmp_path):
    regions, Y, confounds, folds, groups = cohort()
    outer, rng = 1, np.random.default_rng(3)
    rows = np.flatnonzero(folds.test[outer])
    spoilt = {name: X.copy() for name, X in regions.items()}
    for X in spoilt.values():
        X[rows] = rng.normal(50, 1000, size=X[rows].shape)
    other = Y.copy()
    other[rows, 0], other[rows, 1] = rng.normal(100, 1e4, len(rows)), 1 - Y[rows, 1]
    data = spoilt, other, confounds, folds, groups
    changed = members_of(tmp_path, data=data)
    for target in (0, 1):
        ours = ensemble_cell(ensemble_of("stacked", ridges), target, outer)
        theirs = ensemble_cell(ensemble_of("stacked", changed, data), target, outer)
        assert ours.chosen == theirs.chosen
        np.testing.assert_allclose(ours.linear.coefficients, theirs.linear.coefficients, rtol=1e-9)
        np.testing.assert_allclose(ours.linear.intercept, theirs.linear.intercept, rtol=1e-9)
        assert not np.allclose(ours.predictions, theirs.predictions), "a change that can be seen"
        best = [
            ensemble_cell(ensemble_of("grid", *which), target, outer).chosen for which in ((ridges,), (changed, data))
        ]
        assert best[0] == best[1]
        seen = ensemble_cell(ensemble_of("stacked", changed, data), target, 0).linear.coefficients
        assert not np.allclose(seen, ensemble_cell(ensemble_of("stacked", ridges), target, 0).linear.coefficients)


def test_the_meta_folds_keep_groups_whole(monkeypatch, ridges):
    _, Y, _, folds, groups = cohort()
    check_folds(folds, groups)
    given = []

    def spy(train, y, test, inner, **more):
        given.append((len(y), inner))
        return stack(train, y, test, inner, **more)

    monkeypatch.setattr("cortax.learning.ensemble.strategies.stack", spy)
    for target in (0, 1):
        ensemble_cell(ensemble_of("stacked", ridges), target, 2)
        rows = np.flatnonzero(~folds.test[2] & ~np.isnan(Y[:, target]))
        n, inner = given[-1]
        assert n == len(rows)
        assert sorted(np.concatenate([held_out for _, held_out in inner])) == list(range(n))
        for fitted, held_out in inner:
            assert not set(groups[rows[fitted]]) & set(groups[rows[held_out]])
            assert len(fitted) + len(held_out) == n


def test_the_order_of_members_changes_no_stacked_number(ridges):
    for target in (0, 1):
        forwards = ensemble_cell(ensemble_of("stacked", ridges), target, 0)
        backwards = ensemble_cell(ensemble_of("stacked", ridges[::-1]), target, 0)
        np.testing.assert_allclose(forwards.predictions, backwards.predictions, **CLOSE)
        np.testing.assert_allclose(forwards.linear.coefficients, backwards.linear.coefficients[::-1], rtol=1e-6)


@pytest.mark.parametrize("strategy", ["grid", "voted", "stacked"])
def test_a_cell_that_a_member_lacks_is_a_failure_that_names_it(ridges, strategy):
    found = ridges[1].evaluation.found
    predictions = found.predictions.copy()
    _, _, _, folds, _ = cohort()
    predictions[:, 0, folds.test[2]] = np.nan
    why = ({"target": 0, "outer": 2, "message": "the lights went out"},)
    lame = replace(
        ridges[1], evaluation=StoredEvaluation(replace(found, predictions=predictions, failures=why), NAMES, ())
    )
    ensemble = ensemble_of(strategy, (ridges[0], lame, ridges[2]))
    cells = {(t, k): ensemble_cell(ensemble, t, k) for t in range(2) for k in range(3)}
    assert [key for key, cell in cells.items() if cell.failure] == [(0, 2)]
    assert cells[0, 2].failure == (
        "target 'iq', outer fold 2: no prediction by the member middle/ridge (the lights went out)"
    )
    whole = collect_evaluations(cells, 2, folds)
    assert np.isnan(whole.predictions[0, 0, folds.test[2]]).all()
    assert whole.failures[0]["target"] == 0


def test_what_a_strategy_needs_is_asked_for_by_name(ridges):
    bare = [replace(member, searched=(), inner=()) for member in ridges]
    assert not ensemble_cell(ensemble_of("voted", bare), 0, 0).failure
    failure = ensemble_cell(ensemble_of("grid", bare), 0, 0).failure
    assert failure == "target 'iq', outer fold 0: no inner score by the member coarse/ridge"
    failure = ensemble_cell(ensemble_of("stacked", bare), 1, 2).failure
    assert failure == "target 'sex', outer fold 2: no inner predictions by the member coarse/ridge"
    with pytest.raises(SearchError, match="must be one of"):
        ensemble_cell(ensemble_of("voting", bare), 0, 0)


def test_parts_of_members_that_were_made_by_block_and_fold(ridges):
    """Each part answers for what is taken from it, by whatever place it has it in."""
    source = ridges[0].inner[0].source
    about = [
        {"member": 0, "targets": ["iq", "sex"], "take": ["iq"], "fold": 0},
        {"member": 0, "targets": ["iq", "sex"], "take": ["iq", "sex"], "fold": 2},
        {"member": 1, "targets": ["iq", "sex"], "take": ["sex"], "fold": None},
    ]
    first, second = parts_by_member([source] * 3, about, 2)
    rows = np.arange(10)[~cohort()[3].test[0][:10]]
    member, other = replace(ridges[0], inner=first), replace(ridges[0], inner=second)
    np.testing.assert_array_equal(member.inner_predictions("iq", 0, rows[:2]), source.of(0, 0)[rows[:2]])
    with pytest.raises(SearchError, match="target 'sex', outer fold 0: no inner predictions"):
        member.inner_predictions("sex", 0, rows[:2])
    with pytest.raises(SearchError, match="target 'iq', outer fold 0: no inner predictions"):
        other.inner_predictions("iq", 0, rows[:2])


def test_a_failed_inner_fit_is_a_failure_of_its_cell(tmp_path):
    regions, Y, confounds, folds, _ = cohort()
    problem = problem_of(regions["coarse"], Y, confounds, folds, "ridge")
    broken = problem.regions.copy()
    broken[np.flatnonzero(folds.valid[1, 0])[0], 0] = np.inf
    problem = replace(problem, regions=broken)
    batch = next(b for b in solvers.plan_batches(problem) if b.outer == 1 and b.targets == (0,))
    asked = {"scores": {0: np.ones((4, 3))}, "configs": {0: problem.configs["regression"]}}
    cell = predict_inner(problem, batch, PIPELINES["ridge"], **asked)[0, 1]
    assert "target 'iq', outer fold 1, configuration 0" in cell.failure
    assert "inner training part: ValueError" in cell.failure
    with pytest.raises(SearchError, match="every cell failed; the first: target 'iq'"):
        save_inner(tmp_path, {(0, 1): cell}, NAMES, folds.n_subjects)
    nothing = {"scores": {0: np.full((4, 3), np.nan)}, "configs": {0: problem.configs["regression"]}}
    cell = predict_inner(problem, batch, PIPELINES["ridge"], **nothing)[0, 1]
    assert cell.failure == "target 'iq', outer fold 1: every configuration failed in the search"


def test_members_that_say_the_same_of_everybody(ridges):
    """Nothing to learn from: the stacked model predicts the mean, and says nothing infinite."""
    rng = np.random.default_rng(0)
    y = rng.normal(size=60)
    inner = [(np.arange(20, 60), np.arange(20)), (np.arange(40), np.arange(40, 60))]
    constant, test = np.full((60, 3), 2.5), np.full((7, 3), 2.5)
    found = stack(constant, y, test, inner, task="regression", scorer="r2")
    np.testing.assert_allclose(found.decisions, y.mean(), rtol=1e-12)
    found = stack(constant, (y > 0.3) * 1.0, test, inner, task="classification", scorer="matthews_corrcoef")
    np.testing.assert_allclose(1 / (1 + np.exp(-found.decisions)), (y > 0.3).mean(), rtol=1e-6)
    with pytest.raises(SearchError, match="every stacked model failed; the first: ValueError"):
        stack(constant, np.zeros(60), test, inner, task="classification", scorer="roc_auc", target="t")


def test_weights_of_members(ridges):
    _, _, _, folds, _ = cohort()
    members = [member.name for member in ridges]
    for strategy in ("grid", "voted", "stacked"):
        ensemble = ensemble_of(strategy, ridges)
        cells = {(t, k): ensemble_cell(ensemble, t, k) for t in range(2) for k in range(3)}
        found = collect_evaluations(cells, 2, folds)
        table = weights_table(found, strategy, targets=ensemble.targets, members=members)
        assert list(table.columns) == ["target", "outer", "member", "weight"]
        assert len(table) == 2 * 3 * 3
        weights = table.set_index(["target", "outer", "member"])["weight"]
        if strategy == "stacked":
            np.testing.assert_array_equal(weights["sex", 1], cells[1, 1].linear.coefficients)
        else:
            np.testing.assert_allclose(table.groupby(["target", "outer"])["weight"].sum(), 1.0)
        if strategy == "grid":
            assert weights["iq", 2].idxmax() == members[cells[0, 2].chosen]


def test_repeats_of_the_outer_folds_are_apart(tmp_path):
    regions, Y, confounds, _, groups = cohort()
    folds = make_folds(groups, n_outer=2, n_inner=2, n_repeats=2, seed=4)
    data = {"coarse": regions["coarse"], "fine": regions["fine"]}, Y, confounds, folds, groups
    members = members_of(tmp_path, data=data)
    for strategy in ("grid", "voted", "stacked"):
        ensemble = ensemble_of(strategy, members, data)
        cells = {(t, k): ensemble_cell(ensemble, t, k) for t in range(2) for k in range(4)}
        found = collect_evaluations(cells, 2, folds)
        known = ~np.isnan(Y[:, 0])
        assert found.predictions.shape == (2, 2, len(Y))
        assert np.isfinite(found.predictions[:, 0, known]).all()
        assert (found.predictions[0, 0, known] != found.predictions[1, 0, known]).all()
        if strategy == "voted":
            both = [member.evaluation.found.predictions for member in members]
            np.testing.assert_allclose(found.predictions[:, 0, known], np.mean(both, axis=0)[:, 0, known], rtol=1e-12)

"""Importance of regions: definitions, scikit-learn's own, and what is averaged over folds."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from lightgbm import LGBMClassifier, LGBMRegressor
from plain import evaluate
from sklearn.inspection import permutation_importance

from cortax.errors import ProjectError, SearchError
from cortax.learning.folds import make_folds
from cortax.learning.importance import cells
from cortax.learning.importance.cells import importance_of_chosen, importance_of_kept, patterns
from cortax.learning.importance.found import (
    CellImportance,
    Importance,
    average,
    collect_importance,
    merge_importance,
    open_importance,
    open_table,
    read_importance,
    save_importance,
    write_importance,
)
from cortax.learning.importance.permutation import by_columns, forest_decisions, make_orders, make_part
from cortax.learning.search.cells import SCORERS, Batch, Problem
from cortax.learning.search.pipelines import PIPELINES, make, pipeline_kind
from cortax.learning.search.reference import columns
from cortax.learning.search.refit import evaluate_cell
from cortax.learning.search.solvers import fit_seed

NAMES, TASKS = ("iq", "sex"), ("regression", "classification")
CONFIGS = {
    "ridge": {"regression": [{"alpha": 3.0}], "classification": [{"C": 0.5}]},
    "elastic": {
        "regression": [{"alpha": 0.05, "l1_ratio": 0.7}],
        "classification": [{"C": 0.7, "l1_ratio": 0.6, "max_iter": 5000, "tol": 1e-8}],
    },
    "svm": {task: [{"C": 2.0, "gamma": "scale", "percentile": 60, "tol": 1e-6}] for task in TASKS},
    "lgbm": {task: [{"n_estimators": 9, "min_child_samples": 5, "boosting": "gbdt"}] for task in TASKS},
}
OTHERS = {
    "lasso": ("sklearn.linear_model:Lasso", "sklearn.linear_model:RidgeClassifier", {"alpha": 0.01}),
    "gamma": ("sklearn.linear_model:PoissonRegressor", "sklearn.ensemble:GradientBoostingClassifier", {}),
    "forest": ("sklearn.ensemble:ExtraTreesRegressor", "sklearn.ensemble:ExtraTreesClassifier", {"n_estimators": 7}),
}


def problem_of(kind, configs, *, missing=True, confounds=True, seed=0, scorers=SCORERS, n=90, p=7):
    rng = np.random.default_rng(seed)
    C = rng.normal(size=(n, 2))
    X = (rng.normal(size=(n, p)) + C[:, :1]).astype(np.float32) * np.linspace(0.1, 30, p).astype(np.float32)
    if missing:
        X[rng.random(X.shape) < 0.04] = np.nan
    signal = np.nan_to_num(X[:, 0]) * 10 + np.nan_to_num(X[:, 3]) / 15 + rng.normal(size=n)
    Y = np.column_stack([signal - signal.min() + 1, signal > np.median(signal)]).astype(float)
    if missing:
        Y[::17, 0] = np.nan
    folds = make_folds(np.arange(n) // 2, n_outer=3, n_inner=2, seed=seed)
    return Problem(X, Y, TASKS, NAMES, folds, kind, configs, scorers, C if confounds else None, seed)


def sklearn_orders(n_repeats, n_test, seed):
    """The permutations that `permutation_importance` draws of a seed: of what was permuted before, each time."""
    rng = np.random.RandomState(np.random.RandomState(seed).randint(np.iinfo(np.int32).max + 1))
    order, shuffled, found = np.arange(n_test), np.arange(n_test), []
    for _ in range(n_repeats):
        rng.shuffle(shuffled)
        order = order[shuffled]
        found.append(order)
    return np.stack(found)


def theirs(problem, pipeline, target, outer, n_repeats):
    """scikit-learn's own, of the whole pipeline, on the measured regions."""
    X, n_confounds = columns(problem.regions, problem.confounds)
    y, test = problem.targets[:, target], problem.folds.test[outer]
    train_rows, test_rows = np.flatnonzero(~test & ~np.isnan(y)), np.flatnonzero(test & ~np.isnan(y))
    task = problem.tasks[target]
    kind = np.int64 if task == "classification" else np.float64
    config, seed = problem.configs[task][0], fit_seed(problem, target, outer, 0)
    model = make(pipeline, task, config, n_confounds=n_confounds, seed=seed)
    model.fit(X[train_rows], y[train_rows].astype(kind))
    found = permutation_importance(
        model,
        X[test_rows],
        y[test_rows].astype(kind),
        scoring=problem.scorers[task],
        n_repeats=n_repeats,
        random_state=5,
    )
    return found.importances.mean(axis=1)[: problem.regions.shape[1]], model


def chosen(problem, pipeline, outer=1, n_repeats=3):
    return importance_of_chosen(
        problem,
        Batch(outer, (0, 1)),
        pipeline,
        scores=dict.fromkeys((0, 1), np.ones((1, 2))),
        configs={t: problem.configs[task] for t, task in enumerate(TASKS)},
        n_repeats=n_repeats,
    )


def kept(problem, pipeline):
    return evaluate(problem, pipeline, np.ones((2, problem.folds.n_outer, 1, 2)))


@pytest.fixture
def same_orders(monkeypatch):
    monkeypatch.setattr(cells, "make_orders", lambda n_repeats, n_test, seed: sklearn_orders(n_repeats, n_test, 5))


@pytest.mark.parametrize("confounds", [True, False])
@pytest.mark.parametrize("kind", ["ridge", "elastic"])
def test_permutation_of_kept_models_is_that_of_scikit_learn(kind, confounds, same_orders):
    problem = problem_of(kind, CONFIGS[kind], confounds=confounds, scorers={**SCORERS, "classification": "roc_auc"})
    found = importance_of_kept(problem, Batch(1, (0, 1)), kept(problem, PIPELINES[kind]), n_repeats=3)
    for target in (0, 1):
        expected, _ = theirs(problem, PIPELINES[kind], target, 1, 3)
        assert np.ptp(expected) > 0.01
        np.testing.assert_allclose(found[target, 1].values["permutation"], expected, rtol=0, atol=1e-8)


@pytest.mark.parametrize("kind", ["svm", "lgbm", *OTHERS])
def test_permutation_of_refits_is_that_of_scikit_learn(kind, same_orders):
    configs = CONFIGS.get(kind)
    pipeline = PIPELINES.get(kind)
    if kind in OTHERS:
        regression, classification, config = OTHERS[kind]
        pipeline = pipeline_kind("sklearn", {"regression": regression, "classification": classification}, name=kind)
        configs = {task: [config] for task in TASKS}
    problem = problem_of(pipeline.name, configs)
    found = chosen(problem, pipeline)
    for target in (0, 1):
        expected, _ = theirs(problem, pipeline, target, 1, 3)
        assert np.ptp(expected) > 0.01
        assert found[target, 1].failure == ""
        np.testing.assert_allclose(found[target, 1].values["permutation"], expected, rtol=0, atol=1e-8)
    linear = {"lasso": (True, True)}.get(kind, (False, False))
    assert tuple("pattern" in found[target, 1].values for target in (0, 1)) == linear


def test_permutations_are_of_a_cell_alone():
    orders = make_orders(50, 20, 3)
    np.testing.assert_array_equal(np.sort(orders, axis=1), np.tile(np.arange(20), (50, 1)))
    assert len(np.unique(orders, axis=0)) == 50
    np.testing.assert_array_equal(orders, make_orders(50, 20, 3))
    assert (orders != make_orders(50, 20, 4)).any()
    problem = problem_of("ridge", CONFIGS["ridge"])
    evaluated = kept(problem, PIPELINES["ridge"])
    together = importance_of_kept(problem, Batch(1, (0, 1)), evaluated, n_repeats=2)
    alone = importance_of_kept(problem, Batch(1, (1,)), evaluated, n_repeats=2)
    for kind, values in alone[1, 1].values.items():
        np.testing.assert_array_equal(values, together[1, 1].values[kind])


@pytest.mark.parametrize("confounds", [True, False])
@pytest.mark.parametrize("task", [0, 1])
def test_patterns_by_their_definition(task, confounds):
    """Cov(X) w / Var(s) of what the model sees, in units of the regions."""
    problem = problem_of("ridge", CONFIGS["ridge"], confounds=confounds)
    evaluated = kept(problem, PIPELINES["ridge"])
    found = importance_of_kept(problem, Batch(1, (task,)), evaluated, n_repeats=1)[task, 1].values
    _, model = theirs(problem, PIPELINES["ridge"], task, 1, 1)
    X, _ = columns(problem.regions, problem.confounds)
    y, test = problem.targets[:, task], problem.folds.test[1]
    seen = model[:-2].transform(X[~test & ~np.isnan(y)])  # without scaling and estimator: in the regions' units
    weights = evaluated.coefficients[task, 1]
    covariance, spread = np.cov(seen, rowvar=False), seen.std(axis=0)
    np.testing.assert_allclose(found["pattern"], covariance @ weights / (weights @ covariance @ weights), rtol=1e-6)
    np.testing.assert_allclose(found["standardised"], weights * spread, rtol=1e-6)
    np.testing.assert_array_equal(found["coefficient"], weights)


def test_patterns_tell_signal_from_what_only_cancels_noise():
    """Haufe's own example: the second region holds noise alone, which the first also has."""
    rng = np.random.default_rng(0)
    signal, noise = rng.normal(size=(2, 4000))
    X = np.column_stack([signal + noise, noise])
    problem = Problem(
        X,
        signal[:, None],
        ("regression",),
        ("s",),
        make_folds(np.arange(4000), n_outer=2, seed=0),
        "ridge",
        {"regression": [{}]},
    )
    rows = np.arange(4000)
    found = patterns(make_part(problem, rows[:2000], rows[2000:]), np.array([1.0, -1.0]))
    np.testing.assert_allclose(found, [1.0, 0.0], atol=0.06)


@settings(max_examples=25, deadline=None)
@given(
    n=st.integers(12, 40),
    p=st.integers(1, 9),
    shift=st.floats(-50, 50),
    factor=st.floats(0.01, 100),
    seed=st.integers(0, 2**20),
)
def test_patterns_follow_the_units_of_regions(n, p, shift, factor, seed):
    """A region in other units has its coefficient and pattern in those; what is predicted stays."""
    rng = np.random.default_rng(seed)
    X, w = rng.normal(size=(n, p)), rng.normal(size=p)
    tasks, names = ("regression",), ("t",)
    folds = make_folds(np.arange(n), n_outer=2, n_inner=2, seed=0)

    def pattern(X, w):
        problem = Problem(X, X[:, :1].copy(), tasks, names, folds, "ridge", {"regression": [{}]})
        return patterns(make_part(problem, np.arange(n // 2), np.arange(n // 2, n)), w)

    first = pattern(X, w)
    np.testing.assert_allclose(pattern(X * factor + shift, w / factor), first * factor, rtol=1e-6, atol=1e-9 * factor)
    np.testing.assert_allclose(first @ w, 1.0)  # what is predicted changes by 1 for each unit of itself


def test_a_model_that_predicts_the_same_of_everybody_has_no_pattern():
    problem = problem_of("elastic", {"regression": [{"alpha": 1e6, "l1_ratio": 1.0}], "classification": [{"C": 1e-9}]})
    found = importance_of_kept(problem, Batch(0, (0,)), kept(problem, PIPELINES["elastic"]), n_repeats=2)
    for values in found[0, 0].values.values():
        np.testing.assert_array_equal(values, 0.0)


def test_a_score_that_decisions_do_not_tell_is_said():
    """The probabilities of this loss are not the logistic function of its decisions."""
    pipeline = pipeline_kind("sklearn", {"classification": "sklearn.linear_model:SGDClassifier"}, name="sgd")
    configs = {"classification": [{"loss": "modified_huber"}], "regression": [{}]}
    problem = problem_of("sgd", configs, scorers={**SCORERS, "classification": "neg_log_loss"}, missing=False)
    found = importance_of_chosen(
        problem,
        Batch(0, (1,)),
        pipeline,
        scores={1: np.ones((1, 2))},
        configs={1: configs["classification"]},
        n_repeats=1,
    )
    assert "neg_log_loss of SGDClassifier" in found[1, 0].failure
    assert "by its decisions alone" in found[1, 0].failure


def test_cells_that_failed_say_why():
    problem = problem_of("ridge", CONFIGS["ridge"])
    found = importance_of_chosen(
        problem,
        Batch(2, (0,)),
        PIPELINES["lgbm"],
        scores={0: np.full((1, 2), np.nan)},
        configs={0: [{}]},
        n_repeats=1,
    )
    assert found[0, 2].failure == "target 'iq', outer fold 2: SearchError: every configuration failed in the search"
    with pytest.raises(SearchError, match="every cell failed; the first: target 'iq', outer fold 2"):
        collect_importance(found, NAMES, ["a"], 3)


def test_refits_are_the_models_that_were_evaluated():
    """Bit by bit the trees of the evaluation: their decisions are its predictions."""
    problem = problem_of("lgbm", CONFIGS["lgbm"])
    cell = evaluate_cell(problem, (0, 1), PIPELINES["lgbm"], CONFIGS["lgbm"]["regression"], 0)
    part = make_part(problem, np.flatnonzero(~problem.folds.test[1] & ~np.isnan(problem.targets[:, 0])), cell.rows)
    model = cells.refitted_model(problem, part, PIPELINES["lgbm"], 0, 1, 0, CONFIGS["lgbm"]["regression"][0])
    np.testing.assert_array_equal(model.decide(0, np.zeros((1, len(cell.rows))))[0], cell.predictions)


@pytest.mark.parametrize(
    "params",
    [
        {"boosting_type": "gbdt", "n_estimators": 12},
        {"boosting_type": "dart", "n_estimators": 12},
        {"data_sample_strategy": "goss", "n_estimators": 12},
        {"boosting_type": "rf", "n_estimators": 6, "subsample": 0.6, "subsample_freq": 1},  # averages its trees
        {"min_child_samples": 80},  # nothing can be split
    ],
)
@pytest.mark.parametrize("made", [LGBMRegressor, LGBMClassifier])
def test_only_the_trees_of_a_region_are_asked_and_say_the_same(made, params):
    problem = problem_of("lgbm", CONFIGS["lgbm"], missing=False)
    part = make_part(problem, np.arange(60), np.arange(60, 90))
    fixed = {"min_child_samples": 4, "verbose": -1, "n_jobs": 1, "num_leaves": 4, "random_state": 0}
    y = problem.targets[:60, 0 if made is LGBMRegressor else 1]
    booster = made(**(fixed | params)).fit(part.X, y).booster_
    plain = by_columns(part, lambda X: booster.predict(X, raw_score=True))
    ours = forest_decisions(part, booster)
    changes = np.random.default_rng(0).normal(size=(3, 30))
    for region in range(7):
        np.testing.assert_allclose(ours(region, changes), plain(region, changes), rtol=1e-12, atol=1e-12)


def some(values, targets=("a", "b"), names=("thickness:v1", "thickness:v2")):
    return Importance({"permutation": np.array(values, dtype=float)}, targets, names, ())


def test_averages_over_folds():
    values = [[[1.0, -1.0], [2.0, 1.0], [3.0, 0.0]], [[np.nan, np.nan], [5.0, -1.0], [np.nan, np.nan]]]
    table = average(some(values)).set_index(["target", "region"])
    assert list(table["map"].unique()) == ["thickness"]
    assert table.loc[("a", "v1"), ["mean", "sd", "same_sign", "n_folds"]].tolist() == [2.0, 1.0, 1.0, 3]
    assert table.loc[("a", "v2"), ["mean", "sd", "same_sign", "n_folds"]].tolist() == [0.0, 1.0, 0.0, 3]
    assert table.loc[("b", "v2"), ["mean", "same_sign", "n_folds"]].tolist() == [-1.0, 1.0, 1]
    assert np.isnan(table.loc[("b", "v2"), "sd"])
    nothing = average(some(np.full((1, 3, 2), np.nan), ("a",)))
    assert nothing["mean"].isna().all()
    assert (nothing["n_folds"] == 0).all()


def test_columns_of_tables_have_no_map():
    table = average(some(np.ones((1, 2, 2)), ("a",), ("lh_insula_thickness", "rh_insula_thickness")))
    assert table["map"].tolist() == ["", ""]
    assert table["region"].tolist() == ["lh_insula_thickness", "rh_insula_thickness"]


def test_parts_make_a_whole():
    rng = np.random.default_rng(0)
    whole = rng.normal(size=(2, 3, 2))
    first, second = np.full((2, 3, 2), np.nan), np.full((2, 3, 2), np.nan)
    first[:, 0], second[:, 1:] = whole[:, 0], whole[:, 1:]
    found = merge_importance([some(first), some(second)], [["a", "b"], ["a", "b"]], ["a", "b"])
    np.testing.assert_array_equal(found.values["permutation"], whole)
    by_target = merge_importance([some(whole), some(2 * whole, ("c", "b"))], [["a"], ["b"]], ["a", "b"])
    np.testing.assert_array_equal(by_target.values["permutation"], [whole[0], 2 * whole[1]])
    with pytest.raises(SearchError, match="target 'a': two parts have the same outer fold"):
        merge_importance([some(whole), some(first)], [["a"], ["a"]], ["a"])
    with pytest.raises(SearchError, match="different regions"):
        merge_importance([some(whole), some(whole, names=("x", "y"))], [["a"], ["b"]], ["a", "b"])


def test_what_is_saved_is_opened(tmp_path):
    cell = CellImportance({"permutation": np.array([0.1, np.nan]), "pattern": np.array([1.0, 2.0])})
    again = read_importance(write_importance(cell))
    assert again.failure == ""
    for kind, values in cell.values.items():
        np.testing.assert_array_equal(again.values[kind], values)
    assert read_importance(write_importance(CellImportance(failure="why"))).failure == "why"
    with pytest.raises(ProjectError, match="not what was packed"):
        read_importance(b"nothing")
    found = collect_importance({(0, 1): cell, (1, 0): CellImportance(failure="why")}, NAMES, ["m:a", "m:b"], 2)
    assert save_importance(tmp_path, found) == ["importance.npz", "importance.json", "importance.parquet"]
    opened = open_importance(tmp_path)
    assert (opened.targets, opened.columns, opened.failures) == (NAMES, ("m:a", "m:b"), found.failures)
    np.testing.assert_array_equal(opened.values["pattern"], found.values["pattern"])
    assert open_table(tmp_path).shape == (8, 8)

"""Importance of regions to models of several classes and of ordinal targets, against scikit-learn's own."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from plain import evaluate
from sklearn.inspection import permutation_importance
from sklearn.multiclass import OneVsRestClassifier

from cortax.learning.folds import make_folds
from cortax.learning.importance import cells
from cortax.learning.importance.cells import importance_of_chosen, importance_of_kept
from cortax.learning.importance.found import (
    average,
    collect_importance,
    merge_importance,
    open_importance,
    open_table,
    save_importance,
)
from cortax.learning.search import solvers
from cortax.learning.search.by_class import OrdinalClassifier
from cortax.learning.search.cells import SCORERS, Batch, Problem
from cortax.learning.search.evaluations import collect_evaluations
from cortax.learning.search.pipelines import PIPELINES, make, pipeline_kind
from cortax.learning.search.reference import columns
from cortax.learning.search.refit import evaluate_batch
from cortax.learning.search.scoring import check_scorer
from cortax.learning.search.solvers import fit_seed
from cortax.workflow.work.payload import open_task, write_payload
from cortax.workloads.regions.class_names import name_classes
from cortax.workloads.regions.tasks.importance import KeptImportanceTask
from cortax.workloads.regions.tasks.problem import CutProblem

NAMES, TASKS = ("diagnosis", "grade"), ("classification", "ordinal")
CONFIGS = {
    "ridge": {"C": 0.5},
    "elastic": {"C": 0.7, "l1_ratio": 0.6, "max_iter": 5000, "tol": 1e-8},
    "svm": {"C": 2.0, "gamma": "scale", "percentile": 60, "tol": 1e-6},
    "lgbm": {"n_estimators": 6, "min_child_samples": 5},
    "bayes": {},
    "lda": {},
    "decides": {},
    "pairs": {"kernel": "linear"},
}
OWN = {
    "bayes": "sklearn.naive_bayes:GaussianNB",
    "lda": "sklearn.discriminant_analysis:LinearDiscriminantAnalysis",
    "decides": "sklearn.linear_model:RidgeClassifier",
    "pairs": "sklearn.svm:SVC",
}


def kind_of(kind):
    return PIPELINES[kind] if kind in PIPELINES else pipeline_kind("sklearn", {"classification": OWN[kind]}, name=kind)


def problem_of(kind, scorers=SCORERS, n=90, p=5):
    rng = np.random.default_rng(0)
    C = rng.normal(size=(n, 1))
    X = (rng.normal(size=(n, p)) + C) * np.linspace(0.1, 30, p)
    X[rng.random(X.shape) < 0.03] = np.nan
    signal = np.nan_to_num(X[:, 0]) * 10 + np.nan_to_num(X[:, 3]) / 15 + 0.7 * rng.normal(size=n)
    three = (np.digitize(signal, np.quantile(signal, [1 / 3, 2 / 3])) + 1) % 3
    grade = np.digitize(signal + 0.5 * rng.normal(size=n), np.quantile(signal, [0.3, 0.6]))
    Y = np.column_stack([three, grade]).astype(float)
    Y[::17, 0] = np.nan
    folds = make_folds(np.arange(n) // 2, n_outer=2, n_inner=2, seed=0)
    configs = {task: [CONFIGS[kind]] for task in TASKS}
    return Problem(X, Y, TASKS, NAMES, folds, kind_of(kind).name, configs, scorers, C)


def chosen(problem, kind, outer=1, n_repeats=2):
    return importance_of_chosen(
        problem,
        Batch(outer, (0, 1)),
        kind_of(kind),
        scores=dict.fromkeys((0, 1), np.ones((1, 2))),
        configs={t: problem.configs[task] for t, task in enumerate(TASKS)},
        n_repeats=n_repeats,
    )


def kept(problem, kind):
    return evaluate(problem, kind_of(kind), np.ones((2, 2, 1, 2)))


def theirs(problem, kind, target, outer, n_repeats):
    """scikit-learn's own, of a classifier of all classes of the whole pipeline."""
    X, n_confounds = columns(problem.regions, problem.confounds)
    y, test, task, pipeline = problem.targets[:, target], problem.folds.test[outer], TASKS[target], kind_of(kind)
    train, tested = (np.flatnonzero(rows & ~np.isnan(y)) for rows in (~test, test))
    made = make(pipeline, task, CONFIGS[kind], n_confounds=n_confounds, seed=fit_seed(problem, target, outer, 0))
    if task == "ordinal":
        made = OrdinalClassifier(made)
    elif not pipeline.native:
        made = OneVsRestClassifier(made)
    made.fit(X[train], y[train].astype(int))
    score = check_scorer(problem.scorers[task], task, 3, probabilities=not pipeline.calibrates)
    found = permutation_importance(
        made, X[tested], y[tested].astype(int), scoring=score, n_repeats=n_repeats, random_state=5
    )
    return found.importances.mean(axis=1)[: problem.regions.shape[1]]


def sklearn_orders(n_repeats, n_test, seed):
    rng = np.random.RandomState(np.random.RandomState(5).randint(np.iinfo(np.int32).max + 1))
    order, shuffled, found = np.arange(n_test), np.arange(n_test), []
    for _ in range(n_repeats):
        rng.shuffle(shuffled)
        order = order[shuffled]
        found.append(order)
    return np.stack(found)


@pytest.mark.parametrize(
    ("kind", "scorer"),
    [
        ("ridge", "matthews_corrcoef"),
        ("elastic", "neg_log_loss"),
        ("svm", "balanced_accuracy"),
        ("lgbm", "roc_auc"),
        ("bayes", "neg_log_loss"),
        ("lda", "roc_auc"),
        ("decides", "f1_macro"),
        ("pairs", "accuracy"),
    ],
)
def test_permutation_is_that_of_scikit_learn(kind, scorer, monkeypatch):
    monkeypatch.setattr(cells, "make_orders", sklearn_orders)
    # Labels do not show whether the last digits of decisions agree; what probabilities say does.
    of_grades = "neg_log_loss" if kind in ("ridge", "lgbm", "bayes") else "cohen_kappa"
    problem = problem_of(kind, {"classification": scorer, "ordinal": of_grades})
    if kind in ("ridge", "elastic"):
        found = importance_of_kept(problem, Batch(1, (0, 1)), kept(problem, kind), n_repeats=2)
    else:
        found = chosen(problem, kind)
    for target in (0, 1):
        expected = theirs(problem, kind, target, 1, 2)
        assert np.ptp(expected) > 0.01
        assert found[target, 1].failure == ""
        np.testing.assert_allclose(found[target, 1].values["permutation"], expected, rtol=0, atol=1e-8)
    # A pattern where models are linear in the regions, for each class; coefficients of pairs of classes are of none.
    linear = {"ridge": (3, 2), "elastic": (3, 2), "lda": (3, 2), "decides": (3, 2), "pairs": (0, 2)}
    shapes = [len(found[target, 1].values.get("pattern", ())) for target in (0, 1)]
    assert tuple(shapes) == linear.get(kind, (0, 0))


@pytest.mark.parametrize("kind", ["ridge", "decides"])
def test_the_row_of_a_class_is_that_of_two_classes(kind):
    """Each column is a model of two classes: of this class against the rest, or of what exceeds a threshold."""
    problem = problem_of(kind)

    def look(some):
        if kind == "ridge":
            return importance_of_kept(some, Batch(0, (0, 1)), kept(some, kind), n_repeats=1)
        return chosen(some, kind, 0, 1)

    found = look(problem)
    for target, column in ((0, 0), (0, 2), (1, 0), (1, 1)):
        y = problem.targets[:, target]
        binary = np.where(np.isnan(y), np.nan, y == column if target == 0 else y > column)
        two = replace(
            problem,
            targets=np.column_stack([binary, binary]),
            tasks=("classification",) * 2,
        )
        of_two = look(two)[0, 0].values
        for name in ("coefficient", "standardised", "pattern"):
            row = found[target, 0].values[name][column]
            assert np.ptp(row) > 0
            np.testing.assert_allclose(row, of_two[name], rtol=1e-5, atol=1e-9)


def test_altered_test_subjects_change_no_coefficient_and_no_pattern():
    problem = problem_of("ridge")
    test = problem.folds.test[0]
    regions, targets = problem.regions.copy(), problem.targets.copy()
    regions[test] = np.random.default_rng(1).normal(40, 90, size=regions[test].shape)
    targets[test] = (targets[test] + 1) % 3
    spoilt = replace(problem, regions=regions, targets=targets)
    before, after = (
        importance_of_kept(one, Batch(0, (0, 1)), kept(one, "ridge"), n_repeats=1) for one in (problem, spoilt)
    )
    for target in (0, 1):
        for name in ("coefficient", "standardised", "pattern"):
            np.testing.assert_array_equal(before[target, 0].values[name], after[target, 0].values[name])
        assert (before[target, 0].values["permutation"] != after[target, 0].values["permutation"]).any()


def test_all_folds_are_kept_merged_and_averaged_by_class(tmp_path):
    problem = problem_of("ridge")
    done = {}
    evaluated = kept(problem, "ridge")
    for outer in (0, 1):
        done |= importance_of_kept(problem, Batch(outer, (0, 1)), evaluated, n_repeats=1)
    names = [f"thickness:r{n}" for n in range(5)]

    def collected(keys):
        some = {key: done[key] for key in keys}
        return collect_importance(some, NAMES, names, 2, ordinal=["grade"])

    whole = collected(done)
    by_fold = [collected([(0, outer), (1, outer)]) for outer in (0, 1)]
    merged = merge_importance(by_fold, [NAMES, NAMES], NAMES)
    apart = merge_importance([whole, by_fold[0]], [["diagnosis"], ["grade"]], NAMES)
    assert save_importance(tmp_path, merged)[-1] == "importance_classes.npz"
    opened = open_importance(tmp_path)
    for found in (merged, opened):
        assert found.ordinal == ("grade",)
        for name, kinds in whole.class_values.items():
            for kind, values in kinds.items():
                np.testing.assert_array_equal(found.class_values[name][kind], values)
    assert np.isnan(apart.class_values["grade"]["pattern"][1]).all()
    np.testing.assert_array_equal(
        apart.class_values["diagnosis"]["pattern"], whole.class_values["diagnosis"]["pattern"]
    )

    table = open_table(tmp_path)
    assert list(table.columns[:5]) == ["target", "kind", "class", "map", "region"]
    assert len(table) == (3 + 2) * 3 * 5 + 2 * 5
    rows = table[(table["target"] == "grade") & (table["kind"] == "pattern") & (table["class"] == "> 1")]
    expected = np.mean([done[1, outer].values["pattern"][1] for outer in (0, 1)], axis=0)
    np.testing.assert_allclose(rows["mean"], expected)
    assert (rows["n_folds"] == 2).all()
    assert set(table.loc[table["kind"] == "permutation", "class"]) == {""}
    assert set(average(apart).query("target == 'grade'")["n_folds"]) == {1}


def test_a_worker_elsewhere_finds_the_same_where_all_targets_are_of_several_classes(tmp_path):
    problem = problem_of("ridge")
    search, done = solvers.search(problem, PIPELINES["ridge"]), {}
    for batch in solvers.plan_batches(problem):
        scores = {t: search.scores[t, batch.outer] for t in batch.targets}
        configs = {t: problem.configs[problem.tasks[t]] for t in batch.targets}
        done |= evaluate_batch(problem, batch, PIPELINES["ridge"], scores=scores, configs=configs)
    found = collect_evaluations(done, 2, problem.folds)
    cut = CutProblem(problem, [Batch(0, (0,)), Batch(0, (1,))], {}, problem.names)
    task = open_task(write_payload(tmp_path / "kept", KeptImportanceTask(cut, found, 2)))
    values = {}
    for number, unit in enumerate(task.units()):
        values |= zip(unit.keys, task.do(number), strict=True)
    there = task.read(values)
    here = importance_of_kept(problem, Batch(0, (0, 1)), found, n_repeats=2)
    for key, cell in here.items():
        assert there[key].failure == cell.failure == ""
        for kind, each in cell.values.items():
            np.testing.assert_array_equal(there[key].values[kind], each)


def test_numbers_of_classes_become_names():
    table = pd.DataFrame({"target": ["grade", "grade", "sex"], "class": ["> 1", "", ""], "predicted": ["2", "0", ""]})
    named = name_classes(table, {"grade": ["mild", "moderate", "severe"]})
    assert named["class"].tolist() == ["> moderate", "", ""]
    assert named["predicted"].tolist() == ["severe", "mild", ""]
    # The names of a target may be lost; its numbers are not.
    assert name_classes(table, {})["class"].tolist() == ["> 1", "", ""]

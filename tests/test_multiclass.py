"""Targets of several classes, and ordinal ones, against scikit-learn's own loop over its own estimators."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from plain import evaluate, search
from sklearn import datasets
from sklearn.base import clone
from sklearn.calibration import CalibratedClassifierCV
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import cohen_kappa_score, matthews_corrcoef
from sklearn.multiclass import OneVsRestClassifier
from sklearn.naive_bayes import GaussianNB
from sklearn.pipeline import Pipeline
from sklearn.utils.estimator_checks import parametrize_with_checks

import cortax
from cortax.errors import InputError, SearchError
from cortax.learning.cohort import Targets
from cortax.learning.ensemble.strategies import Ensemble, EnsembleMember, ensemble_cell
from cortax.learning.folds import make_folds
from cortax.learning.predictions import score_table
from cortax.learning.search import solvers
from cortax.learning.search.by_class import OrdinalClassifier
from cortax.learning.search.cells import Problem
from cortax.learning.search.evaluations import CellEvaluation, collect_evaluations
from cortax.learning.search.pipelines import PIPELINES, make_back, make_front, pipeline_kind
from cortax.learning.search.refit import evaluate_batch
from cortax.learning.search.solvers import fit_seed
from cortax.learning.search.spaces import sample_configs
from cortax.learning.search.store_evaluation import StoredEvaluation, open_evaluation, save_evaluation
from cortax.learning.stats.nulls import Permuted, null_scores, permuted_problem, plan_permutations
from cortax.workloads.regions.report.scores import _confusion

LOADERS = {"iris": datasets.load_iris, "wine": datasets.load_wine, "digits": datasets.load_digits}
# scikit-learn's solvers stop early by default; what both approach is the same. Where penalties are so large that the
# columns of all subjects are nearly alike, rounding decides which is the largest.
TIGHT = {
    "ridge": {"tol": 1e-8, "C": {"low": 1e-2, "high": 1.0, "log": True}},
    "elastic": {"tol": 1e-6, "max_iter": 20000, "C": {"low": 0.5, "high": 2.0, "log": True}, "class_weight": None},
    "svm": {"tol": 1e-5, "C": {"low": 1.0, "high": 100, "log": True}, "gamma": {"low": 0.01, "high": 0.3, "log": True}},
    "lgbm": {"n_estimators": {"low": 3, "high": 12, "integer": True}, "min_child_samples": [3, 10]},
}
TOLERANCE = {"ridge": 1e-5, "elastic": 1e-3, "svm": 1e-3, "lgbm": 1e-12}


def data(name):
    X, y = LOADERS[name](return_X_y=True)
    X, y = (X[y < 5], y[y < 5]) if name == "digits" else (X, y)
    rows = np.random.default_rng(0).permutation(len(X))[:150]
    X = X[rows] + 0.3 * X.std(axis=0) * np.random.default_rng(1).normal(size=X[rows].shape)
    return X, y[rows].astype(float), make_folds(np.arange(len(rows)), n_outer=2, n_inner=2, seed=3)


def problem_of(kind, X, Y, folds, tasks, n_configs=3, **more):
    configs = {t: sample_configs(kind, t, n_configs, seed=1, space=TIGHT[kind]) for t in sorted(set(tasks))}
    names = tuple(f"target-{n}" for n in range(len(tasks)))
    return Problem(X, Y, tuple(tasks), names, folds, kind, configs, **more)


def whole(problem, pipeline, rule="best"):
    """Search and evaluate by the solvers."""
    found = solvers.search(problem, pipeline)
    done = {}
    for batch in solvers.plan_batches(problem):
        scores = {t: found.scores[t, batch.outer] for t in batch.targets}
        configs = {t: problem.configs[problem.tasks[t]] for t in batch.targets}
        done |= evaluate_batch(problem, batch, pipeline, scores=scores, configs=configs, rule=rule)
    return found, collect_evaluations(done, len(problem.names), problem.folds)


class FrankHall:
    """Ordered classes by binary classifiers, as plainly as it can be written."""

    def __init__(self, binary, n_classes):
        self.binary, self.n_classes = binary, n_classes

    def fit(self, X, y):
        self.fitted = [clone(self.binary).fit(X, (y > k).astype(int)) for k in range(self.n_classes - 1)]
        return self

    def predict(self, X):
        return np.sum([each.predict(X) for each in self.fitted], axis=0)

    def predict_proba(self, X):
        above = [each.predict_proba(X)[:, 1] for each in self.fitted]
        found = np.empty((len(X), self.n_classes))
        found[:, 0] = 1 - above[0]
        for k in range(1, self.n_classes - 1):
            found[:, k] = above[k - 1] - above[k]
        found[:, -1] = above[-1]
        found = np.clip(found, 0, None)
        return found / found.sum(axis=1, keepdims=True)


def multiclass(binary, task, n_classes):
    return FrankHall(binary, n_classes) if task == "ordinal" else OneVsRestClassifier(binary)


def by_hand(problem, kind, target, outer):
    """Inner scores, choice, labels and probabilities of the test part, by a grid search written out."""
    X, y, folds, task = problem.regions, problem.targets[:, target], problem.folds, problem.tasks[target]
    n_classes, score = int(y.max()) + 1, matthews_corrcoef
    if task == "ordinal":
        score = lambda truth, labels: cohen_kappa_score(truth, labels, weights="quadratic")  # noqa: E731
    configs, test = problem.configs[task], folds.test[outer]

    def binary(number):
        return make_back(PIPELINES[kind], task, configs[number], seed=fit_seed(problem, target, outer, number))

    scores = np.empty((len(configs), folds.n_inner))
    for inner, valid in enumerate(folds.valid[outer]):
        train, front = ~test & ~valid, make_front()
        X_train, X_valid = front.fit_transform(X[train]), front.transform(X[valid])
        for number in range(len(configs)):
            model = multiclass(binary(number), task, n_classes).fit(X_train, y[train].astype(int))
            scores[number, inner] = score(y[valid], model.predict(X_valid))
    best = int(scores.mean(axis=1).argmax())
    front = make_front()
    X_train, X_test, y_train = front.fit_transform(X[~test]), front.transform(X[test]), y[~test].astype(int)
    bare = multiclass(binary(best), task, n_classes).fit(X_train, y_train)
    labels = bare.predict(X_test)
    if kind == "svm":
        one = Pipeline([*make_front().steps, *binary(best).steps])
        splits = [(np.flatnonzero(~v[~test]), np.flatnonzero(v[~test])) for v in folds.valid[outer]]
        sigmoid = CalibratedClassifierCV(one, cv=splits, ensemble=False)
        bare = multiclass(sigmoid, task, n_classes).fit(X[~test], y_train)
        X_test = X[test]
    return scores, best, labels, bare.predict_proba(X_test)


CASES = [(n, k, t) for n in ("iris", "wine") for k in sorted(PIPELINES) for t in ("classification", "ordinal")]


@pytest.mark.parametrize(
    ("name", "kind", "task"), [*CASES, *(("digits", kind, "classification") for kind in ("ridge", "svm", "lgbm"))]
)
def test_everything_equals_scikit_learns_own_loop(name, kind, task):
    X, y, folds = data(name)
    if task == "ordinal":
        y = np.digitize(X[:, 2] + X[:, 0], np.quantile(X[:, 2] + X[:, 0], [0.2, 0.5, 0.8])).astype(float)
    problem = problem_of(kind, X, y[:, None], folds, [task], n_configs=2)
    found, evaluation = whole(problem, PIPELINES[kind])
    assert not found.failures
    assert not evaluation.failures
    for outer in range(folds.n_outer):
        scores, best, labels, probabilities = by_hand(problem, kind, 0, outer)
        rows = folds.test[outer]
        near = TOLERANCE[kind]
        np.testing.assert_allclose(found.scores[0, outer], scores, atol=1e-12 if kind == "lgbm" else 0.03)
        assert evaluation.chosen[0, outer] == best
        got = evaluation.probabilities[0][0, rows]
        np.testing.assert_allclose(got, probabilities, atol=near)
        np.testing.assert_allclose(got.sum(axis=1), 1)
        assert (evaluation.labels[0, 0, rows] == labels).mean() > 0.99


def mixed(kind="ridge", n_configs=2, seed=0, **more):
    """Three classes, an ordinal target, two classes and a regression, of the same regions, with gaps."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(120, 6))
    signal = X[:, :3] @ [1.0, 0.7, 0.4] + 0.5 * rng.normal(size=120)
    three = np.digitize(X[:, 0] - X[:, 1], [-0.7, 0.7])
    Y = np.column_stack([three, np.digitize(signal, [-1, 0, 1]), signal > 0, signal]).astype(float)
    Y[[3, 50], 0] = Y[7, 1] = np.nan
    folds = make_folds(np.arange(120), n_outer=2, n_inner=2, seed=0)
    tasks = ("classification", "ordinal", "classification", "regression")
    return problem_of(kind, X, Y, folds, tasks, n_configs, **more)


@pytest.mark.parametrize("kind", sorted(PIPELINES))
def test_targets_of_two_classes_are_as_if_there_were_no_others(kind):
    problem = mixed(kind)
    _, together = whole(problem, PIPELINES[kind])
    for place in (2, 3):
        own = replace(
            problem,
            targets=np.ascontiguousarray(problem.targets[:, [place]]),
            names=(problem.names[place],),
            tasks=(problem.tasks[place],),
        )
        _, alone = whole(own, PIPELINES[kind])
        assert together.predictions[:, place].tobytes() == alone.predictions[:, 0].tobytes()
        assert not alone.probabilities
    assert sorted(together.probabilities) == [0, 1]
    assert [together.probabilities[t].shape for t in (0, 1)] == [(1, 120, 3), (1, 120, 4)]
    assert np.isnan(together.probabilities[0][0, [3, 50]]).all()
    # An ordinal target's number is the expected class, that of several classes the probability of the label.
    expected = together.probabilities[1][0] @ np.arange(4)
    np.testing.assert_allclose(together.predictions[0, 1], expected, atol=1e-12)


@pytest.mark.parametrize("kind", sorted(PIPELINES))
def test_targets_of_test_rows_change_nothing_that_is_fitted(kind):
    problem = mixed(kind)
    scores, before = whole(problem, PIPELINES[kind])
    test = problem.folds.test[0]
    shuffled = problem.targets.copy()
    for target in range(4):
        rows = np.flatnonzero(test & ~np.isnan(shuffled[:, target]))
        shuffled[rows, target] = np.random.default_rng(target).permutation(shuffled[rows, target])
    again, after = whole(replace(problem, targets=shuffled), PIPELINES[kind])
    np.testing.assert_array_equal(again.scores[:, 0], scores.scores[:, 0])
    np.testing.assert_array_equal(after.chosen[:, 0], before.chosen[:, 0])
    for target in (0, 1):
        got, was = (each.probabilities[target][0, test] for each in (after, before))
        np.testing.assert_array_equal(got, was)


@pytest.mark.parametrize("kind", ["ridge", "lgbm"])
def test_the_plain_loop_agrees_and_stores_what_it_found(kind, tmp_path):
    problem = mixed(kind)
    fast, _ = whole(problem, PIPELINES[kind])
    slow = search(problem, PIPELINES[kind])
    np.testing.assert_allclose(fast.scores, slow.scores, atol=0.02)
    found = evaluate(problem, PIPELINES[kind], slow.scores)
    _, ours = whole(problem, PIPELINES[kind])
    np.testing.assert_allclose(ours.probabilities[0], found.probabilities[0], atol=1e-3)
    save_evaluation(tmp_path, ours, problem.names, [f"r{n}" for n in range(6)])
    back = open_evaluation(tmp_path).found
    assert sorted(back.probabilities) == [0, 1]
    for target in (0, 1):
        assert back.probabilities[target].tobytes() == ours.probabilities[target].tobytes()
        cell = CellEvaluation.from_bytes(back.cell(target, 1, problem.folds).to_bytes())
        rows = ~np.isnan(problem.targets[:, target]) & problem.folds.test[1]
        kept = cell.probabilities[~np.isnan(cell.labels)]
        np.testing.assert_array_equal(kept, ours.probabilities[target][0, rows])


def test_a_class_that_a_training_part_lacks_is_a_failure_and_nothing_else_is():
    problem = mixed()
    targets = problem.targets.copy()
    inner = problem.folds.valid[0, 0]
    targets[~problem.folds.test[0] & ~inner & (targets[:, 0] == 2), 0] = 1
    problem = replace(problem, targets=targets)
    for found in (solvers.search(problem, PIPELINES["ridge"]), search(problem, PIPELINES["ridge"])):
        assert np.isnan(found.scores[0, 0, :, 0]).all()
        assert np.isfinite(found.scores[1:, 0]).all()
        assert {(f["target"], f["outer"], f["inner"]) for f in found.failures} == {("target-0", 0, 0)}
        assert "nobody of class 2 of 3 classes among" in found.failures[0]["message"]


def test_what_cannot_be_done_with_several_classes_is_refused():
    svm = mixed("svm", scorers={"regression": "r2", "classification": "roc_auc", "ordinal": "cohen_kappa"})
    batch = next(batch for batch in solvers.plan_batches(svm) if 0 in batch.targets)
    with pytest.raises(SearchError, match=r"target 'target-0': scorer 'roc_auc' cannot score a .*no probabilities"):
        solvers.search_batch(svm, batch, PIPELINES["svm"])
    with pytest.raises(SearchError, match=r"'target-0': classes must be 0 and 1, or 0, 1, 2, ... without a gap"):
        replace(svm, targets=np.where(svm.targets == 1, np.nan, svm.targets))


def test_an_estimator_of_the_users_own_gets_several_classes_as_they_are():
    kind = pipeline_kind("sklearn", {"classification": "sklearn.naive_bayes:GaussianNB"}, name="sklearn")
    problem = mixed("ridge")
    classes = replace(
        problem,
        targets=np.ascontiguousarray(problem.targets[:, :2]),
        names=problem.names[:2],
        tasks=problem.tasks[:2],
        kind="sklearn",
        configs={task: [{"var_smoothing": 1e-9}] for task in ("classification", "ordinal")},
    )
    found, evaluation = whole(classes, kind)
    assert not found.failures
    X, y, test = classes.regions, classes.targets[:, 0], classes.folds.test[0]
    front, known = make_front(), ~np.isnan(y)
    oracle = GaussianNB().fit(front.fit_transform(X[known & ~test]), y[known & ~test])
    expected = oracle.predict_proba(front.transform(X[known & test]))
    np.testing.assert_allclose(evaluation.probabilities[0][0, known & test], expected, atol=1e-9)


def _expected(_):
    # The class is the number of thresholds that are exceeded: a median, not a mode.
    return {"check_classifiers_train": "predict is not the argmax of predict_proba"}


@parametrize_with_checks([OrdinalClassifier(LogisticRegression())], expected_failed_checks=_expected)
def test_the_ordinal_classifier_is_a_scikit_learn_estimator(estimator, check):
    check(estimator)


def test_a_notebook_takes_text_as_classes_and_ordered_categories_as_ordinal():
    rng = np.random.default_rng(0)
    people = pd.DataFrame(index=[f"sub-{n:02d}" for n in range(90)])
    X = pd.DataFrame(rng.normal(size=(90, 4)), index=people.index)
    number = np.digitize(X[0] + 0.3 * rng.normal(size=90), [-0.5, 0.5])
    grade = pd.Categorical.from_codes(number, ["low", "mid", "high"], ordered=True)
    y = pd.DataFrame({"group": np.array(["x", "y", "z"])[number], "grade": grade}, index=people.index)
    folds = cortax.make_folds(people, outer=3, inner=2)
    evaluation = cortax.search(X, y, folds, "ridge", n_configs=2).evaluate()
    assert evaluation.problem.tasks == ("ordinal", "classification")
    np.testing.assert_array_equal(evaluation.problem.targets[:, 0], number)
    means = evaluation.scores().query("fold == 'mean'").set_index(["target", "metric"])["value"]
    assert means["grade", "cohen_kappa"] > 0.3
    assert means["group", "roc_auc"] > 0.7
    assert set(evaluation.found.probabilities) == {0, 1}


def test_a_notebook_says_how_to_order_text():
    people = pd.DataFrame(index=[f"sub-{n:02d}" for n in range(30)])
    X, y = pd.DataFrame({"left": np.arange(30.0)}, index=people.index), pd.Series(["lo", "hi"] * 15, people.index)
    folds = cortax.make_folds(people, outer=2, inner=2)
    with pytest.raises(InputError, match=r"y, 'grade': the values are text, .*take a pd\.Categorical"):
        cortax.search(X, y.rename("grade"), folds, task="ordinal")


def test_the_page_draws_counts_and_recall_of_each_class():
    truth, labels = np.array([0.0, 0, 1, 1, 2, 2]), np.array([0.0, 1, 1, 1, 2, 0])
    figure = _confusion(truth, labels, ["well", "mild <b>", "severe"], "grade from dkt by ridge")
    assert "6 subjects, 4 of them labelled right. Recall: well 0.50 of 2, mild &lt;b&gt; 1.00 of 2" in figure.caption
    assert "Confusion matrix and recall of each class: grade from dkt by ridge" in figure.markup


def test_ensembles_average_probabilities_or_pass_those_of_the_best_on():
    problem = mixed()
    other = replace(problem, regions=problem.regions + np.random.default_rng(5).normal(size=problem.regions.shape))
    found = [whole(each, PIPELINES["ridge"])[1] for each in (problem, other)]
    members = tuple(EnsembleMember(f"m{n}", StoredEvaluation(each, problem.names, ())) for n, each in enumerate(found))
    targets = Targets(problem.targets, problem.names, problem.tasks)
    for target in (0, 1):
        cell = ensemble_cell(Ensemble("voted", members, targets, problem.folds), target, 0)
        mean = np.mean([each.probabilities[target][0, cell.rows] for each in found], axis=0)
        np.testing.assert_allclose(cell.probabilities, mean)
        labels = mean.argmax(axis=1)
        if target == 1:
            labels = (np.cumsum(mean, axis=1)[:, :-1] < 0.5).sum(axis=1)  # the median
        np.testing.assert_array_equal(cell.labels, labels)
        stacked = ensemble_cell(Ensemble("stacked", members, targets, problem.folds), target, 0)
        assert "no inner predictions by the member m0" in stacked.failure


def test_permuted_classes_are_searched_refitted_and_scored_as_the_classes_are():
    problem = mixed()
    problem = replace(
        problem,
        targets=np.ascontiguousarray(problem.targets[:, :2]),
        names=problem.names[:2],
        tasks=problem.tasks[:2],
    )
    groups = np.arange(120).astype(str)
    metrics = {"classification": ["roc_auc", "f1_macro"], "ordinal": ["cohen_kappa", "neg_log_loss"]}
    permuted = Permuted(problem, groups, "whole-groups", [0, 3], metrics)
    done = {}
    for batch in plan_permutations(permuted):
        done |= null_scores(permuted, batch, PIPELINES["ridge"])
    _, by_hand_ = whole(permuted_problem(permuted, [3]), PIPELINES["ridge"])
    permuted_targets = permuted_problem(permuted, [3]).targets
    for target, task in enumerate(problem.tasks):
        table = score_table(
            by_hand_.predictions[:, target],
            permuted_targets[:, target],
            problem.folds.test,
            groups,
            metrics[task],
            label=by_hand_.labels[:, target],
            probabilities=by_hand_.probabilities[target],
            task=task,
        ).set_index(["fold", "metric"])["value"]
        for outer in (0, 1):
            expected = [table[str(outer), name] for name in metrics[task]]
            np.testing.assert_allclose(done[1, outer].scores[target], expected, rtol=1e-12)

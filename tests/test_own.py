"""Estimators that a study names: steps, functions, and folds of their own that keep groups together."""

import numpy as np
import pytest
from plain import evaluate, search
from sklearn import decomposition
from sklearn.base import BaseEstimator, RegressorMixin
from sklearn.calibration import CalibratedClassifierCV
from sklearn.ensemble import BaggingRegressor, StackingRegressor
from sklearn.feature_selection import SelectFromModel
from sklearn.linear_model import Lasso, LassoCV, LogisticRegressionCV, Ridge, RidgeClassifierCV, RidgeCV
from sklearn.model_selection import GridSearchCV, GroupKFold, KFold, LeaveOneGroupOut, ShuffleSplit
from sklearn.pipeline import make_pipeline
from sklearn.svm import SVR

from cortax.errors import SearchError, StudyError
from cortax.learning.cohort import Cohort, save_cohort, save_target
from cortax.learning.ensemble.inner import predict_inner
from cortax.learning.folds import fold_parts, make_folds, save_folds
from cortax.learning.importance.cells import importance_of_chosen
from cortax.learning.regions import save_regions
from cortax.learning.search.cells import Batch, Problem
from cortax.learning.search.opening import open_problem
from cortax.learning.search.own import keep_groups
from cortax.learning.search.pipelines import make_back, make_front, pipeline_kind
from cortax.learning.search.registry import estimator_names
from cortax.study.reading import validate
from cortax.workloads.regions.study.sections import Pipeline
from cortax.workloads.regions.tasks.problem import CutProblem, estimators_of

PCA, RIDGE = "sklearn.decomposition:PCA", "sklearn.linear_model:Ridge"


class NoParameters(RegressorMixin, BaseEstimator):
    def __init__(self, needed):
        self.needed = needed

    def fit(self, X, y):
        return self


ONE = Ridge(alpha=3.0)


def make_stack():
    return StackingRegressor([("ridge", Ridge()), ("svr", SVR())], final_estimator=Ridge(), cv=3, n_jobs=2)


def make_lasso():
    return LassoCV(cv=4)


def make_one():
    return ONE


def make_nothing():
    return "nothing"


def make_with(alpha):
    return Ridge(alpha)


def repeated(seed=0, n_people=30, n_rows=6, n_regions=40):
    """Rows of people: regions and score have a person's own part, which tells nothing of other people."""
    rng = np.random.default_rng(seed)
    person = np.repeat(np.arange(n_people), n_rows)
    X = rng.normal(size=(n_people, n_regions))[person] + 0.2 * rng.normal(size=(len(person), n_regions))
    y = rng.normal(size=n_people)[person] + 0.2 * rng.normal(size=len(person)) + 0.3 * X[:, 0]
    return X, y, person


def problem_of(kind, X, y, person, config, task="regression"):
    folds = make_folds(person, n_outer=2, n_inner=2, seed=0)
    return Problem(
        X, y[:, None], (task,), ("y",), folds, kind.name, {task: [config]}, group_codes=person, confounds=None
    )


def test_steps_end_with_the_estimator():
    steps = [{"estimator": PCA, "name": "axes", "parameters": {"n_components": 2}}, RIDGE]
    kind = pipeline_kind("sklearn", {"steps": steps}, name="mine")
    assert list(kind.estimators) == ["regression"]
    made = make_back(kind, "regression", {"axes__n_components": 3, "ridge__alpha": 7.0}, seed=5)["estimate"]
    assert [name for name, _ in made.steps] == ["axes", "ridge"]
    assert (made["axes"].n_components, made["ridge"].alpha) == (3, 7.0)
    assert (made["axes"].random_state, made["ridge"].random_state) == (5, 5)
    assert make_back(kind, "regression", {}, seed=5)["estimate"]["axes"].n_components == 2
    assert estimator_names({"steps": steps}) == [PCA, RIDGE]


def test_steps_come_before_an_estimator_for_each_task():
    named = {"steps": [PCA, PCA], "regression": RIDGE, "classification": "sklearn.svm:SVC"}
    kind = pipeline_kind("sklearn", named, name="mine")
    assert kind.calibrates
    made = make_back(kind, "classification", {"pca-2__n_components": 3, "svc__C": 2.0}, seed=5)["estimate"]
    assert [name for name, _ in made.steps] == ["pca-1", "pca-2", "svc"]
    assert make_back(kind, "regression", {}, seed=5)["estimate"].steps[-1][0] == "ridge"
    assert estimator_names(named) == [RIDGE, "sklearn.svm:SVC", PCA, PCA]


def test_numbers_of_steps_are_those_of_scikit_learn():
    X, y, person = repeated()
    kind = pipeline_kind("sklearn", {"steps": [PCA], "regression": RIDGE}, name="mine")
    problem = problem_of(kind, X, y, person, {"pca__n_components": 4, "pca__svd_solver": "full"})
    found = evaluate(problem, kind, search(problem, kind).scores)
    for _, train, test, _ in fold_parts(problem.folds, y):
        model = make_pipeline(make_front(), decomposition.PCA(4, svd_solver="full"), Ridge()).fit(X[train], y[train])
        np.testing.assert_allclose(found.predictions[0, 0, test], model.predict(X[test]), rtol=1e-9)


def test_a_function_returns_the_estimator():
    kind = pipeline_kind("sklearn", {"regression": "test_own:make_stack"}, name="stack")
    made = make_back(kind, "regression", {"svr__C": 9.0, "final_estimator__alpha": 2.0}, seed=5)["estimate"]
    assert (made.n_jobs, made.get_params()["svr__C"], made.final_estimator.alpha) == (1, 9.0, 2.0)
    assert made.get_params()["ridge__random_state"] == 5
    with pytest.raises(SearchError, match=r"StackingRegressor: parameter got 'svr__c'.*did you mean 'svr__C'"):
        make_back(kind, "regression", {"svr__c": 9.0}, seed=5)
    # The same object each time stays as it is.
    one = pipeline_kind("sklearn", {"regression": "test_own:make_one"}, name="one")
    assert make_back(one, "regression", {"alpha": 1.0}, seed=0)["estimate"].alpha == 1.0
    assert make_back(one, "regression", {}, seed=0)["estimate"].alpha == ONE.alpha == 3.0


@pytest.mark.parametrize(
    ("named", "why"),
    [
        ({"regression": "test_own:make_nothing"}, "nor a function that returns an estimator: it returned 'nothing'"),
        ({"regression": "test_own:make_with"}, "TypeError: make_with.. missing 1 required"),
        ({"steps": ["test_own:NoParameters"]}, "cannot be made without parameters.*Name a function"),
        ({"steps": [RIDGE, PCA]}, "the last, PCA, is neither a regressor nor a classifier"),
        ({"steps": ["sklearn.decomposition:PCB", RIDGE]}, "'x', steps: .*PCB.* is not 'module:Class'"),
        ({"steps": [{"estimator": PCA, "parameters": {"n_component": 2}}, RIDGE]}, "did you mean 'n_components'"),
        ({"steps": [{"estimator": PCA, "name": "ridge"}, RIDGE]}, r"names must differ; got \['ridge', 'ridge'\]"),
    ],
)
def test_what_is_no_estimator_is_refused(named, why):
    with pytest.raises(SearchError, match=why):
        pipeline_kind("sklearn", named, name="x")


def test_steps_in_a_study():
    found = validate("p", {"kind": "sklearn", "steps": [PCA, {"estimator": RIDGE, "name": "last"}]}, Pipeline)
    step = {"estimator": RIDGE, "name": "last", "parameters": {}}
    assert found.estimators == {"steps": [PCA, step]}
    assert estimators_of(found.model_dump()) == found.estimators
    with pytest.raises(StudyError, match="steps go with kind = 'sklearn' only; got kind = 'ridge'"):
        validate("p", {"kind": "ridge", "steps": [PCA]}, Pipeline)
    with pytest.raises(StudyError, match="`__` parts names"):
        validate("p", {"kind": "sklearn", "steps": [{"estimator": PCA, "name": "a__b"}]}, Pipeline)


def test_code_of_every_step_is_looked_at():
    X, y, person = repeated()
    steps = ["lightgbm:LGBMRegressor"]
    kind = pipeline_kind("sklearn", {"steps": [PCA, *steps]}, name="mine")
    cut = CutProblem.of(problem_of(kind, X, y, person, {}), {"steps": [PCA, *steps]})
    assert cut.classes == [PCA, *steps]
    assert {"lightgbm", "scikit-learn"} <= set(cut.pack()[1]["code"])


def test_a_lasso_with_folds_of_its_own_does_not_learn_people_by_heart():
    X, y, person = repeated()
    plain, ours = LassoCV(cv=5, alphas=40), LassoCV(cv=5, alphas=40)
    plain.set_params(cv=KFold(5, shuffle=True, random_state=0)).fit(X, y)
    keep_groups(ours, y, person)
    ours.fit(X, y)
    expected = LassoCV(cv=list(GroupKFold(5).split(X, y, person)), alphas=40).fit(X, y)
    assert ours.alpha_ == expected.alpha_ > 3 * plain.alpha_


@pytest.mark.parametrize("where", ["search", "refit", "inner", "importance"])
def test_every_fit_keeps_groups_together(where, monkeypatch):
    X, y, person = repeated(n_people=20, n_rows=3, n_regions=4)
    kind = pipeline_kind("sklearn", {"regression": "test_own:make_lasso"}, name="lasso")
    problem = problem_of(kind, X, y, person, {"alphas": 5})
    divided, fit = [], LassoCV.fit

    def watched(self, X, y, *args):
        rows = {value.tobytes(): code for value, code in zip(problem.targets, person, strict=True)}
        codes = np.array([rows[value.tobytes()] for value in y])
        divided.extend(bool(set(codes[train]) & set(codes[test])) for train, test in self.cv)
        assert sorted(np.concatenate([test for _, test in self.cv])) == list(range(len(y)))
        return fit(self, X, y, *args)

    monkeypatch.setattr(LassoCV, "fit", watched)
    scores, configs = {0: np.ones((1, 2))}, {0: problem.configs["regression"]}
    batch = Batch(0, (0,))
    if where == "search":
        assert not search(problem, kind).failures
    elif where == "refit":
        assert not evaluate(problem, kind, np.ones((1, 2, 1, 2))).failures
    elif where == "inner":
        assert not predict_inner(problem, batch, kind, scores=scores, configs=configs)[0, 0].failure
    else:
        found = importance_of_chosen(problem, batch, kind, scores=scores, configs=configs, n_repeats=2)
        assert not found[0, 0].failure
    assert divided
    assert not any(divided)


def test_splitters_of_every_kind():
    _, y, person = repeated()
    for cv, n in ((None, 5), (3, 3), (KFold(4), 4), (GroupKFold(6), 6), (LeaveOneGroupOut(), 30)):
        model = make_pipeline(SelectFromModel(LassoCV(cv=cv)), RidgeCV(cv=cv))
        keep_groups(model, y, person)
        for given in (model[0].estimator.cv, model[1].cv):
            assert len(given) == n
            assert not any(set(person[train]) & set(person[test]) for train, test in given)
    classes = (y > 0).astype(int)
    model = LogisticRegressionCV(cv=3)
    keep_groups(model, classes, person)
    assert all(0 < classes[test].mean() < 1 for _, test in model.cv)


def test_nothing_changes_where_each_row_is_a_group_or_nothing_is_split():
    _, y, person = repeated()
    for model, groups in ((LassoCV(), np.arange(len(y))), (LassoCV(), None), (Lasso(), person)):
        before = model.get_params()
        keep_groups(model, y, groups)
        assert model.get_params() == before


def test_a_step_may_be_called_cv():
    _, y, person = repeated()
    model = make_pipeline(LassoCV(cv=3))
    model.steps[0] = ("cv", model[0])
    keep_groups(model, y, person)
    assert len(model["cv"].cv) == 3


@pytest.mark.parametrize(
    ("model", "calibrates", "why"),
    [
        (LassoCV(cv=ShuffleSplit(3)), False, r"LassoCV \(cv\): cv = ShuffleSplit.* does not keep groups together"),
        (LassoCV(cv=1), False, "30 groups in 1 folds"),
        (GridSearchCV(LassoCV(), {}), False, r"LassoCV \(estimator__cv\) splits .* inside GridSearchCV"),
        (BaggingRegressor(LassoCV()), False, "inside BaggingRegressor, which gives it some of them"),
        (make_pipeline(StackingRegressor([("l", LassoCV())])), False, "inside StackingRegressor"),
        (CalibratedClassifierCV(cv="prefit"), False, "cv = 'prefit' does not keep groups together"),
        (RidgeClassifierCV(), True, "RidgeClassifierCV .cv. splits training rows itself and gives no probabilities"),
    ],
)
def test_what_cannot_keep_groups_together_is_refused(model, calibrates, why):
    _, y, person = repeated()
    with pytest.raises(SearchError, match=why):
        keep_groups(model, y, person, calibrates=calibrates)


def test_problems_of_such_pipelines_know_their_groups(tmp_path):
    X, y, person = repeated(n_people=10, n_rows=2)
    subjects = tuple(f"sub-{n}" for n in range(len(y)))
    names = np.array([f"p{code}" for code in person])
    save_cohort(tmp_path, Cohort(subjects, np.zeros((len(y), 0)), (), names))
    save_folds(tmp_path, make_folds(person, n_outer=2, n_inner=2, seed=0))
    save_regions(tmp_path, X, subjects, [f"r{n}" for n in range(X.shape[1])])
    save_target(tmp_path, "y", "regression", y)
    for kind in ("sklearn", "ridge"):
        problem = open_problem(tmp_path, tmp_path, [tmp_path], lambda _: [{}], kind=kind).problem
        again = Problem.unpack(*problem.pack())
        if kind == "ridge":
            assert again.group_codes is None
        else:
            np.testing.assert_array_equal(again.group_codes, person)

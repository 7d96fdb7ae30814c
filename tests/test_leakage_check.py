"""The guards against leakage: what leaks is found, and what does not passes."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.base import BaseEstimator, RegressorMixin, TransformerMixin, clone
from sklearn.dummy import DummyClassifier
from sklearn.ensemble import ExtraTreesRegressor
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression, Ridge, SGDRegressor
from sklearn.neighbors import KNeighborsRegressor
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

from cortax.errors import SearchError
from cortax.learning.leakage import check_fit, check_pipeline, duplicates, find_copies, find_duplicates
from cortax.learning.search.pipelines import PIPELINES, make, pipeline_kind

SEEN = []
WHOLE = {}


class Greedy(TransformerMixin, BaseEstimator):
    """Scales by all rows that it has ever seen, whether to fit on or to predict."""

    def fit(self, X, y=None):
        SEEN.append(X)
        self.scale_ = np.concatenate(SEEN).std(axis=0)
        return self

    def transform(self, X):
        SEEN.append(X)
        return X / self.scale_


class Prepared(TransformerMixin, BaseEstimator):
    """Scales by data that it is given when it is made."""

    def __init__(self, data=None):
        self.data = data

    def fit(self, X, y=None):
        self.scale_ = np.std(self.data, axis=0)
        return self

    def transform(self, X):
        return X / self.scale_


class Looking(TransformerMixin, BaseEstimator):
    """Scales by a variable of its module."""

    def fit(self, X, y=None):
        self.scale_ = WHOLE["X"].std(axis=0)
        return self

    def transform(self, X):
        return X / self.scale_


class Scaling(TransformerMixin, BaseEstimator):
    """Scales by numbers that it is given when it is made."""

    def __init__(self, scale=1.0):
        self.scale = scale

    def fit(self, X, y=None):
        return self

    def transform(self, X):
        return X / self.scale


class Cheating(RegressorMixin, BaseEstimator):
    """Knows the targets."""

    def __init__(self, answers=None):
        self.answers = answers

    def fit(self, X, y):
        self.mean_ = float(np.mean(self.answers))
        return self

    def predict(self, X):
        return np.full(len(X), self.mean_)


class Unsteady(RegressorMixin, BaseEstimator):
    """Is another at every fit."""

    def fit(self, X, y):
        self.mean_ = np.random.default_rng().normal()
        return self

    def predict(self, X):
        return np.full(len(X), self.mean_)


@pytest.fixture
def data():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(60, 6))
    y = X[:, 0] + rng.normal(size=60)
    test = np.arange(60) % 3 == 0
    SEEN.clear()
    WHOLE["X"] = X
    return X, y, test


def messages(found):
    return "\n".join(finding.message for finding in found)


CONFIGS = {
    "ridge": {},
    "elastic": {},
    "svm": {"percentile": 60},
    "lgbm": {"n_estimators": 5, "min_child_samples": 3, "subsample": 0.8},
}


@pytest.mark.parametrize("task", ["regression", "classification"])
@pytest.mark.parametrize("kind", [*sorted(PIPELINES), "forest"])
def test_every_kind_of_pipeline_passes(kind, task, data):
    X, y, test = data
    X[5, 1] = np.nan
    if kind == "forest":
        classes = {
            "regression": "sklearn.ensemble:ExtraTreesRegressor",
            "classification": "sklearn.ensemble:ExtraTreesClassifier",
        }
        pipeline, config = pipeline_kind("sklearn", classes, name="forest"), {"n_estimators": 5}
    else:
        config = {**CONFIGS[kind]}
        if kind == "elastic":
            config = (
                {"alpha": 0.1} if task == "regression" else {"C": 1.0, "l1_ratio": 0.5, "max_iter": 2000, "tol": 1e-2}
            )
        pipeline = PIPELINES[kind]
    truth = y if task == "regression" else (y > 0).astype(int)
    model = make(pipeline, task, config, n_confounds=2, seed=0)
    assert check_pipeline(model, X, truth, np.arange(60) // 2, test=test) == []


@pytest.mark.parametrize(
    "model",
    [
        make_pipeline(SimpleImputer(), StandardScaler(), Ridge()),
        KNeighborsRegressor(),
        ExtraTreesRegressor(n_estimators=5),
        SGDRegressor(),
        lambda X, y: make_pipeline(StandardScaler(), Ridge()),
    ],
)
def test_honest_models_pass(model, data):
    """Also those that keep their training rows, or are random until they get a seed."""
    X, y, test = data
    assert check_fit(model, X, y, test=test) == []
    assert check_fit(model, X, y, np.arange(60) // 3) == []


def test_text_classes_pass(data):
    X, y, test = data
    classes = np.where(y > 0, "yes", "no")
    assert check_fit(make_pipeline(StandardScaler(), LogisticRegression()), X, classes, test=test) == []
    assert check_pipeline(SVC(), X, classes) == []
    assert check_fit(DummyClassifier(), X, np.where(y > 1, 2, np.where(y > 0, 1, 0)), test=test) == []


def test_a_transformer_that_keeps_what_it_sees_is_found(data):
    X, y, test = data
    found = check_fit(make_pipeline(Greedy(), Ridge()), X, y, test=test)
    assert "what is fitted changed once it had predicted the test rows" in messages(found)
    assert "steps.0.1.scale_" in messages(found)
    assert "the predictions of training rows changed once it had predicted the test rows" in messages(found)


def test_a_transformer_that_looks_at_a_variable_is_found(data):
    X, y, test = data
    found = messages(check_fit(make_pipeline(Looking(), Ridge()), X, y, test=test))
    assert "what is fitted changed with the values of the test rows: steps.0.1.scale_" in found
    # A copy does not change with the test rows, but it holds them.
    WHOLE["X"] = X.copy()
    found = messages(check_fit(make_pipeline(Looking(), Ridge()), X, y, test=test))
    assert found == (f"holds values of test rows where its classes look: the variable 'WHOLE' of {__name__}.X")
    WHOLE["X"] = X[~test]
    assert check_fit(make_pipeline(Looking(), Ridge()), X, y, test=test) == []


def test_data_that_is_given_at_construction_is_found(data):
    X, y, test = data
    model = make_pipeline(Prepared(X.copy()), Ridge())
    assert "holds values of test rows before it is fitted: steps.0.1.data" in messages(
        check_fit(model, X, y, test=test)
    )
    assert check_fit(make_pipeline(Prepared(X[~test]), Ridge()), X, y, test=test) == []
    assert "steps.0.1.data" in messages(check_fit(make_pipeline(Prepared(X[:30]), Ridge()), X, y, test=test))
    found = messages(check_fit(Cheating(y.copy()), X, y, test=test))
    assert "holds values of test rows before it is fitted: answers" in found


def test_what_is_worked_out_of_all_rows_beforehand_is_found(data):
    """The usual mistake: scale first, split afterwards."""
    X, y, test = data
    found = check_fit(lambda X, y: make_pipeline(Scaling(X.std(axis=0)), Ridge()), X, y, test=test)
    assert "what is fitted changed with the values of the test rows" in messages(found)
    assert "steps.0.1.scale" in messages(found)
    assert check_fit(make_pipeline(Scaling(np.ones(6)), Ridge()), X, y, test=test) == []


def test_the_data_are_as_before_whatever_happens(data):
    X, y, test = data
    before = X.copy(), y.copy()
    check_fit(make_pipeline(Looking(), Ridge()), X, y, test=test)
    np.testing.assert_array_equal(X, before[0])
    np.testing.assert_array_equal(y, before[1])

    class Breaking(Looking):
        def fit(self, X, y=None):
            if WHOLE["X"].std() > 100:
                raise RuntimeError("too much")
            return super().fit(X, y)

    with pytest.raises(RuntimeError, match="too much"):
        check_fit(make_pipeline(Breaking(), Ridge()), X, y, test=test)
    np.testing.assert_array_equal(X, before[0])
    np.testing.assert_array_equal(y, before[1])
    X.flags.writeable = False
    assert "holds values of test rows" in messages(check_fit(make_pipeline(Prepared(X), Ridge()), X, y, test=test))


def test_what_cannot_be_checked_is_said(data):
    X, y, test = data
    assert "needs a random_state" in messages(check_fit(Unsteady(), X, y, test=test))
    with pytest.raises(SearchError, match="60 of 60 rows are held out"):
        check_fit(Ridge(), X, y, test=np.ones(60, bool))
    with pytest.raises(SearchError, match="not of the same subjects"):
        check_fit(Ridge(), X, y[:50], test=test)
    with pytest.raises(SearchError, match="one group cannot be split"):
        check_fit(Ridge(), X, y, np.zeros(60))
    with pytest.raises(SearchError, match="neither an estimator nor a function"):
        check_fit("ridge", X, y)


def test_the_model_itself_is_left_alone(data):
    X, y, test = data
    model = make_pipeline(StandardScaler(), Ridge())
    before = clone(model).get_params()
    check_fit(model, X, y, test=test)
    assert model.get_params().keys() == before.keys()
    assert not hasattr(model, "n_features_in_")


def brains(n=80, p=40, seed=0):
    """Regions of related people: siblings, and everybody, are alike."""
    rng = np.random.default_rng(seed)
    families = np.arange(n) // 2
    shared = rng.normal(size=(n // 2, p))[families]
    return 2.5 + 0.1 * (rng.normal(size=p) + 0.8 * shared + 0.6 * rng.normal(size=(n, p))), families


def test_copies_of_subjects_are_found_by_content():
    X, families = brains()
    ids = [f"sub-{number:03d}" for number in range(80)]
    assert find_duplicates(X, families, ids=ids) == []
    X[10], X[40] = X[70], X[7].astype(np.float32)
    X[33] = X[60].round(3)
    X[61] = X[60]  # of the same family
    (first, second, third, fourth) = find_duplicates(X, families, ids=ids)
    assert first.message == "subjects 'sub-007' (group 3) and 'sub-040' (group 20) are equal"
    assert second.message == "subjects 'sub-010' (group 5) and 'sub-070' (group 35) are equal"
    assert third.message == (
        "subjects 'sub-033' (group 16) and 'sub-060' (group 30) are alike: "
        "100% of 40 columns are the same but for 2% of their spread"
    )
    assert fourth.message.startswith("subjects 'sub-033' (group 16) and 'sub-061' (group 30) are alike")
    assert all(finding.chance < 1e-6 for finding in (first, second, third, fourth))


def test_copies_without_some_values_are_found():
    X, families = brains(p=200)
    X[50] = X[3]
    X[50, ::97] = np.nan
    X[:, 5] = np.nan
    (found,) = find_duplicates(X, families)
    assert found.message.startswith("subjects '3' (group 1) and '50' (group 25) are alike")


def test_an_outlier_makes_nobody_alike():
    X, families = brains()
    X[3, 7] = X[50, 7] = 1e6
    assert find_duplicates(X, families) == []


def test_few_or_coarse_columns_tell_nothing():
    rng = np.random.default_rng(0)
    assert find_duplicates(rng.normal(size=(500, 2))) == []
    assert find_duplicates(rng.integers(0, 3, size=(500, 4)).astype(float)) == []
    assert find_duplicates(np.ones((20, 5))) == []
    X = rng.normal(size=(500, 4))
    X[100] = X[7]
    assert [finding.message for finding in find_duplicates(X)] == [
        "subjects '7' (group 7) and '100' (group 100) are equal"
    ]


@settings(max_examples=20, deadline=None)
@given(n=st.integers(20, 120), p=st.integers(1, 60), rank=st.integers(1, 60), seed=st.integers(0, 2**20))
def test_unrelated_subjects_are_never_taken_for_copies(n, p, rank, seed):
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n, min(rank, p))) @ rng.normal(size=(min(rank, p), p)) + 0.05 * rng.normal(size=(n, p))
    assert find_duplicates(X) == []


def test_the_stated_chance_is_the_one_seen(monkeypatch):
    """Four independent columns, and values that are the same more often, so that there is something to count."""
    monkeypatch.setattr(duplicates, "SAME", 0.2)
    scaled = duplicates._scaled(np.random.default_rng(0).normal(size=(1500, 4)))
    first, second = np.triu_indices(1500, 1)
    seen = int((np.abs(scaled[first] - scaled[second]) < 0.2).all(axis=1).sum())
    assert seen > 200
    stated = duplicates._chance_of_alike(scaled)
    # The columns of 200 subjects, from which it is counted, are not quite independent: they count as three.
    assert 0.8 * seen < stated < 10 * seen


def test_failed_scans_are_not_alike():
    """Both far from everybody, in every column, and still not the same."""
    X, families = brains()
    X[5], X[60] = 0.001 * X[5], 0.001 * X[60]
    assert find_duplicates(X, families) == []


def columns_and_target(n=300, p=20):
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(n, p)), rng.normal(size=(n, 2))
    X[:, 4] += 5 * y[:, 0]  # a strong effect is no copy
    y[:, 1] = y[:, 1] > 0
    return X, y, [f"thickness:v{i}" for i in range(p)]


def test_targets_among_the_columns_are_found():
    X, y, names = columns_and_target()
    known = {"columns": names, "names": ["iq", "sex"], "what": "region"}
    assert find_copies(X, y, **known) == []
    X[:, 3], X[:, 9], X[:, 11] = y[:, 0], np.exp(-y[:, 0]).astype(np.float32), 3 * y[:, 1] - 1
    X[:, 13] = y[:, 1] + np.random.default_rng(1).uniform(0, 0.5, 300)
    found = find_copies(X, y, **known)
    assert [finding.message for finding in found] == [
        "region 'thickness:v3' equals target 'iq' (300 subjects)",
        "region 'thickness:v9' is a monotone copy (rank correlation -1.000000) of target 'iq' (300 subjects)",
        "region 'thickness:v11' is a monotone copy (rank correlation 1.000000) of target 'sex' (300 subjects)",
        "region 'thickness:v13' separates the classes of target 'sex' (300 subjects)",
    ]
    assert all(finding.chance < 1e-20 for finding in found)


def test_missing_values_hide_no_copy():
    X, y, names = columns_and_target()
    X[:, 3] = 2 * y[:, 0] + 1
    X[::5, 3] = np.nan
    y[1::7, 0] = np.nan
    X[:, 6] = np.nan
    X[:, 7] = 1.0
    (found,) = find_copies(X, y, columns=names, names=["iq", "sex"])
    assert "column 'thickness:v3' is a monotone copy" in found.message


def test_what_few_subjects_show_by_chance_is_not_reported():
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(8, 3000)), np.arange(8) % 2.0
    separated = [j for j in range(3000) if X[y == 0, j].max() < X[y == 1, j].min()]
    assert separated, "there are such columns by chance"
    assert find_copies(X, y[:, None], columns=[str(j) for j in range(3000)], names=["sex"]) == []


def test_all_guards_together(data):
    X, y, test = data
    y[30], X[:, 5] = y[2], y
    X[30, :5] = X[2, :5]
    found = check_pipeline(make_pipeline(Prepared(X.copy()), Ridge()), X, y, test=test, columns=list("abcdef"))
    assert [finding.check for finding in found] == ["fit", "duplicate", "target"]
    assert "column 'f' equals target 'y'" in found[2].message
    with pytest.raises(SearchError, match="do not fit"):
        find_copies(X, y[:, None], columns=["a"], names=["y"])
    with pytest.raises(SearchError, match="not of the same subjects"):
        find_duplicates(X, np.arange(3))

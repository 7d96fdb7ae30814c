"""Search spaces, the configurations drawn from them, and the choice between configurations."""

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cortax.errors import SearchError
from cortax.learning.search.choose import check_rule, choose, complexity
from cortax.learning.search.pipelines import PIPELINES, make, pipeline_kind
from cortax.learning.search.spaces import SPACES, content_seed, sample_configs, search_space


@pytest.mark.parametrize(("kind", "task"), sorted(SPACES))
def test_every_space_makes_pipelines(kind, task):
    configs = sample_configs(kind, task, 25, seed=0)
    assert json.loads(json.dumps(configs)) == configs
    for config in configs:
        assert set(config) == set(SPACES[kind, task])
        for parameter, spec in SPACES[kind, task].items():
            value = config[parameter]
            if isinstance(spec, list):
                assert value in spec
            else:
                assert spec["low"] <= value <= spec["high"] or (value == 0 and spec["zero"])
                assert isinstance(value, int) == spec.get("integer", False)
        made = make(PIPELINES[kind], task, config, seed=1)
        params = made.named_steps["estimate"].get_params()
        for parameter in set(config) - {"percentile", "boosting", "subsample"}:
            assert params[parameter] == config[parameter]
    assert set(PIPELINES) == {k for k, _ in SPACES}


def test_registry_and_spaces_agree_on_tasks():
    assert {(k, t) for k, kind in PIPELINES.items() for t in kind.estimators} == set(SPACES)


@settings(max_examples=20, deadline=None)
@given(st.sampled_from(sorted(SPACES)), st.integers(1, 5), st.integers(1, 5), st.integers(0, 2**40))
def test_growing_keeps_the_first(which, few, more, seed):
    longer = sample_configs(*which, few + more, seed=seed)
    assert longer[:few] == sample_configs(*which, few, seed=seed)


def test_setting_one_parameter_leaves_the_others():
    free = sample_configs("svm", "classification", 8, seed=3)
    fixed = sample_configs("svm", "classification", 8, seed=3, space={"C": 2.0, "tol": 1e-5})
    assert [c | {"C": 2.0, "tol": 1e-5} for c in free] == fixed


def test_draws_depend_on_their_content():
    base = sample_configs("elastic", "regression", 3, seed=0)
    assert base != sample_configs("elastic", "regression", 3, seed=1)
    assert base[0]["alpha"] != base[1]["alpha"]
    assert content_seed(0, "a", 1) != content_seed(0, "a1")
    assert content_seed(7, "ridge", "age", 2, 5) == 1476085528


def test_draws_are_uniform_and_zero_as_often_as_asked():
    space = {"a": {"low": 0, "high": 1}, "b": {"low": 1e-5, "high": 1, "log": True, "zero": 0.5}, "c": [1, 2]}
    drawn = sample_configs("sklearn", "regression", 400, seed=0, space=space)
    a, b, c = (np.array([d[k] for d in drawn]) for k in "abc")
    assert abs(a.mean() - 0.5) < 0.06
    assert abs((b == 0).mean() - 0.5) < 0.1
    assert abs(np.log10(b[b > 0]).mean() + 2.5) < 0.4
    assert abs((c == 1).mean() - 0.5) < 0.1
    assert abs(np.corrcoef(a, np.log10(np.maximum(b, 1e-6)))[0, 1]) < 0.15


@pytest.mark.parametrize(
    ("space", "message"),
    [
        ({"alhpa": 1}, "space of 'ridge': got 'alhpa'.*did you mean 'alpha'"),
        ({"alpha": {"low": 1}}, "parameter 'alpha': high must be a finite number; got None"),
        ({"alpha": {"low": 1, "high": 2, "logg": True}}, "parameter 'alpha': key got 'logg'"),
        ({"alpha": {"low": 0, "high": 2, "log": True}}, "0 < low < high; got low = 0, high = 2"),
        ({"alpha": {"low": 3, "high": 2}}, "low < high; got low = 3, high = 2"),
        ({"alpha": {"low": 1.5, "high": 2, "integer": True}}, "needs a whole low; got 1.5"),
        ({"alpha": {"low": 1, "high": 2, "log": "yes"}}, "log must be true or false; got 'yes'"),
        ({"alpha": {"low": 1, "high": 2, "log": True, "integer": True}}, "exclude each other"),
        ({"alpha": {"low": 1, "high": 2, "zero": 1}}, "zero must be a probability below 1; got 1"),
        ({"alpha": []}, "parameter 'alpha': the list of choices is empty"),
        ({"alpha": {1}}, "parameter 'alpha': must be a range"),
    ],
)
def test_bad_spaces(space, message):
    with pytest.raises(SearchError, match=message):
        search_space("ridge", "regression", space)


def test_bad_kinds_tasks_and_numbers():
    with pytest.raises(SearchError, match=r"kind: got 'rigde'.*did you mean 'ridge'"):
        search_space("rigde", "regression")
    with pytest.raises(SearchError, match="task: got 'ranking'"):
        search_space("ridge", "ranking")
    with pytest.raises(SearchError, match="n_configs of 'ridge' must be at least 1; got 0"):
        sample_configs("ridge", "regression", 0, seed=0)


def test_a_space_may_hold_the_other_tasks_parameters():
    space = {"alpha": 1.0, "C": 2.0}
    assert search_space("ridge", "regression", space) == {"alpha": 1.0}
    assert search_space("ridge", "classification", space)["C"] == 2.0


def test_users_own_estimators():
    kind = pipeline_kind("sklearn", {"regression": "sklearn.linear_model:Lasso"}, name="lasso")
    assert kind.name == "lasso"
    estimator = make(kind, "regression", {"alpha": 0.5}, seed=4).named_steps["estimate"]
    assert (type(estimator).__name__, estimator.alpha, estimator.random_state) == ("Lasso", 0.5, 4)
    with pytest.raises(SearchError, match="'lasso', task: got 'classification', must be one of \\['regression'\\]"):
        make(kind, "classification", {}, seed=0)
    with pytest.raises(SearchError, match=r"Lasso: parameter got 'alhpa'.*did you mean 'alpha'"):
        make(kind, "regression", {"alhpa": 1}, seed=0)
    for target in ("sklearn.linear_model:Laso", "no.such:Thing", "sklearn.linear_model", "", ":"):
        with pytest.raises(SearchError, match=r"pipeline 'x', regression: .* is not 'module:Class'"):
            pipeline_kind("sklearn", {"regression": target}, name="x")
    with pytest.raises(SearchError, match="'json:loads' is not a scikit-learn estimator class"):
        pipeline_kind("sklearn", {"regression": "json:loads"}, name="x")
    with pytest.raises(SearchError, match="pipeline 'x': kind = 'sklearn' needs"):
        pipeline_kind("sklearn", {}, name="x")
    with pytest.raises(SearchError, match="pipeline 'x': got 'ranking'"):
        pipeline_kind("sklearn", {"ranking": "sklearn.linear_model:Lasso"}, name="x")
    with pytest.raises(SearchError, match=r"kind: got 'svn'.*did you mean 'svm'"):
        pipeline_kind("svn")


def test_best_takes_the_first_of_equals_and_no_failed_one():
    scores = np.array([[0.1, 0.2], [np.nan, 0.9], [0.25, 0.25], [0.0, 0.5]])
    assert choose(scores) == 2
    assert choose(scores[::-1]) == 0


def test_one_standard_error_takes_the_simplest_of_the_near():
    scores = np.array([[0.5, 0.3, 0.4], [0.36, 0.36, 0.36], [0.36, 0.36, 0.36], [0.1, 0.1, 0.1]])
    # The best is 0, its standard error 0.1 / sqrt(3) = 0.058: 1 and 2 are near, 3 is not.
    assert choose(scores, rule="one-standard-error", ranks=[3, 1, 1, 0]) == 1
    assert choose(scores, rule="one-standard-error", ranks=[3, 2, 1, 0]) == 2
    scores[1:3] = 0.34
    assert choose(scores, rule="one-standard-error", ranks=[3, 1, 1, 0]) == 0


def test_choice_of_nothing():
    scores = np.zeros((4, 2))
    with pytest.raises(SearchError, match="every configuration failed"):
        choose(np.full((4, 2), np.nan))
    with pytest.raises(SearchError, match=r"rule: got 'bets'.*did you mean 'best'"):
        choose(scores, rule="bets")
    with pytest.raises(SearchError, match="needs a rank for each of 4 configurations"):
        choose(scores, rule="one-standard-error")
    with pytest.raises(SearchError, match="got \\(3,\\)"):
        choose([1.0, 2.0, 3.0])


@pytest.mark.parametrize(
    ("kind", "configs"),
    [
        ("ridge", [{"alpha": 9.0}, {"alpha": 0.1}]),
        ("ridge", [{"C": 0.1, "class_weight": "balanced"}, {"C": 9.0, "class_weight": None}]),
        ("elastic", [{"alpha": 1, "l1_ratio": 0.1}, {"alpha": 0.5, "l1_ratio": 0.9}]),
        ("elastic", [{"alpha": 1, "l1_ratio": 0.9}, {"alpha": 1, "l1_ratio": 0.1}]),
        ("svm", [{"C": 1, "gamma": 0.1}, {"C": 1, "gamma": 0.5}]),
        ("svm", [{"C": 1, "gamma": "scale", "percentile": 50}, {"C": 1, "gamma": "scale", "percentile": 60}]),
        ("lgbm", [{"n_estimators": 10, "num_leaves": 8}, {"n_estimators": 5, "num_leaves": 80}]),
    ],
)
def test_complexity_ranks_the_simpler_first(kind, configs):
    assert complexity(PIPELINES[kind], configs).tolist() == [0, 1]
    assert complexity(PIPELINES[kind], [*configs[::-1], configs[0]]).tolist() == [1, 0, 0]


def test_what_is_simpler_must_be_known_to_choose_by_it():
    trees = pipeline_kind("sklearn", {"regression": "sklearn.ensemble:RandomForestRegressor"}, name="forest")
    # More trees of a forest are no looser a model.
    with pytest.raises(SearchError, match="pipeline 'forest': 'one-standard-error' takes the simplest"):
        complexity(trees, [{"n_estimators": 10}, {"n_estimators": 100}])
    assert complexity(trees, [{"n_estimators": 10}]).tolist() == [0]
    check_rule("best", trees, 60)

"""Tests of the reported metrics and their intervals."""

from functools import partial
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from sklearn import metrics as sk

from cortax.errors import SearchError
from cortax.learning.cohort import Targets
from cortax.learning.formulas import Resamples
from cortax.learning.predictions import COLUMNS, Scoring, score_table, score_targets
from cortax.learning.scores import METRICS, default_rope, get_metric, metric_sign

REGRESSION = {
    "r2": sk.r2_score,
    "explained_variance": sk.explained_variance_score,
    "mean_squared_error": sk.mean_squared_error,
    "mean_absolute_error": sk.mean_absolute_error,
    "pearson_r": lambda y, p, sample_weight: (
        np.cov(y, p, aweights=sample_weight)[0, 1]
        / np.sqrt(np.cov(y, aweights=sample_weight) * np.cov(p, aweights=sample_weight))
    ),
}
CLASSIFICATION = {
    "roc_auc": sk.roc_auc_score,
    "average_precision": sk.average_precision_score,
    "brier_score": sk.brier_score_loss,
    "matthews_corrcoef": sk.matthews_corrcoef,
    "balanced_accuracy": sk.balanced_accuracy_score,
    "accuracy": sk.accuracy_score,
    "f1_macro": partial(sk.f1_score, average="macro"),
    "log_loss": sk.log_loss,
}
ORDINAL = {"cohen_kappa": partial(sk.cohen_kappa_score, weights="quadratic")}


def cohort(seed, n=120, repeats=1, folds=4):
    rng = np.random.default_rng(seed)
    y = rng.normal(size=n)
    groups = np.sort(rng.integers(n // 3, size=n))
    tests = np.zeros((repeats * folds, n), bool)
    for r in range(repeats):
        fold_of_group = rng.permutation(groups.max() + 1) % folds
        for f in range(folds):
            tests[r * folds + f] = fold_of_group[groups] == f
    return rng, y, groups, tests


def test_every_metric_has_an_oracle():
    assert set(METRICS) == {*REGRESSION, *CLASSIFICATION, *ORDINAL}
    assert all(name == metric.name for name, metric in METRICS.items())


@pytest.mark.parametrize("name", sorted(METRICS))
def test_units_are_what_the_target_is_measured_in(name):
    rng = np.random.default_rng(0)
    metric, everyone = METRICS[name], Resamples(np.ones((1, 50)))
    if metric.tasks != ("regression",):
        assert (metric.units, metric.rope) == ("", 0.01)
        return
    y, predicted = rng.normal(size=(2, 50)) + 3
    scaled = metric.formula(1000 * y, 1000 * predicted, everyone) / metric.formula(y, predicted, everyone)
    assert scaled == pytest.approx({"": 1, "target": 1e3, "target^2": 1e6}[metric.units])
    # 0.01 in the units of a target may be nothing or everything.
    assert (metric.rope is None) == bool(metric.units)


def test_a_scorer_has_its_sign_and_no_region_of_its_own():
    assert [metric_sign(name) for name in ("r2", "brier_score", "neg_max_error")] == [1, -1, 1]
    assert [default_rope(name) for name in ("r2", "mean_absolute_error", "neg_max_error")] == [0.01, 0, 0]


@pytest.mark.parametrize("name", sorted(METRICS))
@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 10**6), decimals=st.sampled_from([1, 6]), offset=st.sampled_from([0.0, 1e4]))
def test_all_resamples_equal_scikit_learn_with_sample_weight(name, seed, decimals, offset):
    rng = np.random.default_rng(seed)
    n = 24
    weights = rng.integers(0, 4, size=(6, n)).astype(float)
    weights[:, :4] = 1  # both classes and two values are in every resample
    if METRICS[name].tasks == ("regression",):
        y = rng.normal(size=n) + offset
        given_, oracle = np.round(y + rng.normal(size=n), decimals), REGRESSION[name]
    else:
        y = np.r_[0, 1, 0, 1, rng.integers(0, 2, n - 4)].astype(float)
        given_ = np.round(rng.uniform(size=n), decimals)  # one decimal: many ties
        given_ = (given_ > 0.5).astype(float) if METRICS[name].needs == "label" else given_
        oracle = {**CLASSIFICATION, **ORDINAL}[name]
    found = METRICS[name].formula(y, given_, Resamples(weights))
    expected = [oracle(y[w > 0], given_[w > 0], sample_weight=w[w > 0]) for w in weights]
    np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-10)


@pytest.mark.parametrize("name", ["r2", "explained_variance"])
@pytest.mark.parametrize("predicted", [[0.5, 0.5, 0.5], [0.4, 0.5, 0.6]])
def test_a_constant_target_scores_as_in_scikit_learn(name, predicted):
    y, p = np.array([0.5, 0.5, 0.5]), np.array(predicted)
    assert METRICS[name].formula(y, p, Resamples(np.ones((1, 3))))[0] == REGRESSION[name](y, p)


def test_stated_values_of_constant_predictions():
    y, same = np.array([0.0, 1.0, 1.0]), np.full(3, 0.3)
    one = Resamples(np.ones((1, 3)))
    assert METRICS["pearson_r"].formula(y, same, one) == 0
    assert METRICS["matthews_corrcoef"].formula(y, np.ones(3), one) == 0
    assert METRICS["roc_auc"].formula(y, same, one) == 0.5
    assert METRICS["balanced_accuracy"].formula(y, np.ones(3), one) == 0.5


@pytest.mark.parametrize("name", ["roc_auc", "average_precision", "matthews_corrcoef", "balanced_accuracy"])
def test_one_class_is_undefined(name):
    weights = np.array([[1.0, 1, 1, 1], [1, 1, 0, 0], [0, 0, 1, 1], [0, 0, 0, 0]])
    found = METRICS[name].formula(np.array([0.0, 0, 1, 1]), np.array([0.0, 1, 0, 1]), Resamples(weights))
    assert np.isnan(found).tolist() == [False, True, True, True]


def test_values_and_intervals_of_folds_equal_a_plain_loop():
    rng, y, groups, tests = cohort(1, repeats=2)
    prediction = y + rng.normal(size=(2, len(y)))
    y[5] = np.nan
    table = score_table(prediction, y, tests, groups, ["mean_squared_error"], target="fluid", confidence=0.9)
    values = []
    for k, test in enumerate(tests):
        rows = np.flatnonzero(test & ~np.isnan(y))
        values.append(sk.mean_squared_error(y[rows], prediction[k // 4][rows]))
        names = np.unique(groups[rows])
        left = [rows[groups[rows] != name] for name in names]
        without = np.array([sk.mean_squared_error(y[kept], prediction[k // 4][kept]) for kept in left])
        n = len(names)
        error = np.sqrt((n - 1) / n * ((without - without.mean()) ** 2).sum())
        reach = np.exp(stats.t.ppf(0.95, n - 1) * error / values[k])
        np.testing.assert_allclose(table.loc[k, ["low", "high"]].astype(float), [values[k] / reach, values[k] * reach])
        assert (table.n_subjects[k], table.n_groups[k]) == (len(rows), n)
    np.testing.assert_allclose(table.value, [*values, np.mean(values)])
    mean = table.iloc[8]
    assert (mean.target, mean.fold, mean.metric, mean.n_subjects) == ("fluid", "mean", "mean_squared_error", 119)
    assert mean.sd_repeats == pytest.approx(np.std([np.mean(values[:4]), np.mean(values[4:])], ddof=1))
    assert table.sd_repeats[:8].isna().all()
    assert tuple(table.columns) == COLUMNS


def test_families_widen_the_interval():
    rng = np.random.default_rng(0)
    base, noise = rng.normal(size=(2, 40))
    y, prediction, families = np.repeat(base, 5), np.repeat(base + noise, 5), np.repeat(np.arange(40), 5)
    tests = np.ones((1, 200), bool)
    wide, narrow = (score_table(prediction, y, tests, groups, ["r2"]).iloc[-1] for groups in (families, np.arange(200)))
    assert wide.high - wide.low > 1.6 * (narrow.high - narrow.low)


def classified(seed=2, rare=False):
    rng, latent, groups, tests = cohort(seed)
    y = (latent > 0).astype(float)
    if rare:
        y[:] = 0
        y[np.flatnonzero(tests[0])[:3]] = 1
        y[np.flatnonzero(tests[1])[:3]] = 1
    probability = 1 / (1 + np.exp(-(y + rng.normal(size=len(y)))))
    return y, probability, (probability > 0.6).astype(float), tests, groups


def test_folds_of_one_class_are_left_out_and_counted():
    y, probability, label, tests, groups = classified(rare=True)
    table = score_table(probability, y, tests, groups, ["roc_auc"], label=label).set_index("fold")
    assert table.value.isna().tolist() == [False, False, True, True, False]
    assert table.loc["mean", "value"] == pytest.approx(table.value[["0", "1"]].mean())
    assert table.n_groups[["2", "3"]].tolist() == [0, 0]
    assert table.low[["2", "3"]].isna().all()
    assert table.loc["mean", "n_groups"] > 0


def test_any_scikit_learn_scorer_is_a_metric_and_agrees_with_the_fast_one():
    y, probability, label, tests, groups = classified()
    names = ["roc_auc", "neg_log_loss", "f1", "neg_brier_score", "brier_score"]
    table = score_table(probability, y, tests, groups, names, label=label)
    mean = table[table.fold == "mean"].set_index("metric")
    folds = [np.flatnonzero(test) for test in tests]
    assert mean.value["neg_log_loss"] == pytest.approx(np.mean([-sk.log_loss(y[f], probability[f]) for f in folds]))
    assert mean.value["f1"] == pytest.approx(np.mean([sk.f1_score(y[f], label[f]) for f in folds]))
    # The same metric by both ways, with a limit at 0 that only one of them has below.
    np.testing.assert_allclose(
        mean.loc["neg_brier_score", ["value", "low", "high"]].astype(float),
        -mean.loc["brier_score", ["value", "high", "low"]].astype(float).to_numpy(),
    )


def test_a_regression_scorer_without_sample_weight_works():
    rng, y, groups, tests = cohort(3)
    prediction = y + rng.normal(size=len(y))
    table = score_table(prediction, y, tests, groups, ["neg_max_error"]).set_index("fold")
    assert table.value["0"] == pytest.approx(-np.abs(y - prediction)[tests[0]].max())


def test_the_same_bytes_again():
    rng, y, groups, tests = cohort(4)
    prediction = y + rng.normal(size=len(y))
    tables = [score_table(prediction, y, tests, groups, list(REGRESSION)) for _ in range(2)]
    pd.testing.assert_frame_equal(*tables, check_exact=True)


@pytest.mark.parametrize(
    ("name", "task", "message"),
    [
        ("roc_acu", "classification", "did you mean 'roc_auc'"),
        ("r2", "classification", "metric 'r2' is for regression, the target is classification: use"),
        ("roc_auc", "regression", "metric 'roc_auc' is for classification"),
        ("f1", "regression", "metric 'f1' cannot score a regression"),
        ("r2", "regresion", "task of metric 'r2': got 'regresion'"),
    ],
)
def test_wrong_metrics_are_refused(name, task, message):
    with pytest.raises(SearchError, match=message.replace("(", r"\(")):
        get_metric(name, task)


def test_wrong_inputs_are_refused():
    _, y, groups, tests = cohort(5)
    holed = y.copy()
    row = np.flatnonzero(tests[2])[1]
    holed[row] = np.nan
    with pytest.raises(SearchError, match=f"target 'fluid', fold 2: 1 of .* no finite prediction.* row {row}"):
        score_table(holed, y, tests, groups, ["r2"], target="fluid")
    assert len(score_table(y, holed, tests, groups, ["r2"])) == 5  # a hole in y is no error
    with pytest.raises(SearchError, match=r"prediction of shape \(3, 120\) does not fit the folds of shape \(4, 120\)"):
        score_table(np.tile(y, (3, 1)), y, tests, groups, ["r2"])
    with pytest.raises(SearchError, match=r"groups \(119,\) must be of shape \(120,\)"):
        score_table(y, y, tests, groups[:-1], ["r2"])
    with pytest.raises(SearchError, match=r"'sex': classes must be 0 and 1, .*; got \[2.0\]"):
        score_table(y, np.full(120, 2.0), tests, groups, ["roc_auc"], label=y, target="sex")
    with pytest.raises(SearchError, match="between 0 and 1, got 95"):
        score_table(y, y, tests, groups, ["r2"], confidence=95)


def test_a_fold_that_failed_is_nan_and_the_others_count():
    rng, y, groups, tests = cohort(6)
    prediction = y + rng.normal(size=len(y))
    whole = score_table(prediction, y, tests, groups, ["r2"]).set_index("fold")
    prediction[tests[1]] = np.nan
    table = score_table(prediction, y, tests, groups, ["r2"]).set_index("fold")
    assert np.isnan(table.value["1"])
    assert table.n_subjects["1"] == 0
    assert table.n_subjects["mean"] == (~tests[1]).sum()
    pd.testing.assert_frame_equal(table.loc[["0", "2", "3"]], whole.loc[["0", "2", "3"]])
    assert table.value["mean"] == pytest.approx(whole.value[["0", "2", "3"]].mean())
    nothing = score_table(np.full(len(y), np.nan), y, tests, groups, ["r2"])
    assert nothing.value.isna().all()
    assert (nothing.n_subjects == 0).all()


def test_all_targets_are_scored_each_by_the_metrics_of_its_task():
    y, probability, label, tests, groups = classified()
    rng = np.random.default_rng(9)
    score, guess = rng.normal(size=(2, len(y)))
    predictions = np.stack([guess, probability])[None]
    labels = np.stack([np.full(len(y), np.nan), label])[None]
    common = {"confidence": 0.9}
    targets = Targets(np.column_stack([score, y]), ("fluid", "sex"), ("regression", "classification"))
    metrics = {"regression": ["r2", "pearson_r"], "classification": ["roc_auc"]}
    found = SimpleNamespace(predictions=predictions, labels=labels, probabilities={})
    table = score_targets(found, targets, tests, groups, Scoring(metrics, **common))
    one = score_table(guess, score, tests, groups, ["r2", "pearson_r"], target="fluid", **common)
    two = score_table(probability, y, tests, groups, ["roc_auc"], label=label, target="sex", **common)
    pd.testing.assert_frame_equal(table, pd.concat([one, two], ignore_index=True), check_exact=True)

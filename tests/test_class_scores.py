"""Metrics and scorers of several classes have scikit-learn's values, with weights too; and what they refuse."""

from functools import partial

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as sk

from cortax.errors import SearchError
from cortax.learning.classes import class_labels, class_probabilities, expand, one_prediction
from cortax.learning.formulas import Resamples, Rows
from cortax.learning.given import GivenLabels
from cortax.learning.predictions import score_table
from cortax.learning.scores import get_metric
from cortax.learning.search.scoring import ClassPredictions, check_scorer, score_classes
from cortax.learning.stats.nulls import score_rows


def _one_hot(y, n):
    return (y[:, None] == np.arange(n)).astype(int)


def average_precision(y, P, sample_weight):
    return sk.average_precision_score(_one_hot(y, P.shape[1]), P, average="macro", sample_weight=sample_weight)


ORACLES = {
    "roc_auc": partial(sk.roc_auc_score, multi_class="ovr"),
    "average_precision": average_precision,
    "log_loss": sk.log_loss,
    "brier_score": sk.brier_score_loss,
    "matthews_corrcoef": sk.matthews_corrcoef,
    "balanced_accuracy": sk.balanced_accuracy_score,
    "accuracy": sk.accuracy_score,
    "f1_macro": partial(sk.f1_score, average="macro"),
    "cohen_kappa": partial(sk.cohen_kappa_score, weights="quadratic"),
    "mean_absolute_error": sk.mean_absolute_error,
}


def classified(seed, n=40, n_classes=3, decimals=6):
    rng = np.random.default_rng(seed)
    y = np.r_[np.arange(n_classes), rng.integers(0, n_classes, n - n_classes)].astype(float)
    P = np.round(rng.dirichlet(np.ones(n_classes), size=n) + 0.3 * _one_hot(y, n_classes), decimals) + 0.01
    P /= P.sum(axis=1, keepdims=True)
    return rng, y, P, P.argmax(axis=1).astype(float)


@pytest.mark.parametrize("name", sorted(ORACLES))
@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 10**6), n_classes=st.integers(3, 6), decimals=st.sampled_from([1, 6]))
def test_all_resamples_equal_scikit_learn_with_sample_weight(name, seed, n_classes, decimals):
    rng, y, P, labels = classified(seed, n_classes=n_classes, decimals=decimals)
    weights = rng.integers(0, 4, size=(5, len(y))).astype(float)
    weights[:, :n_classes] = 1  # every class is in every resample
    metric = get_metric(name, "ordinal")
    given_ = labels if metric.needs == "label" else P
    found = metric.formula(y, given_, Resamples(weights))
    expected = [ORACLES[name](y[w > 0], given_[w > 0], sample_weight=w[w > 0]) for w in weights]
    np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-10)


@pytest.mark.parametrize("name", [*sorted(ORACLES), "roc_auc_ovo", "recall_macro"])
def test_each_row_has_the_score_that_it_has_alone(name):
    made = [classified(seed) for seed in range(8)]
    Y, P, L = (np.array([one[place] for one in made]) for place in (1, 2, 3))
    metric = get_metric(name, "ordinal", 3)
    found = score_rows(name, "ordinal", Y, P.max(axis=2), L, P)
    both = {"label": L, "probability": P, "both": np.concatenate([P, L[:, :, None]], axis=2).transpose(0, 2, 1)}
    one = Resamples(np.ones((1, Y.shape[1])))
    alone = [metric.formula(y, p, one)[0] for y, p in zip(Y, both[metric.needs], strict=True)]
    np.testing.assert_allclose(found, alone, rtol=1e-11)
    assert np.isfinite(found).all()


@pytest.mark.parametrize("name", ["roc_auc", "average_precision", "balanced_accuracy", "f1_macro", "roc_auc_ovo"])
def test_without_one_of_the_classes_it_is_undefined(name):
    _, y, P, labels = classified(1)
    weights = np.stack([np.ones(len(y)), (y != 1).astype(float)])
    metric = get_metric(name, "classification", 3)
    given_ = {"label": labels, "probability": P, "both": np.vstack([P.T, labels])}[metric.needs]
    assert np.isnan(metric.formula(y, given_, Resamples(weights))).tolist() == [False, True]


@pytest.mark.parametrize("name", ["matthews_corrcoef", "balanced_accuracy", "f1_macro", "cohen_kappa"])
def test_no_prediction_at_all_has_no_score(name):
    y = np.array([[0.0, 1.0, 1.0]])
    assert get_metric(name, "ordinal").formula(y, np.empty((0, 3)), Rows()).shape == (0,)


def test_stated_values_where_there_is_nothing_to_tell():
    y, one = np.array([0.0, 1, 2, 2]), Resamples(np.ones((1, 4)))
    same = np.full(4, 2.0)
    assert get_metric("matthews_corrcoef", "classification").formula(y, same, one) == 0
    assert get_metric("cohen_kappa", "ordinal").formula(y, same, one) == 0
    assert np.isnan(get_metric("cohen_kappa", "ordinal").formula(same, same, one))
    assert np.isnan(get_metric("matthews_corrcoef", "classification").formula(same, y, one))


@pytest.mark.parametrize("name", ["roc_auc", "average_precision", "brier_score", "log_loss"])
def test_the_probability_of_one_class_is_never_scored_as_if_there_were_two(name):
    _, y, P, _ = classified(0)
    with pytest.raises(ValueError, match="probabilities of all classes are needed"):
        get_metric(name, "classification").formula(y, P[:, 1], Resamples(np.ones((1, len(y)))))


SCORERS = {
    "matthews_corrcoef": "matthews_corrcoef",
    "balanced_accuracy": "balanced_accuracy",
    "accuracy": "accuracy",
    "f1_macro": "f1_macro",
    "cohen_kappa": "cohen_kappa",
    "neg_mean_absolute_error": "mean_absolute_error",
    "roc_auc": "roc_auc",
    "neg_log_loss": "log_loss",
    "roc_auc_ovo_weighted": "",
}


@pytest.mark.parametrize("name", SCORERS)
def test_inner_scores_are_scikit_learns(name):
    made = [classified(seed, n=30, n_classes=4) for seed in range(6)]
    y = made[0][1]
    predicted = ClassPredictions(np.array([one[3] for one in made]), np.array([one[2] for one in made]))
    predicted.labels[4, 3] = np.nan
    scores, failures = score_classes(name, "ordinal", 4, y, predicted)
    assert np.isnan(scores[4])
    assert not failures
    for number in (0, 1, 2, 3, 5):
        if SCORERS[name]:
            given_ = (
                predicted.labels if get_metric(SCORERS[name], "ordinal").needs == "label" else predicted.probabilities
            )
            sign = -1 if name.startswith("neg") else 1
            expected = sign * ORACLES[SCORERS[name]](y, given_[number])
        else:
            expected = sk.roc_auc_score(y, predicted.probabilities[number], multi_class="ovo", average="weighted")
        assert scores[number] == pytest.approx(expected, abs=1e-15)


@pytest.mark.parametrize("plain", [False, True])
def test_kappa_knows_the_distance_of_classes_that_do_not_occur(plain):
    y, labels = np.array([0.0, 1, 3, 3, 1, 0, 0]), np.array([0.0, 3, 3, 1, 1, 0, 1])
    expected = sk.cohen_kappa_score(y, labels, weights="quadratic", labels=range(4))
    assert sk.cohen_kappa_score(y, labels, weights="quadratic") > expected + 0.1
    if plain:
        found = check_scorer("cohen_kappa", "ordinal", 4)(GivenLabels(4), labels[:, None], y.astype(int))
    else:
        (found,), _ = score_classes("cohen_kappa", "ordinal", 4, y, ClassPredictions(labels[None], None))
    assert found == pytest.approx(expected, abs=1e-15)


@pytest.mark.parametrize("name", ["balanced_accuracy", "f1_macro"])
def test_a_fold_without_the_last_class_has_no_score_whatever_is_predicted_there(name):
    y, P = np.array([0.0, 1, 0, 1, 2, 0, 1]), np.full((7, 3), 1 / 3)
    tests = np.array([[1, 1, 1, 1, 0, 0, 0], [0, 0, 0, 0, 1, 1, 1]], dtype=bool)
    for labels in ([0.0, 1, 0, 1, 2, 0, 1], [0.0, 1, 2, 1, 2, 0, 1]):
        table = score_table(labels, y, tests, np.arange(7).astype(str), [name], label=labels, probabilities=P)
        assert np.isnan(table["value"][0])
        assert table["value"][1] == 1
    # Nor does a permutation's score hang on which others are scored beside it.
    alone = score_rows(name, "classification", y[None, :4], y[None, :4], y[None, :4], P[None, :4])
    assert np.isnan(alone).all()


def test_two_ordered_classes_are_scored_as_any_two():
    _, y, P, labels = classified(1, n_classes=2)
    tests, groups = np.ones((1, len(y)), dtype=bool), np.arange(len(y)).astype(str)
    names = [name for name in sorted(ORACLES) if name not in ("cohen_kappa", "mean_absolute_error")]
    two = score_table(P[:, 1], y, tests, groups, names, label=labels)
    ordered = score_table(P[:, 1], y, tests, groups, names, label=labels, probabilities=P, task="ordinal")
    np.testing.assert_allclose(ordered["value"], two["value"], rtol=1e-12)


def test_what_a_scorer_cannot_score_is_refused_with_the_reason():
    for name in ("f1", "precision"):
        with pytest.raises(SearchError, match=rf"scorer '{name}' cannot score a classification of 3 classes"):
            check_scorer(name, "classification", 3)
    with pytest.raises(SearchError, match="has no probabilities before it is calibrated"):
        check_scorer("roc_auc", "classification", 3, probabilities=False)
    with pytest.raises(SearchError, match="scorer of 'classification'"):
        check_scorer("cohen_kappa", "classification", 3)
    with pytest.raises(SearchError, match=r"metric 'f1' cannot score a classification of 4 classes"):
        get_metric("f1", "classification", 4)
    with pytest.raises(SearchError, match=r"'cohen_kappa' is for ordinal, the target is classification"):
        get_metric("cohen_kappa", "classification")
    with pytest.raises(SearchError, match=r"'r2' is for regression, the target is ordinal: use .*'cohen_kappa'"):
        get_metric("r2", "ordinal")


def test_a_table_of_scores_is_by_fold_and_needs_all_classes():
    _, y, P, labels = classified(3, n=60)
    tests = np.arange(60) % 3 == np.arange(3)[:, None]
    table = score_table(
        labels, y, tests, np.arange(60), ["roc_auc", "accuracy"], label=labels, probabilities=P
    ).set_index(["metric", "fold"])
    for fold, test in enumerate(tests):
        assert table.value["roc_auc", str(fold)] == pytest.approx(ORACLES["roc_auc"](y[test], P[test]))
    low, value, high = (table.loc[("roc_auc", "mean"), name] for name in ("low", "value", "high"))
    assert low < value < high
    with pytest.raises(SearchError, match=r"'d': probabilities .* have 2 classes, y has a class 2"):
        score_table(labels, y, tests, np.arange(60), ["roc_auc"], label=labels, probabilities=P[:, :2], target="d")
    repeats = score_table(
        np.tile(labels, (2, 1)), y, np.tile(tests, (2, 1)), np.arange(60), ["log_loss"],
        label=np.tile(labels, (2, 1)), probabilities=np.stack([P, P[:, ::-1]]),
    ).set_index("fold").value  # fmt: skip
    assert repeats["0"] < repeats["3"]


def test_columns_and_back():
    y = np.array([0.0, 2, 1, 2])
    np.testing.assert_array_equal(expand(y, "ordinal", 3), [[0, 0], [1, 1], [1, 0], [1, 1]])
    np.testing.assert_array_equal(expand(y, "classification", 3), np.eye(3)[y.astype(int)])
    for task in ("ordinal", "classification"):
        columns = expand(y, task, 3).T
        np.testing.assert_array_equal(class_labels(columns - 0.5, task), y)
        np.testing.assert_array_equal(class_probabilities(columns, task), np.eye(3)[y.astype(int)])
    # Thresholds that contradict each other: nothing below 0, and all together 1.
    found = class_probabilities(np.array([[0.3], [0.6]]), "ordinal")
    np.testing.assert_allclose(found, [[0.7 / 1.3, 0, 0.6 / 1.3]])
    np.testing.assert_allclose(one_prediction(found, np.zeros(1), "ordinal"), [1.2 / 1.3])
    assert np.isnan(class_labels(np.array([[np.nan], [1.0]]), "classification")).all()
    np.testing.assert_array_equal(class_probabilities(np.zeros((3, 1)), "classification"), [[0, 0, 0]])

"""Tests of differences: by the t distribution, by scipy, at their level, and where there is nothing to test."""

import dataclasses

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import integrate, stats

from cortax.learning.intervals import interval, limits_of_difference
from cortax.learning.jackknife import Influences, group_influences, paired_variance, score_variance
from cortax.learning.out_of_fold import out_of_fold
from cortax.learning.predictions import score_table
from cortax.learning.scores import default_rope, get_metric, metric_limits
from cortax.learning.stats.compared import COLUMNS, compare_models, compare_over_targets, intervals_table
from cortax.learning.stats.comparisons import ONE_SPLIT, friedman, paired_test, posterior, wilcoxon
from cortax.learning.stats.models import Asked, ComparedModel, score_cube
from cortax.learning.stats.pairs import best_pairs, count_pairs, find_rivals, fixed_pairs

FREE = (-np.inf, np.inf)


def outcome(difference, variance, n_groups=21, limits=FREE, *, one_split=False):
    return paired_test(difference, variance, n_groups, limits, one_split=one_split)


@given(seed=st.integers(0, 10**6), limits=st.sampled_from([FREE, (-1.0, 1.0), (-2.0, 2.0)]))
@settings(deadline=None)
def test_p_and_interval_agree(seed, limits):
    difference, variance = np.random.default_rng(seed).uniform([-0.9, 0.001], [0.9, 0.2])
    p = outcome(difference, variance, limits=limits).p
    low, high = interval(difference, variance, 20, limits)
    assert (p <= 0.05) == (low > 0 or high < 0)


def test_without_limits_it_is_the_t_test_of_scipy_on_groups():
    x = np.random.default_rng(1).normal(0.3, 1, (4, 21))
    found, theirs = outcome(x.mean(axis=1), x.var(axis=1, ddof=1) / 21), stats.ttest_1samp(x, 0.0, axis=1)
    np.testing.assert_allclose(found.t, theirs.statistic)
    np.testing.assert_allclose(found.p, theirs.pvalue)


def test_the_posterior_is_students_density():
    test = outcome(np.array(0.012), 0.0001)
    found = posterior(test, 0.01, FREE)
    density = stats.t(20, loc=0.012, scale=0.01).pdf
    assert found.rope == pytest.approx(integrate.quad(density, -0.01, 0.01)[0], rel=1e-8)
    assert found.right == pytest.approx(integrate.quad(density, 0.01, np.inf)[0], rel=1e-8)
    assert found.left + found.rope + found.right == pytest.approx(1)
    none = posterior(test, 0.0, FREE)
    assert none.left == pytest.approx(test.p / 2)
    assert none.rope == pytest.approx(0, abs=1e-12)


def test_nothing_to_test_is_said():
    nan = np.nan
    found = outcome(np.array([0.0, 0.2, 0.3, nan, 0.3]), np.array([0.0, 0.0, nan, nan, 0.1]))
    assert [found.p[0], found.t[0]] == [1, 0]
    assert np.isnan(found.p).tolist() == [False, True, True, True, False]
    assert found.note.tolist() == [
        "equal for every group",
        "the same difference for every group: no variance to test against",
        "no test: fewer than two groups, or none left out",
        "no fold has scores of both",
        "",
    ]
    sides = posterior(found, 0.1, FREE)
    np.testing.assert_array_equal(sides.rope[:4], [1, 0, nan, nan])
    np.testing.assert_array_equal(sides.right[:4], [0, 1, nan, nan])


def test_of_one_split_there_is_a_t_and_no_p():
    found = outcome(np.array([0.3, 0.0]), np.array([0.01, 0.0]), one_split=True)
    assert found.t[0] == pytest.approx(3)
    np.testing.assert_array_equal(found.p, [np.nan, 1])
    assert found.note.tolist() == [ONE_SPLIT, "equal for every group"]
    assert np.isnan(posterior(found, 0.1, FREE).rope[0])


def null_comparison(seed, n_repeats=2, n=60, n_features=36):
    """p, and p without what training adds, of two models as good as each other: their features matter as much."""
    rng = np.random.default_rng(seed)
    one, two = rng.normal(size=(2, n, n_features))
    y = (one + two).sum(axis=1) * np.sqrt(0.15 / n_features) + rng.normal(size=n)
    folds = [rng.permutation(n) % 5 for _ in range(n_repeats)]
    losses = np.empty((2, n_repeats, n))
    for which, X in enumerate((one, two)):
        for repeat, fold in enumerate(folds):
            for k in range(5):
                test = fold == k
                known = X[~test]
                weights = np.linalg.solve(known.T @ known, known.T @ y[~test])
                losses[which, repeat, test] = (y[test] - X[test] @ weights) ** 2
    difference = losses[0] - losses[1]
    influences = difference - difference.mean()
    variances = paired_variance(influences, 5 * n_repeats), (influences.mean(axis=0) ** 2).sum() / (n * (n - 1))
    return [float(outcome(difference.mean(), variance, n).p) for variance in variances]


def test_equal_models_are_told_apart_no_oftener_than_said_and_far_oftener_without_what_training_adds():
    p, naive = np.array([null_comparison(seed) for seed in range(150)]).T
    assert np.mean(p <= 0.05) <= 0.104  # 0.05 and three standard errors of 150 draws
    assert np.mean(p <= 0.3) >= 0.05, "but it does reject"
    assert np.mean(naive <= 0.05) > 0.1


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 10**6), n=st.integers(3, 60))
def test_over_targets_is_scipys(seed, n):
    rng = np.random.default_rng(seed)
    scores = rng.normal(size=(4, n))
    theirs, ours = stats.wilcoxon(scores[0], scores[1]), wilcoxon(np.r_[scores[0] - scores[1], np.nan, 0.0])
    assert (ours.statistic, ours.n_targets) == (theirs.statistic, n + 1)
    assert ours.p == pytest.approx(theirs.pvalue)
    theirs, ours = stats.friedmanchisquare(*scores), friedman(np.column_stack([scores, [np.nan, 1, 1, 1]]))
    assert (ours.p, ours.n_targets) == (pytest.approx(theirs.pvalue), n)


def test_over_no_targets_or_equal_models_is_said():
    assert wilcoxon([0.1]).note == "fewer than 2 targets"
    assert np.isnan(wilcoxon([0.1]).p)
    assert (wilcoxon([0.0, 0.0]).p, wilcoxon([0.0, 0.0]).note) == (1, "equal on every target")
    assert friedman(np.zeros((2, 5))).note == "needs 3 models and 2 targets"
    assert (friedman(np.ones((3, 5))).p, friedman(np.ones((3, 5))).note) == (1, "equal on every target")


MODELS = [("a", "ridge"), ("b", "ridge"), ("c", "ridge"), ("a", "svm"), ("b", "svm"), ("d", "lgbm")]


def test_rivals_share_a_parcellation_or_a_pipeline():
    found = {(one.kind, one.within): one.names for one in find_rivals(MODELS, "all", ())}
    assert found == {
        ("pipelines", "a"): ("ridge", "svm"),
        ("pipelines", "b"): ("ridge", "svm"),
        ("parcellations", "ridge"): ("a", "b", "c"),
        ("parcellations", "svm"): ("a", "b"),
    }
    with_c = find_rivals(MODELS, "reference", ["c"])
    assert [(one.kind, one.within, one.places) for one in with_c] == [("parcellations", "ridge", (0, 1, 2))]


@given(
    models=st.lists(st.tuples(st.sampled_from("abcde"), st.sampled_from("xyz")), unique=True),
    rule=st.sampled_from(["all", "best", "reference"]),
    references=st.lists(st.sampled_from("abxy"), unique=True),
)
def test_pairs_are_counted_as_they_are_made(models, rule, references):
    made = 0
    for rivals in find_rivals(models, rule, references):
        if rule == "best":
            made += len(best_pairs(np.arange(len(rivals.names))[:, None].astype(float))[0])
            continue
        a, b = fixed_pairs(rivals.names, rule, references)
        assert len({frozenset(pair) for pair in zip(a, b, strict=True)}) == len(a)
        if rule == "reference":
            assert all(rivals.names[one] in references for one in b)
        made += len(a)
    assert made == count_pairs(models, rule, references)


def test_the_best_of_each_row_is_what_the_others_are_compared_with():
    a, b = best_pairs(np.array([[0.1, 0.5, np.nan], [0.3, 0.2, np.nan], [np.nan, 0.4, 0.1]]))
    np.testing.assert_array_equal(b, [[1, 0, 2], [1, 0, 2]])
    np.testing.assert_array_equal(np.sort(np.vstack([a, b[:1]]), axis=0), [[0] * 3, [1] * 3, [2] * 3])


METRICS = ["r2", "mean_squared_error"]


def made_models(noises, *, seed=0, targets=("fluid", "iq"), n=120, n_repeats=2):
    """Real evaluations of made predictions: {(parcellation, pipeline): size of the errors}."""
    rng = np.random.default_rng(seed)
    groups = np.repeat(np.arange(n // 2), 2)
    folds = [rng.permutation(n // 2)[groups] % 5 for _ in range(n_repeats)]
    tests = np.array([fold == k for fold in folds for k in range(5)])
    truth = {name: rng.normal(size=n) for name in targets}
    chosen = [get_metric(metric, "regression") for metric in METRICS]
    models = []
    for (parcellation, pipeline), noise in noises.items():
        own = np.random.default_rng([seed, *parcellation.encode(), *pipeline.encode()])
        tables, rows = [], {}
        for name, y in truth.items():
            prediction = y + noise * own.normal(size=(n_repeats, n))
            tables.append(score_table(prediction, y, tests, groups, METRICS, target=name))
            found = group_influences(out_of_fold(prediction, y, tests, groups), chosen, groups)
            for row, metric in enumerate(METRICS):
                one = (getattr(found, field.name)[row : row + 1] for field in dataclasses.fields(found))
                rows[name, metric] = Influences(*one)
        models.append(ComparedModel(parcellation, pipeline, pd.concat(tables), lambda rows=rows: rows))
    return models, (truth, tests, groups)


NOISES = {("a", "ridge"): 0.5, ("b", "ridge"): 0.9, ("c", "ridge"): 0.52, ("a", "svm"): 0.5}


def test_a_row_is_what_the_parts_give():
    models, _ = made_models(NOISES)
    table = compare_models(models, Asked(rope={"r2": 0.05}, confidence=0.9))
    assert tuple(table.columns) == COLUMNS
    assert len(table) == (3 + 1) * 2 * 2
    row = table[(table.a == "a") & (table.b == "b") & (table.target == "iq") & (table.metric == "r2")].iloc[0]
    one, two = (model.influences()["iq", "r2"] for model in models[:2])
    variance = paired_variance(one.influences - two.influences, 10)
    test = outcome(one.values - two.values, variance, 60)
    assert (row.t, row.p) == (pytest.approx(test.t[0]), pytest.approx(test.p[0]))
    assert row.difference == pytest.approx(one.values[0] - two.values[0])
    sides = posterior(test, 0.05, FREE)
    np.testing.assert_allclose([row.p_left, row.p_right], [sides.left[0], sides.right[0]])
    assert (row.kind, row.within, row.better, row.n_folds, row.rope) == ("parcellations", "ridge", "a", 10, 0.05)
    reach = stats.t.ppf(0.95, 59) * np.sqrt(variance[0])
    np.testing.assert_allclose([row.low, row.high], [row.difference - reach, row.difference + reach])
    assert (row.n_groups, row.note) == (60, "")


def test_of_one_split_no_row_has_a_p():
    models, _ = made_models(NOISES, n_repeats=1)
    table = compare_models(models, Asked())
    assert table[["p", "p_fdr", "p_holm", "p_left", "p_rope", "p_right"]].isna().all(axis=None)
    assert (table.note == ONE_SPLIT).all()
    assert table[["t", "low", "high"]].notna().all(axis=None)
    assert (table.n_family == 0).all()


def test_errors_are_better_when_smaller_and_have_no_region_unless_it_is_said():
    models, _ = made_models(NOISES)
    table = compare_models(models, Asked(pairs="reference", references=("b",)))
    errors = table[table.metric == "mean_squared_error"]
    assert (errors.difference < 0).all()
    assert (errors.better == errors.a).all()
    assert (errors.rope == 0).all()
    assert (table[table.metric == "r2"].rope == default_rope("r2")).all()
    assert set(table.b) == {"b"}


def test_families_are_named_counted_and_corrected_one_by_one():
    models, _ = made_models(NOISES)
    table = compare_models(models, Asked())
    assert set(table.family) == {f"{kind}, {m}" for kind in ("pipelines", "parcellations") for m in METRICS}
    for _, family in table.groupby("family"):
        assert (family.n_family == len(family)).all()
        np.testing.assert_allclose(family.p_fdr, stats.false_discovery_control(family.p))
        assert (family.p_holm >= family.p_fdr - 1e-15).all()
    stricter = compare_models(models, Asked(correction="by"))
    assert (stricter.p_fdr >= table.p_fdr).all()


def test_against_the_best_of_each_target():
    models, _ = made_models({**NOISES, ("b", "svm"): 2.0})
    table = compare_models(models, Asked(pairs="best"))
    sign = np.where(table.metric == "r2", 1, -1)
    assert (table.difference * sign <= 0).all()
    assert (table.better == table.b).all()
    assert (table.note == "b was chosen by these scores: p is too small").all()
    assert len(table) == (2 + 1 + 1 + 1) * 4


def test_only_some_metrics():
    models, _ = made_models(NOISES)
    table = compare_models(models, Asked(metrics=("r2",)))
    assert set(table.metric) == {"r2"}
    assert (table.n_groups == 60).all()


def test_equal_models_and_models_without_scores_are_no_crash():
    models, _ = made_models(NOISES)
    equal = ComparedModel("z", "ridge", models[0].scores, models[0].influences)
    lost = models[2].scores.copy()
    lost.loc[lost.target == "iq", "value"] = np.nan
    fewer = models[1].scores[models[1].scores.target == "iq"]
    group = [models[0], equal, ComparedModel("c", "ridge", lost), ComparedModel("y", "ridge", fewer)]
    table = compare_models(group, Asked()).set_index(["a", "b", "target", "metric"]).sort_index()
    same = table.loc["a", "z"]
    assert (same.difference == 0).all()
    assert (same.p == 1).all()
    assert (same.p_rope == 1).all()
    assert (same.better == "").all()
    assert (same.note == "equal for every group").all()
    nothing = table.loc[("a", "c", "iq", "r2")]
    assert np.isnan(nothing.p)
    assert np.isnan(nothing.difference)
    assert np.isnan(nothing.p_fdr)
    assert table.n_family.iloc[0] == table.p.notna().sum() / 2
    assert not np.isinf(table.select_dtypes("number")).any(axis=None)
    lost = table[table.low.isna()]
    assert (lost.note == "no test: groups were not left out of both").all()
    assert (same[["low", "high"]] == 0).all(axis=None)


def test_models_that_differ_by_rounding_are_equal():
    models, _ = made_models({("a", "ridge"): 0.5})
    nudged = models[0].scores.assign(value=models[0].scores.value * (1 + 1e-15))
    table = compare_models([models[0], ComparedModel("z", "ridge", nudged, models[0].influences)], Asked())
    assert (table.p == 1).all()


def test_different_failed_folds_have_no_test():
    models, _ = made_models({("a", "ridge"): 0.5, ("b", "ridge"): 0.9})
    rows = dict(models[1].influences())
    for metric in METRICS:
        scored = rows["fluid", metric].scored.copy()
        scored[0, 0] = False
        rows["fluid", metric] = dataclasses.replace(rows["fluid", metric], scored=scored)
    models[1] = ComparedModel("b", "ridge", models[1].scores, lambda: rows)
    table = compare_models(models, Asked())
    lost = table.target == "fluid"
    assert (table.note[lost] == "no test: the two lack different folds").all()
    assert table.loc[lost, ["low", "p"]].isna().all(axis=None)
    assert table.loc[~lost, ["low", "p"]].notna().all(axis=None)


def test_every_score_has_the_interval_of_its_table():
    models, _ = made_models({("a", "ridge"): 0.5})
    table = intervals_table(models, Asked(confidence=0.95))
    means = models[0].scores[models[0].scores.fold == "mean"]
    np.testing.assert_allclose(table[["value", "low", "high"]], means[["value", "low", "high"]], rtol=1e-12)
    assert table.n_groups.tolist() == means.n_groups.tolist() == [60] * 4
    found = models[0].influences()["iq", "r2"]
    bounds = interval(found.values, score_variance(found.influences, 10), 59, metric_limits("r2"))[0]
    np.testing.assert_allclose(table[["low", "high"]].iloc[2], bounds)
    assert limits_of_difference(metric_limits("roc_auc")) == (-1, 1)
    assert len(intervals_table([ComparedModel("a", "ridge", models[0].scores)], Asked())) == 0


def test_over_targets_in_a_table():
    targets = tuple(f"t{i}" for i in range(8))
    models, _ = made_models(NOISES, targets=targets)
    table = compare_over_targets(models, Asked())
    cube = score_cube(models)
    of_r2 = [place for place, (_, metric) in enumerate(cube.rows) if metric == "r2"]
    row = table[(table.test == "wilcoxon") & (table.b == "b")].iloc[0]
    differences = (cube.means[0] - cube.means[1])[of_r2]
    assert (row.a, row.metric, row.n_targets, row.p) == ("a", "r2", 8, stats.wilcoxon(differences).pvalue)
    assert row["median"] == np.median(differences)
    assert not ((table.test == "wilcoxon") & (table.metric == "mean_squared_error")).any()
    whole = table[(table.test == "friedman") & (table.kind == "parcellations") & (table.metric == "r2")].iloc[0]
    assert whole.p == stats.friedmanchisquare(*cube.means[:3][:, of_r2]).pvalue
    pairs = table[(table.test == "friedman") & (table.kind == "pipelines")]
    assert (pairs.note == "needs 3 models and 2 targets").all()
    assert set(compare_over_targets(models, Asked(pairs="best")).test) == {"friedman"}


def test_nothing_to_compare_is_an_empty_table():
    models, _ = made_models({("a", "ridge"): 0.5})
    assert tuple(compare_models(models, Asked()).columns) == COLUMNS
    assert len(compare_over_targets(models, Asked())) == 0

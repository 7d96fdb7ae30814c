"""Tests of differences: by the papers' formulas, by scipy, at their level, and where there is nothing to test."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import integrate, stats

from cortax.learning.predictions import out_of_fold, score_table
from cortax.learning.scores import default_rope, get_metric
from cortax.learning.stats.bootstrap import ResampledRows, group_strata, resample_scores
from cortax.learning.stats.compared import COLUMNS, compare_models, compare_over_targets, intervals_table
from cortax.learning.stats.comparisons import corrected_t, fold_ratio, friedman, posterior, wilcoxon
from cortax.learning.stats.models import Asked, ComparedModel, score_cube
from cortax.learning.stats.pairs import best_pairs, count_pairs, find_rivals, fixed_pairs


@given(seed=st.integers(0, 10**6), n_folds=st.integers(2, 20), ratio=st.floats(0, 1))
def test_corrected_t_by_the_formula_of_the_paper(seed, n_folds, ratio):
    x = np.random.default_rng(seed).normal(0.2, 1, n_folds)
    found = corrected_t(x, ratio)
    statistic = x.mean() / np.sqrt((1 / n_folds + ratio) * x.var(ddof=1))
    assert found.t == pytest.approx(statistic, rel=1e-9)
    assert found.p == pytest.approx(2 * (1 - stats.t(n_folds - 1).cdf(abs(statistic))), abs=1e-12)
    assert found.n_folds == n_folds
    assert found.note == ""


def test_without_overlap_it_is_the_t_test_of_scipy():
    x = np.random.default_rng(1).normal(0.3, 1, (4, 7))
    found, theirs = corrected_t(x, 0.0), stats.ttest_1samp(x, 0.0, axis=1)
    np.testing.assert_allclose(found.t, theirs.statistic)
    np.testing.assert_allclose(found.p, theirs.pvalue)


def test_the_posterior_is_the_density_of_the_paper():
    """Corani & Benavoli 2015: St(mu; n - 1, mean, (1 / n + rho / (1 - rho)) s^2), rho = n_test / n_all."""
    x = np.array([0.01, 0.03, -0.005, 0.02, 0.012, 0.004])
    rho = 20 / 120
    found = posterior(corrected_t(x, 20 / 100), 0.01)
    scale = np.sqrt((1 / 6 + rho / (1 - rho)) * x.var(ddof=1))
    density = stats.t(5, loc=x.mean(), scale=scale).pdf
    assert found.rope == pytest.approx(integrate.quad(density, -0.01, 0.01)[0], rel=1e-8)
    assert found.right == pytest.approx(integrate.quad(density, 0.01, np.inf)[0], rel=1e-8)
    assert found.left + found.rope + found.right == pytest.approx(1)


def test_with_no_region_the_posterior_is_half_the_p_value():
    test = corrected_t(np.array([0.1, 0.3, -0.1, 0.2]), 0.25)
    assert posterior(test, 0.0).left == pytest.approx(test.p / 2)
    assert posterior(test, 0.0).rope == pytest.approx(0, abs=1e-12)


def test_nothing_to_test_is_said():
    nan = np.nan
    rows = np.array([[0.0, 0, 0], [0.2, 0.2, 0.2], [0.3, nan, nan], [nan] * 3, [0.1, 0.3, nan], [0.3, 0.1 * 3, 0.3]])
    found = corrected_t(rows, 0.5)
    assert [found.p[0], found.t[0]] == [1, 0]
    assert np.isnan(found.p).tolist() == [False, True, True, True, False, True]
    np.testing.assert_array_equal(found.n_folds, [3, 3, 1, 0, 2, 3])
    assert found.note.tolist() == [
        "equal in every fold",
        "the same difference in every fold: no variance to test against",
        "one fold: no variance to test against",
        "no fold has scores of both",
        "",
        "the same difference in every fold: no variance to test against",
    ]
    sides = posterior(found, 0.1)
    np.testing.assert_array_equal(sides.rope[:4], [1, 0, nan, nan])
    np.testing.assert_array_equal(sides.right[:4], [0, 1, nan, nan])
    assert not np.isinf(np.concatenate([found.t, found.p, found.scale[:3], sides.left])).any()


def test_test_subjects_to_training_subjects_without_the_missing():
    tests = np.zeros((5, 50), bool)
    for k in range(5):
        tests[k, k::5] = True
    y = np.arange(50.0)
    assert fold_ratio(tests, y) == 0.25
    y[5:] = np.nan
    y[5] = 1  # fold 0 tests two of the six, every other one
    assert fold_ratio(tests, y) == pytest.approx(6 / 24)
    assert fold_ratio(tests[:1], y) == pytest.approx(2 / 4)


def folds_of(rng, n, n_folds, n_repeats):
    return [rng.permutation(n) % n_folds == k for _ in range(n_repeats) for k in range(n_folds)]


def null_differences(seed, n=80, p=25, n_repeats=3):
    """Scores of two models that are as good as each other: their features are alike, and matter as much."""
    rng = np.random.default_rng(seed)
    one, two = rng.normal(size=(2, n, p))
    y = (one + two).sum(axis=1) * np.sqrt(0.15 / p) + rng.normal(size=n)
    found = []
    for test in folds_of(rng, n, 5, n_repeats):
        errors = []
        for X in (one, two):
            weights = np.linalg.lstsq(X[~test], y[~test], rcond=None)[0]
            errors.append(np.mean((y[test] - X[test] @ weights) ** 2))
        found.append(errors[0] - errors[1])
    return found


def test_equal_models_are_told_apart_no_oftener_than_said_and_far_oftener_without_the_correction():
    differences = np.array([null_differences(seed) for seed in range(300)])
    corrected, naive = corrected_t(differences, 0.25).p, corrected_t(differences, 0.0).p
    assert np.mean(corrected <= 0.05) <= 0.085  # 0.05 and three standard errors of 300 draws
    assert np.mean(corrected <= 0.2) >= 0.08, "but it does reject"
    assert np.mean(naive <= 0.05) > 0.2


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


def made_models(noises, *, seed=0, targets=("fluid", "iq"), n=120, jackknife=True, n_bootstrap=80):
    """Real evaluations of made predictions: {(parcellation, pipeline): size of the errors}."""
    rng = np.random.default_rng(seed)
    groups = np.repeat(np.arange(n // 2), 2)
    fold = rng.permutation(n // 2)[groups] % 5
    tests = np.array([fold == k for k in range(5)])
    truth = {name: rng.normal(size=n) for name in targets}
    models = []
    for (parcellation, pipeline), noise in noises.items():
        own = np.random.default_rng([seed, *parcellation.encode(), *pipeline.encode()])
        tables, found = [], {}
        for name, y in truth.items():
            prediction = y + noise * own.normal(size=n)
            options = {"n_bootstrap": n_bootstrap, "seed": 3}
            tables.append(score_table(prediction, y, tests, groups, METRICS, target=name, n_bootstrap=0))
            given_ = out_of_fold(prediction, y, tests, groups)
            chosen = [get_metric(metric, "regression") for metric in METRICS]
            found[name] = resample_scores(given_, chosen, groups, jackknife=jackknife, **options)
        rows = tuple((name, metric) for name in truth for metric in METRICS)
        joined = type(found[targets[0]])(
            *(np.concatenate([getattr(one, key) for one in found.values()]) for key in ("values", "resampled")),
            np.concatenate([one.jackknife for one in found.values()]),
            np.concatenate([one.scored for one in found.values()]),
        )
        stored = ResampledRows(rows, joined, group_strata(groups, fold))
        models.append(ComparedModel(parcellation, pipeline, pd.concat(tables), lambda stored=stored: stored))
    return models, dict.fromkeys(targets, 0.25), (truth, tests, groups)


NOISES = {("a", "ridge"): 0.5, ("b", "ridge"): 0.9, ("c", "ridge"): 0.52, ("a", "svm"): 0.5}


def test_a_row_is_what_the_parts_give():
    models, ratios, _ = made_models(NOISES)
    table = compare_models(models, ratios, Asked(rope={"r2": 0.05}, interval="percentile"))
    assert tuple(table.columns) == COLUMNS
    assert len(table) == (3 + 1) * 2 * 2
    row = table[(table.a == "a") & (table.b == "b") & (table.target == "iq") & (table.metric == "r2")].iloc[0]
    cube = score_cube(models)
    place = cube.rows.index(("iq", "r2"))
    differences = cube.values[0, place] - cube.values[1, place]
    test = corrected_t(differences, 0.25)
    assert (row.difference, row.t, row.p) == (differences.mean(), test.t, test.p)
    assert (row.p_left, row.p_right) == (posterior(test, 0.05).left, posterior(test, 0.05).right)
    assert (row.kind, row.within, row.better, row.n_folds, row.rope) == ("parcellations", "ridge", "a", 5, 0.05)
    one, two = (model.resampled().found.resampled[2] for model in models[:2])
    np.testing.assert_allclose([row.low, row.high], np.quantile(one - two, [0.025, 0.975]))
    assert (row.n_resamples, row.note) == (80, "")
    assert row.low < row.difference < row.high


def test_errors_are_better_when_smaller_and_have_no_region_unless_it_is_said():
    models, ratios, _ = made_models(NOISES)
    table = compare_models(models, ratios, Asked(pairs="reference", references=("b",)))
    errors = table[table.metric == "mean_squared_error"]
    assert (errors.difference < 0).all()
    assert (errors.better == errors.a).all()
    assert (errors.rope == 0).all()
    assert (table[table.metric == "r2"].rope == default_rope("r2")).all()
    assert set(table.b) == {"b"}


def test_families_are_named_counted_and_corrected_one_by_one():
    models, ratios, _ = made_models(NOISES)
    table = compare_models(models, ratios, Asked())
    assert set(table.family) == {f"{kind}, {m}" for kind in ("pipelines", "parcellations") for m in METRICS}
    for _, family in table.groupby("family"):
        assert (family.n_family == len(family)).all()
        np.testing.assert_allclose(family.p_fdr, stats.false_discovery_control(family.p))
        assert (family.p_holm >= family.p_fdr - 1e-15).all()
    stricter = compare_models(models, ratios, Asked(correction="by"))
    assert (stricter.p_fdr >= table.p_fdr).all()


def test_against_the_best_of_each_target():
    models, ratios, _ = made_models({**NOISES, ("b", "svm"): 2.0})
    table = compare_models(models, ratios, Asked(pairs="best"))
    sign = np.where(table.metric == "r2", 1, -1)
    assert (table.difference * sign <= 0).all()
    assert (table.better == table.b).all()
    assert (table.note == "b was chosen by these scores: p is too small").all()
    assert len(table) == (2 + 1 + 1 + 1) * 4


def test_only_some_metrics():
    models, ratios, _ = made_models(NOISES)
    table = compare_models(models, ratios, Asked(metrics=("r2",)))
    assert set(table.metric) == {"r2"}
    assert (table.n_resamples == 80).all()


def test_equal_models_and_models_without_scores_are_no_crash():
    models, ratios, _ = made_models(NOISES)
    equal = ComparedModel("z", "ridge", models[0].scores, models[0].resampled)
    lost = models[2].scores.copy()
    lost.loc[lost.target == "iq", "value"] = np.nan
    fewer = models[1].scores[models[1].scores.target == "iq"]
    group = [models[0], equal, ComparedModel("c", "ridge", lost), ComparedModel("y", "ridge", fewer)]
    table = compare_models(group, ratios, Asked()).set_index(["a", "b", "target", "metric"]).sort_index()
    same = table.loc["a", "z"]
    assert (same.difference == 0).all()
    assert (same.p == 1).all()
    assert (same.p_rope == 1).all()
    assert (same.better == "").all()
    assert (same.note == "equal in every fold").all()
    nothing = table.loc[("a", "c", "iq", "r2")]
    assert nothing.note.startswith("no fold has scores of both")
    assert np.isnan(nothing.p)
    assert np.isnan(nothing.p_fdr)
    assert table.loc[("a", "y", "fluid", "r2")].note.startswith("no fold has scores of both; no interval")
    assert table.n_family.iloc[0] == table.p.notna().sum() / 2
    assert not np.isinf(table.select_dtypes("number")).any(axis=None)
    lost = table[table.low.isna()]
    assert (lost.note.str.contains("one of the two has no resamples")).all()
    assert (same[["low", "high"]] == 0).all(axis=None)


def test_models_that_differ_by_rounding_are_equal():
    models, ratios, _ = made_models({("a", "ridge"): 0.5})
    nudged = models[0].scores.assign(value=models[0].scores.value * (1 + 1e-15))
    table = compare_models([models[0], ComparedModel("z", "ridge", nudged)], ratios, Asked())
    assert (table.p == 1).all()


def test_constant_predictions_are_compared():
    models, ratios, (truth, tests, groups) = made_models({("a", "ridge"): 0.5}, n_bootstrap=40)
    tables = [
        score_table(np.zeros(120), y, tests, groups, METRICS, target=name, n_bootstrap=0) for name, y in truth.items()
    ]
    table = compare_models([models[0], ComparedModel("null", "ridge", pd.concat(tables))], ratios, Asked())
    assert (table.better == "a").all()
    assert np.isfinite(table.p).all()


def test_different_failed_folds_have_no_paired_interval():
    models, ratios, _ = made_models({("a", "ridge"): 0.5, ("b", "ridge"): 0.9})
    stored = models[1].resampled()
    scored = stored.found.scored.copy()
    scored[:2, 0] = False
    found = type(stored.found)(stored.found.values, stored.found.resampled, stored.found.jackknife, scored)
    models[1] = ComparedModel("b", "ridge", models[1].scores, lambda: ResampledRows(stored.rows, found, stored.strata))
    table = compare_models(models, ratios, Asked())
    lost = table.target == "fluid"
    assert (table.note[lost] == "no interval: the two lack different folds").all()
    assert table.low[lost].isna().all()
    assert table.low[~lost].notna().all()
    assert table.p.notna().all()


@pytest.mark.parametrize("interval", ["basic", "percentile", "bca"])
def test_every_score_has_its_interval(interval):
    models, _, _ = made_models({("a", "ridge"): 0.5}, n_bootstrap=60)
    table = intervals_table(models, Asked(interval=interval, confidence=0.9))
    assert len(table) == 4
    assert ((table.low < table.value) & (table.value < table.high)).all()
    assert (table.n_resamples == 60).all()
    means = models[0].scores[models[0].scores.fold == "mean"]
    np.testing.assert_allclose(table.value, means.value, rtol=1e-12)
    assert len(intervals_table([ComparedModel("a", "ridge", models[0].scores)], Asked())) == 0


def test_over_targets_in_a_table():
    targets = tuple(f"t{i}" for i in range(8))
    models, _, _ = made_models(NOISES, targets=targets, n_bootstrap=2, jackknife=False)
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
    models, ratios, _ = made_models({("a", "ridge"): 0.5})
    assert tuple(compare_models(models, ratios, Asked()).columns) == COLUMNS
    assert len(compare_over_targets(models, Asked())) == 0

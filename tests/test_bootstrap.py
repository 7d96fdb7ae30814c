"""Resampled scores and their intervals: scipy's numbers, whole groups, and coverage where families are alike."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from sklearn.metrics import r2_score

from cortax.errors import SearchError
from cortax.learning.predictions import bootstrap_weights, out_of_fold, score_table
from cortax.learning.scores import get_metric
from cortax.learning.stats.bootstrap import (
    Resampled,
    basic_interval,
    bca_interval,
    group_strata,
    open_resampled,
    percentile_interval,
    resample_scores,
    save_resampled,
)


def cohort(seed, n=90, n_folds=3, n_repeats=1, classes=False):
    rng = np.random.default_rng(seed)
    groups = np.sort(rng.integers(n // 2, size=n)).astype(str)
    y = rng.normal(size=n)
    _, index = np.unique(groups, return_inverse=True)
    tests = []
    for _ in range(n_repeats):
        fold = rng.permutation(index.max() + 1)[index] % n_folds
        tests += [fold == k for k in range(n_folds)]
    prediction = y + rng.normal(size=(n_repeats, n))
    y = (y > 0).astype(float) if classes else y
    return groups, y, np.array(tests), prediction


def of_regression(seed, metrics=("r2", "mean_squared_error"), *, jackknife=False, n_bootstrap=50, **shape):
    groups, y, tests, prediction = cohort(seed, **shape)
    found = out_of_fold(prediction, y, tests, groups)
    chosen = [get_metric(name, "regression") for name in metrics]
    return (
        groups,
        found,
        resample_scores(found, chosen, groups, n_bootstrap=n_bootstrap, seed=seed, jackknife=jackknife),
    )


@pytest.mark.parametrize("n_repeats", [1, 2])
def test_the_resamples_are_those_of_the_reported_intervals(n_repeats):
    groups, y, tests, prediction = cohort(3, n_repeats=n_repeats)
    table = score_table(prediction, y, tests, groups, ["r2"], n_bootstrap=60, confidence=0.9, seed=3)
    _, _, found = of_regression(3, ["r2"], n_bootstrap=60, n_repeats=n_repeats)
    mean = table[table["fold"] == "mean"].iloc[0]
    assert found.values[0] == pytest.approx(mean["value"], rel=1e-13)
    interval = basic_interval(found.values, found.resampled, confidence=0.9)[0]
    np.testing.assert_allclose(interval, [mean["low"], mean["high"]], rtol=1e-13)


@pytest.mark.parametrize("n_repeats", [1, 2])
def test_leaving_groups_out_is_leaving_their_subjects_out(n_repeats):
    groups, y, tests, prediction = cohort(5, n_repeats=n_repeats)
    y[7] = np.nan
    given_ = out_of_fold(prediction, y, tests, groups)
    found = resample_scores(given_, [get_metric("r2", "regression")], groups, n_bootstrap=0, seed=0, jackknife=True)
    for place, name in enumerate(np.unique(groups)):
        kept = (groups != name) & ~np.isnan(y)
        scores = [r2_score(y[test & kept], prediction[k // 3][test & kept]) for k, test in enumerate(tests)]
        assert found.jackknife[0, place] == pytest.approx(np.mean(scores), rel=1e-10)


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 10**6), n=st.integers(8, 60), skew=st.sampled_from([0.2, 1.0]), strata=st.integers(1, 3))
def test_bca_is_scipys_on_the_same_resamples(seed, n, skew, strata):
    rng = np.random.default_rng(seed)
    parts = [np.exp(skew * rng.normal(size=n + k)) for k in range(strata)]

    def mean_of_squares(*samples, axis):
        return sum((sample**2).mean(axis=axis) for sample in samples) / strata

    theirs = stats.bootstrap(
        parts, mean_of_squares, vectorized=True, n_resamples=400, method="BCa", rng=np.random.default_rng(seed)
    )
    left_out = [
        mean_of_squares(*[np.delete(part, i) if k == j else part for k, part in enumerate(parts)], axis=0)
        for j in range(strata)
        for i in range(len(parts[j]))
    ]
    ours = bca_interval(
        [mean_of_squares(*parts, axis=0)],
        theirs.bootstrap_distribution[None],
        np.array(left_out)[None],
        np.repeat(np.arange(strata), [len(part) for part in parts]),
    )
    np.testing.assert_allclose(ours[0], theirs.confidence_interval, rtol=1e-9)


@pytest.mark.parametrize("method", ["percentile", "basic"])
def test_other_intervals_are_scipys_on_the_same_resamples(method):
    values = np.exp(np.random.default_rng(0).normal(size=40))
    theirs = stats.bootstrap([values], np.mean, method=method, n_resamples=300, rng=np.random.default_rng(1))
    drawn = theirs.bootstrap_distribution[None]
    ours = percentile_interval(drawn) if method == "percentile" else basic_interval([values.mean()], drawn)
    np.testing.assert_allclose(ours[0], theirs.confidence_interval, rtol=1e-12)


def test_without_groups_the_resamples_are_drawn_as_scipy_draws_them():
    rng = np.random.default_rng(2)
    y = rng.normal(size=150)
    prediction = 0.6 * y + rng.normal(size=150)
    found = out_of_fold(prediction, y, np.ones((1, 150), bool), np.arange(150))
    ours = resample_scores(
        found, [get_metric("pearson_r", "regression")], np.arange(150), n_bootstrap=4000, seed=1, jackknife=True
    )
    theirs = stats.bootstrap(
        (y, prediction),
        lambda a, b, axis: stats.pearsonr(a, b, axis=axis).statistic,
        paired=True,
        vectorized=True,
        n_resamples=4000,
        method="BCa",
        rng=np.random.default_rng(3),
    )
    strata = group_strata(np.arange(150), np.zeros(150, int))
    interval = bca_interval(ours.values, ours.resampled, ours.jackknife, strata)[0]
    assert ours.resampled.std() == pytest.approx(theirs.standard_error, rel=0.05)
    np.testing.assert_allclose(interval, theirs.confidence_interval, atol=0.02)


def test_two_models_are_scored_in_the_same_resamples():
    groups, y, tests, prediction = cohort(8)
    metrics = [get_metric("mean_squared_error", "regression")]
    one, two = (
        resample_scores(out_of_fold(p, y, tests, groups), metrics, groups, n_bootstrap=30, seed=4, jackknife=True)
        for p in (prediction, np.zeros_like(prediction))
    )
    weights = bootstrap_weights(groups, 30, seed=4, strata=tests.argmax(axis=0))
    errors = (y - prediction[0]) ** 2 - y**2
    expected = [np.mean([w[test] @ errors[test] / w[test].sum() for test in tests]) for w in weights]
    np.testing.assert_allclose((one.resampled - two.resampled)[0], expected, rtol=1e-10)


def families(rng, n_families, size, alike):
    shared = rng.normal(size=(3, n_families))
    own = rng.normal(size=(3, n_families * size))
    return np.sqrt(alike) * np.repeat(shared, size, axis=1) + np.sqrt(1 - alike) * own


def covers(groups, seed, *, paired, bca):
    """Whether the interval holds the truth: of a correlation, or of a difference of mean squared errors."""
    signal, noise, other = families(np.random.default_rng(seed), 150, 3, 0.8)
    metric = "mean_squared_error" if paired else "pearson_r"
    ones = np.ones((1, 450), bool)
    options = {"n_bootstrap": 200, "seed": seed, "jackknife": bca}
    one, two = (
        resample_scores(
            out_of_fold(prediction, signal, ones, groups), [get_metric(metric, "regression")], groups, **options
        )
        for prediction in (signal + noise, signal + other)
    )
    truth = 0.0 if paired else 1 / np.sqrt(2)
    found = one
    if paired:
        found = Resampled(
            *(getattr(one, name) - getattr(two, name) for name in ("values", "resampled", "jackknife")), one.scored
        )
    strata = group_strata(groups, np.zeros(450, int))
    low, high = (
        bca_interval(found.values, found.resampled, found.jackknife, strata)[0]
        if bca
        else percentile_interval(found.resampled)[0]
    )
    return low <= truth <= high


@pytest.mark.parametrize(("paired", "bca"), [(False, True), (True, False)])
def test_families_that_are_alike_are_covered_whole_and_only_whole(paired, bca):
    whole, single = np.repeat(np.arange(150), 3), np.arange(450)
    right = np.mean([covers(whole, seed, paired=paired, bca=bca) for seed in range(120)])
    wrong = np.mean([covers(single, seed, paired=paired, bca=False) for seed in range(120)])
    assert 0.88 <= right <= 0.99  # 0.95, and three standard errors of 120 draws
    assert wrong < 0.87


def test_small_folds_bias_r2_and_only_what_is_mirrored_covers_it():
    """Of fixed predictions, with 16 subjects a fold; their R2 in the population is a half."""
    right, wrong = [], []
    for seed in range(150):
        rng = np.random.default_rng(seed)
        y = rng.normal(size=160)
        prediction, groups = 0.5 * y + 0.5 * rng.normal(size=160), np.arange(160)
        tests = np.arange(160) % 10 == np.arange(10)[:, None]
        found = resample_scores(
            out_of_fold(prediction, y, tests, groups),
            [get_metric("r2", "regression")],
            groups,
            n_bootstrap=150,
            seed=seed,
            jackknife=False,
        )
        bounds = [basic_interval(found.values, found.resampled)[0], percentile_interval(found.resampled)[0]]
        for (low, high), covered in zip(bounds, (right, wrong), strict=True):
            covered.append(low <= 0.5 <= high)
    assert 0.88 <= np.mean(right) <= 0.99  # 0.95, and three standard errors of 150 draws
    assert np.mean(wrong) < 0.85


def test_a_resample_of_one_class_is_left_out_and_what_is_lost_is_nan():
    rows = np.array([[0.1, 0.2, np.nan, 0.3], [np.nan] * 4])
    found = percentile_interval(rows, confidence=0.5)
    np.testing.assert_allclose(found[0], np.quantile([0.1, 0.2, 0.3], [0.25, 0.75]))
    assert np.isnan(found[1]).all()
    found = bca_interval([0.2, 0.2], rows, np.array([[0.1, 0.3]] * 2), [0, 0])
    assert np.isfinite(found[0]).all()
    assert np.isnan(found[1]).all()


def test_degenerate_intervals():
    constant = bca_interval([0.3], np.full((1, 9), 0.3), np.full((1, 5), 0.3), np.zeros(5, int))
    np.testing.assert_array_equal(constant, [[0.3, 0.3]])
    outside = bca_interval([0.9], np.full((1, 9), 0.3), np.full((1, 5), 0.3), np.zeros(5, int))
    assert np.isnan(outside).all()
    assert np.isnan(bca_interval([np.nan], np.full((1, 9), 0.3), np.full((1, 5), 0.3), np.zeros(5, int))).all()
    assert percentile_interval(np.zeros((0, 5))).shape == (0, 2)
    assert np.isnan(percentile_interval(np.zeros((2, 0)))).all()


def test_a_fold_of_one_class_has_no_score_and_the_others_make_the_mean():
    groups, y, tests, prediction = cohort(11, classes=True)
    y[tests[0]] = 0
    given_ = out_of_fold(1 / (1 + np.exp(-prediction)), y, tests, groups, label=(prediction > 0).astype(float))
    metrics = [get_metric(name, "classification") for name in ("roc_auc", "accuracy")]
    found = resample_scores(given_, metrics, groups, n_bootstrap=20, seed=0, jackknife=True)
    np.testing.assert_array_equal(found.scored, [[False, True, True], [True, True, True]])
    assert np.isfinite(found.values).all()
    inside = np.isin(np.unique(groups), groups[tests[0]])
    assert (found.jackknife[0, inside] == found.values[0]).all(), "a group of the fold that has no score"
    assert (found.jackknife[1, inside] != found.values[1]).any()


def test_resampled_scores_come_back(tmp_path):
    _, given_, found = of_regression(1, jackknife=True)
    strata = group_strata(cohort(1)[0], given_.strata)
    metrics = ["r2", "mean_squared_error"]
    names = save_resampled(tmp_path, {"fluid": (metrics, found), "iq": (metrics, found)}, strata)
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(names)
    again = open_resampled(tmp_path)
    assert again.rows == (*(("fluid", name) for name in metrics), *(("iq", name) for name in metrics))
    for name in ("values", "resampled", "jackknife", "scored"):
        np.testing.assert_array_equal(getattr(again.found, name)[2:], getattr(found, name))
    np.testing.assert_array_equal(again.strata, strata)
    with pytest.raises(SearchError, match="no target that has any of the metrics"):
        save_resampled(tmp_path, {}, strata)

"""Intervals: inside the limits and about the value whatever is predicted, by a plain loop, and how often they cover."""

import numpy as np
import pytest
import sklearn.metrics as sk
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from cortax.errors import SearchError
from cortax.learning.intervals import free_scale, interval, limits_of_difference
from cortax.learning.jackknife import MAX_LEFT_OUT, group_influences, paired_variance, score_variance
from cortax.learning.out_of_fold import out_of_fold
from cortax.learning.predictions import score_table
from cortax.learning.scores import METRICS, get_metric, metric_limits
from cortax.learning.stats.influences import open_influences, save_influences

INF = np.inf
LIMITS = [(-INF, INF), (0.0, INF), (-INF, 1.0), (-INF, 0.0), (0.0, 1.0), (-1.0, 1.0), (-2.0, 2.0)]
REGRESSION = [name for name, metric in METRICS.items() if "regression" in metric.tasks]
CLASSES = [name for name, metric in METRICS.items() if "classification" in metric.tasks]


def cohort(seed, n=60, n_folds=3, n_repeats=1):
    rng = np.random.default_rng(seed)
    groups = np.sort(rng.integers(n // 2, size=n)).astype(str)
    _, index = np.unique(groups, return_inverse=True)
    tests = []
    for _ in range(n_repeats):
        fold = rng.permutation(index.max() + 1)[index] % n_folds
        tests += [fold == k for k in range(n_folds)]
    return rng, rng.normal(size=n), groups, np.array(tests)


@pytest.mark.parametrize("limits", LIMITS)
@given(data=st.data())
@settings(max_examples=40, deadline=None)
def test_whatever_the_value_and_variance_the_interval_keeps_to_the_limits(limits, data):
    low, high = max(limits[0], -1e6), min(limits[1], 1e6)
    value = data.draw(st.floats(low, high))
    variance, degrees = data.draw(st.floats(0, 1e6)), data.draw(st.integers(1, 500))
    found = interval([value], [variance], [degrees], limits)[0]
    assert limits[0] <= found[0] <= value <= found[1] <= limits[1]


@pytest.mark.parametrize("limits", LIMITS)
def test_scales_and_their_slopes(limits):
    low, high = max(limits[0], -3.0), min(limits[1], 3.0)
    x = np.linspace(low, high, 23)[1:-1]
    free, slope = free_scale(x, limits)
    numeric = (free_scale(x + 1e-7, limits)[0] - free_scale(x - 1e-7, limits)[0]) / 2e-7
    np.testing.assert_allclose(slope, numeric, rtol=1e-5)
    found = interval(x, np.full(21, 0.01), np.full(21, 30), limits, confidence=0.9)
    reach = stats.t.ppf(0.95, 30) * slope * 0.1
    inside = found[:, 1] < limits[1]
    np.testing.assert_allclose(free_scale(found[inside, 1], limits)[0], (free + reach)[inside], rtol=1e-9)


def test_fishers_z_and_what_has_no_interval():
    expected = np.tanh(np.arctanh(0.6) + np.array([-1, 1]) * stats.t.ppf(0.975, 49) / (1 - 0.36) * 0.1)
    np.testing.assert_allclose(interval(0.6, 0.01, 49, (-1.0, 1.0)), expected)
    assert np.isnan(interval([np.nan, 0.5, 0.5], [0.1, np.nan, 0.1], [9, 9, 0], (0.0, 1.0))).all()
    assert limits_of_difference((0.0, 1.0)) == (-1.0, 1.0)
    assert limits_of_difference((-INF, 1.0)) == (-INF, INF)


@settings(max_examples=25, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    noise=st.sampled_from([0.0, 0.1, 1.0, 30.0]),
    n_repeats=st.sampled_from([1, 2, 5]),
    classes=st.booleans(),
)
def test_every_score_lies_in_its_interval_and_that_within_its_limits(seed, noise, n_repeats, classes):
    rng, y, groups, tests = cohort(seed, n_repeats=n_repeats)
    latent = np.round(y + noise * rng.normal(size=(n_repeats, len(y))), 1)
    if classes:
        table = score_table(
            1 / (1 + np.exp(-latent)), (y > 0.5).astype(float), tests, groups, CLASSES, label=(latent > 0).astype(float)
        )
    else:
        table = score_table(latent, y, tests, groups, REGRESSION)
    for row in table[table.value.notna()].itertuples():
        low, high = metric_limits(row.metric)
        assert low <= row.low <= row.value <= row.high <= high, row
    assert table.sd_repeats[table.fold == "mean"].notna().all() == (n_repeats > 1)


def r2_without(y, prediction, rows, groups, name):
    kept = rows[groups[rows] != name]
    return sk.r2_score(y[kept], prediction[kept])


@pytest.mark.parametrize("n_repeats", [1, 3])
def test_variances_equal_a_plain_loop(n_repeats):
    rng, y, groups, tests = cohort(3, n_repeats=n_repeats)
    prediction = y + rng.normal(size=(n_repeats, len(y)))
    y[7] = np.nan
    known = ~np.isnan(y)
    found = group_influences(out_of_fold(prediction, y, tests, groups), [get_metric("r2", "regression")], groups)
    names = np.unique(groups[known])
    u = np.zeros((n_repeats, len(names)))
    scores = [sk.r2_score(y[t & known], prediction[k // 3][t & known]) for k, t in enumerate(tests)]
    parts = [(0, t & known) for t in tests] if n_repeats == 1 else [(r, known) for r in range(n_repeats)]
    whole = [sk.r2_score(y[rows], prediction[r][rows]) for r, rows in parts]
    for (repeat, mask), score in zip(parts, whole, strict=True):
        rows = np.flatnonzero(mask)
        inside = np.unique(groups[rows])
        without = np.array([r2_without(y, prediction[repeat], rows, groups, name) for name in inside])
        pseudo = score + (len(inside) - 1) * (without.mean() - without)
        u[repeat, np.isin(names, inside)] = (
            (pseudo - np.mean(whole)) * len(names) * n_repeats / (len(parts) * len(inside))
        )
    assert found.values[0] == pytest.approx(np.mean(scores), rel=1e-10)
    np.testing.assert_allclose(found.influences[0], u, rtol=1e-8, atol=1e-8)
    n = len(names)
    tested = (u.mean(axis=0) ** 2).sum() / (n * (n - 1))
    trained = 2 * np.var(u, axis=0, ddof=1).mean() / n if n_repeats > 1 else 0
    share = {1: (1.5 * tested, 2 * tested), 3: (tested + min(tested, trained), tested + trained)}[n_repeats]
    assert score_variance(found.influences, 3 * n_repeats)[0] == pytest.approx(share[0], rel=1e-8)
    assert paired_variance(found.influences, 3 * n_repeats)[0] == pytest.approx(share[1], rel=1e-8)


def test_of_a_mean_the_variance_is_that_of_the_mean():
    """Of groups of one size, in folds of one size, what is left out does not matter: error is a mean of groups."""
    rng = np.random.default_rng(1)
    y, prediction, groups = rng.normal(size=60), rng.normal(size=60), np.repeat(np.arange(30), 2)
    tests = np.arange(30)[groups] % 3 == np.arange(3)[:, None]
    found = group_influences(
        out_of_fold(prediction, y, tests, groups), [get_metric("mean_squared_error", "regression")], groups
    )
    errors = ((y - prediction) ** 2).reshape(30, 2).mean(axis=1)
    np.testing.assert_allclose(found.influences[0, 0], errors - errors.mean(), rtol=1e-10)
    assert score_variance(found.influences, 3)[0] == pytest.approx(1.5 * errors.var(ddof=1) / 30)


def test_of_many_groups_several_are_left_out_at_a_time_and_say_the_same():
    rng = np.random.default_rng(2)
    y = rng.normal(size=4 * MAX_LEFT_OUT)
    prediction, groups = y + rng.normal(size=len(y)), np.arange(len(y))
    given_ = out_of_fold(prediction, y, np.ones((1, len(y)), bool), groups)
    found = group_influences(given_, [get_metric("pearson_r", "regression")], groups)
    assert found.influences.shape == (1, 1, MAX_LEFT_OUT)
    r = found.values[0]
    assert score_variance(found.influences, 1)[0] == pytest.approx(1.5 * (1 - r**2) ** 2 / len(y), rel=0.2)


def test_the_only_one_of_a_class_and_a_single_group():
    y = np.array([1.0, 0, 0, 0, 1, 1, 0, 0])
    tests = np.array([[1, 1, 1, 1, 0, 0, 0, 0], [0, 0, 0, 0, 1, 1, 1, 1]], dtype=bool)
    prediction = np.array([0.6, 0.7, 0.2, 0.1, 0.4, 0.8, 0.5, 0.3])
    table = score_table(prediction, y, tests, np.arange(8), ["roc_auc"], label=prediction.round())
    assert np.isfinite(table[["low", "high"]]).all(axis=None)
    alone = score_table(prediction, y, tests, np.repeat([0, 1], 4), ["roc_auc"], label=prediction.round())
    assert alone.low.isna().tolist() == [True, True, False]
    assert alone.n_groups.tolist() == [0, 0, 2]


def covers(seed, alike, name, n_families=60):
    """Whether the interval of a model that needs no training holds its score in the population."""
    rng = np.random.default_rng(seed)
    shared, own = rng.normal(size=(2, n_families)), rng.normal(size=(2, 2 * n_families))
    signal, noise = np.sqrt(alike) * np.repeat(shared, 2, axis=1) + np.sqrt(1 - alike) * own
    groups = np.repeat(np.arange(n_families), 2)
    tests = rng.permutation(n_families)[groups] % 3 == np.arange(3)[:, None]
    y = signal + noise
    given_ = out_of_fold(signal, y, tests, groups)
    found = group_influences(given_, [get_metric(name, "regression")], groups)
    # Nothing is trained: half of the variance of one split is for what does not happen.
    variance = score_variance(found.influences, 3) / 1.5
    low, high = interval(found.values, variance, found.influences.shape[2] - 1, metric_limits(name))[0]
    truth = {"pearson_r": np.sqrt(0.5), "mean_squared_error": 1.0}[name]
    return low <= truth <= high, high - low


@pytest.mark.parametrize("name", ["pearson_r", "mean_squared_error"])
def test_families_that_are_alike_are_covered(name):
    found = np.array([covers(seed, 0.8, name) for seed in range(150)])
    assert 0.89 <= found[:, 0].mean() <= 1.0  # 0.95, and three standard errors of 150 draws
    apart = np.array([covers(seed, 0.0, name) for seed in range(30)])
    assert found[:30, 1].mean() > 1.15 * apart[:, 1].mean(), "people who are alike say less"


def test_influences_come_back(tmp_path):
    rng, y, groups, tests = cohort(1, n_repeats=2)
    metrics = ["r2", "mean_squared_error"]
    chosen = [get_metric(name, "regression") for name in metrics]
    prediction = y + rng.normal(size=(2, len(y)))
    found = group_influences(out_of_fold(prediction, y, tests, groups), chosen, groups)
    fewer = group_influences(out_of_fold(prediction, np.where(groups < "2", np.nan, y), tests, groups), chosen, groups)
    names = save_influences(tmp_path, {"fluid": (metrics, found), "iq": (metrics, fewer)})
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(names)
    again = open_influences(tmp_path)
    assert list(again) == [(target, metric) for target in ("fluid", "iq") for metric in metrics]
    for target, whole in (("fluid", found), ("iq", fewer)):
        for row, metric in enumerate(metrics):
            for name in ("values", "influences", "scored"):
                np.testing.assert_array_equal(getattr(again[target, metric], name)[0], getattr(whole, name)[row])
    with pytest.raises(SearchError, match="no target that has any of the metrics"):
        save_influences(tmp_path, {})

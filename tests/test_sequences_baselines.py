"""What networks should beat: means of days of the year and a linear model, of training days alone."""

import numpy as np
import pandas as pd
import pytest
from sklearn.linear_model import Ridge

from cortax.workloads.sequences.baselines import ALPHAS, SPANS, day_number, lagged, mean_of_day, predict_baselines
from cortax.workloads.sequences.dataset import Dataset
from cortax.workloads.sequences.reading import Series, days_between

OPTIONS = {
    "site": "a",
    "inputs": ["rain", "warmth"],
    "targets": ["flow", "level"],
    "transforms": ["sqrt", "none"],
    "day_of_year": True,
    "train": ("2001-01-01", "2004-12-31"),
    "validation": ("2005-01-01", "2005-12-31"),
    "test": ("2006-01-01", "2006-12-31"),
    "window": 100,
    "warm_up": 70,
}
TEST = np.datetime64("2006-01-01")


def make_series():
    """A flow that is linear in the rain of some days, but for its square root."""
    rng = np.random.default_rng(1)
    days = days_between("2001-01-01", "2006-12-31")
    inputs = np.column_stack([rng.gamma(1.0, 2.0, len(days)), np.cos(2 * np.pi * day_number(days) / 365)])
    flow = (1 + np.convolve(inputs[:, 0], [0.4, 0.2, 0.1])[: len(days)]) ** 2
    targets = np.column_stack([flow, inputs[:, 1] + 0.1 * rng.normal(size=len(days))])
    targets[rng.random(targets.shape) < 0.1] = np.nan
    return Series(days, inputs, targets, ())


def predicted(series, **options):
    options = {**OPTIONS, **options}
    return predict_baselines(Dataset(series, options), options)


def test_spans_of_days_before_follow_each_other():
    x = np.arange(200.0)[:, None] ** 2
    found = lagged(x, 70)
    assert found.shape == (200, len(SPANS))
    assert [last + 1 for _, last in SPANS[:-1]] == [first for first, _ in SPANS[1:]]
    for k, (first, last) in enumerate(SPANS):
        assert np.isnan(found[:last, k]).all()
        for day in (last, 150):
            assert found[day, k] == pytest.approx(x[day - last : day - first + 1].mean())
    assert lagged(x, 0).shape == (200, 1)
    assert lagged(x, 40).shape == (200, len(SPANS) - 1)


def test_the_linear_model_is_ridge_with_the_penalty_of_validation():
    series = make_series()
    found = predicted(series)["test"]["linear"]
    frame = pd.DataFrame(series.inputs, index=pd.DatetimeIndex(series.days))
    train, validation, test = (frame[slice(*OPTIONS[name])] for name in ("train", "validation", "test"))
    scaled = [(part - train.mean()) / train.std(ddof=0) for part in (train, validation, test)]
    days = [part.index.day_of_year - 1 for part in scaled]
    x = []
    for part, day in zip(scaled, days, strict=True):
        spans = [part.rolling(last - first + 1).mean().shift(first) for first, last in SPANS]
        angle = 2 * np.pi * day / np.where(part.index.is_leap_year, 366, 365)
        x.append(np.column_stack([*spans, np.sin(angle), np.cos(angle)])[70:])
    flow = pd.Series(np.sqrt(series.targets[:, 0]), index=frame.index)
    y, valid, _ = (flow[part.index][70:].to_numpy() for part in scaled)
    known, there = ~np.isnan(y), ~np.isnan(valid)
    mean, deviation = flow[train.index].mean(), flow[train.index].std(ddof=0)
    models = [Ridge(alpha=alpha).fit(x[0][known], (y[known] - mean) / deviation) for alpha in ALPHAS]
    errors = [np.sum((model.predict(x[1][there]) * deviation + mean - valid[there]) ** 2) for model in models]
    expected = models[int(np.argmin(errors))].predict(x[2]) * deviation + mean
    np.testing.assert_allclose(found[70:, 0], expected**2, rtol=1e-9)
    test_flow = series.targets[series.days >= TEST, 0][70:]
    assert np.nanmean((found[70:, 0] - test_flow) ** 2) < 0.2 * np.nanvar(test_flow)
    assert np.isnan(found[:63]).all()


def test_the_mean_of_a_day_is_over_training_years_and_leap_days_are_28_february():
    series = make_series()
    found = predicted(series)["test"]["day of the year"]
    assert found.shape == (365, 2)
    frame = pd.DataFrame(series.targets, index=pd.DatetimeIndex(series.days)).loc["2001":"2004"]
    key = frame.index.strftime("%m-%d").str.replace("02-29", "02-28")
    expected = frame.groupby(np.asarray(key)).mean()
    known = ~expected.isna().to_numpy()
    np.testing.assert_allclose(found[known], expected.to_numpy()[known])
    assert day_number(days_between("2004-02-28", "2004-03-01")).tolist() == [58, 58, 59]
    assert day_number(days_between("2003-12-31", "2004-01-01")).tolist() == [364, 0]


def test_days_of_the_year_that_were_never_observed_lie_between_their_neighbours():
    days = days_between("2001-01-01", "2001-12-31")
    observed = np.full((365, 2), np.nan)
    observed[[10, 20], 0] = 1.0, 2.0
    found = mean_of_day(days, observed)
    assert found[[10, 15, 20], 0].tolist() == [1.0, 1.5, 2.0]
    assert found[0, 0] == pytest.approx(1 + 10 / 355)
    assert np.isnan(found[:, 1]).all()


def test_nothing_after_training_but_the_penalty_is_fitted():
    series, altered = make_series(), make_series()
    altered.inputs[altered.days >= TEST] *= 7
    altered.targets[altered.days >= TEST] *= 7
    one, other = predicted(series), predicted(altered)
    for name, values in one["validation"].items():
        np.testing.assert_array_equal(other["validation"][name], values)
    np.testing.assert_array_equal(other["test"]["day of the year"], one["test"]["day of the year"])
    # Altered targets of the test change no prediction of it.
    altered = make_series()
    altered.targets[altered.days >= TEST] *= 7
    np.testing.assert_array_equal(predicted(altered)["test"]["linear"], one["test"]["linear"])


def test_a_target_that_validation_lacks_has_no_linear_model():
    series = make_series()
    series.targets[(series.days >= np.datetime64("2005-01-01")) & (series.days < TEST), 1] = np.nan
    found = predicted(series)["test"]["linear"]
    assert np.isfinite(found[70:, 0]).all()
    assert np.isnan(found[:, 1]).all()


def test_without_a_warm_up_only_the_day_itself_counts():
    found = predicted(make_series(), warm_up=0)["test"]["linear"]
    assert np.isfinite(found).all()

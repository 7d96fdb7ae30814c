"""Windows: every day counts once, none leaves its period, and nothing but training days scales."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cortax.errors import InputError
from cortax.workloads.sequences.dataset import Dataset, open_series, save_series
from cortax.workloads.sequences.reading import Series, days_between
from cortax.workloads.sequences.windows import back, day_of_year, layout, scale_of, transformed


@st.composite
def cuts(draw):
    window = draw(st.integers(1, 40))
    return draw(st.integers(window, 200)), window, draw(st.integers(0, window - 1))


@given(cuts())
def test_every_day_after_the_first_warm_up_counts_once_with_its_whole_warm_up(cut):
    n_days, window, warm_up = cut
    found = layout(n_days, window, warm_up)
    assert found.places.shape == found.counts.shape
    assert found.places.min() >= 0
    assert found.places.max() == n_days - 1
    assert (np.diff(found.places, axis=0) == 1).all()
    counted = np.bincount(found.places[found.counts], minlength=n_days)
    np.testing.assert_array_equal(counted, np.arange(n_days) >= warm_up)
    assert not found.counts[:warm_up].any()
    by_day = found.days(found.places[..., None].astype(float), n_days)
    np.testing.assert_array_equal(by_day[warm_up:, 0], np.arange(warm_up, n_days))
    assert np.isnan(by_day[:warm_up]).all()


def test_the_year_is_a_circle_leap_or_not():
    angles = day_of_year(days_between("2003-01-01", "2005-12-31"))
    np.testing.assert_allclose(np.hypot(*angles.T), 1)
    for first in (0, 365, 731):
        np.testing.assert_allclose(angles[first], [0, 1], atol=1e-15)
    # 29 February is day 59 of 366.
    np.testing.assert_allclose(angles[365 + 59], [np.sin(2 * np.pi * 59 / 366), np.cos(2 * np.pi * 59 / 366)])


@pytest.mark.parametrize("kind", ["none", "log", "sqrt"])
def test_transforms_go_back_and_scales_too(kind):
    values = np.array([[0.5, 2.0], [3.0, np.nan], [8.0, 2.0]])
    np.testing.assert_allclose(back(transformed(values, kind), kind), values)
    scale = scale_of(values)
    scaled = scale.apply(values)
    np.testing.assert_allclose([scaled[:, 0].mean(), scaled[:, 0].std()], [0, 1], atol=1e-15)
    np.testing.assert_array_equal(scaled[:, 1], [0, np.nan, 0])
    np.testing.assert_allclose(scale.undo(scaled), values)


OPTIONS = {
    "site": "a",
    "inputs": ["rain", "warmth"],
    "targets": ["flow", "level"],
    "transforms": ["log", "none"],
    "day_of_year": True,
    "train": ("2001-01-01", "2002-12-31"),
    "window": 100,
    "warm_up": 30,
}
TEST = ("2003-01-01", "2003-12-31")


def make_series():
    rng = np.random.default_rng(1)
    days = days_between("2001-01-01", "2003-12-31")
    targets = np.exp(rng.normal(size=(len(days), 2)))
    targets[rng.random(targets.shape) < 0.1] = np.nan
    return Series(days, rng.normal(size=(len(days), 2)) * 5 + 3, targets, ("a note",))


def test_a_period_is_what_networks_see_and_comes_back_in_its_units():
    series = make_series()
    dataset = Dataset(series, OPTIONS)
    period = dataset.period("train", OPTIONS["train"], np.float32)
    n = len(period.days)
    x = period.layout.days(period.windows.x.astype(np.float64), n)[30:]
    np.testing.assert_allclose(x[:, :2], dataset.scales[0].apply(series.inputs[30:n]), atol=1e-6)
    np.testing.assert_allclose(x[:, 2:], day_of_year(period.days)[30:], atol=1e-6)
    there = period.layout.days(period.windows.observed.astype(float), n)[30:] == 1
    np.testing.assert_array_equal(there, ~np.isnan(series.targets[30:n]))
    daily = dataset.by_day(period.windows.y, period)
    np.testing.assert_allclose(daily[30:][there], series.targets[30:n][there], rtol=1e-5)


def test_days_after_training_change_nothing_that_is_trained():
    series, altered = make_series(), make_series()
    later = altered.days >= np.datetime64("2003-01-01")
    altered.inputs[later] *= 100
    altered.targets[later] *= 100
    parts = [Dataset(part, OPTIONS).period("train", OPTIONS["train"], np.float32).windows for part in (series, altered)]
    for name, values in vars(parts[0]).items():
        np.testing.assert_array_equal(getattr(parts[1], name), values)
    test = [Dataset(part, OPTIONS).period("test", TEST, np.float32).windows.x for part in (series, altered)]
    assert not np.array_equal(*test)


def test_a_period_without_a_primary_target_is_refused():
    series = make_series()
    series.targets[series.days >= np.datetime64("2003-02-01"), 0] = np.nan
    dataset = Dataset(series, OPTIONS)
    # What there is of it lies in the warm-up.
    series.targets[series.days < np.datetime64("2003-02-01"), 0] = 1.0
    series.targets[(series.days >= np.datetime64("2003-01-31")), 0] = np.nan
    with pytest.raises(
        InputError, match="site 'a': flow has no value in test, 2003-01-01 to 2003-12-31, after the warm-up"
    ):
        dataset.period("test", TEST, np.float32)
    series.targets[:, 0] = np.nan
    with pytest.raises(InputError, match="flow has no value in train"):
        Dataset(series, OPTIONS)


def test_series_are_kept(tmp_path):
    series = make_series()
    save_series(tmp_path, series)
    found = open_series(tmp_path)
    for name in ("days", "inputs", "targets"):
        np.testing.assert_array_equal(getattr(found, name), getattr(series, name))
    assert found.notes == series.notes

"""Tables of sites: what is read, and what is refused with the file, the days and what to do."""

import numpy as np
import pandas as pd
import pytest

from cortax.errors import InputError
from cortax.workloads.sequences.reading import TargetColumn, check_inputs, days_between, read_series, runs_of

FLOW = (TargetColumn("flow", "none"),)


def make_table(n_days=800, first="2003-11-01"):
    rng = np.random.default_rng(0)
    days = pd.date_range(first, periods=n_days)
    rain = rng.gamma(1.0, 2.0, n_days)
    return pd.DataFrame(
        {"date": days.strftime("%Y-%m-%d"), "rain": rain, "flow": 1 + np.convolve(rain, [0.5, 0.5])[:-1]}
    )


def read(path, table, **options):
    if path.suffix == ".parquet":
        table.to_parquet(path, index=False)
    else:
        table.to_csv(path, index=False, sep="\t" if path.suffix == ".tsv" else ",")
    return read_series(path, **{"time": "date", "inputs": ["rain"], "targets": FLOW, **options})


@pytest.mark.parametrize("ending", ["csv", "tsv", "parquet"])
def test_a_table_is_read_as_it_is_leap_day_included(tmp_path, ending):
    table = make_table()
    series = read(tmp_path / f"a.{ending}", table)
    np.testing.assert_array_equal(series.days, pd.to_datetime(table["date"]).to_numpy().astype("datetime64[D]"))
    assert np.datetime64("2004-02-29") in series.days
    np.testing.assert_allclose(series.inputs[:, 0], table["rain"], rtol=1e-15)
    np.testing.assert_allclose(series.targets[:, 0], table["flow"], rtol=1e-15)
    assert series.notes == ()


def test_days_that_lack_a_row_have_no_values(tmp_path):
    series = read(tmp_path / "a.csv", make_table().drop(index=[3, 4]))
    assert len(series.days) == 800
    assert np.flatnonzero(np.isnan(series.inputs[:, 0])).tolist() == [3, 4]
    assert np.flatnonzero(np.isnan(series.targets[:, 0])).tolist() == [3, 4]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: t.rename(columns={"rain": "rian"}), "no column 'rain'.*did you mean 'rian'"),
        (lambda t: t.rename(columns={"date": "day"}), "no column 'date'"),
        (lambda t: t.iloc[[0, 1, 1, 2]], "2003-11-02 occurs twice, in rows 2 and 3"),
        (lambda t: t.iloc[[0, 2, 1, 3]], "days must be in order: 2003-11-03 in row 2 comes before 2003-11-02 in row 3"),
        (
            lambda t: t.assign(date=t["date"].mask(t.index == 4, "31.2.2003")),
            "row 5: date must be a day .* '31.2.2003'",
        ),
        (
            lambda t: t.assign(rain=t["rain"].astype(object).mask(t.index == 6, "wet")),
            "row 7: rain must be a number.*'wet'",
        ),
        (lambda t: t.assign(flow=t["flow"].mask(t.index == 6, np.inf)), "row 7: flow is infinite"),
    ],
)
def test_what_is_wrong_is_told_with_file_row_and_day(tmp_path, change, message):
    with pytest.raises(InputError, match=f"a.csv: {message}"):
        read(tmp_path / "a.csv", change(make_table()))


@pytest.mark.parametrize(
    ("transform", "value", "message"),
    [
        ("log", 0.0, "flow with transform 'log' must be above 0. Got 0 on 2003-11-06, and 0 more such days"),
        ("log", -1.0, "must be above 0. Got -1 on"),
        ("sqrt", -1.0, "must be at least 0. Got -1 on"),
    ],
)
def test_a_target_that_its_transform_is_not_defined_for(tmp_path, transform, value, message):
    table = make_table()
    table.loc[5, "flow"] = value
    with pytest.raises(InputError, match=message):
        read(tmp_path / "a.csv", table, targets=(TargetColumn("flow", transform),))
    assert read(tmp_path / "a.csv", table).targets[5, 0] == value


def test_short_gaps_are_filled_where_asked_for_and_told(tmp_path):
    table = make_table()
    table.loc[[0, 10, 11, 20, 21, 22, 799], "rain"] = np.nan
    series = read(tmp_path / "a.csv", table, fill=2)
    assert np.flatnonzero(np.isnan(series.inputs[:, 0])).tolist() == [0, 20, 21, 22, 799]
    low, high = table.loc[9, "rain"], table.loc[12, "rain"]
    np.testing.assert_allclose(series.inputs[10:12, 0], [low + (high - low) / 3, low + 2 * (high - low) / 3])
    assert series.notes == ("rain: 2 missing days filled by linear interpolation, in 1 gaps",)


def test_gaps_and_days_beyond_the_table_are_refused_where_a_period_has_them(tmp_path):
    table = make_table()
    table.loc[[10, 11, 300], "rain"] = np.nan
    series = read(tmp_path / "a.csv", table)
    check_inputs("a", series, ["rain"], {"test": days_between("2003-11-13", "2004-08-01")})
    with pytest.raises(InputError, match=r"a: rain has no value on 2003-11-11 to 2003-11-12 \(train\); sites.fill = N"):
        check_inputs("a", series, ["rain"], {"train": days_between("2003-11-01", "2004-08-01")})
    with pytest.raises(InputError, match="has days from 2003-11-01 to 2006-01-08; test is 2005-01-01 to 2006-01-09"):
        check_inputs("a", series, ["rain"], {"test": days_between("2005-01-01", "2006-01-09")})


def test_a_year_without_a_target_is_noted(tmp_path):
    table = make_table()
    table.loc[table["date"].str.startswith("2004"), "flow"] = np.nan
    assert read(tmp_path / "a.csv", table).notes == ("flow: no value in 2004",)


def test_runs():
    assert runs_of(np.array([True, False, True, True, False, True])) == [(0, 1), (2, 4), (5, 6)]
    assert runs_of(np.zeros(3, dtype=bool)) == []

"""Phenotypes: identifiers as text, targets, confounds and groups, and messages that say where."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st
from scipy.stats import median_abs_deviation, norm
from sklearn.preprocessing import OneHotEncoder

from cortax.brain.data.phenotypes import expand_sessions, read_confounds, read_groups, read_table, read_targets
from cortax.errors import InputError

TABLE = """participant_id,age,sex,site,family
001,20.5,F,b,7
002,n/a,M,a,7
010,30,F,c,8
3,41.5,,a,
"""


@pytest.fixture
def table(tmp_path):
    (tmp_path / "p.csv").write_text(TABLE)
    return read_table(tmp_path / "p.csv")


def write(folder, text, name="p.csv"):
    (folder / name).write_bytes(text if isinstance(text, bytes) else text.encode())
    return folder / name


def test_identifiers_stay_text_in_every_format(tmp_path, table):
    assert list(table.index) == ["001", "002", "010", "3"]
    write(tmp_path, TABLE.replace(",", "\t"), "p.tsv")
    write(tmp_path, b"\xef\xbb\xbf" + TABLE.replace("\n", "\r\n").encode(), "bom.csv")
    table.reset_index(drop=True).to_parquet(tmp_path / "p.parquet")
    for name in ("p.tsv", "bom.csv", "p.parquet"):
        other = read_table(tmp_path / name)
        assert list(other.index) == list(table.index), name
        pd.testing.assert_frame_equal(other, table, check_dtype=False)


def test_several_identifier_columns_and_a_prefix(tmp_path):
    path = write(tmp_path, "participant_id,run,x\nsub-01,1,5\nsub-01,2,6\n02,01,7\n")
    assert list(read_table(path, ["participant_id", "run"], id_prefix="sub-").index) == ["01_1", "01_2", "02_01"]


@given(st.lists(st.text("0123456789abcXYZ-", min_size=1, max_size=6), min_size=1, max_size=8, unique=True))
def test_any_identifier_survives(tmp_path_factory, ids):
    path = write(tmp_path_factory.mktemp("ids"), "participant_id,x\n" + "".join(f"{i},1\n" for i in ids))
    assert list(read_table(path).index) == ids


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b"participant_id,x\n1,\xe9\n", r"p\.csv: not UTF-8: byte 0xe9 at offset 19, line 2"),
        ("participant,x\n1,2\n", "no such identifier column: got 'participant_id'.*did you mean 'participant'"),
        ("participant_id,x\n1,2\n2,3\n1,4\n", r"identifiers that occur more than once: \['1'\]"),
        (
            "participant_id,x\n1,2\n,3\n",
            r"column 'participant_id' has no identifier in data rows \[2\] \(1 rows\)",
        ),
        ("participant_id,x\nn/a,3\n", r"data rows \[1\]"),
        ("participant_id,x\n", "no rows"),
        ("participant_id,x,x\n1,2,3\n", r"columns that occur more than once: \['x'\]"),
        ("participant_id,x\n1,2\n2,3,4\n", "line 3 has 3 cells, the header has 2"),
        ("participant_id,x\n1\n", "line 2 has 1 cells"),
        ("", "empty file"),
    ],
)
def test_bad_tables(tmp_path, text, message):
    with pytest.raises(InputError, match=message) as caught:
        read_table(write(tmp_path, text))
    assert "p.csv" in str(caught.value)


def test_bad_files(tmp_path):
    with pytest.raises(InputError, match=r"p\.csv: missing file"):
        read_table(tmp_path / "p.csv")
    with pytest.raises(InputError, match=r"p\.xlsx: format of a table: got '\.xlsx', must be one of"):
        read_table(write(tmp_path, "x", "p.xlsx"))
    with pytest.raises(InputError, match=r"p\.parquet: not a readable table"):
        read_table(write(tmp_path, "x", "p.parquet"))


def test_targets(table):
    specs = {
        "sex": {"kind": "classification", "positive": "F"},
        "age": {"kind": "regression"},
        "who": {"kind": "classification", "column": "family"},
    }
    values, report = read_targets(table, specs)
    assert list(values.columns) == ["age", "sex", "who"]
    np.testing.assert_array_equal(values["age"], [20.5, np.nan, 30, 41.5])
    np.testing.assert_array_equal(values["sex"], [1, 0, 1, np.nan])
    # A missing value turned 7 and 8 into 7.0 and 8.0: the classes are still called 7 and 8.
    np.testing.assert_array_equal(values["who"], [0, 0, 1, np.nan])
    assert [(r.name, r.n_values, r.n_missing, r.classes) for r in report] == [
        ("age", 3, 1, ()),
        ("sex", 3, 1, ("M", "F")),
        ("who", 3, 1, ("7", "8")),
    ]
    assert (values.dtypes == np.float64).all()
    again, _ = read_targets(table, dict(reversed(specs.items())))
    pd.testing.assert_frame_equal(values, again)


@pytest.mark.parametrize(
    ("cells", "classes"), [("9,10", ("9", "10")), ("b,a", ("a", "b")), ("TRUE,FALSE", ("False", "True"))]
)
def test_positive_is_the_last_in_sort_order(tmp_path, cells, classes):
    first, second = cells.split(",")
    frame = read_table(write(tmp_path, f"participant_id,x\n1,{first}\n2,{second}\n"))
    assert read_targets(frame, {"x": {"kind": "classification"}})[1][0].classes == classes


@given(
    st.lists(st.integers(-500, 500).map(lambda v: v + 0.5), min_size=19, max_size=30), st.sampled_from([2.0, 5.0, 10.0])
)
def test_outliers_become_missing_by_the_robust_spread(values, outlier_sd):
    values = np.array([*values, 50000.5, np.nan])
    frame = pd.DataFrame({"x": values}, index=[str(i) for i in range(len(values))])
    found, (report,) = read_targets(frame, {"x": {"kind": "regression"}}, outlier_sd=outlier_sd)
    seen = values[:-1]
    spread = median_abs_deviation(seen, scale="normal")
    assume(spread > 0)
    spread = max(spread, np.ptp(np.quantile(seen, [0.1, 0.9])) / (2 * norm.ppf(0.9)))
    far = abs(seen - np.median(seen)) > outlier_sd * spread
    assume(not np.isclose(abs(seen - np.median(seen)), outlier_sd * spread, rtol=1e-3).any())
    assert report.n_outliers == far.sum()
    assert ("became missing" in report.note) == far.any()
    np.testing.assert_allclose(found["x"], [*np.where(far, np.nan, seen), np.nan])


@given(
    st.sampled_from([-999.0, -9999.0, -99.0, 9999.0]),
    st.integers(1, 15),
    st.integers(20, 120),
    st.integers(0, 2**32 - 1),
)
def test_a_code_is_found_however_few_people_there_are(code, n_codes, n, seed):
    values = np.random.default_rng(seed).uniform(20, 60, n).round(1)
    values[:n_codes] = code
    frame = pd.DataFrame({"age": values}, index=[str(i) for i in range(n)])
    found, (report,) = read_targets(frame, {"age": {"kind": "regression"}}, outlier_sd=10.0)
    assert report.n_outliers == n_codes
    assert found["age"].isna().sum() == n_codes
    kept, dropped = read_confounds(frame, ["age"], outlier_sd=10.0)
    assert len(kept) == n - n_codes
    assert {d.reason for d in dropped} == {f"outlying confound: age is {code:g}"}


def test_what_most_have_is_no_outlier_and_where_nothing_can_be_said_that_is(tmp_path):
    def report(values):
        frame = pd.DataFrame({"x": np.array(values, float)}, index=[str(i) for i in range(len(values))])
        return read_targets(frame, {"x": {"kind": "regression"}}, outlier_sd=10.0)[1][0]

    episodes = [0] * 40 + [1, 2, 3] * 6  # counts, most of them 0
    assert report(episodes).n_outliers == 0
    assert report([*episodes, 400]).n_outliers == 1
    assert report([*range(60), *[5000] * 5]).n_outliers == 5
    assert report([0, 1] * 28 + list(range(8, 36))).n_outliers == 0  # patients and controls
    assert report([0] * 55 + [1, 2, 2, 1, -999]).n_outliers == 1
    assert "cannot be found" in report([0] * 40 + [300]).note
    assert report([1, 2, 3, 4000]).note.startswith("other outliers than codes cannot be found: fewer than 10")
    assert report([-999] * 30 + list(range(20, 40))).n_outliers == 30


@pytest.mark.parametrize(
    ("column", "spec", "message"),
    [
        (["1", "2", "x"], {"kind": "regression"}, r"column 'x', subject 'c' \(data row 3\): not a number: 'x'"),
        (["1", "2", "inf"], {"kind": "regression"}, "subject 'c'.*not a number: 'inf'"),
        (["2", "2", ""], {"kind": "regression"}, "constant, every value is 2"),
        (["", "", "n/a"], {"kind": "regression"}, "all 3 values are missing"),
        (["1", "1", ""], {"kind": "classification"}, r"constant, only the class \['1'\]"),
        (
            ["1", "2", "3"],
            {"kind": "classification", "positive": 2},
            r"positive = 2 goes with two classes; .* 3",
        ),
        (["lo", "hi", "hi"], {"kind": "ordinal"}, r"text, \['hi', 'lo'\], .* order = \[\.\.\.\] must have them"),
        (["lo", "hi", "mid"], {"kind": "ordinal", "order": ["lo", "hi"]}, r"order: \['lo', 'hi'\] lacks \['mid'\]"),
        (["lo", "hi", "hi"], {"kind": "ordinal", "order": ["lo", "high"]}, "order: .*did you mean 'hi'"),
        (["lo", "hi", "hi"], {"kind": "ordinal", "order": ["lo", "hi", "lo"]}, "names a value twice"),
        (
            ["man", "man", "woman"],
            {"kind": "classification", "positive": "women"},
            "positive: .*did you mean 'woman'",
        ),
        (["1", "2", "3"], {"kind": "regresion"}, "target 'x', kind: .*did you mean 'regression'"),
        (["1", "2", "3"], {"kind": "regression", "column": "X1"}, "target 'x': no such column: got 'X1'"),
        (["1", "2", "3"], {"kind": "regression", "colum": "x"}, "target 'x': got 'colum'.*did you mean 'column'"),
    ],
)
def test_bad_targets(tmp_path, column, spec, message):
    rows = "".join(f"{i},{value}\n" for i, value in zip("abc", column, strict=True))
    with pytest.raises(InputError, match=message):
        read_targets(read_table(write(tmp_path, "participant_id,x\n" + rows)), {"x": spec})


@pytest.mark.parametrize(
    ("cells", "spec", "classes", "codes"),
    [
        ("b a c b".split(), {"kind": "classification"}, ("a", "b", "c"), [1, 0, 2, 1]),
        ("10 9 9.0 8".split(), {"kind": "classification"}, ("8", "9", "10"), [2, 1, 1, 0]),
        ("10 9 2 9".split(), {"kind": "ordinal"}, ("2", "9", "10"), [2, 1, 0, 1]),
        ("mild severe well mild".split(), {"kind": "ordinal", "order": ["well", "mild", "severe"]}, None, [1, 2, 0, 1]),
        ("1 3 2 3".split(), {"kind": "ordinal", "order": [3, 2, 1]}, ("3", "2", "1"), [2, 0, 1, 0]),
    ],
)
def test_classes_are_coded_in_their_order(tmp_path, cells, spec, classes, codes):
    rows = "".join(f"{i},{cell}\n" for i, cell in zip("abcd", cells, strict=True))
    found, (report,) = read_targets(read_table(write(tmp_path, "participant_id,x\n" + rows + "e,\n")), {"x": spec})
    assert found["x"].tolist()[:4] == codes
    assert np.isnan(found["x"].iloc[4])
    assert report.classes == (classes or tuple(spec["order"]))
    assert (report.kind, report.n_missing) == (spec["kind"], 1)


@pytest.mark.parametrize("kind", ["classification", "ordinal"])
@pytest.mark.parametrize(("n", "n_classes"), [(100, 21), (12, 7)])
def test_numbers_are_not_taken_for_classes(tmp_path, kind, n, n_classes):
    rows = "".join(f"s{i},{i % n_classes}\n" for i in range(n))
    frame = read_table(write(tmp_path, "participant_id,x\n" + rows))
    with pytest.raises(InputError, match=rf"{n_classes} classes of {n} subjects, such as .*is this a number\?"):
        read_targets(frame, {"x": {"kind": kind}})


def test_confounds(tmp_path, table):
    found, dropped = read_confounds(table, ["site", "age"])
    assert [(d.participant_id, d.reason) for d in dropped] == [("002", "missing confound: age")]
    assert dropped[0].file.endswith("p.csv")
    assert list(found.columns) == ["site=b", "site=c", "age"]
    np.testing.assert_array_equal(found, [[1, 0, 20.5], [0, 1, 30], [0, 0, 41.5]])
    coded, _ = read_confounds(table, ["family"], categorical=["family"])
    np.testing.assert_array_equal(coded["family=8"], [0, 0, 1])


@given(st.lists(st.sampled_from("abcde"), min_size=2, max_size=20).filter(lambda x: len(set(x)) > 1))
def test_levels_are_those_of_scikit_learn(values):
    frame = pd.DataFrame({"s": values}, index=[str(i) for i in range(len(values))])
    found, _ = read_confounds(frame, ["s"])
    expected = OneHotEncoder(drop="first", sparse_output=False).fit_transform(frame.to_numpy(dtype=object))
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("kind", ["csv", "tsv", "parquet"])
@pytest.mark.parametrize(
    ("values", "told"),
    [
        (
            [f"{20 + i},5" for i in range(30)],
            "a number with a decimal comma: '20,5'; write numbers with a decimal point",
        ),
        (["0,5", "1,5"] * 15, "a number with a decimal comma"),
        ([*range(29), "30,5"], "text among numbers: '30,5'; write numbers with a decimal point"),
        ([*range(29), "inf"], "subject 's29': not a finite number: 'inf'"),
        ([*range(29), "-Infinity"], "not a finite number: '-inf'"),
        ([f"2020-01-{1 + i:02d}" for i in range(30)], "30 categories of 30 subjects.*of a date, days since the first"),
        ([f"scan {i // 1.5:.0f}" for i in range(30)], "categories of 30 subjects"),
    ],
)
def test_a_confound_never_changes_its_type(tmp_path, kind, values, told):
    frame = pd.DataFrame({"participant_id": [f"s{i}" for i in range(30)], "x": list(map(str, values))})
    path = tmp_path / f"p.{kind}"
    frame.to_parquet(path) if kind == "parquet" else frame.to_csv(path, index=False, sep="," if kind == "csv" else "\t")
    with pytest.raises(InputError, match=f"confound 'x'.*{told}"):
        read_confounds(read_table(path), ["x"])


def test_missing_words_are_no_categories(tmp_path):
    rows = "".join(f"s{i}\t{word}\n" for i, word in enumerate(["a", "NULL", ".", "None", "<NA>", "-", "b", "a", "b"]))
    found, dropped = read_confounds(read_table(write(tmp_path, "participant_id\tx\n" + rows, "p.tsv")), ["x"])
    assert list(found.columns) == ["x=b"]
    assert len(dropped) == 5


def test_bad_confounds(tmp_path, table):
    with pytest.raises(InputError, match=r"confound: no such column: got 'stie'.*did you mean 'site'"):
        read_confounds(table, ["stie"])
    frame = read_table(write(tmp_path, "participant_id,a,b,c,d\n1,1,5,,1\n2,x,5,1,\n"))
    with pytest.raises(InputError, match=r"p\.csv: confound 'a', subject '2': text among numbers: 'x'"):
        read_confounds(frame, ["a"])
    with pytest.raises(InputError, match="confound 'b': constant, every value is '5'"):
        read_confounds(frame, ["b"])
    with pytest.raises(InputError, match=r"no subject has all confounds \['c', 'd'\]"):
        read_confounds(frame, ["c", "d"])


def test_groups(table):
    assert list(read_groups(table, "site")) == ["b", "a", "c", "a"]
    with pytest.raises(InputError, match=r"column 'family': no group for 1 subjects: \['3'\]"):
        read_groups(table, "family")
    with pytest.raises(InputError, match="did you mean 'family'"):
        read_groups(table, "familiy")


def test_sessions_repeat_rows_and_keep_the_person(table):
    both = expand_sessions(table, ["pre", "post"])
    assert list(both.index) == [f"{i}_{s}" for s in ("pre", "post") for i in table.index]
    assert both.loc["010_post", "age"] == 30
    assert read_groups(both, "subject")["010_post"] == "010"
    # A column of such a name is the table's own.
    assert list(expand_sessions(table.assign(subject="me"), ["pre"])["subject"]) == ["me"] * 4

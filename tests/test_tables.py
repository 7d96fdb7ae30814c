"""Region tables: which columns, whose rows, and what is wrong with a file."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from cortax.data.regions import Regions, open_regions, save_regions
from cortax.data.tables import read_region_files, read_regions
from cortax.errors import InputError

HEADER = "Subject ID,lh_a_area,lh_MeanThickness_thickness,lh_a_thickness,rh_a_thickness,eTIV,eTIV"
BASELINE = f"{HEADER}\nsub-20,1,9,2.5,3,7,7\nsub-03,4,9,n/a,6,7,7\n"
OPTIONS = {
    "id_columns": ["Subject ID"],
    "columns": "[lr]h_.*_(area|thickness)",
    "drop": ".*Mean.*",
    "id_prefix": "sub-",
}


def write(folder, text, name="r.csv"):
    (folder / name).write_text(text)
    return folder / name


def test_freesurfer_like_table(tmp_path):
    found = read_regions(write(tmp_path, BASELINE), **OPTIONS)
    assert found.subjects == ("03", "20")
    assert found.columns == ("lh_a_area", "lh_a_thickness", "rh_a_thickness")
    np.testing.assert_array_equal(found.values, np.array([[4, np.nan, 6], [1, 2.5, 3]], np.float32))
    assert found.values.dtype == np.float32


def test_repeated_columns_matter_only_if_they_are_asked_for(tmp_path):
    path = write(tmp_path, BASELINE)
    with pytest.raises(InputError, match=r"r\.csv: columns that occur more than once: \['eTIV'\]"):
        read_regions(path, id_columns=["Subject ID"])
    found = read_regions(path, id_columns=["Subject ID"], columns=["rh_a_thickness", "lh_a_area"])
    assert found.columns == ("lh_a_area", "rh_a_thickness")


def test_sessions_of_other_column_order(tmp_path):
    first = write(tmp_path, BASELINE)
    second = write(tmp_path, "Subject ID,rh_a_thickness,lh_a_thickness,lh_a_area\nsub-20,30,25,10\n", "s.csv")
    found = read_region_files([first, second], sessions=["pre", "post"], **OPTIONS)
    assert found.subjects == ("03_pre", "20_post", "20_pre")
    np.testing.assert_array_equal(found.values[1:], [[10, 25, 30], [1, 2.5, 3]])
    with pytest.raises(InputError, match=r"s\.csv: subject '20' is also in .*r\.csv; name the sessions"):
        read_region_files([first, second], **OPTIONS)
    with pytest.raises(InputError, match="2 region tables for 1 sessions"):
        read_region_files([first, second], sessions=["pre"], **OPTIONS)
    write(tmp_path, "Subject ID,lh_a_thickness,lh_b_area\nsub-20,30,25\n", "s.csv")
    with pytest.raises(InputError, match=r"s\.csv: other regions than .*\['lh_a_area', 'lh_b_area', 'rh_a_th"):
        read_region_files([first, second], sessions=["pre", "post"], **OPTIONS)


@pytest.mark.parametrize("suffix", ["csv", "tsv", "parquet"])
@given(data=st.data())
def test_values_come_back(tmp_path_factory, suffix, data):
    n_subjects, n_columns = data.draw(st.tuples(st.integers(1, 5), st.integers(1, 4)))
    cells = st.floats(-1e6, 1e6, width=32) | st.just(np.nan)
    values = data.draw(
        st.lists(st.lists(cells, min_size=n_columns, max_size=n_columns), min_size=n_subjects, max_size=n_subjects)
    )
    frame = pd.DataFrame(np.array(values, np.float64), columns=[f"r{i}" for i in range(n_columns)])
    frame.insert(0, "participant_id", [f"{i:03d}" for i in range(n_subjects)])
    path = tmp_path_factory.mktemp("table") / f"r.{suffix}"
    shuffled = frame.iloc[::-1]
    if suffix == "parquet":
        shuffled.to_parquet(path)
    else:
        shuffled.to_csv(path, index=False, sep="\t" if suffix == "tsv" else ",", na_rep="n/a")
    found = read_regions(path)
    assert found.subjects == tuple(frame["participant_id"])
    np.testing.assert_array_equal(found.values, np.array(values, np.float32))


@pytest.mark.parametrize(
    ("text", "options", "message"),
    [
        ("participant_id,a\n1,2\n2,x3\n", {}, "column 'a', data row 2: not a number: 'x3'"),
        ("participant_id,a\n1,2\n2,inf\n", {}, "column 'a', data row 2: not a number: 'inf'"),
        ("participant_id,a\n1,2\n", {"columns": "b.*"}, "no region column is left of 2 columns, asked for 'b"),
        ("participant_id,a\n1,2\n", {"columns": ["aa"]}, "no such column: got 'aa'.*did you mean 'a'"),
        ("participant_id,a\n1,2\n", {"columns": "("}, "not a regular expression of columns"),
        ("participant_id,a\n1,2\n", {"id_columns": ["id"]}, "no such identifier column: got 'id'"),
        ("participant_id,a\n1,2\n", {"id_columns": []}, "at least one identifier column"),
        ("participant_id,a\n1,2\n1,2\n", {}, r"identifiers that occur more than once: \['1'\]"),
        ("participant_id,a\n", {}, "no rows"),
    ],
)
def test_bad_tables(tmp_path, text, options, message):
    with pytest.raises(InputError, match=message) as caught:
        read_regions(write(tmp_path, text), **options)
    assert "r.csv" in str(caught.value)


def test_saved_regions_open_the_same(tmp_path):
    values = np.array([[1.5, np.nan], [3, 4]])
    save_regions(tmp_path, values, ["a", "b"], ["x", "y"])
    first = [(tmp_path / name).read_bytes() for name in ("regions.npy", "regions.json")]
    found = open_regions(tmp_path)
    np.testing.assert_array_equal(found.values, values.astype(np.float32))
    assert (found.subjects, found.columns, found.values.flags.writeable) == (("a", "b"), ("x", "y"), False)
    save_regions(tmp_path, values, ["a", "b"], ["x", "y"])
    assert [(tmp_path / name).read_bytes() for name in ("regions.npy", "regions.json")] == first


def test_regions_that_do_not_fit(tmp_path):
    with pytest.raises(InputError, match="not a folder of regions"):
        open_regions(tmp_path)
    with pytest.raises(InputError, match=r"shape \(2, 2\) do not fit 1 subjects x 2 columns"):
        save_regions(tmp_path, np.ones((2, 2)), ["a"], ["x", "y"])
    with pytest.raises(InputError, match=r"a column occurs more than once among the regions: \['x'\]"):
        Regions(np.ones((1, 2), np.float32), ("a",), ("x", "x"))
    save_regions(tmp_path, np.ones((1, 2)), ["a"], ["x", "y"])
    np.save(tmp_path / "regions.npy", np.ones((1, 2)))
    with pytest.raises(InputError, match=r"regions\.npy: float32 is needed, found float64"):
        open_regions(tmp_path)

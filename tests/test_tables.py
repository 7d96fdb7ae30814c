"""Region tables: which columns, whose rows, and what is wrong with a file."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from frames import columns_of_every_type
from hypothesis import given, settings
from hypothesis import strategies as st

from cortax.brain.data.tables import leave_out_incomplete, read_region_files, read_regions
from cortax.errors import InputError, ProjectError
from cortax.learning.regions import RegionTable, open_regions, save_regions
from cortax.workloads.network.expression import read_expression
from cortax.workloads.regions.suspicions import suspicious_columns

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
    with pytest.raises(ProjectError, match=r"regions\.npy: missing or damaged"):
        open_regions(tmp_path)
    with pytest.raises(InputError, match=r"shape \(2, 2\) do not fit 1 subjects x 2 columns"):
        save_regions(tmp_path, np.ones((2, 2)), ["a"], ["x", "y"])
    with pytest.raises(InputError, match=r"a column occurs more than once among the regions: \['x'\]"):
        RegionTable(np.ones((1, 2), np.float32), ("a",), ("x", "x"))
    save_regions(tmp_path, np.ones((1, 2)), ["a"], ["x", "y"])
    np.save(tmp_path / "regions.npy", np.ones((1, 2)))
    with pytest.raises(InputError, match=r"regions\.npy: float32 is needed, found float64"):
        open_regions(tmp_path)


@given(
    gaps=st.lists(st.lists(st.booleans(), min_size=4, max_size=4), min_size=1, max_size=6),
    share=st.sampled_from([0.0, 0.25, 0.5, 0.9]),
)
def test_who_lacks_too_many_regions_is_left_out_with_a_reason(gaps, share):
    lacking = np.array(gaps)
    subjects = tuple(f"s{i}" for i in range(len(gaps)))
    table = RegionTable(np.where(lacking, np.nan, 1.0).astype(np.float32), subjects, tuple("abcd"))
    bad = lacking.mean(axis=1) > share
    if bad.all():
        with pytest.raises(InputError, match=r"no subject has enough regions \(max_missing = "):
            leave_out_incomplete(table, share)
        return
    kept, dropped = leave_out_incomplete(table, share)
    assert kept.subjects == tuple(s for s, gone in zip(subjects, bad, strict=True) if not gone)
    np.testing.assert_array_equal(kept.values, table.values[~bad])
    expected = [
        f"regions: {n} of 4 regions are missing, at most {share:.4g} of them may be" for n in lacking.sum(axis=1)
    ]
    assert [d.reason for d in dropped] == [r for r, gone in zip(expected, bad, strict=True) if gone]


def test_columns_that_are_hardly_regions_are_told(tmp_path):
    rng = np.random.default_rng(0)
    n = 40
    columns = {f"lh_region{i}_thickness": rng.normal(2.5, 0.2, n) for i in range(5)}
    columns |= {"lh_TIVoli_volume": rng.normal(size=n), "vertices": rng.integers(300, 400, n)}
    assert suspicious_columns(as_table(columns), as_targets(n)) == []
    for name in (
        "eTIV",
        "EstimatedTotalIntraCranialVol",
        "BrainSegVolNotVent",
        "lh_MeanThickness_thickness",
        "ICV",
        "TIV_mm3",
    ):
        (told,) = suspicious_columns(as_table({**columns, name: rng.normal(size=n)}), as_targets(n))
        assert name in told
        assert "whole brain" in told
    for rows in (np.arange(n), np.arange(n)[::-1] + 1, np.tile(np.arange(20), 2)):
        (told,) = suspicious_columns(as_table({**columns, "Unnamed: 0": rows}), as_targets(n))
        assert told == "columns ['Unnamed: 0']: numbers of rows"
    (told,) = suspicious_columns(as_table({**columns, "copy": 3 * as_targets(n)["score"] + 1}), as_targets(n))
    assert "'copy' is a monotone copy" in told


def as_table(columns):
    values = np.column_stack([np.asarray(v, np.float32) for v in columns.values()])
    return RegionTable(values, tuple(f"s{i:02d}" for i in range(len(values))), tuple(columns))


def as_targets(n):
    return pd.DataFrame({"score": np.random.default_rng(1).normal(size=n)}, index=[f"s{i:02d}" for i in range(n)])


def test_tables_of_two_hemispheres_stand_side_by_side(tmp_path):
    for hemi, ids in (("lh", range(4)), ("rh", (3, 1, 2, 4))):
        rows = "".join(f"s{i}\t{i}.5\t7\n" for i in ids)
        write(tmp_path, f"{hemi}.aparc.thickness\t{hemi}_bankssts_thickness\teTIV\n{rows}", f"{hemi}.txt")
    both = [tmp_path / "lh.txt", tmp_path / "rh.txt"]
    found = read_region_files(both, id_columns=["lh.aparc.thickness"], columns="[lr]h_.*")
    assert found.subjects == ("s0", "s1", "s2", "s3", "s4")
    assert found.columns == ("lh_bankssts_thickness", "rh_bankssts_thickness")
    np.testing.assert_array_equal(found.values, [[0.5, np.nan], [1.5, 1.5], [2.5, 2.5], [3.5, 3.5], [np.nan, 4.5]])
    write(tmp_path, "rh.aparc.thickness\trh_bankssts_thickness\nt1\t1\nt2\t2\n", "rh.txt")
    with pytest.raises(InputError, match=r"rh\.txt: other regions than .*lh\.txt"):
        read_region_files(both, id_columns=["lh.aparc.thickness"], columns="[lr]h_.*")


def test_codes_in_a_region_table_are_told():
    column = np.r_[np.full(3, -999.0), np.linspace(2, 3, 37)]
    (told,) = suspicious_columns(as_table({"lh_a": column, "lh_b": np.linspace(-3, 999, 40)}), as_targets(40))
    assert told.startswith("columns ['lh_a']: (-9, -99, -999, -9999) among values")


@settings(max_examples=60)
@given(data=st.data(), n=st.integers(0, 4), index=st.booleans())
def test_a_table_of_any_type_is_read_or_refused_in_words(tmp_path_factory, data, n, index):
    """By every reader of matrices: as numbers that are finite or missing, or by an error of cortax."""
    frame = pd.DataFrame({"id": [f"s{i}" for i in range(n)]})
    for name in ("x", "y"):
        frame[name] = data.draw(columns_of_every_type(n))
    path = tmp_path_factory.mktemp("t") / "t.parquet"
    (frame.set_index("id") if index else frame).to_parquet(path)
    found = told(lambda: read_regions(path, id_columns=["id"]))
    if isinstance(found, str):
        assert "not a number" in found or (n == 0 and "no rows" in found)
    else:
        assert found.subjects == tuple(frame["id"])
        assert not np.isinf(found.values).any()
    matrix = told(lambda: read_expression(path, names_in="id"))
    if isinstance(matrix, str):
        assert "t.parquet" in matrix
    else:
        assert np.isfinite(matrix.values).all()
        assert matrix.samples == tuple(frame["id"])


def told(read):
    try:
        return read()
    except InputError as error:
        return str(error)

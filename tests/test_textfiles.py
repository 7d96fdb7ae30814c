"""One reader of tables: what a quotation mark means, what is missing, and every type, index and emptiness."""

from __future__ import annotations

import io

import numpy as np
import pandas as pd
import pytest
from frames import CELLS, columns_of_every_type
from hypothesis import given
from hypothesis import strategies as st

from cortax.data.files import reading_once
from cortax.data.textfiles import MISSING, column_names, read_columns, read_rows
from cortax.errors import InputError
from cortax.provenance.files import file_digest
from cortax.workloads.network.truth import read_gold_standard


def write(folder, text, name="t.tsv"):
    (folder / name).write_bytes(text if isinstance(text, bytes) else text.encode())
    return folder / name


@given(st.lists(CELLS, min_size=1, max_size=8))
def test_a_note_in_a_tsv_never_moves_a_row(tmp_path_factory, notes):
    rows = [f"s{i}\t{note}\t{i}" for i, note in enumerate(notes)]
    path = write(tmp_path_factory.mktemp("t"), "\n".join(["participant_id\tnote\tscore", *rows]) + "\n")
    found = read_columns(path, ["participant_id"])
    assert list(found["participant_id"]) == [f"s{i}" for i in range(len(notes))]
    assert list(found["score"]) == list(range(len(notes)))


@given(st.lists(CELLS, min_size=1, max_size=8))
def test_what_pandas_quotes_comes_back(tmp_path_factory, notes):
    folder = tmp_path_factory.mktemp("t")
    frame = pd.DataFrame(
        {"participant_id": [f"s{i}" for i in range(len(notes))], "note": notes, "x": range(len(notes))}
    )
    frame["note"] = "_" + frame["note"].str.strip() + "_"  # neither a number nor missing
    for name, separator in (("t.csv", ","), ("t.tsv", "\t")):
        frame.to_csv(folder / name, sep=separator, index=False)
        found = read_columns(folder / name, ["participant_id"])
        assert list(found["note"]) == list(frame["note"]), name
        assert list(found["x"]) == list(frame["x"]), name


@pytest.mark.parametrize("name", ["t.tsv", "t.csv", "t.txt"])
@pytest.mark.parametrize("note", ['"unsure about the date', '"two\nlines"', '"one\r\n\r\nempty"'])
def test_a_cell_with_a_line_break_or_an_open_mark_is_told(tmp_path, name, note):
    separator = "," if name.endswith("csv") else "\t"
    rows = [["id", "note", "x"], ["a", note, "1"], ["b", "6'2\"", "2"]]
    path = write(tmp_path, "\n".join(separator.join(row) for row in rows), name)
    if "\n" in note or name == "t.csv":
        with pytest.raises(InputError, match=r"line 2"):
            read_columns(path, ["id"])
    else:
        assert list(read_columns(path, ["id"])["note"]) == [note, "6'2\""]


def test_rows_of_a_list_of_links_follow_the_same_rules(tmp_path):
    path = write(tmp_path, '\ufeffa\t"b\n"c"\td\ne\t5"\n')
    assert read_rows(path) == [(1, ["a", '"b']), (2, ["c", "d"]), (3, ["e", '5"'])]
    assert read_gold_standard(path).links == {("a", '"b'), ("c", "d"), ("e", '5"')}


@pytest.mark.parametrize("word", sorted(MISSING))
@pytest.mark.parametrize("kind", ["csv", "tsv", "parquet"])
def test_one_list_of_missing_words(tmp_path, word, kind):
    for spelt in (word, word.upper(), f" {word} "):
        frame = pd.DataFrame({"id": list("abc"), "x": ["1.5", spelt, "2"], "s": ["one", "two", spelt]})
        path = tmp_path / f"t.{kind}"
        frame.to_parquet(path) if kind == "parquet" else frame.to_csv(
            path, index=False, sep="," if kind == "csv" else "\t"
        )
        found = read_columns(path, ["id"])
        np.testing.assert_array_equal(found["x"].to_numpy(float), [1.5, np.nan, 2])
        assert list(found["s"].isna()) == [False, False, True]


@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_codes_of_a_study(tmp_path, kind):
    frame = pd.DataFrame(
        {"id": ["-999", "b", "c"], "x": [1.5, -999, 2], "s": ["refused", "-999", "one"], "n": [1, 2, -999]}
    )
    path = tmp_path / f"t.{kind}"
    frame.to_parquet(path) if kind == "parquet" else frame.to_csv(path, index=False)
    found = read_columns(path, ["id"], missing=[-999, "refused"])
    assert list(found["id"]) == ["-999", "b", "c"]
    np.testing.assert_array_equal(found["x"], [1.5, np.nan, 2])
    np.testing.assert_array_equal(found["n"], [1, 2, np.nan])
    assert list(found["s"].isna()) == [True, True, False]


def test_byte_order_marks_are_read_over_wherever_they_stand(tmp_path):
    path = write(tmp_path, "\ufeffid\tx\n\ufeffa\t1\nb\t\ufeff2\n")
    assert read_columns(path, ["id"]).to_dict("list") == {"id": ["a", "b"], "x": [1, 2]}
    pd.DataFrame({"\ufeffid": ["a"], " x ": [1]}).to_parquet(tmp_path / "t.parquet")
    assert read_columns(tmp_path / "t.parquet", ["id"]).to_dict("list") == {"id": ["a"], "x": [1]}


def test_lines_and_columns_of_nothing_are_read_over(tmp_path):
    path = write(tmp_path, "\nid,x,,\na,1,,\n,,,\n\nb,2,,\n,,,\n", "t.csv")
    assert column_names(path) == ("id", "x")
    assert read_columns(path, ["id"]).to_dict("list") == {"id": ["a", "b"], "x": [1, 2]}
    with pytest.raises(InputError, match=r"line 3: a cell at its end is below no name: '5'"):
        read_columns(write(tmp_path, "id,x,\na,1,\nb,2,5\n", "t.csv"), ["id"])


@pytest.mark.parametrize(("text", "name", "told"), [
    ("id;x\na;1\n", "t.csv", r"apart by ','; these look apart by ';'"),
    ("id,x\na,1\n", "t.tsv", r"apart by a tab; these look apart by ','"),
    ("id\tx\na\t1\n".encode("utf-16"), "t.tsv", "UTF-16, save it as UTF-8"),
])  # fmt: skip
def test_other_formats_are_named(tmp_path, text, name, told):
    with pytest.raises(InputError, match=told):
        read_columns(write(tmp_path, text, name), ["id"])


@given(data=st.data(), n=st.integers(0, 5), index=st.sampled_from(["column", "index", "both", "unnamed", "reversed"]))
def test_every_type_index_and_emptiness_reads_as_its_text_does(tmp_path_factory, data, n, index):
    folder = tmp_path_factory.mktemp("t")
    frame = pd.DataFrame({"id": [f"s{i}" for i in range(n)]})
    for name in ("x", "x.y"):
        frame[name] = data.draw(columns_of_every_type(n))
    stored = {
        "column": frame,
        "index": frame.set_index("id"),
        "both": frame.set_index(["id", "x"]),
        "unnamed": frame.set_axis([f"row{i}" for i in range(n)], axis=0),
        "reversed": frame[frame.columns[::-1]],
    }[index]
    stored.to_parquet(folder / "t.parquet")
    if n == 0:
        with pytest.raises(InputError, match="no rows"):
            read_columns(folder / "t.parquet", ["id"])
        return
    found = read_columns(folder / "t.parquet", ["id"])
    assert sorted(found.columns) == ["id", "x", "x.y"]
    assert list(found["id"]) == list(frame["id"])
    for name in ("x", "x.y"):
        column = found[name]
        numeric = pd.api.types.is_numeric_dtype(column)
        assert numeric or all(isinstance(v, str | bool) for v in column.dropna())
        text = io.StringIO()
        frame[["id", name]].to_csv(text, sep="\t", index=False)
        if '"' not in text.getvalue():
            again = read_columns(write(folder, text.getvalue()), ["id"])[name]
            assert list(again.isna()) == list(column.isna())
            if numeric:
                np.testing.assert_allclose(again.to_numpy(float), column.to_numpy(float), rtol=1e-6, atol=1e-30)


@pytest.mark.parametrize("ending", ["csv", "tsv", "parquet"])
def test_what_was_parsed_is_what_is_digested(tmp_path, ending):
    """A table that is another one while it is read, and the old one again when its digest is taken."""
    path, frame = tmp_path / f"t.{ending}", pd.DataFrame({"id": ["a"], "x": [1.0]})

    def put(x):
        made = frame.assign(x=x)
        made.to_parquet(path) if ending == "parquet" else made.to_csv(path, sep="\t" if ending == "tsv" else ",")
        return file_digest(path)

    other, expected = put(2.0), put(1.0)
    with reading_once() as digest_of:
        put(2.0)
        assert column_names(path)[-1] == "x"
        put(1.0)
        assert read_columns(path, ["id"])["x"].tolist() == [2.0]
        assert digest_of(path) == other != expected
    with reading_once() as digest_of:
        assert digest_of(path) == expected  # nothing was parsed: what it holds now


@pytest.mark.parametrize("ending", ["csv", "parquet"])
def test_a_table_of_very_many_columns(tmp_path, ending):
    """As fine connectivity has them; where columns are looked for in lists, this takes minutes."""
    n = 8_000
    frame = pd.DataFrame(np.arange(3 * n).reshape(3, n) / 4, columns=[f"r{i}" for i in range(n)])
    frame.insert(7, "id", ["a", "b", "c"])
    frame.to_parquet(tmp_path / "t.parquet") if ending == "parquet" else frame.to_csv(tmp_path / "t.csv", index=False)
    found = read_columns(tmp_path / f"t.{ending}", ["id"], missing=[-999])
    pd.testing.assert_frame_equal(found.reset_index(drop=True), frame)

"""Expression matrices: every format gives the same matrix, and what is wrong with a file is said."""

import anndata
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import sparse

from cortax.errors import InputError
from cortax.workloads.network.expression import read_expression

VALUES = np.array([[1.5, 0.0, -3.0], [2.0, 0.0, 1e-9], [7.0, 0.0, 1e5], [0.1, 0.0, 2.0]])
GENES, SAMPLES = ("TP53", "CD4", "p44/42"), ("s1", "s2", "s3", "10")


def write(folder, text, name="e.tsv"):
    (folder / name).write_text(text)
    return folder / name


def frame():
    return pd.DataFrame(VALUES, index=pd.Index(SAMPLES, name="sample"), columns=list(GENES))


def is_whole(found):
    np.testing.assert_array_equal(found.values, VALUES)
    assert found.values.dtype == np.float64
    assert (found.genes, found.samples) == (GENES, SAMPLES)
    assert found.constant() == ("CD4",)


@pytest.mark.parametrize("suffix", ["csv", "tsv", "txt", "parquet"])
def test_tables_both_ways_round(tmp_path, suffix):
    for table, genes_in, names_in in ((frame(), "columns", "sample"), (frame().T, "rows", None)):
        path = tmp_path / f"{genes_in}.{suffix}"
        out = table.rename_axis(index="sample" if genes_in == "columns" else "gene").reset_index()
        out.columns = out.columns.astype(str)
        if suffix == "parquet":
            out.to_parquet(path)
        else:
            out.to_csv(path, sep="," if suffix == "csv" else "\t", index=False)
        is_whole(read_expression(path, genes_in=genes_in, names_in=names_in))


def test_a_first_column_without_a_header_names_the_samples(tmp_path):
    frame().rename_axis(index=None).to_csv(tmp_path / "e.csv")
    is_whole(read_expression(tmp_path / "e.csv"))


def test_samples_without_names_are_numbered(tmp_path):
    frame().to_csv(tmp_path / "e.tsv", sep="\t", index=False)
    assert read_expression(tmp_path / "e.tsv").samples == ("1", "2", "3", "4")


def write_anndata(path, matrix):
    # anndata does not write pandas' newer strings unless it is told to.
    obs, var = (pd.DataFrame(index=pd.Index(names, dtype=object)) for names in (SAMPLES, GENES))
    anndata.AnnData(matrix, obs=obs, var=var).write_h5ad(path)
    return path


@pytest.mark.parametrize("matrix", [np.asarray, sparse.csr_matrix, lambda values: sparse.csc_array(values)])
def test_anndata(tmp_path, matrix):
    is_whole(read_expression(write_anndata(tmp_path / "e.h5ad", matrix(VALUES))))


@settings(max_examples=25)
@given(values=st.lists(st.tuples(*[st.floats(-1e300, 1e300)] * 2), min_size=3, max_size=6))
def test_every_digit_comes_back(tmp_path_factory, values):
    path = tmp_path_factory.mktemp("e") / "e.tsv"
    pd.DataFrame(values, columns=["a", "b"]).to_csv(path, sep="\t", index=False)
    np.testing.assert_array_equal(read_expression(path).values, np.array(values))


@pytest.mark.parametrize(
    ("text", "options", "message"),
    [
        ("a\tb\n1\t2\n3\t4\n", {}, "2 samples of 2 genes; at least 3 samples are needed"),
        ("a\tb\ta\n1\t2\t3\n", {}, r"columns that occur more than once: \['a'\]"),
        ("g\ts1\ts2\nx\t1\t2\nx\t3\t4\n", {"genes_in": "rows"}, r"identifiers that occur more than once: \['x'\]"),
        ("a\tb\n1\t2\n3\tlow\n5\t6\n", {}, "column 'b', data row 2: not a finite number: 'low'$"),
        ("s\ta\nx\t2\ny\t3\nz\t6\n", {}, r"column 's', data row 1: .*if it names the rows, say so \(names_in\)"),
        ("a\tb\n1\t2\n3\tinf\n5\t6\n", {}, "column 'b', data row 2: not a finite number: 'inf'"),
        ("a\tb\n1\t2\n\t4\n5\tNA\n", {}, "2 values are missing, the first in column 'a', data row 2"),
        ("a\tb\n1\t2\n3\n", {}, "line 3 has 1 cells, the header has 2"),
        ("s\nx\ny\nz\n", {"names_in": "s"}, "no column of numbers"),
        ("a\tb\n1\t2\n", {"names_in": "c"}, "no such identifier column: got 'c'"),
        ("a\tb\n1\t2\n", {"genes_in": "row"}, "genes_in: got 'row', must be one of .*did you mean 'rows'"),
        ("a\t\tb\n1\t2\t3\n3\t4\t5\n5\t6\t7\n", {}, r"one of the genes has no name \(number 2\)"),
    ],
)
def test_what_is_wrong_with_a_table(tmp_path, text, options, message):
    with pytest.raises(InputError, match=message):
        read_expression(write(tmp_path, text), **options)


def test_what_is_wrong_with_anndata(tmp_path):
    bad = VALUES.copy()
    bad[2, 1] = np.nan
    write_anndata(tmp_path / "e.h5ad", bad)
    with pytest.raises(
        InputError, match=r"e\.h5ad: 1 values are NaN or infinite, the first of gene 'CD4' in sample 's3'"
    ):
        read_expression(tmp_path / "e.h5ad")
    with pytest.raises(InputError, match=r"cut\.h5ad: not a readable AnnData file"):
        read_expression(write(tmp_path, "no HDF5", "cut.h5ad"))
    with pytest.raises(InputError, match=r"none\.h5ad: missing file"):
        read_expression(tmp_path / "none.h5ad")

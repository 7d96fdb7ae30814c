"""Connectivity matrices as regions, and region tables of CIFTI parcels: right edges of the right people."""

from __future__ import annotations

from pathlib import Path

import nibabel as nib
import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from nibabel.cifti2 import ParcelsAxis, ScalarAxis, SeriesAxis
from nilearn.connectome import ConnectivityMeasure, sym_matrix_to_vec

from cortax.brain.data.connectivity import EdgeRules, count_edges, edge_names, read_connectivity
from cortax.brain.data.map_files import find_maps
from cortax.brain.data.matrices import read_matrix
from cortax.brain.data.name_lists import SubjectList
from cortax.brain.data.tables import read_region_files, read_regions
from cortax.data.files import DamagedFileError
from cortax.errors import InputError
from cortax.provenance import file_digest
from cortax.workflow.workload import Planning, read_study
from cortax.workloads.regions.plan.plan import regions_jobs

LABELS = ("V1", "V2", "M1", "A1")


def correlations(n_subjects: int = 3, n_regions: int = 4) -> np.ndarray:
    rng = np.random.default_rng(0)
    series = [rng.normal(size=(50, n_regions)) for _ in range(n_subjects)]
    return ConnectivityMeasure(kind="correlation").fit_transform(series).astype(np.float64)


def parcels_axis(names) -> ParcelsAxis:
    n = len(names)
    vertices = [{"CIFTI_STRUCTURE_CORTEX_LEFT": np.array([i])} for i in range(n)]
    voxels = [np.empty((0, 3), int)] * n
    return ParcelsAxis(list(names), voxels, vertices, np.eye(4), (2, 2, 2), {"CIFTI_STRUCTURE_CORTEX_LEFT": n})


def write_pconn(path: Path, matrix: np.ndarray, names=LABELS, others=None) -> None:
    nib.Cifti2Image(matrix, (parcels_axis(names), parcels_axis(others or names))).to_filename(path)


def write_pscalar(path: Path, data: np.ndarray, subjects=None, names=LABELS) -> None:
    axis = SeriesAxis(0, 1, len(data)) if subjects is None else ScalarAxis(list(subjects))
    nib.Cifti2Image(data, (axis, parcels_axis(names))).to_filename(path)


def write(folder: Path, ending: str, matrices: np.ndarray, labels=LABELS) -> None:
    """A file a subject, as numpy, pandas, R and Workbench write it."""
    for subject, matrix in zip("abcdefg", matrices, strict=False):
        path, table = folder / f"sub-{subject}.{ending.split('+')[0]}", pd.DataFrame(matrix, labels, labels)
        match ending:
            case "npy":
                np.save(path, matrix)
            case "csv" | "tsv":
                table.to_csv(path, sep="," if ending == "csv" else "\t")
            case "csv+header":
                table.to_csv(path, index=False)
            case "tsv+bare":
                table.to_csv(path, sep="\t", index=False, header=False)
            case "csv+ragged":
                path.write_text(table.to_csv().removeprefix(","))
            case "pconn.nii":
                write_pconn(path, matrix, labels)


def read(folder: Path, ending: str, transform="none", labels=None, subjects=None, **rules):
    pattern = f"sub-{{participant_id}}.{ending.split('+')[0]}"
    files = find_maps(folder, {"m": "all.npy" if subjects else pattern}, subjects=subjects)
    return read_connectivity(files, EdgeRules(transform, **rules), labels=labels)


ENDINGS = ["npy", "csv", "tsv", "csv+header", "tsv+bare", "csv+ragged", "pconn.nii"]


@pytest.mark.parametrize("ending", ENDINGS)
@pytest.mark.parametrize("transform", ["none", "fisher-z"])
def test_edges_are_nilearns(tmp_path, ending, transform):
    matrices = correlations()
    write(tmp_path, ending, matrices)
    bare = ending in ("npy", "tsv+bare")
    found = read(tmp_path, ending, transform, LABELS if bare else None).table
    expected = sym_matrix_to_vec(matrices, discard_diagonal=True)
    expected = np.arctanh(expected) if transform == "fisher-z" else expected
    np.testing.assert_allclose(found.values, expected, rtol=1e-6)
    assert found.subjects == ("a", "b", "c")
    assert found.columns == ("V1~V2", "V1~M1", "V2~M1", "V1~A1", "V2~A1", "M1~A1")
    assert count_edges(find_maps(tmp_path, {"m": f"sub-{{participant_id}}.{ending.split('+')[0]}"})) == 6


def test_one_array_of_everybody_and_numbers_for_names(tmp_path):
    matrices = correlations()
    np.save(tmp_path / "all.npy", matrices)
    found = read(tmp_path, "npy", subjects=SubjectList("list.txt", ("c", "a", "b"))).table
    assert found.subjects == ("a", "b", "c")
    assert found.columns[:3] == ("1~2", "1~3", "2~3")
    expected = sym_matrix_to_vec(matrices, discard_diagonal=True)[[1, 2, 0]]
    np.testing.assert_array_equal(found.values, expected.astype(np.float32))
    np.save(tmp_path / "all.npy", matrices[:, :3])
    with pytest.raises(InputError, match=r"\(n_subjects, n_regions, n_regions\) is needed, a row has \(3, 4\)"):
        read(tmp_path, "npy", subjects=SubjectList("list.txt", ("c", "a", "b")))


@settings(max_examples=25, deadline=None)
@given(order=st.permutations(range(4)), ending=st.sampled_from(["csv", "pconn.nii"]))
def test_another_order_of_labels_is_put_right(tmp_path_factory, order, ending):
    folder = tmp_path_factory.mktemp("order")
    matrices = correlations()
    write(folder, ending, matrices)
    before = read(folder, ending).table
    turned = matrices[1][np.ix_(order, order)]
    path, names = folder / f"sub-b.{ending}", [LABELS[i] for i in order]
    if ending == "csv":
        pd.DataFrame(turned, names, names).to_csv(path)
    else:
        write_pconn(path, turned, names)
    after = read(folder, ending).table
    np.testing.assert_array_equal(after.values, before.values)
    assert after.columns == before.columns
    assert read(folder, ending, labels=LABELS[::-1]).table.columns == tuple(edge_names(LABELS[::-1]))


def harmed(folder: Path, matrix: np.ndarray, ending="csv", labels=LABELS) -> None:
    write(folder, ending, correlations())
    path = folder / f"sub-b.{ending}"
    if ending == "csv":
        pd.DataFrame(matrix, labels, labels).to_csv(path)
    else:
        np.save(path, matrix)


def changed(i: int, j: int, value: float, *, both: bool = True) -> np.ndarray:
    matrix = correlations()[1]
    matrix[i, j] = value
    matrix[j, i] = value if both else matrix[j, i]
    return matrix


@pytest.mark.parametrize(
    ("matrix", "transform", "message"),
    [
        (changed(0, 2, 0.9, both=False), "none", r"sub-b.csv: subject 'b': not symmetric: V1~M1 is 0.9, M1~V1 is"),
        (changed(0, 2, np.nan, both=False), "none", r"not symmetric: V1~M1 is nan, .* \(1 of 6 pairs\)"),
        (changed(1, 3, 1.0), "fisher-z", r"subject 'b': V2~A1 is 1, whose Fisher z is infinite \(1 of 6 pairs\)"),
        (changed(1, 3, -1.0), "fisher-z", "V2~A1 is -1, whose Fisher z is infinite"),
        (changed(1, 3, 1.5), "fisher-z", "V2~A1 is 1.5, which is no correlation"),
    ],
)
def test_matrices_that_cannot_be(tmp_path, matrix, transform, message):
    harmed(tmp_path, matrix)
    with pytest.raises(InputError, match=message):
        read(tmp_path, "csv", transform)


def test_the_diagonal_and_rounding_do_not_count(tmp_path):
    matrix = correlations()[1]
    np.fill_diagonal(matrix, np.nan)
    matrix[0, 1] *= 1 + 1e-6
    harmed(tmp_path, matrix)
    found = read(tmp_path, "csv", "fisher-z").table
    np.testing.assert_allclose(found.values[1], np.arctanh(sym_matrix_to_vec(matrix, discard_diagonal=True)), rtol=1e-5)


def test_other_regions_are_refused(tmp_path):
    matrix = correlations()[1]
    harmed(tmp_path, matrix, labels=("V1", "V2", "M1", "S1"))
    with pytest.raises(InputError, match=r"subject 'b': other regions than sub-a.csv: \['A1', 'S1'\] \(2 in only one"):
        read(tmp_path, "csv")
    (tmp_path / "sub-b.csv").write_text("\n".join(",".join(map(str, row)) for row in matrix))
    with pytest.raises(
        InputError, match=r"subject 'b': has no labels, sub-a.csv has: their regions cannot be compared"
    ):
        read(tmp_path, "csv")
    harmed(tmp_path, matrix[:3, :3], "npy")
    with pytest.raises(InputError, match=r"subject 'b': 3 regions, but 4 in sub-a.npy"):
        read(tmp_path, "npy")
    with pytest.raises(InputError, match=r"subject 'a': 4 regions, but 2 in labels"):
        read(tmp_path, "npy", labels=("x", "y"))


def test_damaged_matrices_are_left_out_with_their_reason(tmp_path):
    matrices = correlations(5)
    matrices[1, 0, 1] = matrices[1, 1, 0] = np.inf
    matrices[2, 0, :] = matrices[2, :, 0] = np.nan
    matrices[3, :3, :] = matrices[3, :, :3] = np.nan
    write(tmp_path, "npy", matrices)
    (tmp_path / "sub-e.npy").write_bytes(b"\x93NUMPY")
    found = read(tmp_path, "npy")
    assert found.table.subjects == ("a", "c")
    np.testing.assert_array_equal(np.isnan(found.table.values[1]), [True, True, False, True, False, False])
    reasons = {drop.participant_id: drop.reason for drop in found.dropped}
    assert reasons["b"] == "matrix: 1 of 6 edges are infinite"
    assert reasons["d"] == "matrix: 6 of 6 edges are missing, at most 0.5 of them may be"
    assert reasons["e"].startswith("not a readable numpy array")
    with pytest.raises(InputError, match=r"sub-b.npy: subject 'b': matrix: 1 of 6 edges are infinite"):
        read(tmp_path, "npy", damaged="error")
    for subject in "ac":
        (tmp_path / f"sub-{subject}.npy").unlink()
    with pytest.raises(InputError, match=r"every subject was dropped: "):
        read(tmp_path, "npy")


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        (
            "a.csv",
            "1,0.5\n0.5\n",
            "line 2 has 1 cells; the lines of a matrix must have as many|labels in its first line",
        ),
        ("a.csv", ",a,b\na,1,x\nb,0.2,1\n", "line 2, cell 3: not a number: 'x'"),
        ("a.csv", ",a,b\na,1,0.2\nc,0.2,1\n", "line 3: its label is 'c', that of the column is 'b'"),
        ("a.csv", ",a,a\na,1,0.2\na,0.2,1\n", r"labels that come more than once: \['a'\]"),
        ("a.csv", ",0.1,0.2\n0.1,1,0.3\n0.2,0.3,1\n", "line 1: '0.1' is no label; is a number missing"),
        ("a.csv", "1,2,3\n4,5,6\n", r"not a square matrix"),
        ("a.csv", "1\n", "must have as many|two regions or more"),
        ("a.csv", ",a,b\na,1,0.2\nb,0.2\n", "line 3 has 2 cells"),
        ("a.mat", "x", r"a matrix must be .npy, .csv, .tsv, .txt or .pconn.nii"),
        ("a.npy", "x", "not a readable numpy array"),
    ],
)
def test_text_that_is_no_matrix(tmp_path, name, text, message):
    (tmp_path / name).write_text(text)
    with pytest.raises(InputError, match=message):
        read_matrix(tmp_path / name)


def test_numbers_as_labels_and_missing_words(tmp_path):
    path = tmp_path / "a.csv"
    matrix = correlations()[0]
    pd.DataFrame(matrix).to_csv(path)
    assert read_matrix(path).labels == ("0", "1", "2", "3")
    np.testing.assert_allclose(read_matrix(path).values, matrix)
    path.write_text("n/a,0.5\n0.5,n/a\n")
    assert read_matrix(path).labels is None
    np.testing.assert_array_equal(read_matrix(path).values, [[np.nan, 0.5], [0.5, np.nan]])


def test_hostile_matrices_of_parcels(tmp_path):
    path = tmp_path / "a.pconn.nii"
    write_pconn(path, correlations()[0], others=LABELS[::-1])
    with pytest.raises(InputError, match="other parcels in its rows than in its columns, or in another order"):
        read_matrix(path)
    write_pconn(path, correlations()[0], names=("a", "a", "b", "c"))
    with pytest.raises(InputError, match=r"more than one parcel of the names \['a'\]"):
        read_matrix(path)
    write_pscalar(path, correlations()[0], subjects="abcd")
    with pytest.raises(InputError, match=r"a matrix of parcels by parcels is needed"):
        read_matrix(path)
    write_pconn(path, correlations()[0])
    data = path.read_bytes()
    path.write_bytes(data[:-8])
    with pytest.raises(DamagedFileError, match="cut short, or its header lies"):
        read_matrix(path)
    path.write_bytes(data.replace(b"<Name>V1</Name>", b"<Nome>V1</Nome>").replace(b'Name="V1"', b'Nome="V1"'))
    with pytest.raises(InputError):
        read_matrix(path)


STUDY = """
name = "s"
title = "S"
[tables.parcels]
files = ["g.ptseries.nii"]
subjects = "list.txt"
[connectivity.rest]
root = "."
matrices = "sub-{participant_id}.npy"
labels = "labels.txt"
[phenotypes]
file = "p.tsv"
[targets.y]
kind = "regression"
[pipelines.ridge]
kind = "ridge"
"""


def test_what_a_job_is_asked_for_holds_lists_labels_and_bytes(tmp_path):
    write(tmp_path, "npy", correlations())
    write_pscalar(tmp_path / "g.ptseries.nii", np.ones((3, 4)))
    texts = {"list.txt": "a\nb\nc\n", "labels.txt": "V1\nV2\nM1\nA1\n", "s.toml": STUDY}
    texts["p.tsv"] = "participant_id\ty\na\t1\nb\t2\n"
    for name, text in texts.items():
        (tmp_path / name).write_text(text)

    def options():
        jobs = regions_jobs(read_study(tmp_path / "s.toml"), Planning(tmp_path, file_digest))
        return {job.method: job.options for job in jobs if job.method in ("table", "connectivity")}

    before = options()
    assert before["connectivity"]["leave_out"] == ["c"]
    (tmp_path / "list.txt").write_text("b\na\nc\n")
    after = options()
    assert after["table"] != before["table"]
    assert after["connectivity"] == before["connectivity"]
    (tmp_path / "labels.txt").write_text("V1\nV2\nA1\nM1\n")
    assert options()["connectivity"] != after["connectivity"]
    (tmp_path / "labels.txt").write_text(texts["labels.txt"])
    np.save(tmp_path / "sub-c.npy", np.eye(4))
    assert options() == after  # nobody's who is not in the study
    np.save(tmp_path / "sub-a.npy", np.eye(4))
    assert options()["connectivity"] != after["connectivity"]


def test_parcels_are_columns_and_scalars_subjects(tmp_path):
    values = np.random.default_rng(0).normal(size=(3, 4)).astype(np.float32)
    path = tmp_path / "group.pscalar.nii"
    write_pscalar(path, values, ["sub-c", "sub-a", "sub-b"])
    found = read_regions(path, subjects=SubjectList(prefix="sub-"))
    assert (found.subjects, found.columns) == (("a", "b", "c"), LABELS)
    np.testing.assert_array_equal(found.values, values[[1, 2, 0]])
    assert read_regions(path, columns="V.", drop=["V2"]).columns == ("V1",)
    with pytest.raises(InputError, match=r"row 1 is 'c' by the file, but 'a' by l.txt"):
        read_regions(path, subjects=SubjectList("l.txt", ("a", "c", "b"), "sub-"))
    series = tmp_path / "group.ptseries.nii"
    write_pscalar(series, values)
    with pytest.raises(InputError, match=r"does not say who its 3 rows are"):
        read_regions(series)
    listed = SubjectList("l.txt", ("a", "c", "b"))
    np.testing.assert_array_equal(read_regions(series, subjects=listed).values, values[[0, 2, 1]])
    two = read_region_files([series, series], subjects=listed, sessions=["1", "2"])
    assert two.subjects == ("a_1", "a_2", "b_1", "b_2", "c_1", "c_2")
    values[1, 2] = -999
    write_pscalar(series, values)
    assert np.isnan(read_regions(series, subjects=listed, missing=[-999]).values[2, 2])
    values[1, 2] = np.inf
    write_pscalar(series, values)
    with pytest.raises(InputError, match=r"row 2, subject 'c', parcel 'M1': an infinite value"):
        read_regions(series, subjects=listed)
    write_pconn(tmp_path / "m.pconn.nii", correlations()[0])
    with pytest.raises(InputError, match=r"a matrix \(pconn\) where a row a subject is needed"):
        read_regions(tmp_path / "m.pconn.nii")

"""One file for everybody: right rows for the right people, in little memory, and what is wrong is said."""

from __future__ import annotations

import gzip
import subprocess
import sys
from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from nibabel.cifti2 import BrainModelAxis, LabelAxis, ScalarAxis, SeriesAxis

import cortax
from cortax.brain.data import stacks as stacks_module
from cortax.brain.data.images import read_map
from cortax.brain.data.map_files import find_images, find_maps, inventory
from cortax.brain.data.maps import load_maps, open_maps, space_of
from cortax.brain.data.name_lists import SubjectList, read_names, read_subjects
from cortax.brain.data.spaces import Space
from cortax.brain.data.stack_rows import name_rows
from cortax.brain.data.stacks import Stacks, describe_stack
from cortax.data.files import DamagedFileError
from cortax.errors import InputError

SPACE = Space("tiny", "surface", n_left=12, n_right=12)
IDS = ("b", "a", "d", "c")


def brain_axis() -> BrainModelAxis:
    return BrainModelAxis.from_mask(np.arange(12) > 1, "CortexLeft") + BrainModelAxis.from_mask(
        np.arange(12) > 2, "CortexRight"
    )


def write_cifti(path: Path, data: np.ndarray, axis: object = None) -> None:
    axis = axis or SeriesAxis(0, 1, len(data))
    nib.Cifti2Image(data, (axis, brain_axis())).to_filename(path)


def mgh(path: Path, data: np.ndarray) -> None:
    """Subjects x vertices, as mris_preproc has them: vertices x 1 x 1 x subjects."""
    nib.save(nib.MGHImage(np.ascontiguousarray(data.T)[:, None, None, :], np.eye(4)), path)


def numbers(n_rows: int, n_values: int, dtype: str = "float32", seed: int = 0) -> np.ndarray:
    return (np.random.default_rng(seed).normal(size=(n_rows, n_values)) * 100).astype(dtype)


def listed(folder: Path, ids=IDS) -> str:
    (folder / "list.txt").write_text("\n".join(ids) + "\n")
    return "list.txt"


def images(**more) -> dict:
    return {"root": ".", "maps": {}, "subjects": None, "id_prefix": "", **more}


def load(folder: Path, about: dict, space: Space = SPACE, **options):
    (folder / "out").mkdir(exist_ok=True)
    loaded = load_maps(find_images(about, folder), folder / "out", space=space, **options)
    return loaded, open_maps(folder / "out")


@pytest.mark.parametrize("ending", ["mgh", "mgz"])
def test_mris_preproc_files_go_to_the_right_people(tmp_path, ending):
    halves = {hemi: numbers(4, 12, seed=seed) for seed, hemi in enumerate(("lh", "rh"))}
    for hemi, values in halves.items():
        mgh(tmp_path / f"{hemi}.thickness.{ending}", values)
    about = images(maps={"thickness": f"{{hemi_fs}}.thickness.{ending}"}, subjects=listed(tmp_path))
    _, maps = load(tmp_path, about)
    assert maps.subjects == ("a", "b", "c", "d")
    for row, subject in zip(maps.values, maps.subjects, strict=True):
        place = IDS.index(subject)
        np.testing.assert_array_equal(row[0], np.concatenate([halves["lh"][place], halves["rh"][place]]))


@settings(max_examples=30, deadline=None)
@given(
    dtype=st.sampled_from(["<f4", ">f4", "<f8", "<i2", ">i2", "u1", "?", "<f2"]),
    order=st.sampled_from("CF"),
    shape=st.tuples(st.integers(1, 7), st.integers(1, 9)),
    block=st.integers(1, 64),
)
def test_arrays_of_any_type_and_order(tmp_path_factory, dtype, order, shape, block):
    path = tmp_path_factory.mktemp("npy") / "all.npy"
    values = np.asarray(numbers(*shape).astype(dtype), order=order)
    np.save(path, values)
    with pytest.MonkeyPatch.context() as patch, Stacks() as stacks:
        patch.setattr(stacks_module, "_BLOCK", block)
        assert describe_stack(path).n_rows == shape[0]
        for i in range(shape[0])[::-1]:
            np.testing.assert_array_equal(stacks.read(path, i).values, values[i].astype(np.float32))


@settings(max_examples=20, deadline=None)
@given(
    dtype=st.sampled_from([np.float32, np.float64, np.int16, np.uint8]),
    packed=st.booleans(),
    scale=st.sampled_from([(None, None), (0.5, 3.0)]),
    nifti=st.sampled_from([nib.Nifti1Image, nib.Nifti2Image]),
)
def test_volumes_are_those_of_single_files(tmp_path_factory, dtype, packed, scale, nifti):
    folder = tmp_path_factory.mktemp("nii")
    data = (np.random.default_rng(1).uniform(0, 90, size=(3, 4, 2, 5))).astype(dtype)
    path, affine = folder / ("all.nii.gz" if packed else "all.nii"), np.diag([-2.0, 2, 2, 1])
    image = nifti(data, affine)
    image.header.set_slope_inter(*scale)
    nib.save(image, path)
    with Stacks(folder) as stacks:
        for i in range(5):
            found, single = stacks.read(path, i), read_map(path, pick=i)
            np.testing.assert_array_equal(found.values, single.values)
            np.testing.assert_allclose(found.values, nib.load(path).get_fdata()[..., i].ravel(), rtol=1e-6)
            assert found.space == single.space


@settings(max_examples=15, deadline=None)
@given(order=st.permutations(range(5)), block=st.sampled_from([1, 100, 10**6]))
def test_rows_of_scalars_are_named_by_the_file(tmp_path_factory, order, block):
    folder = tmp_path_factory.mktemp("dscalar")
    data, names = numbers(5, 19)[order], [f"sub-{i}" for i in order]
    write_cifti(folder / "all.dscalar.nii", data, ScalarAxis(names))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(stacks_module, "_BLOCK", block)
        _, maps = load(folder, images(maps={"a": "all.dscalar.nii"}, id_prefix="sub-"), max_missing=0)
    assert maps.subjects == tuple("01234")
    inside = ~np.isnan(maps.values[0, 0])
    np.testing.assert_array_equal(maps.values[:, 0, inside], numbers(5, 19))


def test_a_series_needs_a_list_and_a_volume_brings_its_grid(tmp_path):
    data = numbers(4, 19)
    write_cifti(tmp_path / "all.dtseries.nii", data)
    about = images(maps={"a": "all.dtseries.nii"})
    with pytest.raises(InputError, match=r"does not say who its 4 rows are, and their order is never guessed"):
        find_images(about, tmp_path)
    _, maps = load(tmp_path, {**about, "subjects": listed(tmp_path)})
    np.testing.assert_array_equal(maps.values[0, 0, 2:12], data[1, :10])
    nib.save(nib.Nifti1Image(np.ones((2, 3, 4, 4), np.float32), np.eye(4)), tmp_path / "all.nii")
    files = find_images({**about, "maps": {"a": "all.nii"}, "subjects": "list.txt"}, tmp_path)
    assert space_of(files, "volume").shape == (2, 3, 4)


def test_stacked_and_single_files_side_by_side(tmp_path):
    np.save(tmp_path / "all.npy", numbers(4, 24))
    for subject in "abc":
        np.save(tmp_path / f"{subject}.npy", np.full(24, ord(subject), np.float32))
    np.save(tmp_path / "e.npy", np.zeros(24, np.float32))
    (tmp_path / "all.npy").rename(tmp_path / "x_all.npy")
    about = images(maps={"one": "x_all.npy", "own": "{participant_id}.npy"}, subjects=listed(tmp_path))
    (tmp_path / "own").mkdir()
    for subject in "abce":
        (tmp_path / f"{subject}.npy").rename(tmp_path / "own" / f"{subject}.npy")
    about["maps"]["own"] = "own/{participant_id}.npy"
    files = find_images(about, tmp_path)
    assert files.subjects == ("a", "b", "c")
    assert {drop.participant_id: drop.reason for drop in files.dropped} == {
        "d": "missing file: own/d.npy",
        "e": "no row: x_all.npy",
    }
    _, maps = load(tmp_path, about)
    np.testing.assert_array_equal(maps.values[0, 0], numbers(4, 24)[1])
    assert (maps.values[:, 1] == [[97], [98], [99]]).all()


def test_a_damaged_row_is_dropped_with_its_name_and_number(tmp_path):
    data = numbers(4, 24)
    data[1, 3:6], data[2, 5] = np.nan, np.inf
    np.save(tmp_path / "all.npy", data)
    about = images(maps={"m": "all.npy"}, subjects=listed(tmp_path))
    loaded, maps = load(tmp_path, about, max_missing=0.1)
    assert maps.subjects == ("b", "c")
    assert {drop.participant_id: (drop.reason, drop.file) for drop in loaded.dropped} == {
        "a": ("map 'm' (row 2): 3 of 24 locations are missing, at most 0.1 of them may be", "all.npy"),
        "d": ("map 'm' (row 3): 1 of 24 values are infinite", "all.npy"),
    }
    with pytest.raises(InputError, match=r"all.npy: map 'm' \(row 3\): 1 of 24 values are infinite"):
        load(tmp_path, about, damaged="error", max_missing=0.5)


def test_the_file_is_digested_once_and_the_order_of_subjects_is_in_the_key(tmp_path):
    np.save(tmp_path / "all.npy", numbers(4, 24))
    about = images(maps={"m": "all.npy"}, subjects=listed(tmp_path))
    seen = []

    def digest_of(path):
        seen.append(path.name)
        return path.read_bytes().hex()

    before = inventory(find_images(about, tmp_path), digest_of)[1]
    assert seen == ["all.npy"]
    listed(tmp_path, ("a", "b", "d", "c"))
    assert inventory(find_images(about, tmp_path), digest_of)[1] != before
    listed(tmp_path)
    data = bytearray((tmp_path / "all.npy").read_bytes())
    data[-1] ^= 1
    (tmp_path / "all.npy").write_bytes(data)
    assert inventory(find_images(about, tmp_path), digest_of)[1] != before
    with pytest.raises(InputError, match="a file changed since the build listed the maps"):
        load(tmp_path, about, inventory_digest=before)


def test_a_column_of_a_table_names_rows(tmp_path):
    (tmp_path / "t.tsv").write_text("participant_id\tsession\tage\nsub-01\t1\t5\nsub-01\t2\t6\n")
    where = "t.tsv#participant_id,session"
    assert read_subjects(where, tmp_path, id_prefix="sub-").ids == ("01_1", "01_2")
    with pytest.raises(InputError, match=r"identifiers that occur more than once: \['sub-01'\]"):
        read_subjects("t.tsv", tmp_path)
    with pytest.raises(InputError, match=r"no such identifier column: got 'sesion'.*did you mean 'session'"):
        read_subjects("t.tsv#sesion", tmp_path)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a\nb\na\n", "identifier 'a' comes 2 times: 3 identifiers, 2 different"),
        ("a\n\nb\n", "line 2: one identifier a line is needed, found ''"),
        ("a\nb\tc\n", r"line 2: one identifier a line is needed, found 'b\\tc'"),
        ("\n\n", "an empty list of subjects"),
        ("a\nb\nc\n", r"all.npy: 4 rows \(subjects\), but 3 identifiers in .*list.txt"),
    ],
)
def test_lists_that_cannot_be(tmp_path, text, message):
    np.save(tmp_path / "all.npy", numbers(4, 24))
    (tmp_path / "list.txt").write_text(text)
    with pytest.raises(InputError, match=message):
        find_images(images(maps={"m": "all.npy"}, subjects="list.txt"), tmp_path)


def test_names_and_list_are_compared():
    ids = SubjectList("list.txt", IDS)
    path = Path("all.dscalar.nii")
    for names in (IDS, [f"{one}_Thickness" for one in IDS], ["thickness"] * 4, ["b_a", "a", "d", "c_b"]):
        assert name_rows(path, 4, names, ids) == IDS
    for names in (("a", "b", "d", "c"), ("b_1", "a_1", "c_1", "d_1")):
        with pytest.raises(InputError, match=r"row \d is '.*' by the file, but '.' by list.txt"):
            name_rows(path, 4, names, ids)
    with pytest.raises(InputError, match=r"4 rows have 3 different names, 'a' comes 2 times"):
        name_rows(path, 4, ("a", "a", "b", "c"), None)


@pytest.mark.parametrize(
    ("pattern", "message"),
    [
        ("none.npy", r"it must hold {participant_id}, or be one file of all subjects; found \[\]"),
        ("*.npy", r"or be one file of all subjects; found \['all.npy', 'more.npy'\]"),
        ("all.npy#1", "'#' picks one of several maps of a subject's file; here rows are subjects"),
        ("text.txt", "one file of all subjects must be .mgh, .mgz"),
        ("flat.npy", r"an array of shape \(n_subjects, n_values\) is needed, found \(4,\)"),
        ("words.npy", "numbers are needed, found an array of <U1"),
        ("labels.dlabel.nii", "a parcellation where maps are needed"),
        ("short.mgh", "cut short, or its header lies"),
        ("lies.nii.gz", "cut short, or its header lies"),
    ],
)
def test_files_that_hold_nobody(tmp_path, pattern, message):
    for name in ("all", "more"):
        np.save(tmp_path / f"{name}.npy", numbers(4, 24))
    (tmp_path / "text.txt").write_text("x")
    np.save(tmp_path / "flat.npy", np.arange(4))
    (tmp_path / "npy").mkdir()
    if pattern == "words.npy":
        np.save(tmp_path / "words.npy", np.array([["a"]]))
    write_cifti(
        tmp_path / "labels.dlabel.nii",
        np.zeros((1, 19), np.int32),
        LabelAxis(["x"], {0: ("???", (0, 0, 0, 0))}),
    )
    mgh(tmp_path / "short.mgh", numbers(4, 24))
    (tmp_path / "short.mgh").write_bytes((tmp_path / "short.mgh").read_bytes()[:400])
    header = nib.Nifti1Header()
    header.set_data_shape((2000, 2000, 2000, 4))
    (tmp_path / "lies.nii.gz").write_bytes(gzip.compress(header.binaryblock))
    about = images(maps={"m": pattern}, subjects=listed(tmp_path))
    if pattern != "*.npy":
        (tmp_path / "more.npy").unlink()
    else:
        (tmp_path / "flat.npy").unlink()
    with pytest.raises(InputError, match=message):
        find_images(about, tmp_path)


def test_a_packed_file_that_breaks_off_is_everybodys(tmp_path):
    mgh(tmp_path / "all.mgz", numbers(4, 24))
    data = (tmp_path / "all.mgz").read_bytes()
    (tmp_path / "all.mgz").write_bytes(data[:-20])
    with pytest.raises(DamagedFileError, match=r"all.mgz: not a readable file of all subjects \(EOFError"):
        load(tmp_path, images(maps={"m": "all.mgz"}, subjects=listed(tmp_path)))


def test_names_of_regions(tmp_path):
    (tmp_path / "names.txt").write_text("one\ntwo words\n\n")
    (tmp_path / "names.csv").write_text("index,name\n1,one\n2,two words\n")
    assert read_names(tmp_path / "names.txt") == read_names(tmp_path / "names.csv") == ("one", "two words")
    for text, message in (("a\n\nb", "row 2 has no name"), ("a\na", "name 'a' comes 2 times")):
        (tmp_path / "names.txt").write_text(text)
        with pytest.raises(InputError, match=message):
            read_names(tmp_path / "names.txt")


MEASURE = """
import re, sys
from pathlib import Path
from cortax.brain.data.stacks import Stacks
path = Path(sys.argv[1])
with Stacks(path.parent) as stacks:
    stacks.read(path, 0)
    for i in range(int(sys.argv[2])):
        stacks.read(path, i)
print(re.search(r"VmHWM:\\s+(\\d+)", Path("/proc/self/status").read_text())[1])
"""


@pytest.mark.parametrize("name", ["all.npy", "fortran.npy", "all.dtseries.nii", "all.mgz"])
def test_memory_does_not_grow_with_the_file(tmp_path, name):
    """Ten times the subjects: 8 MB against 80 MB of values; what may come on top is a block of 16 MB, twice."""
    peaks = []
    for n_subjects in (50, 500):
        values, path = np.ones((n_subjects, 40000), np.float32), tmp_path / name
        if name == "all.npy":
            np.save(path, values)
        elif name == "fortran.npy":
            np.save(path, np.asfortranarray(values))
        elif name == "all.mgz":
            nib.save(nib.MGHImage(values.T[:, None, None, :], np.eye(4)), path)
        else:
            axis = BrainModelAxis.from_mask(np.ones(40000, bool), "CortexLeft")
            nib.Cifti2Image(values, (SeriesAxis(0, 1, n_subjects), axis)).to_filename(path)
        done = subprocess.run(
            [sys.executable, "-c", MEASURE, str(path), str(n_subjects)], capture_output=True, text=True, check=True
        )
        peaks.append(int(done.stdout) / 1024)
    assert peaks[1] - peaks[0] < 50, peaks


def test_in_a_notebook(tmp_path):
    values = numbers(4, 2 * 642)
    np.save(tmp_path / "all.npy", values)
    maps = cortax.load_maps(tmp_path, {"m": "all.npy"}, subjects=IDS, space="fsaverage3")
    np.testing.assert_array_equal(maps.values[:, 0], values[[1, 0, 3, 2]])
    with pytest.raises(InputError, match="identifier 'a' comes 2 times: 4 identifiers, 3 different"):
        cortax.load_maps(tmp_path, {"m": "all.npy"}, subjects=("a", "a", "b", "c"), space="fsaverage3")


def test_patterns_alone_still_need_the_place_of_the_subject(tmp_path):
    with pytest.raises(InputError, match=r"must hold {participant_id}"):
        find_maps(tmp_path, {"m": "all.npy"})

"""Maps and labels: files of other programs, round trips where none is at hand, and a catalogue of bad files."""

from __future__ import annotations

import json
from pathlib import Path

import nibabel as nib
import nilearn
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from nibabel.cifti2 import BrainModelAxis, LabelAxis, ScalarAxis, SeriesAxis

from cortax.brain.data.cifti import expand_cortex
from cortax.brain.data.images import read_map
from cortax.brain.data.labels import is_background, read_labels
from cortax.brain.data.spaces import SPACES, Space, abstract_space, known_space, volume_space
from cortax.data.files import DamagedFileError
from cortax.errors import InputError

NIBABEL = Path(nib.__file__).parent
GIFTI = NIBABEL / "gifti/tests/data"
VOLUMES = NIBABEL / "tests/data"
FSAVERAGE5 = Path(nilearn.__file__).parent / "datasets/data/fsaverage5"


def gifti(path: Path, arrays: list[np.ndarray], *, intent: str = "NIFTI_INTENT_SHAPE", **meta: str) -> Path:
    image = nib.GiftiImage(meta=nib.gifti.GiftiMetaData(meta))
    for i, data in enumerate(arrays):
        array = nib.gifti.GiftiDataArray(data, intent=intent, meta={"Name": f"map {i}"})
        image.add_gifti_data_array(array)
    nib.save(image, path)
    return path


def brain() -> BrainModelAxis:
    left, right = np.ones(12, bool), np.ones(12, bool)
    left[[0, 5]] = False
    right[3] = False
    below = BrainModelAxis.from_mask(np.ones((2, 1, 1), bool), "CIFTI_STRUCTURE_THALAMUS_LEFT", affine=np.eye(4))
    parts = [BrainModelAxis.from_mask(m, n) for m, n in ((left, "CortexLeft"), (right, "CortexRight"))]
    return parts[0] + parts[1] + below


def dscalar(path: Path, data: np.ndarray, axis: object | None = None) -> Path:
    maps = axis or ScalarAxis([f"map {i}" for i in range(len(data))])
    nib.Cifti2Image(data, (maps, brain())).to_filename(path)
    return path


# --- spaces


@pytest.mark.parametrize("space", [*SPACES.values(), abstract_space(7), volume_space((2, 3, 4), np.eye(4))])
def test_space_survives_json(space):
    assert Space.from_dict(json.loads(json.dumps(space.to_dict()))) == space
    assert len({space, Space.from_dict(space.to_dict())}) == 1


def test_known_spaces_have_their_published_sizes():
    counts = {name: space.n_locations for name, space in SPACES.items()}
    assert counts["fsaverage5"] == 20484
    assert counts["fsaverage"] == counts["fsaverage7"] == 327684
    assert counts["fsLR-32k"] == 64984
    assert counts["grayordinates-91k"] == 91282
    assert known_space(2562, hemi="L").name == "fsaverage4"
    assert known_space(91282).name == "grayordinates-91k"
    assert known_space(11) is None


def test_space_errors_name_the_nearest():
    with pytest.raises(InputError, match=r"'fsavrage5'.*did you mean 'fsaverage5'"):
        Space.from_name("fsavrage5")
    with pytest.raises(InputError, match=r"'kidn'.*did you mean 'kind'"):
        Space.from_dict({"name": "x", "kidn": "surface"})
    with pytest.raises(InputError, match="'x' has no locations"):
        Space("x", "surface")
    with pytest.raises(InputError, match=r"'x'.*must be one of"):
        Space("x", "flat", n_left=1)


def test_volumes_match_by_grid_not_by_name():
    grid = volume_space((2, 3, 4), np.eye(4))
    assert grid.matches(volume_space((2, 3, 4), np.eye(4) + 1e-5, name="other"))
    assert not grid.matches(volume_space((2, 3, 4), 2 * np.eye(4)))
    assert not grid.matches(volume_space((4, 3, 2), np.eye(4)))
    assert not grid.matches(abstract_space(24))


# --- files that other programs wrote


@pytest.mark.parametrize("name", ["thick_left.gii.gz", "sulc_right.gii.gz", "curv_left.gii.gz", "area_right.gii.gz"])
def test_fsaverage5_maps_of_nilearn(name):
    found = read_map(FSAVERAGE5 / name)
    np.testing.assert_array_equal(found.values, nib.load(FSAVERAGE5 / name).darrays[0].data)
    assert found.values.dtype == np.float32
    assert len(found.values) == SPACES["fsaverage5"].n_left


def test_freesurfer_gifti_tells_its_hemisphere():
    found = read_map(GIFTI / "rh.shape.curv.gii")
    assert (found.hemi, found.values.shape) == ("R", (133764,))


def test_gifti_of_several_maps_needs_a_pick():
    with pytest.raises(InputError, match=r"task\.func\.gii: 10 maps where one is needed"):
        read_map(GIFTI / "task.func.gii")
    expected = nib.load(GIFTI / "task.func.gii").darrays[4].data
    np.testing.assert_array_equal(read_map(GIFTI / "task.func.gii", pick=4).values, expected)
    np.testing.assert_array_equal(read_map(GIFTI / "task.func.gii", pick="4").values, expected)
    with pytest.raises(InputError, match="no map 10, the file's maps are 0 to 9"):
        read_map(GIFTI / "task.func.gii", pick=10)


@pytest.mark.parametrize("name", ["anatomical.nii", "standard.nii.gz"])
def test_volumes_are_flattened_in_c_order_with_their_grid(name):
    found = read_map(VOLUMES / name)
    image = nib.load(VOLUMES / name)
    np.testing.assert_array_equal(found.values, image.get_fdata().astype(np.float32).ravel(order="C"))
    assert found.space == volume_space(image.shape, image.affine)


@pytest.mark.parametrize("name", ["functional.nii", "example4d.nii.gz", "example_nifti2.nii.gz", "test.mgz"])
def test_four_dimensions_need_a_pick(name):
    image = nib.load(VOLUMES / name)
    with pytest.raises(InputError, match=f"{name}: {image.shape[3]} maps where one is needed"):
        read_map(VOLUMES / name)
    expected = image.get_fdata()[..., 1].ravel()
    np.testing.assert_allclose(read_map(VOLUMES / name, pick=1).values, expected, rtol=1e-6)


def test_label_gifti_of_other_programs():
    found = read_labels(GIFTI / "rh.aparc.annot.gii")
    raw = nib.load(GIFTI / "rh.aparc.annot.gii")
    table = raw.labeltable.get_labels_as_dict()
    unknown = [key for key, name in table.items() if is_background(name)]
    assert set(found.names.values()) == {name for key, name in table.items() if key not in unknown}
    data = raw.darrays[0].data
    for key, name in found.names.items():
        original = next(k for k, v in table.items() if v == name)
        np.testing.assert_array_equal(found.labels == key, data == original)
    assert read_labels(GIFTI / "label.gii").names == {1: "Positive", 2: "Negative"}


def test_a_mesh_and_labels_are_not_maps():
    with pytest.raises(InputError, match=r"pial_left\.gii\.gz: a surface mesh where a map"):
        read_map(FSAVERAGE5 / "pial_left.gii.gz")
    with pytest.raises(InputError, match=r"label\.gii: a parcellation where a map"):
        read_map(GIFTI / "label.gii")
    with pytest.raises(InputError, match=r"thick_left.gii.gz: a GIFTI file without labels"):
        read_labels(FSAVERAGE5 / "thick_left.gii.gz")
    with pytest.raises(InputError, match="a CIFTI file of maps x grayordinates is needed"):
        read_map(VOLUMES / "row_major.dconn.nii")


# --- round trips


def test_cifti_keeps_structures_and_expands(tmp_path):
    data = np.arange(46, dtype=np.float32).reshape(2, 23)
    found = read_map(dscalar(tmp_path / "a.dscalar.nii", data), pick="map 1")
    np.testing.assert_array_equal(found.values, data[1])
    assert (found.space.n_left, found.space.n_right, found.space.n_other) == (10, 11, 2)
    full = expand_cortex(found.values, found.structures, fill=np.nan)
    assert np.flatnonzero(np.isnan(full)).tolist() == [0, 5, 12 + 3]
    np.testing.assert_array_equal(full[~np.isnan(full)], data[1, :21])
    with pytest.raises(InputError, match=r"2 maps .* \['map 0', 'map 1'\]"):
        read_map(tmp_path / "a.dscalar.nii")
    with pytest.raises(InputError, match=r"'mpa 1'.*did you mean 'map 1'"):
        read_map(tmp_path / "a.dscalar.nii", pick="mpa 1")
    with pytest.raises(InputError, match="no structure CIFTI_STRUCTURE_CORTEX_RIGHT"):
        expand_cortex(found.values, found.structures[:1], fill=0)


def test_cifti_series_is_picked_by_number(tmp_path):
    data = np.arange(46, dtype=np.float32).reshape(2, 23)
    path = dscalar(tmp_path / "a.dtseries.nii", data, SeriesAxis(0, 1, 2))
    np.testing.assert_array_equal(read_map(path, pick=1).values, data[1])


def test_cifti_labels(tmp_path):
    table = {0: ("???", (0, 0, 0, 0)), 3: ("V1", (1, 0, 0, 1)), 5: ("empty", (0, 1, 0, 1))}
    data = np.where(np.arange(23) % 2, 3.0, 0.0).astype(np.float32)[None]
    found = read_labels(dscalar(tmp_path / "a.dlabel.nii", data, LabelAxis(["atlas"], [table])))
    assert found.names == {3: "V1", 5: "empty"}
    np.testing.assert_array_equal(found.labels, data[0])
    assert found.space.n_locations == 23
    with pytest.raises(InputError, match="a parcellation where a map is needed"):
        read_map(tmp_path / "a.dlabel.nii")


def test_freesurfer_surface_files(tmp_path):
    values = np.random.default_rng(0).normal(size=42).astype(np.float32)
    nib.freesurfer.write_morph_data(tmp_path / "lh.thickness", values)
    nib.save(nib.MGHImage(values[:, None, None], np.eye(4)), tmp_path / "rh.thickness.mgz")
    left, right = read_map(tmp_path / "lh.thickness"), read_map(tmp_path / "rh.thickness.mgz")
    np.testing.assert_array_equal(left.values, values)
    np.testing.assert_array_equal(right.values, values)
    assert (left.hemi, right.hemi) == ("L", "R")
    assert left.values.dtype.isnative
    assert left.space is right.space is None


def annot(path: Path, labels: np.ndarray, names: list[str]) -> Path:
    colours = np.array([[10 * i + 5, 3, 7, 0] for i in range(len(names))])
    nib.freesurfer.write_annot(path, labels, colours, names, fill_ctab=True)
    return path


@pytest.mark.parametrize("place", [0, 1, 2])
def test_annot_background_is_zero_wherever_it_stands(tmp_path, place):
    names = ["A", "empty", "B"]
    names.insert(place, "Background+FreeSurfer_Defined_Medial_Wall")
    raw = np.array([names.index("A"), place, names.index("B"), -1, names.index("A")])
    found = read_labels(annot(tmp_path / "lh.x.annot", raw, names))
    assert sorted(found.names.values()) == ["A", "B", "empty"]
    assert [found.names.get(int(n), "") for n in found.labels] == ["A", "", "B", "", "A"]
    assert found.hemi == "L"
    assert read_labels(annot(tmp_path / "tpl_hemi-R_x.annot", raw, names)).hemi == "R"


def test_annot_colour_outside_the_table_is_background(tmp_path):
    path = annot(tmp_path / "lh.x.annot", np.array([0, 1, 2]), ["unknown", "A", "B"])
    data = bytearray(path.read_bytes())
    data[4 + 8 + 4 : 4 + 8 + 8] = (15 + 1).to_bytes(4, "big")
    path.write_bytes(data)
    assert read_labels(path).labels.tolist() == [0, 0, 2]


@pytest.mark.parametrize(
    "name", ["unknown", "Unknown ", "???", "", "Medial_wall", "medialwall", "ctx-lh-unknown", "Background"]
)
def test_background_names(name):
    assert is_background(name)


@pytest.mark.parametrize("name", ["insula", "7Networks_1", "unknown_sulcus", "wall", "corpuscallosum"])
def test_other_names_are_regions(name):
    assert not is_background(name)


def test_numbered_volumes_and_arrays(tmp_path):
    labels = np.zeros((3, 4, 5), np.int16)
    labels[1, 2, 3], labels[0, 0, 1] = 7, 2
    nib.save(nib.Nifti1Image(labels, np.eye(4)), tmp_path / "a.nii.gz")
    np.save(tmp_path / "a.npy", labels.ravel().astype(np.float64))
    volume, array = read_labels(tmp_path / "a.nii.gz"), read_labels(tmp_path / "a.npy")
    np.testing.assert_array_equal(volume.labels, labels.ravel())
    np.testing.assert_array_equal(array.labels, labels.ravel())
    assert volume.names == array.names == {2: "2", 7: "7"}
    assert volume.space == volume_space((3, 4, 5), np.eye(4))


@given(st.lists(st.floats(width=32), min_size=1, max_size=20))
def test_npy_values_come_back(tmp_path_factory, values):
    path = tmp_path_factory.mktemp("npy") / "a.npy"
    np.save(path, np.array(values, np.float32))
    np.testing.assert_array_equal(read_map(path).values, np.array(values, np.float32))


# --- bad files


def make(kind: str, folder: Path) -> Path:
    values = np.arange(400, dtype=np.float32)
    path = folder / {"morph": "lh.thickness"}.get(kind, f"a.{kind}")
    if kind in ("func.gii", "func.gii.gz"):
        return gifti(path, [values])
    if kind == "label.gii":
        image = nib.load(GIFTI / "label.gii")
        nib.save(image, path)
    elif kind == "dscalar.nii":
        dscalar(path, np.ones((1, 23), np.float32))
    elif kind == "morph":
        nib.freesurfer.write_morph_data(path, values)
    elif kind == "annot":
        annot(path, np.arange(400) % 3, ["unknown", "A", "B"])
    elif kind == "npy":
        np.save(path, values)
    elif kind in ("mgh", "mgz"):
        nib.save(nib.MGHImage(values.reshape(4, 10, 10), np.eye(4)), path)
    else:
        nib.save(nib.Nifti1Image(values.reshape(4, 10, 10), np.eye(4)), path)
    return path


MAPS = ["func.gii", "func.gii.gz", "dscalar.nii", "morph", "npy", "mgh", "mgz", "nii", "nii.gz"]
LABELS = ["label.gii", "annot"]


@pytest.mark.parametrize("kind", [*MAPS, *LABELS])
def test_whole_files_read_and_damaged_ones_are_named(tmp_path, kind):
    path = make(kind, tmp_path)
    read = read_labels if kind in LABELS else read_map
    read(path)
    data = path.read_bytes()
    for size in (len(data) // 2, len(data) * 9 // 10, 20, 3):
        path.write_bytes(data[:size])
        with pytest.raises(DamagedFileError) as caught:
            read(path)
        assert str(path) in str(caught.value)
    path.write_bytes(b"")
    with pytest.raises(DamagedFileError, match="empty file"):
        read(path)
    path.write_bytes(b"participant_id,age\n" * 40)
    with pytest.raises(DamagedFileError, match=path.name):
        read(path)
    path.unlink()
    with pytest.raises(DamagedFileError, match="missing file"):
        read(path)
    path.mkdir()
    with pytest.raises(DamagedFileError, match="is a folder"):
        read(path)


def test_unknown_formats(tmp_path):
    (tmp_path / "a.png").write_bytes(b"\x89PNG....................")
    with pytest.raises(DamagedFileError, match=r"a.png: not an image"):
        read_map(tmp_path / "a.png")
    with pytest.raises(DamagedFileError, match=r"a.png: not a parcellation"):
        read_labels(tmp_path / "a.png")
    nib.save(nib.Nifti2Image(np.ones((2, 2, 2), np.float32), np.eye(4)), tmp_path / "a.dscalar.nii")
    with pytest.raises(InputError, match="without the CIFTI-2 header"):
        read_map(tmp_path / "a.dscalar.nii")


def test_corrupt_gzip_is_damaged(tmp_path):
    path = make("nii.gz", tmp_path)
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 0xFF
    path.write_bytes(data)
    with pytest.raises(DamagedFileError, match=r"a\.nii\.gz"):
        read_map(path)


def test_arrays_of_other_things(tmp_path):
    np.save(tmp_path / "text.npy", np.array(["a", "b"]))
    np.save(tmp_path / "cube.npy", np.ones((2, 2, 2)))
    np.save(tmp_path / "object.npy", np.array([{}], dtype=object), allow_pickle=True)
    with pytest.raises(InputError, match=r"text\.npy: numbers are needed"):
        read_map(tmp_path / "text.npy")
    with pytest.raises(InputError, match=r"cube\.npy: .*shape \(2, 2, 2\)"):
        read_map(tmp_path / "cube.npy")
    with pytest.raises(InputError, match=r"object\.npy"):
        read_map(tmp_path / "object.npy")


def test_bad_labels(tmp_path):
    for name, values, message in (
        ("zero", [0, 0], "no region"),
        ("minus", [1, -2], "must not be negative, found -2"),
        ("half", [1.5, 2], "whole numbers"),
        ("nan", [np.nan, 2], "whole numbers"),
    ):
        np.save(tmp_path / f"{name}.npy", np.array(values))
        with pytest.raises(InputError, match=rf"{name}\.npy: .*{message}"):
            read_labels(tmp_path / f"{name}.npy")
    path = gifti(tmp_path / "no_table.label.gii", [np.ones(4, np.int32)], intent="NIFTI_INTENT_LABEL")
    with pytest.raises(InputError, match=r"no_table.label.gii: a GIFTI file without labels and their table"):
        read_labels(path)
    image = nib.load(GIFTI / "label.gii")
    image.darrays[0].data[:3] = 77
    nib.save(image, tmp_path / "odd.label.gii")
    with pytest.raises(InputError, match=r"odd\.label\.gii: labels \[77\] are not in the file's table"):
        read_labels(tmp_path / "odd.label.gii")

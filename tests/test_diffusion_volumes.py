"""Reading diffusion-weighted volumes: what nibabel and DIPY read, and a clear error for what is wrong."""

import gzip
import re

import nibabel as nib
import numpy as np
import pytest
from dipy.core.gradients import gradient_table
from dipy.io.gradients import read_bvals_bvecs

from cortax.errors import InputError
from cortax.provenance.files import file_digest
from cortax.workloads.diffusion.simulate import VolumeShape, simulate_volume
from cortax.workloads.diffusion.volumes import check_volume, measure_volume, open_volume, save_volume

STEM = "sub-01/ses-1/dwi/sub-01_ses-1_"
FILES = {
    "dwi": f"{STEM}dwi.nii.gz",
    "bval": f"{STEM}dwi.bval",
    "bvec": f"{STEM}dwi.bvec",
    "mask": f"{STEM}desc-brain_mask.nii.gz",
}
AFFINE = np.diag([-2.0, 2.0, 2.0, 1.0])
SHAPE = VolumeShape(shape=(5, 4, 3), n_b0=2, shells=((1000.0, 9), (2000.0, 8)))


@pytest.fixture
def root(tmp_path):
    simulate_volume(tmp_path, SHAPE)
    return tmp_path


def read(root, files=FILES):
    digests = {kind: file_digest(root / file) for kind, file in files.items()}
    folder = root / "job"
    folder.mkdir(exist_ok=True)
    return save_volume(folder, root, {"files": files, "digests": digests, "b0_threshold": 50.0, "voxels": None})


def write(root, values, kind="dwi", affine=AFFINE, **header):
    image = nib.Nifti1Image(values, affine)
    for name, value in header.items():
        getattr(image.header, name)(*value)
    nib.save(image, root / FILES[kind])


def test_signals_are_nibabels_voxel_by_voxel_and_gradients_are_dipys(root):
    volume, files = read(root)
    image = nib.load(root / FILES["dwi"])
    mask = nib.load(root / FILES["mask"]).get_fdata() > 0
    assert image.dataobj.slope == 0.25
    assert volume.signals[0].dtype == np.int16
    assert isinstance(volume.signals[0], np.memmap)
    np.testing.assert_array_equal(volume.read(0, len(volume)), image.get_fdata()[mask])
    np.testing.assert_array_equal(volume.read(7, 19), image.get_fdata()[mask][7:19])
    bvals, bvecs = read_bvals_bvecs(str(root / FILES["bval"]), str(root / FILES["bvec"]))
    np.testing.assert_allclose(volume.gradients.bvals, bvals, rtol=1e-9)
    np.testing.assert_allclose(volume.gradients.bvecs, bvecs, atol=1e-9)
    table = volume.gradients.table()
    np.testing.assert_allclose(table.bvals, volume.gradients.bvals, rtol=1e-12)
    inside, n_gradients = measure_volume(root, {"files": FILES, "digests": {"mask": file_digest(root / FILES["mask"])}})
    np.testing.assert_array_equal(inside, mask.ravel())
    assert volume.signals[0].shape == (inside.sum(), n_gradients)
    assert sorted(files) == sorted(path.name for path in (root / "job").iterdir())


@pytest.mark.parametrize("dtype", ["int16", "uint16", "float32", "float64", ">i2", ">f4"])
@pytest.mark.parametrize("packed", [False, True])
def test_every_type_of_voxels_packed_or_not_without_a_mask(root, dtype, packed):
    values = np.random.default_rng(0).integers(0, 900, (5, 4, 3, 19)).astype(dtype)
    path = root / ("x.nii.gz" if packed else "x.nii")
    header = nib.Nifti1Header(endianness=">" if dtype[0] == ">" else "<")
    header.set_data_dtype(dtype)
    header.set_slope_inter(0.5, -3.0)
    nib.save(nib.Nifti1Image(values, AFFINE, header), path)
    volume, _ = read(root, {"dwi": path.name, "bval": FILES["bval"], "bvec": FILES["bvec"]})
    expected = nib.load(path).get_fdata().reshape(-1, 19)
    np.testing.assert_array_equal(volume.read(0, len(volume)), expected)
    assert volume.signals[0].dtype.isnative


def test_a_map_lies_on_the_grid_of_its_volume(root):
    affine = np.array([[0, -2.0, 0, 20], [-1.9, 0, -0.4, 25], [-0.4, 0, 1.9, 12], [0, 0, 0, 1]])
    write(root, np.ones((5, 4, 3, 19), dtype=np.float32), affine=affine, set_xyzt_units=("mm", "sec"))
    write(root, (np.arange(60).reshape(5, 4, 3) % 3 == 0).astype(np.uint8), "mask", affine)
    volume, _ = read(root)
    image = volume.image(np.arange(1.0, 21.0, dtype=np.float32), outside=-1)
    nib.save(image, root / "map.nii.gz")
    again, own = nib.load(root / "map.nii.gz"), nib.load(root / FILES["dwi"])
    np.testing.assert_array_equal(again.affine, own.affine)
    assert again.header["sform_code"] == own.header["sform_code"]
    assert again.header.get_xyzt_units() == ("mm", "sec")
    expected = np.full((5, 4, 3), -1.0)
    expected[nib.load(root / FILES["mask"]).get_fdata() > 0] = np.arange(1.0, 21.0)
    np.testing.assert_array_equal(again.get_fdata(), expected)
    assert volume.image(np.zeros((20, 3), dtype=np.float32)).shape == (5, 4, 3, 3)


def test_values_that_are_not_finite_are_data(root):
    values = nib.load(root / FILES["dwi"]).get_fdata().astype(np.float32)
    values[2, 1, 1, 3], values[2, 2, 1, 4] = np.nan, np.inf
    write(root, values)
    volume, _ = read(root)
    assert np.isnan(volume.read(0, len(volume))).sum() == np.isinf(volume.read(0, len(volume))).sum() == 1


def edit(root, kind, change):
    path = root / FILES[kind]
    rows = [[float(word) for word in line.split()] for line in path.read_text().splitlines()]
    table = change(np.array(rows))
    path.write_text("\n".join(" ".join(str(value) for value in row) for row in np.atleast_2d(table)) + "\n")


def test_directions_in_columns_are_taken_and_said(root):
    first, _ = read(root)
    edit(root, "bvec", lambda table: table.T)
    second, _ = read(root)
    np.testing.assert_array_equal(first.gradients.bvecs, second.gradients.bvecs)
    assert first.notes == ()
    assert "a row for each volume" in second.notes[0]
    edit(root, "bval", lambda table: table.T)
    third, _ = read(root)
    np.testing.assert_array_equal(first.gradients.bvals, third.gradients.bvals)


def test_a_b0_may_have_no_direction_and_rounded_ones_count_as_dipy_has_it(root):
    def rounded(table):
        table = np.round(table, 2)
        table[:, 0] = np.nan
        return table

    edit(root, "bvec", rounded)
    edit(root, "bval", lambda table: np.where(table == 0, 5.0, table))
    volume, _ = read(root)
    bvals, bvecs = read_bvals_bvecs(str(root / FILES["bval"]), str(root / FILES["bvec"]))
    table = gradient_table(bvals, bvecs=bvecs, b0_threshold=50)
    np.testing.assert_array_equal(volume.gradients.bvals, table.bvals)
    np.testing.assert_array_equal(volume.gradients.bvecs, table.bvecs)


@pytest.mark.parametrize(
    ("kind", "change", "message"),
    [
        ("bval", lambda t: t + 600, r"dwi\.bval: no b0: the smallest b-value is 600, volumes\.b0_threshold is 50"),
        ("bval", lambda t: t * 0, r"nothing is weighted"),
        ("bval", lambda t: t[:, :-1], r"dwi\.bval: 18 b-values; the image has 19 volumes"),
        ("bval", lambda t: np.vstack([t, t]), r"one row or one column; found 2 x 19"),
        ("bval", lambda t: -t - 1, r"b-value -1 of volume 1: must be 0 or more"),
        ("bval", lambda t: np.where(t > 1500, np.nan, t), r"b-value nan of volume 12"),
        ("bvec", lambda t: t[:, :-1], r"dwi\.bvec: directions must be 3 rows of 19 numbers, .*found 3 x 18"),
        ("bvec", lambda t: t[:2], r"found 2 x 19"),
        (
            "bvec",
            lambda t: t * 2,
            r"must be of length 1; that of volume 3 \(b = 1000\) is .* of length 2; so are 16 more",
        ),
        ("bvec", lambda t: np.where(np.arange(19) == 4, np.nan, t), r"that of volume 5 .* of length nan"),
        ("bvec", lambda t: np.where(np.arange(19) == 4, 0, t), r"that of volume 5 .* of length 0; so are 0 more"),
    ],
)
def test_wrong_gradients_are_named(root, kind, change, message):
    edit(root, kind, change)
    with pytest.raises(InputError, match=message):
        read(root)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "empty file"),
        ("a b\n", "b-values must be numbers"),
        ("1 2\n3\n", r"rows of b-values differ"),
        ("\n", "no b-v"),
    ],
)
def test_a_file_of_no_numbers_is_named(root, text, message):
    (root / FILES["bval"]).write_text(text)
    with pytest.raises(InputError, match=r"dwi\.bval: .*" + message):
        read(root)


def test_a_wrong_image_is_named(root):
    path = root / FILES["dwi"]
    whole = path.read_bytes()
    for shape in ((5, 4, 3), (5, 4, 3, 1, 19)):
        write(root, np.zeros(shape, dtype=np.int16))
        with pytest.raises(InputError, match=rf"dwi\.nii\.gz: an image of 4 axes .* has {len(shape)}: "):
            read(root)
    for cut in (200, len(whole) // 2, len(whole) - 4):
        path.write_bytes(whole[:cut])
        with pytest.raises(InputError, match=r"dwi\.nii\.gz: not a readable NIfTI file \(EOFError"):
            read(root)
    content = gzip.decompress(whole)
    path.write_bytes(gzip.compress(content[:-50]))
    with pytest.raises(InputError, match=r"cut short: it ends in volume 19 of 19"):
        read(root)
    plain = root / "x.nii"
    plain.write_bytes(content[:-50])
    with pytest.raises(InputError, match=r"x\.nii: cut short, or its header lies"):
        read(root, {**FILES, "dwi": "x.nii"})
    path.write_bytes(gzip.compress(content[:116] + np.float32(np.nan).tobytes() + content[120:]))
    with pytest.raises(InputError, match=r"dwi\.nii\.gz: not a readable NIfTI file .*invalid intercept nan"):
        read(root)
    path.write_bytes(gzip.compress(content[:280] + np.float32(np.nan).tobytes() + content[284:]))
    with pytest.raises(InputError, match=r"dwi\.nii\.gz: its affine, .* must be finite numbers"):
        read(root)
    for dtype in ("complex64", [("R", "u1"), ("G", "u1"), ("B", "u1")]):
        write(root, np.zeros((5, 4, 3, 19), dtype=dtype))
        with pytest.raises(InputError, match=r"dwi\.nii\.gz: numbers are needed"):
            read(root)
    path.unlink()
    with pytest.raises(InputError, match=r"dwi\.nii\.gz: missing file"):
        check_volume(root, {"files": FILES, "b0_threshold": 50.0})


@pytest.mark.parametrize(
    ("values", "affine", "message"),
    [
        (np.ones((5, 4, 2)), AFFINE, r"mask\.nii\.gz: a mask of shape \(5, 4, 3\) is needed.*found \(5, 4, 2\)"),
        # As many voxels, elsewhere.
        (np.ones((3, 4, 5)), AFFINE, r"found \(3, 4, 5\)"),
        (np.ones((5, 4, 3)), np.diag([-2.0, 2.0, 2.5, 1.0]), r"their affines differ by up to 0\.5 mm"),
        (np.zeros((5, 4, 3)), AFFINE, "the mask is empty"),
        (np.ones((5, 4, 3, 2)), AFFINE, r"found \(5, 4, 3, 2\)"),
    ],
)
def test_a_mask_of_another_grid_is_refused(root, values, affine, message):
    write(root, values.astype(np.uint8), "mask", affine)
    with pytest.raises(InputError, match=message):
        read(root)


def test_a_file_that_changes_after_the_plan_is_refused(root):
    digests = {kind: file_digest(root / file) for kind, file in FILES.items()}
    (root / FILES["bval"]).write_text((root / FILES["bval"]).read_text() + "\n")
    (root / "job").mkdir()
    with pytest.raises(InputError, match=re.escape(f"{FILES['bval']}: changed since the build began")):
        save_volume(root / "job", root, {"files": FILES, "digests": digests, "b0_threshold": 50.0, "voxels": None})


def test_a_mask_that_changes_after_the_plan_is_refused(root):
    digests = {kind: file_digest(root / file) for kind, file in FILES.items()}
    write(root, np.ones((5, 4, 3), dtype=np.uint8), "mask")
    with pytest.raises(InputError, match=re.escape(f"{FILES['mask']}: changed since the build began")):
        measure_volume(root, {"files": FILES, "digests": digests})


def test_what_was_saved_is_opened(root):
    volume, _ = read(root)
    again = open_volume(root / "job")
    np.testing.assert_array_equal(again.voxels, volume.voxels)
    assert (again.shape, again.header, again.slope) == (volume.shape, volume.header, 0.25)

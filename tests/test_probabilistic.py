"""Probabilistic atlases: the plain formula, nilearn where weights are 0 and 1, and what cannot be."""

import nibabel as nib
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from nilearn.maskers import NiftiLabelsMasker

from cortax.brain.data.spaces import SPACES, volume_space
from cortax.brain.parcellation.apply import parcellate
from cortax.brain.parcellation.probabilistic import count_probabilistic
from cortax.brain.parcellation.specs import atlas_from_spec, check_spec
from cortax.errors import AtlasError

SHAPE, AFFINE = (5, 6, 4), np.diag([-2.0, 2, 2, 1])
SPACE = volume_space(SHAPE, AFFINE)


def weights_of(n_regions=3, seed=0):
    rng = np.random.default_rng(seed)
    return (rng.uniform(size=(*SHAPE, n_regions)) * (rng.uniform(size=(*SHAPE, n_regions)) > 0.5)).astype(np.float32)


def write(folder, weights, name="atlas.nii.gz", affine=AFFINE):
    nib.save(nib.Nifti1Image(weights, affine), folder / name)
    return {"kind": "probabilistic", "file": name}


def atlas(folder, spec, space=SPACE):
    return atlas_from_spec(spec, name="p", space=space, root=folder)


@settings(max_examples=15, deadline=None)
@given(threshold=st.sampled_from([None, 0.2, 0.7]), missing=st.booleans(), name=st.sampled_from(["a.nii", "a.nii.gz"]))
def test_a_region_is_the_weighted_mean_of_its_voxels(tmp_path_factory, threshold, missing, name):
    folder = tmp_path_factory.mktemp("atlas")
    weights = weights_of()
    spec = write(folder, weights, name) | ({} if threshold is None else {"threshold": threshold})
    maps = np.random.default_rng(1).normal(2, 1, (4, 2, SPACE.n_locations)).astype(np.float32)
    if missing:
        maps[1, 0, ::3] = np.nan
    found = parcellate(maps, atlas(folder, spec), space=SPACE).reshape(4, 2, 3)
    w = np.where(weights >= (threshold or 0), weights, 0).reshape(-1, 3).astype(np.float64)
    there = ~np.isnan(maps)
    expected = np.where(there, maps, 0) @ w / (there @ w)
    np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_of_zeros_and_ones_it_is_nilearns_mean_of_labels(tmp_path):
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 4, SHAPE)
    spec = write(tmp_path, np.stack([labels == i for i in (1, 2, 3)], -1).astype(np.uint8))
    maps = rng.normal(2, 1, (3, 1, *SHAPE)).astype(np.float32)
    masker = NiftiLabelsMasker(nib.Nifti1Image(labels.astype(np.int32), AFFINE), standardize=None).fit()
    expected = masker.transform(nib.Nifti1Image(np.moveaxis(maps[:, 0], 0, -1), AFFINE))
    made = atlas(tmp_path, spec)
    assert made.is_hard
    np.testing.assert_allclose(parcellate(maps.reshape(3, 1, -1), made), expected, atol=1e-6)


def test_axes_that_run_otherwise_are_turned(tmp_path):
    weights = weights_of()
    image = nib.as_closest_canonical(nib.Nifti1Image(weights, AFFINE))
    before = atlas(tmp_path, write(tmp_path, weights))
    nib.save(image, tmp_path / "turned.nii")
    after = atlas(tmp_path, {"kind": "probabilistic", "file": "turned.nii"})
    np.testing.assert_array_equal(before.weights.toarray(), after.weights.toarray())


def test_names_come_from_a_list_or_a_table_and_background_is_no_region(tmp_path):
    spec = write(tmp_path, weights_of())
    assert atlas(tmp_path, spec).regions == ("1", "2", "3")
    (tmp_path / "names.txt").write_text("Background\nLeft Putamen\nRight Putamen\n")
    (tmp_path / "names.tsv").write_text("name\tother\nBackground\t1\nLeft Putamen\t2\nRight Putamen\t3\n")
    for names in ("names.txt", "names.tsv"):
        made = atlas(tmp_path, {**spec, "names": names})
        assert made.regions == ("Left Putamen", "Right Putamen")
        assert count_probabilistic({**spec, "names": names}, tmp_path) == 2
    np.testing.assert_allclose(made.weights.toarray(), weights_of()[..., 1:].reshape(-1, 2).T)


def bad(weights=None, **more):
    def spec(folder):
        (folder / "names.txt").write_text("a\nb\nc\n")
        values = weights_of()
        if weights is not None:
            values[..., [1]] = weights
        return write(folder, values) | {"names": "names.txt"} | more

    return spec


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (bad(-0.1), r"parcellation 'p': .*atlas.nii.gz: negative weights in 1 of 3 regions: \['b'\]"),
        (bad(0.0), r"all weights are zero in 1 of 3 regions: \['b'\]"),
        (bad(np.nan), r"weights that are not finite in 1 of 3 regions: \['b'\]"),
        (bad(threshold=2), r"no weight of at least threshold = 2 in 3 of 3 regions: \['a', 'b', 'c'\]"),
        (bad(threshold=0), r"threshold: must be a number above 0, got 0"),
        (bad(threshold=True), r"threshold: must be a number above 0, got True"),
        (bad(statistic="median"), "has soft weights"),
        (lambda folder: write(folder, weights_of(2)) | {"names": "n.txt"}, r"n.txt: 3 names for the 2 volumes of"),
        (lambda folder: write(folder, weights_of(), affine=np.eye(4)), "weights are not resampled here"),
        (lambda _: {"kind": "probabilistic", "file": "a.npy"}, r"a probabilistic atlas comes as .nii or .nii.gz"),
    ],
)
def test_atlases_that_cannot_be(tmp_path, make, message):
    (tmp_path / "n.txt").write_text("a\nb\nc\n")
    spec = make(tmp_path)
    with pytest.raises(AtlasError, match=message):
        parcellate(np.ones((1, 1, SPACE.n_locations), np.float32), atlas(tmp_path, spec))


def test_surfaces_have_no_volumes_of_weights(tmp_path):
    spec = write(tmp_path, weights_of())
    check_spec(spec)
    with pytest.raises(AtlasError, match="are for maps in volumes, these are in fsaverage5"):
        atlas(tmp_path, spec, SPACES["fsaverage5"])

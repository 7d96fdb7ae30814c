"""Applying an atlas, against numpy's formulas and nilearn's maskers."""

import nibabel as nib
import numpy as np
import pytest
import scipy.sparse
from hypothesis import given, settings
from hypothesis import strategies as st
from nilearn.maskers import NiftiLabelsMasker, SurfaceLabelsMasker
from nilearn.surface import InMemoryMesh, PolyMesh, SurfaceImage

from cortax.brain.data.meshes import fsaverage_mesh
from cortax.brain.data.spaces import SPACES, abstract_space, volume_space
from cortax.brain.parcellation.apply import STATISTICS, column_names, parcellate
from cortax.brain.parcellation.atlas import Atlas, hard_weights
from cortax.errors import AtlasError

N_LOCATIONS = 40


def atlas_of(weights, name="atlas"):
    weights = scipy.sparse.csr_array(np.asarray(weights, float))
    regions = tuple(f"r{i}" for i in range(weights.shape[0]))
    return Atlas(name, abstract_space(weights.shape[1]), regions, weights)


def hard_atlas(rng, n_regions=6):
    labels = rng.integers(0, n_regions + 1, N_LOCATIONS)
    return labels, atlas_of(hard_weights(labels, np.arange(1, n_regions + 1)).toarray())


def maps_of(rng, n_subjects=5, n_maps=2, n_missing=0):
    values = rng.normal(3, 2, (n_subjects, n_maps, N_LOCATIONS)).astype(np.float32)
    for i in range(n_subjects):
        values[i, :, rng.choice(N_LOCATIONS, n_missing, replace=False)] = np.nan
    return values


def test_hard_means_equal_surface_labels_masker():
    rng = np.random.default_rng(0)
    meshes = {side: fsaverage_mesh("fsaverage3", hemi=hemi) for side, hemi in (("left", "L"), ("right", "R"))}
    n = meshes["left"].n_vertices
    labels = rng.integers(0, 21, 2 * n)
    values = rng.normal(2, 1, (4, 1, 2 * n)).astype(np.float32)
    mesh = PolyMesh(**{side: InMemoryMesh(one.coordinates, one.faces) for side, one in meshes.items()})

    def image(data):
        return SurfaceImage(mesh, {"left": data[:n], "right": data[n:]})

    masker = SurfaceLabelsMasker(image(labels.astype(np.int32)), standardize=None).fit()
    theirs = masker.transform(image(values[:, 0].T.copy()))
    regions = tuple(str(i) for i in range(1, 21))
    atlas = Atlas("a", SPACES["fsaverage3"], regions, hard_weights(labels, np.arange(1, 21)))
    np.testing.assert_allclose(parcellate(values, atlas), theirs, atol=1e-6)


@pytest.mark.parametrize(
    ("statistic", "theirs"), [("mean", "mean"), ("median", "median"), ("std", "standard_deviation")]
)
def test_hard_statistics_equal_nifti_labels_masker(statistic, theirs):
    rng = np.random.default_rng(1)
    shape, affine = (7, 8, 9), np.diag([2.0, 2.0, 2.0, 1.0])
    labels = rng.integers(0, 11, shape).astype(np.int32)
    values = rng.normal(2, 1, (3, 1, *shape)).astype(np.float32)
    masker = NiftiLabelsMasker(nib.Nifti1Image(labels, affine), strategy=theirs, standardize=None).fit()
    expected = masker.transform(nib.Nifti1Image(np.moveaxis(values[:, 0], 0, -1), affine))
    weights = hard_weights(labels.ravel(), np.arange(1, 11))
    atlas = Atlas("a", volume_space(shape, affine), tuple(str(i) for i in range(10)), weights)
    found = parcellate(values.reshape(3, 1, -1), atlas, statistic=statistic)
    np.testing.assert_allclose(found, expected, atol=1e-6)


@pytest.mark.parametrize(("statistic", "function"), [("mean", np.mean), ("median", np.median), ("std", np.std)])
@pytest.mark.parametrize("n_missing", [0, 15])
def test_hard_statistics_ignore_nan(statistic, function, n_missing):
    rng = np.random.default_rng(2)
    labels, atlas = hard_atlas(rng)
    values = maps_of(rng, n_missing=n_missing)
    found = parcellate(values, atlas, statistic=statistic).reshape(5, 2, -1)
    for i, j, region in np.ndindex(found.shape):
        inside = values[i, j, labels == region + 1].astype(float)
        np.testing.assert_allclose(found[i, j, region], function(inside[~np.isnan(inside)]), rtol=1e-6)


@pytest.mark.parametrize("alike", [True, False])
def test_soft_weights_give_the_weighted_mean_of_what_is_there(alike):
    rng = np.random.default_rng(3)
    weights = rng.random((4, N_LOCATIONS)) * (rng.random((4, N_LOCATIONS)) < 0.6)
    values = maps_of(rng, n_missing=9)
    if alike:
        values[:, :, :] = np.where(np.isnan(values[:1, :1]), np.nan, rng.normal(size=values.shape))
    valid = ~np.isnan(values)
    expected = np.where(valid, values, 0.0) @ weights.T / (valid @ weights.T)
    np.testing.assert_allclose(parcellate(values, atlas_of(weights)), expected.reshape(5, -1), rtol=2e-6)


@pytest.mark.parametrize("n_missing", [0, 9])
def test_signed_weights_give_least_squares(n_missing):
    rng = np.random.default_rng(4)
    weights = rng.normal(size=(4, N_LOCATIONS))
    values = maps_of(rng, n_missing=n_missing)
    found = parcellate(values, atlas_of(weights)).reshape(5, 2, 4)
    for i, j in np.ndindex(5, 2):
        valid = ~np.isnan(values[i, j])
        expected = np.linalg.lstsq(weights[:, valid].T, values[i, j, valid].astype(float))[0]
        np.testing.assert_allclose(found[i, j], expected, rtol=1e-5, atol=1e-6)


def test_signed_region_without_data_is_nan_and_leaves_the_others_alone():
    rng = np.random.default_rng(5)
    weights = np.zeros((3, N_LOCATIONS))
    weights[0, :10], weights[1, 10:] = rng.normal(size=10), rng.normal(size=30)
    values = maps_of(rng)
    values[1, 0, :10] = np.nan
    found = parcellate(values, atlas_of(weights)).reshape(5, 2, 3)
    assert np.isnan(found[..., 2]).all()
    assert np.argwhere(np.isnan(found[..., :2])).tolist() == [[1, 0, 0]]
    values[1] = np.nan
    assert np.isnan(parcellate(values, atlas_of(weights))[1]).all()


@pytest.mark.parametrize("statistic", sorted(STATISTICS))
def test_region_without_data_is_a_nan_column_not_a_missing_one(statistic):
    labels = np.repeat([1, 2, 4], [10, 10, 20])
    atlas = atlas_of(hard_weights(labels, np.arange(1, 5)).toarray())
    values = maps_of(np.random.default_rng(6))
    values[3, 1, 10:20] = np.nan
    found = parcellate(values, atlas, statistic=statistic).reshape(5, 2, 4)
    expected = np.zeros((5, 2, 4), bool)
    expected[:, :, 2] = expected[3, 1, 1] = True
    np.testing.assert_array_equal(np.isnan(found), expected)


seeds = st.integers(0, 2**32 - 1)


@settings(max_examples=30, deadline=None)
@given(
    seed=seeds,
    statistic=st.sampled_from(sorted(STATISTICS)),
    n_missing=st.integers(0, 30),
    block=st.integers(1, 9),
)
def test_subjects_are_independent_and_blocks_do_not_show(seed, statistic, n_missing, block):
    rng = np.random.default_rng(seed)
    _, atlas = hard_atlas(rng)
    values = maps_of(rng, n_missing=n_missing)
    found = parcellate(values, atlas, statistic=statistic)
    order = rng.permutation(len(values))
    again = parcellate(values[order], atlas, statistic=statistic, block=block)
    np.testing.assert_array_equal(again, found[order])


@settings(max_examples=30, deadline=None)
@given(seed=seeds, constant=st.floats(-1e3, 1e3, width=32), n_missing=st.integers(0, 30))
def test_constant_map_gives_the_constant(seed, constant, n_missing):
    rng = np.random.default_rng(seed)
    weights = rng.random((4, N_LOCATIONS))
    values = np.where(np.isnan(maps_of(rng, n_missing=n_missing)), np.nan, np.float32(constant))
    np.testing.assert_allclose(parcellate(values, atlas_of(weights)), constant, rtol=1e-6, atol=1e-12)


@settings(max_examples=30, deadline=None)
@given(seed=seeds, signed=st.booleans())
def test_linear(seed, signed):
    rng = np.random.default_rng(seed)
    atlas = atlas_of(rng.random((4, N_LOCATIONS)) - (0.5 if signed else 0.0))
    one, two = maps_of(rng), maps_of(rng)
    left = parcellate(2 * one - two, atlas)
    np.testing.assert_allclose(left, 2 * parcellate(one, atlas) - parcellate(two, atlas), rtol=1e-4, atol=1e-4)


@settings(max_examples=30, deadline=None)
@given(seed=seeds, kind=st.sampled_from(["hard", "soft", "signed"]))
def test_nan_location_is_as_good_as_none(seed, kind):
    rng = np.random.default_rng(seed)
    weights = hard_atlas(rng)[1].weights.toarray() if kind == "hard" else rng.random((4, N_LOCATIONS))
    weights -= 0.5 if kind == "signed" else 0.0
    values, gone = maps_of(rng), rng.choice(N_LOCATIONS, 12, replace=False)
    without = parcellate(np.delete(values, gone, axis=2), atlas_of(np.delete(weights, gone, axis=1)))
    values[:, :, gone] = np.nan
    np.testing.assert_allclose(parcellate(values, atlas_of(weights)), without, rtol=1e-4, atol=1e-5)


def test_sums_are_double_precision():
    values = np.full((1, 1, 100_000), 0.1, np.float32)
    values[0, 0, 0] = 1e7
    found = parcellate(values, atlas_of(np.ones((1, 100_000))))
    np.testing.assert_allclose(found[0, 0], values.astype(float).mean(), rtol=1e-7)


def test_reads_a_memory_map_and_does_not_change_its_input(tmp_path):
    values = maps_of(np.random.default_rng(7), n_missing=3)
    np.save(tmp_path / "maps.npy", values)
    _, atlas = hard_atlas(np.random.default_rng(7))
    mapped = np.load(tmp_path / "maps.npy", mmap_mode="r")
    for statistic in STATISTICS:
        before = values.copy()
        np.testing.assert_array_equal(
            parcellate(mapped, atlas, statistic=statistic), parcellate(values, atlas, statistic=statistic)
        )
        np.testing.assert_array_equal(values, before)


def test_columns_are_map_major():
    atlas = atlas_of(np.eye(3, N_LOCATIONS))
    values = maps_of(np.random.default_rng(8))
    assert column_names(["a", "b"], atlas.regions) == ("a:r0", "a:r1", "a:r2", "b:r0", "b:r1", "b:r2")
    np.testing.assert_array_equal(parcellate(values, atlas), values[:, :, :3].reshape(5, 6))


def test_no_subjects():
    assert parcellate(np.empty((0, 2, N_LOCATIONS), np.float32), atlas_of(np.eye(3, N_LOCATIONS))).shape == (0, 6)


def test_another_space_names_both():
    atlas = Atlas("mine", SPACES["fsaverage3"], ("a",), scipy.sparse.csr_array((1, 1284)))
    values = np.zeros((2, 1, 1284), np.float32)
    with pytest.raises(AtlasError, match=r"'mine' is in space fsaverage3 .* the maps are in fsaverage4"):
        parcellate(values, atlas, space=SPACES["fsaverage4"])
    with pytest.raises(AtlasError, match=r"'mine' wants .*1284\) for space fsaverage3.*got \(2, 1, 1283\)"):
        parcellate(values[..., 1:], atlas)


def test_statistics_that_do_not_exist_or_do_not_fit():
    values = maps_of(np.random.default_rng(9))
    with pytest.raises(AtlasError, match=r"'hard', statistic: got 'meen'.*did you mean 'mean'"):
        parcellate(values, atlas_of(np.eye(3, N_LOCATIONS), "hard"), statistic="meen")
    for sign, kind in ((1, "soft"), (-1, "signed")):
        with pytest.raises(
            AtlasError, match=rf"'x' has {kind} weights: statistic got 'median', must be one of \['mean'\]"
        ):
            parcellate(values, atlas_of(sign * np.full((1, N_LOCATIONS), 0.5), "x"), statistic="median")

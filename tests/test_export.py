"""Importance as images: what is written is what other tools open, region by region."""

import json
from pathlib import Path

import nibabel as nib
import numpy as np
import pandas as pd
import pytest
import scipy.sparse
from nibabel.cifti2 import BrainModelAxis, Cifti2Image, ScalarAxis
from nilearn.image import load_img
from nilearn.maskers import NiftiLabelsMasker
from nilearn.surface import load_surf_data

from cortax.brain.data.export import write_maps
from cortax.brain.data.images import read_map
from cortax.brain.data.labels import read_labels
from cortax.brain.data.spaces import SPACES, Space, abstract_space, volume_space
from cortax.brain.parcellation.apply import column_names, parcellate
from cortax.brain.parcellation.atlas import Atlas, hard_weights, save_atlas
from cortax.brain.parcellation.project import back_project
from cortax.brain.parcellation.specs import atlas_from_spec
from cortax.errors import AtlasError, InputError, ProjectError
from cortax.learning.importance.found import Importance, save_importance
from cortax.provenance import outputs
from cortax.workloads.regions.exports import Wanted, export, importance_table
from cortax.workloads.regions.study.study import RegionsStudy

FSAVERAGE5 = SPACES["fsaverage5"]
AFFINE = np.array([[-2.0, 0, 0, 90], [0, 2, 0, -126], [0, 0, 2, -72], [0, 0, 0, 1]])


@pytest.fixture(scope="module")
def surface_atlas():
    """Random regions on the real fsaverage5; some vertices belong to none."""
    spec = {"kind": "random-growth", "n_regions": 50, "seed": 1}
    atlas = atlas_from_spec(spec, name="random", space=FSAVERAGE5, root=Path())
    keep = np.arange(FSAVERAGE5.n_locations) % 50 > 0
    return Atlas("random", FSAVERAGE5, atlas.regions, scipy.sparse.csr_array(atlas.weights * keep[None]))


def volume_atlas():
    labels = np.zeros((9, 10, 8), dtype=int)
    labels[1:4, 2:8, 1:6], labels[5:8, 2:8, 1:6] = 3, 7
    atlas = Atlas(
        "boxes", volume_space(labels.shape, AFFINE), ("a", "b"), hard_weights(labels.ravel(), np.array([3, 7]))
    )
    return labels, atlas


def soft(weights, space=None):
    weights = np.asarray(weights, float)
    names = tuple(f"r{i}" for i in range(len(weights)))
    return Atlas("soft", space or abstract_space(weights.shape[1]), names, scipy.sparse.csr_array(weights))


def test_soft_regions_are_weighted():
    atlas = soft([[1.0, 0.5, 0.0, 0.0], [0.0, 1.5, 2.0, 0.0]])
    found = back_project(atlas, np.array([[4.0, 8.0], [np.nan, 8.0]]))
    np.testing.assert_allclose(found, [[4.0, 7.0, 8.0, np.nan], [np.nan, 8.0, 8.0, np.nan]])
    signed = soft([[1.0, -0.5, 0.0], [0.0, 1.5, 0.0]])
    np.testing.assert_allclose(back_project(signed, np.array([[4.0, 8.0]])), [[4.0, 10.0, np.nan]])


def test_signed_regions_rebuild_the_map_that_they_were_fitted_to():
    rng = np.random.default_rng(0)
    atlas = soft(rng.normal(size=(3, 40)))
    values = rng.normal(size=(1, 3))
    rebuilt = back_project(atlas, values)
    again = parcellate(rebuilt[None].astype(np.float32), atlas)
    np.testing.assert_allclose(again, values, rtol=1e-5)


def test_other_regions_are_refused():
    with pytest.raises(AtlasError, match=r"values \(1, 3\), must be \(n_maps, 2\)"):
        back_project(soft([[1.0, 0], [0, 1]]), np.zeros((1, 3)))


def test_surface_round_trip(tmp_path, surface_atlas):
    values = np.random.default_rng(0).normal(size=(2, 50))
    projected = back_project(surface_atlas, values)
    paths = write_maps(tmp_path / "x", projected, ["thickness", "sulc"], FSAVERAGE5)
    assert [path.name for path in paths] == ["x_hemi-L.func.gii", "x_hemi-R.func.gii"]
    # As nilearn, nibabel and cortax itself read it: (n_vertices, n_maps), region by region.
    whole = np.concatenate([load_surf_data(str(path)) for path in paths])
    assert whole.shape == (20484, 2)
    means = parcellate(whole.T[None].astype(np.float32), surface_atlas)
    np.testing.assert_allclose(means.reshape(2, 50), values, rtol=1e-6)
    for region, members in enumerate(np.split(surface_atlas.weights.indices, surface_atlas.weights.indptr[1:-1])):
        np.testing.assert_array_equal(whole[members], np.tile(values[:, region].astype(np.float32), (len(members), 1)))
    assert np.isnan(whole[::50]).all()
    for path, hemi in zip(paths, "LR", strict=True):
        image = nib.load(path)
        structure = {"L": "CortexLeft", "R": "CortexRight"}[hemi]
        assert image.meta["AnatomicalStructurePrimary"] == structure
        assert [array.meta["Name"] for array in image.darrays] == ["thickness", "sulc"]
        for array in image.darrays:
            assert array.meta["AnatomicalStructurePrimary"] == structure
            assert nib.nifti1.intent_codes.niistring[array.intent] == "NIFTI_INTENT_NORMAL"
            assert array.data.dtype == np.float32
        found = read_map(path, pick="sulc")
        assert found.hemi == hemi
        assert len(found.values) == 10242


@pytest.mark.parametrize("n_maps", [1, 2])
def test_volume_round_trip(tmp_path, n_maps):
    labels, atlas = volume_atlas()
    values = np.array([[1.5, -2.0], [0.25, 4.0]])[:n_maps]
    (path,) = write_maps(tmp_path / "x", back_project(atlas, values), ["t1", "t2"][:n_maps], atlas.space)
    image = load_img(str(path))
    assert image.shape == labels.shape + ((2,) if n_maps == 2 else ())
    np.testing.assert_allclose(image.affine, AFFINE)
    data = np.asarray(image.dataobj)
    assert (data[labels == 0] == 0).all()
    masker = NiftiLabelsMasker(nib.Nifti1Image(labels.astype(np.int16), AFFINE), standardize=None)
    np.testing.assert_allclose(np.atleast_2d(masker.fit_transform(image)), values, rtol=1e-6)
    assert read_map(path, pick=0 if n_maps == 2 else None).space.matches(atlas.space)


def cifti_template(path, n_left=20, n_right=24, n_voxels=6):
    brain = BrainModelAxis.from_surface(np.arange(3, 3 + n_left), 32, "CortexLeft")
    brain += BrainModelAxis.from_surface(np.arange(n_right), 32, "CortexRight")
    mask = np.zeros((3, 3, 3), bool)
    mask.ravel()[:n_voxels] = True
    brain += BrainModelAxis.from_mask(mask, affine=AFFINE, name="thalamus_left")
    values = np.zeros((1, len(brain)), np.float32)
    nib.save(Cifti2Image(values, header=(ScalarAxis(["thickness"]), brain)), path)
    return brain, Space("mine", "grayordinates", n_left=n_left, n_right=n_right, n_other=n_voxels)


def test_grayordinates_round_trip(tmp_path):
    brain, space = cifti_template(tmp_path / "sub-1.dscalar.nii")
    labels = np.arange(space.n_locations) // 10
    atlas = Atlas("tens", space, tuple("abcd"), hard_weights(labels, np.array([0, 1, 2, 4])))
    values = np.array([[1.0, 2.0, 3.0, 4.0], [-1.0, np.nan, 5.0, 6.0]])
    stem, projected = tmp_path / "out", back_project(atlas, values)
    (path,) = write_maps(stem, projected, ["m1", "m2"], space, template=tmp_path / "sub-1.dscalar.nii")
    assert path.name == "out.dscalar.nii"
    image = nib.load(path)
    assert list(image.header.get_axis(0).name) == ["m1", "m2"]
    assert image.header.get_axis(1) == brain
    np.testing.assert_array_equal(image.get_fdata(), np.nan_to_num(projected))
    found = read_map(path, pick="m2")
    np.testing.assert_array_equal(found.values, np.nan_to_num(projected[1]).astype(np.float32))
    assert image.nifti_header.get_intent()[0] == "ConnDenseScalar"
    with pytest.raises(InputError, match="grayordinates need a CIFTI file"):
        write_maps(stem, projected, ["m1", "m2"], space)
    _, other = cifti_template(tmp_path / "other.dscalar.nii", n_left=21)
    assert other.n_locations == space.n_locations + 1
    with pytest.raises(InputError, match="51 grayordinates, not those of"):
        write_maps(stem, projected, ["m1", "m2"], space, template=tmp_path / "other.dscalar.nii")


def test_what_cannot_be_written_is_said(tmp_path):
    with pytest.raises(InputError, match="nothing is known about the locations"):
        write_maps(tmp_path / "x", np.zeros((1, 4)), ["m"], abstract_space(4))
    with pytest.raises(InputError, match=r"values \(1, 4\) are not \(1, n_locations\)"):
        write_maps(tmp_path / "x", np.zeros((1, 4)), ["m"], FSAVERAGE5)
    (tmp_path / "bad.dscalar.nii").write_bytes(b"no image")
    space = Space("mine", "grayordinates", n_left=2, n_right=1, n_other=1)
    with pytest.raises(InputError, match=r"bad\.dscalar\.nii"):
        write_maps(tmp_path / "x", np.zeros((1, 4)), ["m"], space, template=tmp_path / "bad.dscalar.nii")


STUDY = {
    "name": "tiny",
    "title": "Tiny",
    "images": {"root": "images", "space": "fsaverage5", "maps": {"thickness": "{participant_id}.npy"}},
    "phenotypes": {"file": "p.tsv"},
    "targets": {"iq": {"kind": "regression"}},
    "parcellations": {"rand": {"kind": "random-growth", "n_regions": 50}},
    "pipelines": {"ridge": {"kind": "ridge"}},
    "importance": {},
}


@pytest.fixture
def built(tmp_path, surface_atlas):
    """What a build leaves behind, as far as an export reads it."""
    rng = np.random.default_rng(0)
    columns = column_names(["sulc", "thickness"], surface_atlas.regions)
    values = {kind: rng.normal(size=(1, 3, 100)) for kind in ("pattern", "permutation")}
    jobs = {}
    for number, name in enumerate(["parcellate/rand", "importance/rand/ridge", "importance/table/ridge"]):
        jobs[name] = f"main-{number}"
        folder = tmp_path / "workdirs/main" / jobs[name]
        folder.mkdir(parents=True)
        if name == "parcellate/rand":
            save_atlas(folder, surface_atlas)
            files = ["atlas.npz", "atlas.json"]
        else:
            names = columns if "rand" in name else [column.replace(":", "_") for column in columns]
            files = save_importance(folder, Importance(values, ("iq",), tuple(names), ()))
        outputs.record(folder, files, method=name.partition("/")[0], name=name)
    axes = ("parcellation", "pipeline")
    what = {name: (method, *key) for name in jobs for method, *key in [name.split("/")]}
    what = {
        name: {"method": method, "key": dict(zip(axes, key, strict=False))} for name, (method, *key) in what.items()
    }
    (tmp_path / "results/tiny").mkdir(parents=True)
    (tmp_path / "results/tiny/build.json").write_text(json.dumps({"jobs": jobs, "what": what, "ran": {}}))
    return tmp_path, values


def test_export_of_a_build(built, surface_atlas):
    root, values = built
    wanted = Wanted("rand", "ridge", "iq", "pattern")
    paths = export(root, RegionsStudy(**STUDY), wanted, root / "out")
    stem = "parc-rand_pipeline-ridge_target-iq_pattern-mean"
    assert [path.name for path in paths] == [f"{stem}_hemi-L.func.gii", f"{stem}_hemi-R.func.gii", f"{stem}.csv"]
    whole = np.concatenate([load_surf_data(str(path)) for path in paths[:2]])
    means = parcellate(whole.T[None].astype(np.float32), surface_atlas)[0]
    np.testing.assert_allclose(means, values["pattern"][0].mean(axis=0), rtol=1e-5)
    table = pd.read_csv(paths[2])
    assert table["map"].tolist() == ["sulc"] * 50 + ["thickness"] * 50
    assert table["region"].tolist() == list(surface_atlas.regions) * 2
    np.testing.assert_allclose(table["mean"], values["pattern"][0].mean(axis=0))
    np.testing.assert_allclose(table["sd"], values["pattern"][0].std(axis=0, ddof=1))
    named = export(
        root, RegionsStudy(**STUDY), Wanted("rand", "ridge", "iq", "permutation", "sd"), root / "a/b.func.gii"
    )
    assert [path.name for path in named] == ["b_hemi-L.func.gii", "b_hemi-R.func.gii", "b.csv"]
    assert [p.name for p in export(root, RegionsStudy(**STUDY), wanted, root / "only.csv")] == ["only.csv"]
    assert [
        p.name for p in export(root, RegionsStudy(**STUDY), Wanted("table", "ridge", "iq", "pattern"), root / "out")
    ] == ["parc-table_pipeline-ridge_target-iq_pattern-mean.csv"]


@pytest.mark.parametrize(
    ("wanted", "message"),
    [
        (Wanted("rnd", "ridge", "iq", "pattern"), "did you mean 'rand/ridge'"),
        (Wanted("rand", "ridge", "qi", "pattern"), r"rand/ridge, target: got 'qi', must be one of \['iq'\]"),
        (Wanted("rand", "ridge", "iq", "patterns"), "did you mean 'pattern'"),
        (Wanted("rand", "ridge", "iq", "pattern", "median"), "statistic: got 'median'"),
    ],
)
def test_misspelt_wishes_are_told_what_there_is(built, wanted, message):
    with pytest.raises(ProjectError, match=message):
        importance_table(built[0], "tiny", wanted)


def test_a_file_of_another_format_is_refused(built):
    root, _ = built
    with pytest.raises(InputError, match=r"or a name like \*.csv or \*.func.gii|a name like \*.csv or \*.func.gii"):
        export(root, RegionsStudy(**STUDY), Wanted("rand", "ridge", "iq", "pattern"), root / "x.nii.gz")
    with pytest.raises(InputError, match="a table of another program has no image"):
        export(root, RegionsStudy(**STUDY), Wanted("table", "ridge", "iq", "pattern"), root / "x.func.gii")


def test_labels_of_the_export_are_those_of_the_atlas(tmp_path):
    """A real annotation in, the same regions out."""
    labels = np.zeros(20484, np.int32)
    labels[100:200], labels[15000:16000] = 5, 9
    np.save(tmp_path / "labels.npy", labels)
    found = read_labels(tmp_path / "labels.npy")
    atlas = Atlas("two", FSAVERAGE5, tuple(found.names.values()), hard_weights(found.labels, np.array([*found.names])))
    paths = write_maps(tmp_path / "x", back_project(atlas, np.array([[5.0, 9.0]])), ["label"], FSAVERAGE5)
    whole = np.concatenate([load_surf_data(str(path)) for path in paths])
    np.testing.assert_array_equal(np.nan_to_num(whole).ravel(), labels)

"""Atlases: what they check, reading them from files, saving them."""

import nibabel as nib
import numpy as np
import pytest
import scipy.sparse
from nilearn.image import resample_to_img

from cortax.brain.data.meshes import fsaverage_mesh
from cortax.brain.data.spaces import SPACES, abstract_space, volume_space
from cortax.brain.parcellation.atlas import Atlas, hard_weights, open_atlas, save_atlas
from cortax.brain.parcellation.spec_files import spec_files
from cortax.brain.parcellation.specs import KINDS, atlas_from_spec, check_spec
from cortax.errors import AtlasError, ProjectError

SPACE = SPACES["fsaverage3"]
NAMES = ["unknown", "front", "middle", "back"]
AFFINE = np.diag([2.0, 2.0, 2.0, 1.0])


def write_annot(path, labels, names=NAMES):
    table = np.zeros((len(names), 5), int)
    table[:, 0] = np.arange(len(names)) + 1
    nib.freesurfer.write_annot(path, np.asarray(labels), table, names, fill_ctab=True)


def write_label_gii(path, labels, hemi, names=NAMES):
    table = nib.gifti.GiftiLabelTable()
    for key, name in enumerate(names):
        label = nib.gifti.GiftiLabel(key, 1.0, 0.0, 0.0, 1.0)
        label.label = name
        table.labels.append(label)
    meta = nib.gifti.GiftiMetaData({"AnatomicalStructurePrimary": {"L": "CortexLeft", "R": "CortexRight"}[hemi]})
    array = nib.gifti.GiftiDataArray(labels.astype(np.int32), intent="NIFTI_INTENT_LABEL", meta=meta)
    nib.save(nib.gifti.GiftiImage(labeltable=table, darrays=[array]), path)


@pytest.fixture
def pair(tmp_path):
    rng = np.random.default_rng(0)
    left, right = rng.integers(0, 4, (2, 642))
    write_annot(tmp_path / "lh.a.annot", left)
    write_label_gii(tmp_path / "rh.a.label.gii", right, "R")
    return {"kind": "labels", "left": "lh.a.annot", "right": "rh.a.label.gii"}, left, right


def read(spec, root, space=SPACE):
    return atlas_from_spec(spec, name="mine", space=space, root=root)


def test_label_pair(pair, tmp_path):
    spec, left, right = pair
    atlas = read(spec, tmp_path)
    assert atlas.regions == ("L_front", "L_middle", "L_back", "R_front", "R_middle", "R_back")
    both = np.concatenate([left, np.where(right > 0, right + 3, 0)])
    expected = (both == np.arange(1, 7)[:, None]).astype(float)
    np.testing.assert_array_equal(atlas.weights.toarray(), expected)
    assert atlas.sizes.tolist() == expected.sum(axis=1).tolist()
    assert atlas.is_hard
    assert not atlas.is_signed
    assert spec_files(spec, tmp_path) == [tmp_path / "lh.a.annot", tmp_path / "rh.a.label.gii"]


def test_names_that_tell_the_hemisphere_stay(tmp_path):
    labels = np.random.default_rng(1).integers(0, 3, 642)
    write_annot(tmp_path / "l.annot", labels, ["unknown", "LH_a", "LH_b"])
    write_annot(tmp_path / "r.annot", labels, ["unknown", "RH_a", "RH_b"])
    atlas = read({"kind": "labels", "left": "l.annot", "right": "r.annot"}, tmp_path)
    assert atlas.regions == ("LH_a", "LH_b", "RH_a", "RH_b")


def test_region_without_location_keeps_its_name(pair, tmp_path):
    spec, left, _ = pair
    write_annot(tmp_path / "lh.a.annot", np.where(left == 2, 0, left))
    atlas = read(spec, tmp_path)
    assert atlas.regions[1] == "L_middle"
    assert (atlas.sizes == 0).tolist() == [False, True, False, False, False, False]


def test_nested_labels_only_when_asked(tmp_path):
    labels = np.random.default_rng(2).integers(0, 4, 2562)
    for name in ("lh.annot", "rh.annot"):
        write_annot(tmp_path / name, labels)
    spec = {"kind": "labels", "left": "lh.annot", "right": "rh.annot"}
    message = (
        r"'mine': .*lh.annot: has 2562 vertices \(as fsaverage4 has\), the hemisphere L of fsaverage3 has 642; "
        r'ask for resample = "nested"'
    )
    with pytest.raises(AtlasError, match=message):
        read(spec, tmp_path)
    atlas = read({**spec, "resample": "nested"}, tmp_path)
    np.testing.assert_array_equal(
        atlas.weights[[0]].toarray()[0], np.tile(labels[:642] == 1, 2) * np.repeat([1, 0], 642)
    )


@pytest.mark.parametrize("resample", [{}, {"resample": "nested"}])
def test_wrong_number_of_vertices(pair, tmp_path, resample):
    spec, left, _ = pair
    write_annot(tmp_path / "lh.a.annot", left[:600])
    with pytest.raises(AtlasError, match=r"lh.a.annot: has 600 vertices, the hemisphere L of fsaverage3 has 642$"):
        read({**spec, **resample}, tmp_path)
    # Coarser labels cannot be cut to a finer mesh
    write_annot(tmp_path / "lh.a.annot", left)
    with pytest.raises(AtlasError, match=r"lh.a.annot: has 642 vertices \(as fsaverage3 has\).*has 2562$"):
        read({**spec, **resample}, tmp_path, SPACES["fsaverage4"])


def test_swapped_hemispheres(pair, tmp_path):
    spec = {"kind": "labels", "left": "rh.a.label.gii", "right": "lh.a.annot"}
    with pytest.raises(AtlasError, match=r"rh.a.label.gii: is of hemisphere R, given as L"):
        read(spec, tmp_path)


def test_surface_labels_for_a_volume(pair, tmp_path):
    with pytest.raises(AtlasError, match=r"'left' and 'right' are for surfaces, the maps are in volume"):
        read(pair[0], tmp_path, volume_space((3, 3, 3), AFFINE))


def test_duplicate_region_names_are_named(pair, tmp_path):
    spec, left, _ = pair
    write_annot(tmp_path / "lh.a.annot", left, ["unknown", "front", "back", "front"])
    with pytest.raises(AtlasError, match=r"'mine'.*must be unique, these are not: \['L_front'\]"):
        read(spec, tmp_path)


def test_labels_without_regions(pair, tmp_path):
    spec, left, _ = pair
    write_annot(tmp_path / "lh.a.annot", np.zeros_like(left))
    with pytest.raises(AtlasError, match=r"'mine': .*lh.a.annot: no region"):
        read(spec, tmp_path)


@pytest.fixture
def volume(tmp_path):
    labels = np.random.default_rng(3).integers(0, 4, (6, 7, 8)).astype(np.int16)
    nib.save(nib.Nifti1Image(labels, AFFINE), tmp_path / "labels.nii.gz")
    return labels


def test_volume_with_a_table_of_names(volume, tmp_path):
    (tmp_path / "names.tsv").write_text("index\tname\n9\tnine\n1\tone\n2\ttwo\n3\tthree\n0\tBackground\n")
    spec = {"kind": "labels", "file": "labels.nii.gz", "names": "names.tsv"}
    atlas = read(spec, tmp_path, volume_space((6, 7, 8), AFFINE))
    assert atlas.regions == ("one", "two", "three", "nine")
    expected = volume.ravel() == np.array([1, 2, 3, 9])[:, None]
    np.testing.assert_array_equal(atlas.weights.toarray(), expected)
    assert spec_files(spec, tmp_path) == [tmp_path / "labels.nii.gz", tmp_path / "names.tsv"]


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ("index\tname\n1\tone\n", r"names.tsv: has no name for the labels \[2, 3\] of .*labels.nii.gz"),
        ("index\tregion\n1\tone\n", r"names.tsv: has no column 'name', found \['index', 'region'\]"),
        ("index\tname\n1\tone\n1\ttwo\n", r"names.tsv: column 'index' holds a number twice"),
        ("index\tname\nx\tone\n", r"names.tsv: column 'index' must hold whole numbers, found \['x'\]"),
        ("index\tname\n1\tone\n2\n", r"names.tsv: line 3 lacks one of"),
        ("", r"names.tsv: empty file"),
    ],
)
def test_tables_of_names_that_will_not_do(volume, tmp_path, table, message):
    (tmp_path / "names.tsv").write_text(table)
    spec = {"kind": "labels", "file": "labels.nii.gz", "names": "names.tsv"}
    with pytest.raises(AtlasError, match=message):
        read(spec, tmp_path, volume_space((6, 7, 8), AFFINE))


def test_other_grid_is_resampled_only_when_asked(volume, tmp_path):
    shape, affine = (12, 13, 9), np.diag([1.2, 1.2, 1.9, 1.0])
    affine[:3, 3] = [0.3, -0.4, 0.2]
    spec = {"kind": "labels", "file": "labels.nii.gz"}
    with pytest.raises(AtlasError, match=r"\(6, 7, 8\).*\(12, 13, 9\).*ask for resample = \"nearest\""):
        read(spec, tmp_path, volume_space(shape, affine))
    atlas = read({**spec, "resample": "nearest"}, tmp_path, volume_space(shape, affine))
    target = nib.Nifti1Image(np.zeros(shape, np.float32), affine)
    source = nib.Nifti1Image(volume.astype(np.int32), AFFINE)
    theirs = resample_to_img(source, target, interpolation="nearest", copy_header=True, force_resample=True)
    found = np.arange(1, 4) @ atlas.weights.toarray()
    np.testing.assert_array_equal(found, np.asarray(theirs.dataobj).ravel())


def test_volume_labels_for_a_surface(volume, tmp_path):
    with pytest.raises(AtlasError, match=r"labels.nii.gz: labels are in volume .*the maps are in fsaverage3"):
        read({"kind": "labels", "file": "labels.nii.gz", "resample": "nearest"}, tmp_path)


def test_dlabel_is_spread_over_the_cortex(tmp_path):
    # Grayordinates leave the medial wall out; the maps have all vertices
    masks = [np.arange(642) >= 40, np.arange(642) >= 70]
    brain = nib.cifti2.BrainModelAxis.from_mask(masks[0], name="cortex_left")
    brain += nib.cifti2.BrainModelAxis.from_mask(masks[1], name="cortex_right")
    labels = np.random.default_rng(4).integers(0, 3, (1, len(brain))).astype(np.int32)
    table = {0: ("???", (0, 0, 0, 0)), 1: ("one", (1, 0, 0, 1)), 2: ("two", (0, 1, 0, 1))}
    header = (nib.cifti2.LabelAxis(["a"], [table]), brain)
    nib.save(nib.Cifti2Image(labels, header), tmp_path / "a.dlabel.nii")
    atlas = read({"kind": "labels", "file": "a.dlabel.nii"}, tmp_path)
    assert atlas.regions == ("one", "two")
    full = np.zeros(1284)
    full[np.concatenate(masks)] = labels[0]
    np.testing.assert_array_equal(np.array([1, 2]) @ atlas.weights.toarray(), full)


@pytest.mark.parametrize("form", ["npy", "npz"])
def test_weights(tmp_path, form):
    weights = np.random.default_rng(5).normal(size=(30, 3)) * (np.arange(30) % 2)[:, None]
    if form == "npy":
        np.save(tmp_path / "w.npy", weights)
    else:
        scipy.sparse.save_npz(tmp_path / "w.npz", scipy.sparse.csc_array(weights))
    (tmp_path / "names.tsv").write_text("name\ta\nx\t1\ny\t2\nz\t3\n")
    spec = {"kind": "weights", "file": f"w.{form}", "names": "names.tsv"}
    atlas = read(spec, tmp_path, abstract_space(30))
    np.testing.assert_array_equal(atlas.weights.toarray(), weights.T)
    assert atlas.regions == ("x", "y", "z")
    assert atlas.is_signed
    assert atlas.sizes.tolist() == [15, 15, 15]
    (tmp_path / "names.tsv").write_text("name\nx\n")
    with pytest.raises(AtlasError, match=r"names.tsv: 1 names for the 3 regions of .*w\."):
        read(spec, tmp_path, abstract_space(30))
    with pytest.raises(AtlasError, match=rf"w.{form}: .*n_locations = 31 .* found float64 of shape \(30, 3\)"):
        read(spec, tmp_path, abstract_space(31))


def test_weights_that_will_not_do(tmp_path):
    np.save(tmp_path / "w.npy", np.full((30, 3), np.nan))
    with pytest.raises(AtlasError, match=r"'mine': weights must be finite"):
        read({"kind": "weights", "file": "w.npy"}, tmp_path, abstract_space(30))
    with pytest.raises(AtlasError, match=r"w.csv: weights come as .npy or .npz, got '.csv'"):
        read({"kind": "weights", "file": "w.csv"}, tmp_path, abstract_space(30))
    for content in (b"nothing", b"PK\x03\x04 cut short"):
        (tmp_path / "w.npz").write_bytes(content)
        with pytest.raises(AtlasError, match=r"w.npz: not a readable array of weights"):
            read({"kind": "weights", "file": "w.npz"}, tmp_path, abstract_space(30))


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ({}, r"has no key 'kind', which must be one of \['icosahedral',"),
        ({"kind": "lables"}, "kind: got 'lables'.*did you mean 'labels'"),
        (
            {"kind": "random-growth", "seed": 1},
            r"'random-growth' needs the keys \['n_regions', 'seed'\], missing: \['n_reg",
        ),
        ({"kind": "ward", "n_region": 3, "n_regions": 3}, "unknown key: got 'n_region'.*did you mean 'n_regions'"),
        (
            {"kind": "voronoi", "n_regions": "9", "seed": 1},
            "n_regions: must be a whole number of at least 2, got '9'",
        ),
        ({"kind": "voronoi", "n_regions": 9, "seed": -1}, "seed: must be a whole number of at least 0, got -1"),
        ({"kind": "voronoi", "n_regions": True, "seed": 1}, "n_regions: .* got True"),
        ({"kind": "icosahedral", "level": 5}, "level: must be a whole number from 0 to 4, got 5"),
        ({"kind": "ward", "n_regions": 9, "mesh": "fsaverage55"}, "mesh: .*did you mean 'fsaverage5'"),
        ({"kind": "ward", "n_regions": 9, "surface": "pail"}, "surface: .*did you mean 'pial'"),
        ({"kind": "ward", "n_regions": 9, "statistic": "meen"}, "statistic: .*did you mean 'mean'"),
        ({"kind": "labels", "file": "a", "resample": "nest"}, "resample: .*did you mean 'nested'"),
        ({"kind": "labels"}, "either 'file' or both 'left' and 'right'"),
        ({"kind": "labels", "left": "a"}, "either 'file' or both 'left' and 'right'"),
        ({"kind": "labels", "left": "a", "right": "b", "file": "c"}, "either 'file' or both"),
        ({"kind": "labels", "left": "a", "right": "b", "names": "c"}, "names: goes with 'file' only"),
        ({"kind": "labels", "file": 3}, "file: must be a path, got 3"),
        ({"kind": "icosahedral", "level": 1, "mask": {"fil": "x"}}, "unknown key: got 'fil'.*did you mean 'file'"),
    ],
)
def test_bad_specs_are_found_without_a_file(spec, message, tmp_path):
    with pytest.raises(AtlasError, match=message):
        check_spec(spec)
    with pytest.raises(AtlasError, match=f"parcellation 'mine': .*{message}"):
        read(spec, tmp_path)


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ({"kind": "labels", "file": "none.nii"}, "none.nii: missing file"),
        ({"kind": "weights", "file": "none.npy"}, "none.npy: missing file"),
        ({"kind": "icosahedral", "level": 4}, "level: 4 has 2562 regions a hemisphere, the mesh has 642"),
        ({"kind": "voronoi", "n_regions": 2000, "seed": 1}, "n_regions: must be at most 1284, .* got 2000"),
        (
            {"kind": "ward", "n_regions": 9, "mesh": "fsaverage4"},
            "mesh: 'fsaverage4' has 2562 vertices in L, .*fsaverage3",
        ),
        ({"kind": "ward", "n_regions": 9, "mesh": {"left": "x"}}, "mesh: must be {left = ..., right = ...}"),
        ({"kind": "ward", "n_regions": 9, "features": []}, "features: must name at least one"),
        (
            {"kind": "icosahedral", "level": 1, "mesh": {"left": "x", "right": "y"}},
            "mesh: an icosahedral .* nests",
        ),
    ],
)
def test_bad_specs_are_found_in_making(spec, message, tmp_path):
    with pytest.raises(AtlasError, match=f"parcellation 'mine': .*{message}"):
        read(spec, tmp_path)


def test_every_kind_says_what_it_needs():
    for name, kind in KINDS.items():
        for key in kind.required:
            with pytest.raises(AtlasError, match=key):
                check_spec({"kind": name})


def test_saving_is_exact_and_byte_identical(pair, tmp_path):
    atlas = read(pair[0] | {"statistic": "std"}, tmp_path)
    for folder in ("one", "two"):
        (tmp_path / folder).mkdir()
        save_atlas(tmp_path / folder, atlas)
    for file in ("atlas.npz", "atlas.json"):
        assert (tmp_path / "one" / file).read_bytes() == (tmp_path / "two" / file).read_bytes()
    again = open_atlas(tmp_path / "one")
    assert (again.name, again.space, again.regions, again.statistic) == ("mine", SPACE, atlas.regions, "std")
    np.testing.assert_array_equal(again.weights.toarray(), atlas.weights.toarray())


def test_saved_atlas_that_is_damaged(pair, tmp_path):
    with pytest.raises(ProjectError, match=r"atlas.json: missing or damaged"):
        open_atlas(tmp_path)
    save_atlas(tmp_path, read(pair[0], tmp_path))
    (tmp_path / "atlas.npz").write_bytes((tmp_path / "atlas.npz").read_bytes()[:100])
    with pytest.raises(ProjectError, match=r"atlas.npz: missing or damaged"):
        open_atlas(tmp_path)


def test_atlas_checks_itself():
    space = abstract_space(5)
    with pytest.raises(AtlasError, match=r"weights are \(2, 4\), must be .* \(2, 5\)"):
        Atlas("a", space, ("x", "y"), scipy.sparse.csr_array((2, 4)))
    with pytest.raises(AtlasError, match="'a': has no regions"):
        Atlas("a", space, (), scipy.sparse.csr_array((0, 5)))


def test_hard_weights_take_keys_in_any_order():
    labels = np.array([7, 0, 3, 7, 100, -2])
    dense = hard_weights(labels, np.array([100, 7, 50, 3])).toarray()
    np.testing.assert_array_equal(dense, labels == np.array([[100], [7], [50], [3]]))


def test_nested_vertices_are_the_coarser_mesh():
    fine, coarse = (fsaverage_mesh(name, "white", hemi="L").coordinates for name in ("fsaverage5", "fsaverage3"))
    np.testing.assert_array_equal(fine[:642], coarse)

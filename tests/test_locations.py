"""Equal counts are not equal locations: files that list them otherwise are put in one order, or refused."""

from __future__ import annotations

from pathlib import Path

import nibabel as nib
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from nibabel.cifti2 import BrainModelAxis, LabelAxis, ScalarAxis

from cortax.brain.data.export import write_maps
from cortax.brain.data.images import read_map
from cortax.brain.data.labels import read_labels
from cortax.brain.data.maps import find_maps, load_maps, open_maps, space_of
from cortax.brain.data.meshes import read_mesh
from cortax.brain.data.spaces import SPACES, Space
from cortax.brain.parcellation.apply import parcellate
from cortax.brain.parcellation.specs import atlas_from_spec
from cortax.errors import AtlasError, InputError

N = 30  # vertices a hemisphere
GRID = np.array([[-2.0, 0, 0, 90], [0, 2, 0, -126], [0, 0, 2, -72], [0, 0, 0, 1]])
SHAPE = (8, 9, 7)
TABLE = {0: ("???", (0, 0, 0, 0)), 1: ("low", (1, 0, 0, 1)), 2: ("high", (0, 1, 0, 1))}
VERTICES = {"CORTEX_LEFT": np.arange(2, N), "CORTEX_RIGHT": np.arange(0, N - 3)}
BELOW = ("PUTAMEN_LEFT", "THALAMUS_RIGHT")
COUNTS = Space("small", "grayordinates", n_left=N - 2, n_right=N - 3, n_other=2 * 24)


def structure(name: str, order: np.ndarray, *, shift: int = 0, flipped: bool = False) -> BrainModelAxis:
    """One structure in an order of its own; its voxels on a grid whose first axis may run the other way."""
    if name in VERTICES:
        return BrainModelAxis.from_surface(VERTICES[name][order], N, name=f"CIFTI_STRUCTURE_{name}")
    begin = 1 + 3 * BELOW.index(name)
    box = np.stack(np.meshgrid(np.arange(begin, begin + 2), np.arange(3), np.arange(4), indexing="ij"), -1)
    voxels, affine = box.reshape(-1, 3)[order] + [shift, 0, 0], GRID.copy()
    if flipped:
        affine = affine @ np.array([[-1.0, 0, 0, SHAPE[0] - 1], [0, 1, 0, 0], [0, 0, 1, 0], [0, 0, 0, 1]])
        voxels = voxels * [-1, 1, 1] + [SHAPE[0] - 1, 0, 0]
    return BrainModelAxis(name=f"CIFTI_STRUCTURE_{name}", voxel=voxels, affine=affine, volume_shape=SHAPE)


def shifted() -> BrainModelAxis:
    """As many voxels of the first structure below the cortex, but one to the side."""
    parts = axis(tuple(VERTICES)) + structure(BELOW[0], np.arange(24), shift=1)
    return parts + structure(BELOW[1], np.arange(24))


def size(name: str) -> int:
    return len(VERTICES[name]) if name in VERTICES else 24


def axis(names=(*VERTICES, *BELOW), rng: np.random.Generator | None = None, **more) -> BrainModelAxis:
    parts = [structure(n, np.arange(size(n)) if rng is None else rng.permutation(size(n)), **more) for n in names]
    whole = parts[0]
    for part in parts[1:]:
        whole = whole + part
    return whole


def field(brain: BrainModelAxis) -> np.ndarray:
    """A number for each location, the same whatever the order: by vertex, or by millimetres."""
    mm = np.c_[brain.voxel, np.ones(len(brain))] @ (brain.affine if brain.affine is not None else GRID).T
    values = np.where(brain.surface_mask, brain.vertex * 1.5, mm[:, :3] @ [0.01, 0.3, 7])
    return (values + 100 * (brain.name == "CIFTI_STRUCTURE_CORTEX_RIGHT")).astype(np.float32)[None]


def write_map(path: Path, brain: BrainModelAxis, values: np.ndarray | None = None) -> None:
    data = field(brain) if values is None else values
    nib.Cifti2Image(data, (ScalarAxis(["x"]), brain)).to_filename(path)


def write_labels(path: Path, brain: BrainModelAxis) -> None:
    labels = np.where(field(brain) % 5 < 2, 1, 2).astype(np.float32)
    nib.Cifti2Image(labels, (LabelAxis(["x"], [TABLE]), brain)).to_filename(path)


def load(folder: Path, space: Space = COUNTS, **options):
    (folder / "out").mkdir(exist_ok=True)
    files = find_maps(folder, {"x": "{participant_id}.dscalar.nii"})
    load_maps(files, folder / "out", space=space, **options)
    return open_maps(folder / "out")


def means(maps, atlas) -> np.ndarray:
    return parcellate(maps.values, atlas, space=maps.space)


def atlas(folder: Path, space: Space):
    return atlas_from_spec({"kind": "labels", "file": "a.dlabel.nii"}, name="a", space=space, root=folder)


def orders(seed: int) -> BrainModelAxis:
    rng = np.random.default_rng(seed)
    return axis(rng.permutation([*VERTICES, *BELOW]), rng, flipped=bool(seed % 2))


# --- CIFTI


@given(seeds=st.lists(st.integers(0, 1000), min_size=3, max_size=3))
@settings(max_examples=15, deadline=None)
def test_the_order_of_grayordinates_changes_nothing(tmp_path_factory, seeds):
    """Subjects and atlas in any order of structures, vertices, voxels and axes: the means by location."""
    folder = tmp_path_factory.mktemp("cifti")
    for i, seed in enumerate(seeds[:2]):
        write_map(folder / f"{i}.dscalar.nii", orders(seed))
    write_labels(folder / "a.dlabel.nii", orders(seeds[2]))
    values, regions = field(axis())[0].astype(np.float64), np.where(field(axis())[0] % 5 < 2, 1, 2)
    truth = [values[regions == number].mean() for number in (1, 2)]
    maps = load(folder)
    # The atlas may be read for the maps' own space, or for one of which only the counts are known
    for space in (maps.space, COUNTS):
        np.testing.assert_allclose(means(maps, atlas(folder, space)), [truth] * 2, rtol=1e-6)
    # On a surface, the cortex alone
    surface = load(folder, Space("mesh", "surface", n_left=N, n_right=N))
    cortex = (axis().surface_mask) & (regions > 0)
    truth = [values[cortex & (regions == number)].mean() for number in (1, 2)]
    np.testing.assert_allclose(means(surface, atlas(folder, surface.space)), [truth] * 2, rtol=1e-6)


@pytest.mark.parametrize("other", ["voxels", "vertices", "structure", "affine"])
def test_other_grayordinates_of_the_same_number_are_refused(tmp_path, other):
    changed, moved = axis(), GRID.copy()
    if other == "voxels":
        changed = shifted()
    elif other == "vertices":
        less = BrainModelAxis.from_surface(np.arange(1, N - 1), N, name="CIFTI_STRUCTURE_CORTEX_LEFT")
        changed = less + axis(("CORTEX_RIGHT", *BELOW))
    elif other == "structure":
        changed.name[changed.name == "CIFTI_STRUCTURE_PUTAMEN_LEFT"] = "CIFTI_STRUCTURE_CAUDATE_LEFT"
    else:
        moved[:3, 3] += 1
        changed.affine = moved
    said = {"voxels": "PUTAMEN_LEFT", "vertices": "CORTEX_LEFT", "structure": "CAUDATE_LEFT", "affine": "affine"}[other]
    write_map(tmp_path / "1.dscalar.nii", axis())
    write_map(tmp_path / "2.dscalar.nii", changed)
    with pytest.raises(InputError, match=rf"2\.dscalar\.nii.*as in 1\.dscalar\.nii.*{said}"):
        load(tmp_path)
    (tmp_path / "2.dscalar.nii").unlink()
    maps = load(tmp_path)
    write_labels(tmp_path / "a.dlabel.nii", changed)
    with pytest.raises(AtlasError, match=rf"a\.dlabel\.nii.*{said}"):
        atlas(tmp_path, maps.space)
    with pytest.raises(AtlasError, match=rf"'a'.*{said}"):
        means(maps, atlas(tmp_path, COUNTS))


def test_an_array_without_names_is_taken_in_the_usual_order_only(tmp_path):
    write_map(tmp_path / "1.dscalar.nii", axis(rng=np.random.default_rng(0)))
    maps = load(tmp_path)
    assert maps.space.reordered
    np.save(tmp_path / "a.npy", np.ones(COUNTS.n_locations, int))
    np.save(tmp_path / "w.npy", np.ones((COUNTS.n_locations, 2)))
    for spec in ({"kind": "labels", "file": "a.npy"}, {"kind": "weights", "file": "w.npy"}):
        with pytest.raises(AtlasError, match=r"\.npy: an array does not say where its values lie"):
            atlas_from_spec(spec, name="a", space=maps.space, root=tmp_path)


def test_what_is_exported_lies_where_the_template_says(tmp_path):
    template = orders(3)
    write_map(tmp_path / "1.dscalar.nii", template)
    maps = load(tmp_path)
    (path,) = write_maps(tmp_path / "out", maps.values[0], ["x"], maps.space, template=tmp_path / "1.dscalar.nii")
    np.testing.assert_array_equal(nib.load(path).get_fdata(dtype=np.float32), field(template))
    write_map(tmp_path / "2.dscalar.nii", shifted())
    with pytest.raises(InputError, match=r"2\.dscalar\.nii.*PUTAMEN_LEFT"):
        write_maps(tmp_path / "out", maps.values[0], ["x"], maps.space, template=tmp_path / "2.dscalar.nii")


@pytest.mark.parametrize("n_left", [N - 1, N + 1])
def test_cortex_of_another_mesh(tmp_path, n_left):
    """Both hemispheres together have as many vertices as the space."""
    write_map(tmp_path / "1.dscalar.nii", axis())
    with pytest.raises(InputError, match=r"1\.dscalar\.nii: CIFTI_STRUCTURE_CORTEX_LEFT has 30 vertices"):
        load(tmp_path, Space("mesh", "surface", n_left=n_left, n_right=2 * N - n_left))


def test_a_location_twice_is_damage(tmp_path):
    brain = axis(("CORTEX_LEFT", "CORTEX_RIGHT"))
    brain.vertex[3] = brain.vertex[4]
    write_map(tmp_path / "1.dscalar.nii", brain)
    with pytest.raises(InputError, match=r"1\.dscalar\.nii.*CORTEX_LEFT: lists a location twice"):
        read_map(tmp_path / "1.dscalar.nii")


# --- volumes


@given(turn=st.permutations([0, 1, 2]), flips=st.tuples(*[st.booleans()] * 3))
@settings(max_examples=20, deadline=None)
def test_the_axes_of_a_volume_change_nothing(tmp_path_factory, turn, flips):
    folder = tmp_path_factory.mktemp("volume")
    data = np.random.default_rng(0).normal(size=SHAPE).astype(np.float32)
    labels = (data > 0).astype(np.int16) + 1
    ornt = np.array([[axis, -1 if flip else 1] for axis, flip in zip(turn, flips, strict=True)])
    for name, values in (("1.nii.gz", data), ("2.nii.gz", data), ("a.nii", labels)):
        image = nib.Nifti1Image(values, GRID)
        nib.save(image if name[0] == "1" else image.as_reoriented(ornt), folder / name)
    (folder / "out").mkdir()
    files = find_maps(folder, {"x": "{participant_id}.nii.gz"})
    load_maps(files, folder / "out", space=space_of(files, "volume"))
    maps = open_maps(folder / "out")
    np.testing.assert_array_equal(maps.values[1], maps.values[0])
    regions = atlas_from_spec({"kind": "labels", "file": "a.nii"}, name="a", space=maps.space, root=folder)
    truth = [data[labels == number].mean(dtype=np.float64) for number in (1, 2)]
    np.testing.assert_allclose(means(maps, regions), [truth] * 2, rtol=1e-5)


def test_other_grids_of_the_same_shape_are_refused(tmp_path):
    (tmp_path / "out").mkdir()
    for name, shift in (("1.nii", 0), ("2.nii", 2)):
        affine = GRID.copy()
        affine[0, 3] += shift
        nib.save(nib.Nifti1Image(np.ones(SHAPE, np.float32), affine), tmp_path / name)
    files = find_maps(tmp_path, {"x": "{participant_id}.nii"})
    with pytest.raises(InputError, match=r"2\.nii.*as in 1\.nii.*affine"):
        load_maps(files, tmp_path / "out", space=space_of(files, "volume"))


def test_a_volume_is_no_surface_of_as_many_vertices(tmp_path):
    nib.save(nib.Nifti1Image(np.ones((642, 2, 1), np.float32), GRID), tmp_path / "1.nii")
    with pytest.raises(InputError, match=r"1\.nii: the maps' space is fsaverage3"):
        load_maps(find_maps(tmp_path, {"x": "{participant_id}.nii"}), tmp_path, space=SPACES["fsaverage3"])


# --- surfaces


def gifti(path: Path, *arrays: tuple[str, np.ndarray], structure: str = "") -> None:
    table = nib.gifti.GiftiLabelTable()
    for key, (name, _) in TABLE.items():
        label = nib.gifti.GiftiLabel(key, 1, 1, 1, 1)
        label.label = name
        table.labels.append(label)
    meta = nib.gifti.GiftiMetaData({"AnatomicalStructurePrimary": structure} if structure else {})
    image = nib.GiftiImage(labeltable=table, meta=meta)
    for intent, data in arrays:
        image.add_gifti_data_array(nib.gifti.GiftiDataArray(data, intent=f"NIFTI_INTENT_{intent}"))
    nib.save(image, path)


def test_a_gifti_that_lists_its_vertices(tmp_path):
    values, order = np.arange(20, dtype=np.float32), np.random.default_rng(0).permutation(20).astype(np.int32)
    gifti(tmp_path / "a.func.gii", ("SHAPE", values[order]), ("NODE_INDEX", order))
    np.testing.assert_array_equal(read_map(tmp_path / "a.func.gii").values, values)
    labels = (values % 3).astype(np.int32)
    gifti(tmp_path / "a.label.gii", ("NODE_INDEX", order), ("LABEL", labels[order]))
    np.testing.assert_array_equal(read_labels(tmp_path / "a.label.gii").labels, labels)
    order[0] = order[1]
    gifti(tmp_path / "a.func.gii", ("SHAPE", values), ("NODE_INDEX", order))
    with pytest.raises(InputError, match=r"a\.func\.gii: lists vertices \(NODE_INDEX\), but not each of 20 once"):
        read_map(tmp_path / "a.func.gii")


def test_an_annotation_that_lists_its_vertices_otherwise(tmp_path):
    labels = np.arange(9) % 3
    nib.freesurfer.write_annot(tmp_path / "lh.a.annot", labels, np.eye(3, 4, dtype=int) * 50, ["a", "b", "c"])
    data = bytearray((tmp_path / "lh.a.annot").read_bytes())
    pairs = np.frombuffer(data, ">i4", 18, 4).reshape(9, 2)
    data[4 : 4 + 72] = pairs[::-1].tobytes()
    expected = read_labels(tmp_path / "lh.a.annot").labels
    (tmp_path / "lh.a.annot").write_bytes(data)
    np.testing.assert_array_equal(read_labels(tmp_path / "lh.a.annot").labels, expected)
    data[4 : 4 + 72] = np.where([True, False], 0, pairs).astype(">i4").tobytes()
    (tmp_path / "lh.a.annot").write_bytes(data)
    with pytest.raises(InputError, match=r"lh\.a\.annot: does not list each of its 9 vertices once"):
        read_labels(tmp_path / "lh.a.annot")


@pytest.mark.parametrize("said", ["CortexRight", "CORTEX_RIGHT", "CIFTI_STRUCTURE_CORTEX_RIGHT"])
def test_meshes_and_features_are_of_their_hemisphere(tmp_path, said):
    points, faces = np.eye(3, dtype=np.float32), np.array([[0, 1, 2]], np.int32)
    gifti(tmp_path / "a.surf.gii", ("POINTSET", points), ("TRIANGLE", faces), structure=said)
    assert read_mesh(tmp_path / "a.surf.gii", hemi="R").n_vertices == 3
    with pytest.raises(InputError, match=r"a\.surf\.gii: is of hemisphere R, given as L"):
        read_mesh(tmp_path / "a.surf.gii", hemi="L")
    for hemi, value in (("L", said), ("R", said)):
        gifti(tmp_path / f"{hemi}.func.gii", ("SHAPE", np.ones(642, np.float32)), structure=value)
    spec = {"kind": "ward", "n_regions": 4, "features": [{"left": "L.func.gii", "right": "R.func.gii"}]}
    with pytest.raises(AtlasError, match=r"L\.func\.gii is of hemisphere R, given as left"):
        atlas_from_spec(spec, name="a", space=SPACES["fsaverage3"], root=tmp_path)


@pytest.mark.parametrize("said", ["Cerebellum", "CortexRightAndLeft", "HippocampusLeft"])
def test_another_structure_is_no_hemisphere(tmp_path, said):
    gifti(tmp_path / "a.func.gii", ("SHAPE", np.ones(20, np.float32)), structure=said)
    with pytest.raises(InputError, match=rf"a\.func\.gii: holds the structure '{said}'"):
        read_map(tmp_path / "a.func.gii")


@pytest.mark.parametrize(
    ("mine", "other"), [("fsaverage", "fsLR-164k"), ("fsaverage6", "civet-41k"), ("civet-164k", "fsLR-164k")]
)
def test_meshes_of_as_many_vertices_are_told_apart(mine, other):
    assert "different meshes" in SPACES[mine].difference(SPACES[other])
    assert SPACES["fsaverage"].matches(SPACES["fsaverage7"])

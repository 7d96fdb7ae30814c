"""Generated parcellations: connected, reproducible, of the size asked for."""

import socket

import nibabel as nib
import numpy as np
import pytest
from scipy.sparse.csgraph import connected_components, dijkstra
from scipy.spatial.distance import cdist

from cortax.brain.data.meshes import FSAVERAGE, edges, fsaverage_mesh, read_mesh
from cortax.brain.data.spaces import SPACES
from cortax.brain.parcellation.generate import (
    grow_regions,
    icosahedral_regions,
    largest_part,
    split_regions,
    voronoi_regions,
    ward_regions,
)
from cortax.brain.parcellation.spec_files import spec_files
from cortax.brain.parcellation.specs import atlas_from_spec
from cortax.errors import AtlasError, InputError

MESH = fsaverage_mesh("fsaverage3", hemi="L")
GRAPH = edges(MESH)
ALL = np.ones(642, bool)
# A ring of masked vertices around an island
MASK = dijkstra(GRAPH, indices=500, unweighted=True) != 2
FREE = largest_part(GRAPH, MASK)
SPACE = SPACES["fsaverage3"]


def ward(graph, n_regions, *, free, seed):
    return ward_regions(graph, n_regions, features=MESH.coordinates, free=free)


GENERATORS = {"growth": grow_regions, "voronoi": voronoi_regions, "ward": ward}


def n_parts(labels, region):
    inside = labels == region
    return connected_components(GRAPH[inside][:, inside], directed=False)[0]


@pytest.mark.parametrize("generate", GENERATORS.values(), ids=GENERATORS)
@pytest.mark.parametrize("free", [ALL, FREE], ids=["all", "masked"])
@pytest.mark.parametrize("n_regions", [1, 7, 60])
def test_every_region_is_connected_and_all_free_vertices_are_taken(generate, free, n_regions):
    for seed in range(3):
        labels = generate(GRAPH, n_regions, free=free, seed=seed)
        assert np.array_equal(labels > 0, free)
        assert np.unique(labels[free]).tolist() == list(range(1, n_regions + 1))
        assert {n_parts(labels, region) for region in range(1, n_regions + 1)} == {1}


@pytest.mark.parametrize("generate", GENERATORS.values(), ids=GENERATORS)
def test_as_many_regions_as_vertices_and_not_one_more(generate):
    n_free = int(FREE.sum())
    assert np.bincount(generate(GRAPH, n_free, free=FREE, seed=0)[FREE]).tolist() == [0] + [1] * n_free
    for n_regions in (0, n_free + 1):
        with pytest.raises(AtlasError, match=rf"n_regions: must be 1..{n_free}, .* got {n_regions}$"):
            generate(GRAPH, n_regions, free=FREE, seed=0)


@pytest.mark.parametrize("generate", [grow_regions, voronoi_regions])
def test_seeds_decide(generate):
    one, same, other = (generate(GRAPH, 20, free=ALL, seed=seed) for seed in (5, 5, 6))
    assert np.array_equal(one, same)
    assert not np.array_equal(one, other)


def test_growth_follows_the_weights_of_the_regions():
    grown = [np.bincount(grow_regions(GRAPH, 20, free=ALL, seed=seed))[1:] for seed in range(20)]
    # The weights are the numbers drawn right after the seed vertices
    rhos = []
    for seed, sizes in enumerate(grown):
        rng = np.random.default_rng(seed)
        rng.choice(642, 20, replace=False)
        rhos.append(np.corrcoef(1 - rng.random(20), sizes)[0, 1])
    assert np.mean(rhos) > 0.5


def test_voronoi_is_nearest_along_the_edges():
    labels = voronoi_regions(GRAPH, 15, free=FREE, seed=3)
    starts = np.random.default_rng(3).choice(np.flatnonzero(FREE), 15, replace=False)
    inside = GRAPH.multiply(FREE[:, None] & FREE[None, :]).tocsr()
    inside.eliminate_zeros()
    distance = dijkstra(inside, directed=False, indices=starts)[:, FREE]
    np.testing.assert_allclose(distance[labels[FREE] - 1, np.arange(FREE.sum())], distance.min(axis=0))


@pytest.mark.parametrize("level", [0, 1, 2])
def test_icosahedral_is_nearest_on_the_sphere(level):
    sphere = fsaverage_mesh("fsaverage4", "sphere", hemi="R").coordinates
    n_regions = 10 * 4**level + 2
    labels = icosahedral_regions(sphere, level, free=np.ones(len(sphere), bool))
    distance = cdist(sphere, sphere[:n_regions])
    np.testing.assert_allclose(distance[np.arange(len(sphere)), labels - 1], distance.min(axis=1), atol=1e-2)
    assert labels[:n_regions].tolist() == list(range(1, n_regions + 1))
    # Icosahedra cut the sphere evenly
    sizes = np.bincount(labels)[1:]
    assert sizes.max() < 2.5 * sizes.min()


def test_icosahedron_finer_than_the_mesh():
    with pytest.raises(AtlasError, match="level: 4 has 2562 regions a hemisphere, the mesh has 642"):
        icosahedral_regions(MESH.coordinates, 4, free=ALL)


def test_ward_groups_what_is_alike():
    features = (MESH.coordinates[:, :1] > 0).astype(float) * 10 + MESH.coordinates * 1e-3
    halves = ward_regions(GRAPH, 40, features=features, free=ALL)
    for region in range(1, 41):
        assert np.ptp(features[halves == region, 0]) < 5


def test_largest_part_leaves_islands_to_the_background():
    assert 0 < FREE.sum() < MASK.sum()
    assert not (FREE & ~MASK).any()
    count, part = connected_components(GRAPH[MASK][:, MASK], directed=False)
    assert count > 1
    assert FREE.sum() == np.bincount(part).max()


@pytest.mark.parametrize(
    ("n_regions", "n_left", "n_right", "expected"),
    [
        (10, 50, 50, (5, 5)),
        (2, 1, 99, (1, 1)),
        (30, 200, 100, (20, 10)),
        (100, 50, 50, (50, 50)),
        (52, 2, 50, (2, 50)),
    ],
)
def test_regions_are_shared_in_proportion(n_regions, n_left, n_right, expected):
    assert split_regions(n_regions, n_left, n_right) == expected


def test_regions_cannot_be_shared():
    with pytest.raises(AtlasError, match="at least 2, one a hemisphere, got 1"):
        split_regions(1, 9, 9)
    with pytest.raises(AtlasError, match=r"at most 18, .* got 19"):
        split_regions(19, 9, 9)


SPECS = {
    "growth": {"kind": "random-growth", "n_regions": 31, "seed": 4},
    "voronoi": {"kind": "voronoi", "n_regions": 31, "seed": 4},
    "icosahedral": {"kind": "icosahedral", "level": 1},
    "ward": {"kind": "ward", "n_regions": 31},
}


@pytest.mark.parametrize("spec", SPECS.values(), ids=SPECS)
def test_spec_makes_both_hemispheres_without_crossing(spec, tmp_path):
    atlas = atlas_from_spec(spec, name="a", space=SPACE, root=tmp_path)
    again = atlas_from_spec(spec, name="a", space=SPACE, root=tmp_path)
    assert (atlas.weights != again.weights).nnz == 0
    assert atlas.n_regions == (84 if spec["kind"] == "icosahedral" else 31)
    assert atlas.is_hard
    # Every location is in a region.
    assert len(np.unique(atlas.weights.indices)) == atlas.space.n_locations
    left = np.array([region.startswith("L_") for region in atlas.regions])
    dense = atlas.weights.toarray()
    assert not dense[left, 642:].any()
    assert not dense[~left, :642].any()
    assert abs(left.sum() - (~left).sum()) <= 1


@pytest.mark.parametrize("spec", SPECS.values(), ids=SPECS)
def test_mask_is_background(spec, tmp_path):
    labels = np.ones(1284, int)
    labels[100:200] = 0
    np.save(tmp_path / "mask.npy", labels)
    for mask in ("mask.npy", {"file": "mask.npy"}):
        masked = {**spec, "mask": mask}
        atlas = atlas_from_spec(masked, name="a", space=SPACE, root=tmp_path)
        assert not atlas.weights.toarray()[:, 100:200].any()
        assert spec_files(masked, tmp_path) == [tmp_path / "mask.npy"]


def test_hemispheres_are_not_mirror_images(tmp_path):
    atlas = atlas_from_spec({**SPECS["growth"], "n_regions": 30}, name="a", space=SPACE, root=tmp_path)
    assert atlas.sizes[:15].tolist() != atlas.sizes[15:].tolist()


def test_mesh_files_do_as_well_as_the_name(tmp_path):
    for hemi, name in (("L", "lh.pial"), ("R", "rh.surf.gii")):
        mesh = fsaverage_mesh("fsaverage3", hemi=hemi)
        coordinates, faces = mesh.coordinates.astype(np.float32), mesh.faces.astype(np.int32)
        if name.endswith(".gii"):
            arrays = [
                nib.gifti.GiftiDataArray(data, intent=intent)
                for data, intent in ((coordinates, "NIFTI_INTENT_POINTSET"), (faces, "NIFTI_INTENT_TRIANGLE"))
            ]
            nib.save(nib.gifti.GiftiImage(darrays=arrays), tmp_path / name)
        else:
            nib.freesurfer.write_geometry(tmp_path / name, coordinates, faces, create_stamp="test")
        np.testing.assert_allclose(read_mesh(tmp_path / name).coordinates, mesh.coordinates, atol=1e-4)
    spec = {**SPECS["voronoi"], "mesh": {"left": "lh.pial", "right": "rh.surf.gii"}}
    by_name = atlas_from_spec(SPECS["voronoi"], name="a", space=SPACE, root=tmp_path)
    by_file = atlas_from_spec(spec, name="a", space=SPACE, root=tmp_path)
    assert (by_name.weights != by_file.weights).nnz == 0
    assert spec_files(spec, tmp_path) == [tmp_path / "lh.pial", tmp_path / "rh.surf.gii"]


def test_ward_on_template_maps(tmp_path):
    rng = np.random.default_rng(0)
    np.save(tmp_path / "left.npy", rng.normal(size=642))
    np.save(tmp_path / "right.npy", rng.normal(size=642))
    pair = {"left": "left.npy", "right": "right.npy"}
    spec = {**SPECS["ward"], "features": ["coordinates", pair]}
    atlas = atlas_from_spec(spec, name="a", space=SPACE, root=tmp_path)
    plain = atlas_from_spec(SPECS["ward"], name="a", space=SPACE, root=tmp_path)
    assert (atlas.weights != plain.weights).nnz > 0
    assert spec_files(spec, tmp_path) == [tmp_path / "left.npy", tmp_path / "right.npy"]
    np.save(tmp_path / "left.npy", np.full(642, np.nan))
    with pytest.raises(AtlasError, match=r"parcellation 'a': features: .*left.npy.* is not finite at 642"):
        atlas_from_spec(spec, name="a", space=SPACE, root=tmp_path)
    with pytest.raises(AtlasError, match=r"features: 'left.npy' has 642 values.*fsaverage3"):
        atlas_from_spec({**spec, "features": ["left.npy"]}, name="a", space=SPACE, root=tmp_path)


def test_meshes_need_no_network(monkeypatch):
    def refuse(*args, **kwargs):
        raise AssertionError("network")

    monkeypatch.setattr(socket, "socket", refuse)
    monkeypatch.setattr(socket, "create_connection", refuse)
    for name, n_vertices in FSAVERAGE.items():
        mesh = fsaverage_mesh(name, hemi="R")
        assert mesh.coordinates.shape == (n_vertices, 3)
        # Euler: a closed sphere of triangles
        assert len(mesh.faces) == 2 * n_vertices - 4
        assert edges(mesh).nnz == 2 * (3 * n_vertices - 6)


def test_edges_are_lengths_in_mm():
    start, end = MESH.faces[0, :2]
    length = np.linalg.norm(MESH.coordinates[start] - MESH.coordinates[end])
    assert GRAPH[start, end] == GRAPH[end, start] == pytest.approx(length)


def test_meshes_that_are_none(tmp_path):
    with pytest.raises(InputError, match=r"no.surf.gii: missing file"):
        read_mesh(tmp_path / "no.surf.gii")
    (tmp_path / "bad.gii").write_text("<GIFTI")
    with pytest.raises(InputError, match=r"bad.gii: not a readable surface mesh"):
        read_mesh(tmp_path / "bad.gii")
    nib.freesurfer.write_geometry(tmp_path / "lh.odd", np.eye(3), np.array([[0, 1, 7]]), create_stamp="test")
    with pytest.raises(InputError, match=r"lh.odd: faces name vertices 0..7, must be 0..2"):
        read_mesh(tmp_path / "lh.odd")
    for wrong, message in (
        ({"mesh": "fsaverage6"}, "mesh: got 'fsaverage6'"),
        ({"kind": "pail"}, "did you mean 'pial'"),
    ):
        with pytest.raises(AtlasError, match=message):
            fsaverage_mesh(**{"hemi": "L", **wrong})

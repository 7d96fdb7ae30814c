"""Pictures of brains: neighbours in different colours, values where they belong, and words for who cannot see them."""

import io

import numpy as np
import pandas as pd
import pytest
import scipy.sparse
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from cortax.brain.data.meshes import fsaverage_mesh
from cortax.brain.data.spaces import SPACES, abstract_space, volume_space
from cortax.brain.parcellation.atlas import Atlas, hard_weights
from cortax.brain.pictures import drawing
from cortax.brain.pictures.colours import colour_regions, winners
from cortax.brain.pictures.drawing import PALETTE, turnable
from cortax.brain.pictures.gallery import open_pictures, save_pictures, show_importance, show_parcellation
from cortax.brain.pictures.surfaces import hemispheres

COARSE = SPACES["fsaverage3"]
AFFINE = np.diag([4.0, 4, 4, 1])


def hard(space, labels, n_regions):
    weights = hard_weights(labels + 1, np.arange(1, n_regions + 1))
    return Atlas("made", space, tuple(f"r{k}" for k in range(n_regions)), weights)


def halves(space=COARSE, n=4):
    """A parcellation of n regions in bands of vertices; every tenth vertex belongs to none."""
    labels = np.arange(space.n_locations) * n // space.n_locations
    labels[::10] = -1
    return hard(space, labels, n)


def table(atlas, targets=("fluid",), kind="pattern", maps=("thickness",)):
    rows = [
        {"target": t, "kind": kind, "map": m, "region": region, "mean": number - 1.5, "sd": 0.5, "n_folds": 5}
        for t in targets
        for m in maps
        for number, region in enumerate(atlas.regions)
    ]
    return pd.DataFrame(rows)


def opened(data):
    return np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))


@settings(max_examples=60, deadline=None)
@given(st.integers(2, 12), st.integers(2, 12), st.integers(1, 30), st.integers(0, 1000))
def test_regions_that_touch_differ(n_rows, n_columns, n_regions, seed):
    labels = np.random.default_rng(seed).integers(-1, n_regions, size=(n_rows, n_columns))
    places = np.arange(labels.size).reshape(labels.shape)
    edges = [(places[1:].ravel(), places[:-1].ravel()), (places[:, 1:].ravel(), places[:, :-1].ravel())]
    colours = colour_regions(labels.ravel(), edges)
    flat = labels.ravel()
    assert ((colours == -1) == (flat == -1)).all()
    for first, second in edges:
        touching = (flat[first] != flat[second]) & (flat[first] >= 0) & (flat[second] >= 0)
        assert (colours[first] != colours[second])[touching].all()
    for region in np.unique(flat[flat >= 0]):
        assert len(np.unique(colours[flat == region])) == 1


def test_a_surface_needs_no_more_colours_than_there_are():
    mesh = fsaverage_mesh("fsaverage5", "white", hemi="L")
    seeds = np.random.default_rng(0).choice(mesh.n_vertices, 300, replace=False)
    distances = ((mesh.coordinates[:, None, :] - mesh.coordinates[seeds][None]) ** 2).sum(axis=2)
    edges = [(mesh.faces[:, i], mesh.faces[:, (i + 1) % 3]) for i in range(3)]
    assert colour_regions(distances.argmin(axis=1), edges).max() < len(PALETTE)


def test_the_strongest_region_wins_whatever_its_sign():
    weights = scipy.sparse.csr_array(np.array([[0.5, 0.0, -2.0, 0.0], [0.2, 0.1, 1.0, 0.0]]))
    atlas = Atlas("soft", abstract_space(4), ("a", "b"), weights)
    assert winners(atlas).tolist() == [0, 1, 0, -1]


def test_finer_surfaces_are_shown_by_the_vertices_of_fsaverage5():
    space = SPACES["fsaverage6"]
    values = np.arange(space.n_locations, dtype=float)
    left, right = hemispheres(space, values)
    n = fsaverage_mesh("fsaverage5", "inflated", hemi="L").n_vertices
    assert (left.side, right.side) == ("left", "right")
    assert left.values.tolist() == values[:n].tolist()
    assert right.values.tolist() == values[space.n_left : space.n_left + n].tolist()
    assert len(left.mesh.coordinates) == n


@pytest.mark.parametrize("space", [SPACES["fsLR-32k"], abstract_space(7)])
def test_a_space_without_a_mesh_is_said(space):
    values = np.zeros(space.n_locations)
    assert hemispheres(space, values) == []
    assert turnable(space, values, "x") is None
    labels = np.arange(space.n_locations) % 2
    gallery = show_parcellation(hard(space, labels, 2), "made")
    assert gallery.pictures == ()
    assert "no mesh of space" in gallery.note


def test_a_parcellation_is_drawn_and_read_back(tmp_path):
    gallery = show_parcellation(halves(), "made")
    (picture,) = gallery.pictures
    assert "4 regions" in picture.alt
    colours = {tuple(pixel) for pixel in opened(picture.data).reshape(-1, 3)[::7]}
    assert len(colours) > 10
    assert save_pictures(tmp_path, gallery) == ["pictures.json", "picture-0.png"]
    assert open_pictures(tmp_path) == gallery
    assert show_parcellation(halves(), "made") == gallery


def test_a_volume_is_drawn_in_cuts():
    space = volume_space((8, 9, 7), AFFINE)
    labels = np.full((8, 9, 7), -1)
    labels[1:4, 2:7, 1:6], labels[4:7, 2:7, 1:6] = 0, 1
    (picture,) = show_parcellation(hard(space, labels.ravel(), 2), "boxes").pictures
    assert picture.alt.startswith("Three cuts")
    assert len(np.unique(opened(picture.data).reshape(-1, 3), axis=0)) > 2
    atlas = hard(space, labels.ravel(), 2)
    means = table(atlas).assign(mean=[-1.0, -0.01])
    (drawn,) = show_importance(atlas, means, "boxes/ridge", 3).pictures
    pixels = {tuple(pixel) for pixel in opened(drawn.data).reshape(-1, 3)}
    assert len(pixels) > 2


def test_importance_is_drawn_target_by_target_with_words(tmp_path):
    atlas = halves()
    gallery = show_importance(atlas, table(atlas, targets=("fluid", "sex", "age")), "made/ridge", max_pictures=1)
    (picture,) = gallery.pictures
    assert "Haufe" in picture.caption
    assert "r0 -1.5 (SD over folds 0.5)" in picture.caption
    assert "2 more maps" in gallery.note
    title, page = gallery.turning
    assert title.startswith("made/ridge, fluid")
    save_pictures(tmp_path, gallery)
    assert open_pictures(tmp_path) == gallery
    assert "favicon" not in page
    assert "if (document.getElementById(plotDivId).layout) Plotly.relayout" in page


def test_values_of_both_signs_have_different_colours():
    atlas = halves(n=2)
    means = pd.DataFrame(table(atlas)).assign(mean=[-1.0, 1.0])
    (picture,) = show_importance(atlas, means, "made/ridge", 1).pictures
    (same,) = show_importance(atlas, means.assign(mean=[1.0, 1.0]), "made/ridge", 1).pictures
    assert picture.data != same.data


def test_triangles_that_turn_away_are_left_out_and_the_picture_is_the_same(monkeypatch):
    space = SPACES["fsaverage5"]
    values = np.random.default_rng(0).normal(size=space.n_locations)
    fewer = drawing.draw_values(space, values, "loss")
    counts = [len(drawing._facing(half.mesh, half.side, "medial")) for half in hemispheres(space, values)]
    assert all(0.4 * 20480 < n < 0.75 * 20480 for n in counts)
    monkeypatch.setattr(drawing, "_facing", lambda mesh, side, view: mesh.faces)
    assert drawing.draw_values(space, values, "loss") == fewer

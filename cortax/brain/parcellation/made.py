"""Parcellations that are made, not read: a study's table to the regions of both hemispheres.

How a hemisphere is cut is in `generate`, and `specs` has checked the keys; here are the mesh, the mask, the share
of each hemisphere and the names.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import scipy.sparse
from numpy.typing import NDArray

from cortax.brain.data.cifti import expand_cortex
from cortax.brain.data.images import read_map
from cortax.brain.data.map_files import split_pick
from cortax.brain.data.meshes import FSAVERAGE, Mesh, edges, fsaverage_mesh, read_mesh
from cortax.brain.data.spaces import Space
from cortax.brain.parcellation.atlas import hard_weights
from cortax.brain.parcellation.generate import (
    grow_regions,
    icosahedral_regions,
    largest_part,
    split_regions,
    voronoi_regions,
    ward_regions,
)
from cortax.brain.parcellation.readers import Parts, read_label_files
from cortax.errors import AtlasError, choices

__all__ = ["make_icosahedral", "make_random_growth", "make_voronoi", "make_ward"]

Spec = Mapping[str, Any]
Labels = NDArray[np.int32]
HEMISPHERES = ("L", "R")
SIDES = {"L": "left", "R": "right"}


def make_random_growth(spec: Spec, space: Space, root: Path) -> Parts:
    """Grow `n_regions` at random from `seed` (`generate.grow_regions`), hemispheres apart."""
    meshes = _meshes(spec, space, root)
    graphs, free, counts = _shares(spec, space, root, meshes)
    seeds = np.random.SeedSequence(spec["seed"]).spawn(2)
    return _joined([grow_regions(graphs[i], counts[i], free=free[i], seed=seeds[i]) for i in (0, 1)], counts)


def make_voronoi(spec: Spec, space: Space, root: Path) -> Parts:
    """Cut into `n_regions` geodesic cells around random vertices from `seed` (`generate.voronoi_regions`)."""
    meshes = _meshes(spec, space, root)
    graphs, free, counts = _shares(spec, space, root, meshes)
    seeds = np.random.SeedSequence(spec["seed"]).spawn(2)
    return _joined([voronoi_regions(graphs[i], counts[i], free=free[i], seed=seeds[i]) for i in (0, 1)], counts)


def make_icosahedral(spec: Spec, space: Space, root: Path) -> Parts:
    """Cut by the vertices of the icosahedron of `level` 0 to 4: 12, 42, 162, 642 or 2562 regions a hemisphere."""
    level = spec["level"]
    if not isinstance(spec.get("mesh", ""), str):
        raise AtlasError(f"mesh: an icosahedral parcellation needs a mesh that nests, one of {sorted(FSAVERAGE)}")
    meshes = _meshes({**spec, "surface": "sphere"}, space, root)
    free = _free(spec, space, root, meshes)
    labels = [icosahedral_regions(mesh.coordinates, level, free=f) for mesh, f in zip(meshes, free, strict=True)]
    return _joined(labels, [10 * 4**level + 2] * 2)


def make_ward(spec: Spec, space: Space, root: Path) -> Parts:
    """Cluster into `n_regions` by Ward's criterion on `features` of the TEMPLATE (`generate.ward_regions`).

    `features` is "coordinates" (of the mesh, in mm, the default) or a list of it and of map files, each a path or
    `{left, right}`. They must come from a template or another cohort: a map of the study's own subjects would
    let the test subjects shape the regions. Each map, and the coordinates together, get unit variance, where
    there are several.
    """
    meshes = _meshes(spec, space, root)
    graphs, free, counts = _shares(spec, space, root, meshes)
    halves = _features(spec, space, root, meshes, free)
    return _joined([ward_regions(graphs[i], counts[i], features=halves[i], free=free[i]) for i in (0, 1)], counts)


def _meshes(spec: Spec, space: Space, root: Path) -> list[Mesh]:
    mesh = spec.get("mesh", space.name)
    if isinstance(mesh, str):
        if mesh not in FSAVERAGE:
            raise AtlasError(
                f"mesh: {choices(mesh, FSAVERAGE)}; or give the files as mesh = {{left = ..., right = ...}}"
            )
        meshes = [fsaverage_mesh(mesh, spec.get("surface", "pial"), hemi=hemi) for hemi in HEMISPHERES]
    else:
        if "surface" in spec:
            raise AtlasError("surface: goes with a mesh by name, not with mesh files")
        meshes = [
            read_mesh(root / file, hemi=hemi) for file, hemi in zip(_pair(mesh, "mesh"), HEMISPHERES, strict=True)
        ]
    for hemi, one in zip(HEMISPHERES, meshes, strict=True):
        if space.kind != "surface" or one.n_vertices != space.n_hemisphere(hemi):
            raise AtlasError(
                f"mesh: {mesh!r} has {one.n_vertices} vertices in {hemi}, the maps are in {space.describe()}"
            )
    return meshes


def _pair(value: Any, key: str) -> list[str]:
    if not isinstance(value, Mapping) or set(value) != {"left", "right"}:
        raise AtlasError(f"{key}: must be {{left = ..., right = ...}}, got {value!r}")
    return [value[SIDES[hemi]] for hemi in HEMISPHERES]


def _shares(
    spec: Spec, space: Space, root: Path, meshes: list[Mesh]
) -> tuple[list[scipy.sparse.csr_array], list[NDArray[np.bool_]], list[int]]:
    graphs = [edges(mesh) for mesh in meshes]
    masks = _free(spec, space, root, meshes)
    free = [largest_part(graph, mask) for graph, mask in zip(graphs, masks, strict=True)]
    counts = split_regions(spec["n_regions"], int(free[0].sum()), int(free[1].sum()))
    return graphs, free, list(counts)


def _free(spec: Spec, space: Space, root: Path, meshes: list[Mesh]) -> list[NDArray[np.bool_]]:
    if "mask" not in spec:
        return [np.ones(mesh.n_vertices, np.bool_) for mesh in meshes]
    mask = {"file": spec["mask"]} if isinstance(spec["mask"], str) else spec["mask"]
    weights = read_label_files(mask, space, root).weights
    inside = np.zeros(space.n_locations, np.bool_)
    inside[weights.indices] = True
    return [inside[: space.n_left], inside[space.n_left :]]


def _features(
    spec: Spec, space: Space, root: Path, meshes: list[Mesh], free: list[NDArray[np.bool_]]
) -> list[NDArray[np.float64]]:
    wanted = spec.get("features", "coordinates")
    wanted = wanted if isinstance(wanted, list) else [wanted]
    if not wanted:
        raise AtlasError("features: must name at least one, as 'coordinates'")
    inside = np.concatenate(free)
    blocks = []
    for one in wanted:
        block = (
            np.concatenate([mesh.coordinates for mesh in meshes]) if one == "coordinates" else _map(one, space, root)
        )
        if not np.isfinite(block[inside]).all():
            raise AtlasError(f"features: {one!r} is not finite at {(~np.isfinite(block[inside])).sum()} vertices")
        # One joint scale: coordinates keep their shape
        scale = np.sqrt(block[inside].var(axis=0).sum())
        if scale == 0:
            raise AtlasError(f"features: {one!r} is the same at all vertices")
        blocks.append((block - block[inside].mean(axis=0)) / scale)
    features = np.concatenate(blocks, axis=1)
    return [features[: space.n_left], features[space.n_left :]]


def _map(value: Any, space: Space, root: Path) -> NDArray[np.float64]:
    files = [value] if isinstance(value, str) else _pair(value, "features")
    halves = []
    for file, hemi in zip(files, HEMISPHERES if len(files) == 2 else ("",), strict=True):
        name, pick = split_pick(file)
        found = read_map(root / name, pick=pick)
        if hemi and found.hemi not in (None, hemi):
            raise AtlasError(f"features: {root / name} is of hemisphere {found.hemi}, given as {SIDES[hemi]}")
        whole = bool(found.structures) and not hemi
        halves.append(
            expand_cortex(found.values, found.structures, fill=np.nan, space=space) if whole else found.values
        )
    values = np.concatenate(halves).astype(np.float64)
    if [len(half) for half in halves] not in ([space.n_locations], [space.n_left, space.n_right]):
        raise AtlasError(f"features: {value!r} has {len(values)} values, the maps are in {space.describe()}")
    return values[:, None]


def _joined(halves: list[Labels], counts: list[int]) -> Parts:
    names = [f"{hemi}_{i:04d}" for hemi, count in zip(HEMISPHERES, counts, strict=True) for i in range(1, count + 1)]
    labels = np.concatenate([halves[0], np.where(halves[1] > 0, halves[1] + counts[0], 0)])
    return Parts(tuple(names), hard_weights(labels, np.arange(1, sum(counts) + 1)))

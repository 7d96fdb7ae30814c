"""Cutting one hemisphere into regions: by random growth, geodesic Voronoi cells, icosahedra or Ward clustering.

Every function takes the mesh as a graph (`cortax.brain.data.meshes.edges`) or as coordinates and returns labels of
shape (n_vertices,), int32: 1..n_regions, and 0 for background. None of them sees a subject's data.
"""

from __future__ import annotations

from bisect import bisect_right
from itertools import accumulate

import numpy as np
import scipy.sparse
from numpy.typing import NDArray
from scipy.sparse.csgraph import connected_components, dijkstra
from scipy.spatial import cKDTree
from sklearn.cluster import AgglomerativeClustering

from cortax.errors import AtlasError

__all__ = [
    "grow_regions",
    "icosahedral_regions",
    "largest_part",
    "split_regions",
    "voronoi_regions",
    "ward_regions",
]

Labels = NDArray[np.int32]
Mask = NDArray[np.bool_]
Seed = int | np.random.SeedSequence


def largest_part(graph: scipy.sparse.csr_array, free: Mask) -> Mask:
    """Keep the largest connected part of the vertices that `free`, bool (n_vertices,), lets take part.

    Islands behind a mask can neither be reached by a region that grows nor be clustered under a constraint: they
    become background. Of equally large parts it is the one with the lowest vertex.
    """
    _, part = connected_components(graph[free][:, free], directed=False)
    kept = np.zeros_like(free)
    if part.size:
        kept[np.flatnonzero(free)[part == np.bincount(part).argmax()]] = True
    return kept


def split_regions(n_regions: int, n_left: int, n_right: int) -> tuple[int, int]:
    """Divide regions between hemispheres in proportion to their free vertices, at least one each.

    AtlasError is raised for fewer regions than hemispheres, or more than vertices.
    """
    if n_regions < 2:
        raise AtlasError(f"n_regions: must be at least 2, one a hemisphere, got {n_regions}")
    if n_regions > n_left + n_right:
        raise AtlasError(
            f"n_regions: must be at most {n_left + n_right}, the vertices outside the mask, got {n_regions}"
        )
    left = round(n_regions * n_left / (n_left + n_right))
    left = min(max(left, 1, n_regions - n_right), n_left, n_regions - 1)
    return left, n_regions - left


def grow_regions(graph: scipy.sparse.csr_array, n_regions: int, *, free: Mask, seed: Seed) -> Labels:
    """Grow random regions, as the random parcellations of parc_scaling (2021) were made.

    `n_regions` seed vertices are drawn without replacement, and a weight U(0, 1) for each region. Then, again and
    again, a region is picked with probability proportional to its weight, and takes one of the unassigned vertices
    next to it, all with the same probability; until no vertex is left. Regions are connected.

    Parameters
    ----------
    graph : CSR array of shape (n_vertices, n_vertices)
        Neighbours; the weights are not used.
    free : array of shape (n_vertices,), bool
        Vertices that may be assigned; must be connected (`largest_part`).
    """
    rng = np.random.default_rng(seed)
    starts = _draw(free, n_regions, rng)
    # U(0, 1], as a region of weight 0 would be picked never
    weights = (1.0 - rng.random(n_regions)).tolist()
    bounds = np.split(graph.indices, graph.indptr[1:-1])
    neighbours = [[v for v in around.tolist() if free[v]] for around in bounds]
    owner = [0] * len(free)
    for region, vertex in enumerate(starts, start=1):
        owner[vertex] = region
    fronts = [list(neighbours[vertex]) for vertex in starts]
    seen = [set(front) for front in fronts]
    cumulative = list(accumulate(weights))
    n_left = int(free.sum()) - n_regions
    while n_left:
        region = bisect_right(cumulative, rng.random() * cumulative[-1])
        vertex = _take(fronts[region], owner, rng)
        if vertex is None:
            # Enclosed for ever: never pick it again
            weights[region] = 0.0
            cumulative = list(accumulate(weights))
            continue
        owner[vertex] = region + 1
        n_left -= 1
        new = [v for v in neighbours[vertex] if v not in seen[region]]
        fronts[region].extend(new)
        seen[region].update(new)
    return np.array(owner, np.int32)


def voronoi_regions(graph: scipy.sparse.csr_array, n_regions: int, *, free: Mask, seed: Seed) -> Labels:
    """Give every vertex to the nearest of `n_regions` random vertices, along the edges of the mesh.

    Parameters as of `grow_regions`; the weights of `graph` are the edges' lengths. Regions are connected.
    """
    starts = np.searchsorted(np.flatnonzero(free), _draw(free, n_regions, np.random.default_rng(seed)))
    _, _, source = dijkstra(
        graph[free][:, free], directed=False, indices=starts, min_only=True, return_predecessors=True
    )
    region = np.zeros(int(free.sum()), np.int32)
    region[starts] = np.arange(1, n_regions + 1)
    return _spread(region[source], free)


def icosahedral_regions(sphere: NDArray[np.float64], level: int, *, free: Mask) -> Labels:
    """Give every vertex to the nearest vertex of a coarser icosahedron.

    Parameters
    ----------
    sphere : array of shape (n_vertices, 3)
        A mesh that nests as fsaverage does: its first 10 * 4**level + 2 vertices are the icosahedron of `level`.
    level : int
        From 0 (12 regions) on.
    free : array of shape (n_vertices,), bool
        All others are background. A region without a free vertex keeps its number.
    """
    n_regions = 10 * 4**level + 2
    if n_regions > len(sphere):
        raise AtlasError(f"level: {level} has {n_regions} regions a hemisphere, the mesh has {len(sphere)} vertices")
    directions = sphere / np.linalg.norm(sphere, axis=1, keepdims=True)
    _, nearest = cKDTree(directions[:n_regions]).query(directions)
    return np.where(free, nearest + 1, 0).astype(np.int32)


def ward_regions(graph: scipy.sparse.csr_array, n_regions: int, *, features: NDArray[np.float64], free: Mask) -> Labels:
    """Cluster the vertices by Ward's criterion, merging neighbours only (scikit-learn's AgglomerativeClustering).

    The features must be the template's (coordinates, a published group map), never the cohort's own data: a
    parcellation that has seen the test subjects leaks them into every fold.

    Parameters
    ----------
    features : array of shape (n_vertices, n_features), float64
        In the units in which distances count. No NaN where `free`.
    free : array of shape (n_vertices,), bool
        Must be connected (`largest_part`), as the regions then are. Regions are numbered by their first vertices.
    """
    _check_count(free, n_regions)
    ward = AgglomerativeClustering(n_clusters=n_regions, linkage="ward", connectivity=graph[free][:, free])
    found = ward.fit(features[free]).labels_
    _, first, cluster = np.unique(found, return_index=True, return_inverse=True)
    return _spread(np.argsort(np.argsort(first))[cluster] + 1, free)


def _take(front: list[int], owner: list[int], rng: np.random.Generator) -> int | None:
    # Vertices that others have taken meanwhile are thrown out when drawn: the rest stays equally likely
    while front:
        i = int(rng.random() * len(front))
        front[i], front[-1] = front[-1], front[i]
        vertex = front.pop()
        if owner[vertex] == 0:
            return vertex
    return None


def _draw(free: Mask, n_regions: int, rng: np.random.Generator) -> NDArray[np.int64]:
    _check_count(free, n_regions)
    return rng.choice(np.flatnonzero(free), n_regions, replace=False)


def _check_count(free: Mask, n_regions: int) -> None:
    if not 1 <= n_regions <= free.sum():
        raise AtlasError(f"n_regions: must be 1..{free.sum()}, the vertices outside the mask, got {n_regions}")


def _spread(regions: NDArray[np.integer], free: Mask) -> Labels:
    labels = np.zeros(len(free), np.int32)
    labels[free] = regions
    return labels

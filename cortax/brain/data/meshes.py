"""Surface meshes: reading them, and the fsaverage ones that come with nilearn.

Only geometry lives here. What a mesh is cut into is the business of `cortax.brain.parcellation`.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import scipy.sparse
from nibabel.freesurfer.io import read_geometry
from numpy.typing import NDArray
from scipy.spatial import ConvexHull

from cortax.brain.data.freesurfer import check_geometry
from cortax.brain.data.gifti import GEOMETRY, Hemi, gifti_hemisphere, intent, name_hemisphere, read_gifti
from cortax.data.files import opened
from cortax.errors import AtlasError, InputError, choices

__all__ = ["FSAVERAGE", "SURFACES", "Mesh", "edges", "fsaverage_mesh", "read_mesh"]

# The meshes of which the packages installed with cortax hold the geometry, and their vertices a hemisphere.
FSAVERAGE = {"fsaverage3": 642, "fsaverage4": 2562, "fsaverage5": 10242}
SURFACES = {"flat": "flat", "inflated": "infl", "pial": "pial", "sphere": "sphere", "white": "white"}
HEMISPHERES = {"L": "left", "R": "right"}


@dataclass(frozen=True, eq=False)
class Mesh:
    """One hemisphere: coordinates (n_vertices, 3) in mm and triangles (n_faces, 3) of vertex numbers."""

    coordinates: NDArray[np.float64]
    faces: NDArray[np.int64]

    @property
    def n_vertices(self) -> int:
        """The number of vertices, in a triangle or not."""
        return len(self.coordinates)


def read_mesh(path: Path | str, *, hemi: str | None = None) -> Mesh:
    """Read a surface from GIFTI (`.surf.gii`, `.gii`, `.gii.gz`) or a FreeSurfer geometry file (`lh.pial`).

    Parameters
    ----------
    path : path
        The file of one hemisphere.
    hemi : {"L", "R"}, optional
        Which one it must be, as far as the file says.

    Returns
    -------
    Mesh
        Coordinates float64 (n_vertices, 3), faces int64 (n_faces, 3).

    Raises
    ------
    InputError
        The file is missing, damaged, no surface, of the other hemisphere, or has triangles of vertices that do not
        exist.
    """
    file = Path(path)
    with opened(file, "surface mesh in GIFTI or FreeSurfer geometry"):
        found, coordinates, faces = _gifti(file) if ".gii" in file.suffixes else _geometry(file)
    if hemi is not None and found not in (None, hemi):
        raise InputError(f"surface mesh {file}: is of hemisphere {found}, given as {hemi}")
    return _checked(Mesh(np.asarray(coordinates, np.float64), np.asarray(faces, np.int64)), file)


def fsaverage_mesh(mesh: str = "fsaverage5", kind: str = "pial", *, hemi: str) -> Mesh:
    """One hemisphere of an fsaverage mesh, from files that nilearn installs: nothing is downloaded.

    Parameters
    ----------
    mesh : {"fsaverage3", "fsaverage4", "fsaverage5"}
        fsaverage nests: the first 10 * 4**k + 2 vertices are the coarser mesh. nilearn installs fsaverage5;
        the coarser ones are its first vertices, with triangles by the convex hull of the sphere.
    kind : {"pial", "white", "inflated", "sphere", "flat"}
        Which coordinates. The triangles are the same for all, but for "flat", which has cuts.
    hemi : {"L", "R"}
        The hemisphere.

    Raises
    ------
    AtlasError
        No such mesh, kind or hemisphere.
    """
    for what, value, allowed in (("mesh", mesh, FSAVERAGE), ("kind", kind, SURFACES), ("hemi", hemi, HEMISPHERES)):
        if value not in allowed:
            raise AtlasError(f"fsaverage {what}: {choices(value, allowed)}")
    full = _installed(kind, hemi)
    n_vertices = FSAVERAGE[mesh]
    if n_vertices == full.n_vertices:
        return full
    sphere = _installed("sphere", hemi).coordinates[:n_vertices]
    faces = ConvexHull(sphere).simplices.astype(np.int64)
    return Mesh(full.coordinates[:n_vertices], faces)


def edges(mesh: Mesh) -> scipy.sparse.csr_array:
    """Symmetric (n_vertices, n_vertices) graph of a mesh; float64 weights are the edges' lengths in mm."""
    pairs = np.concatenate([mesh.faces[:, [0, 1]], mesh.faces[:, [1, 2]], mesh.faces[:, [2, 0]]])
    pairs = np.unique(np.sort(pairs, axis=1), axis=0)
    start, end = pairs[pairs[:, 0] != pairs[:, 1]].T
    length = np.linalg.norm(mesh.coordinates[start] - mesh.coordinates[end], axis=1)
    # a length of zero would read as "no edge"
    length = np.maximum(length, np.finfo(np.float64).tiny)
    shape = (mesh.n_vertices, mesh.n_vertices)
    half = scipy.sparse.coo_array((length, (start, end)), shape=shape)
    graph = scipy.sparse.csr_array(half + half.T)
    graph.sort_indices()
    return graph


def _geometry(file: Path) -> tuple[Hemi | None, NDArray[Any], NDArray[Any]]:
    check_geometry(file)
    return name_hemisphere(file), *read_geometry(file)  # type: ignore[no-untyped-call]


def _gifti(file: Path) -> tuple[Hemi | None, NDArray[Any], NDArray[Any]]:
    image = read_gifti(file)
    found = [[array for array in image.darrays if intent(array) == wanted] for wanted in GEOMETRY]
    if [len(arrays) for arrays in found] != [1, 1]:
        raise InputError(f"surface mesh {file}: holds no single pair of a point set and triangles")
    (points,), (triangles,) = found
    return gifti_hemisphere(file, image, points), points.data, triangles.data


def _installed(kind: str, hemi: str) -> Mesh:
    # Nilearn takes half a second to import, which every job would pay for the few that need a mesh.
    from nilearn.datasets import fetch_surf_fsaverage

    return read_mesh(fetch_surf_fsaverage("fsaverage5")[f"{SURFACES[kind]}_{HEMISPHERES[hemi]}"])


def _checked(mesh: Mesh, file: Path) -> Mesh:
    if mesh.coordinates.ndim != 2 or mesh.coordinates.shape[1] != 3 or mesh.faces.shape[1:] != (3,):
        raise InputError(
            f"surface mesh {file}: coordinates {mesh.coordinates.shape} and faces {mesh.faces.shape}, "
            "must be (n_vertices, 3) and (n_faces, 3)"
        )
    if mesh.faces.size and not 0 <= mesh.faces.min() <= mesh.faces.max() < mesh.n_vertices:
        raise InputError(
            f"surface mesh {file}: faces name vertices {mesh.faces.min()}..{mesh.faces.max()}, "
            f"must be 0..{mesh.n_vertices - 1}"
        )
    if not np.isfinite(mesh.coordinates).all():
        raise InputError(f"surface mesh {file}: coordinates are not all finite")
    return mesh

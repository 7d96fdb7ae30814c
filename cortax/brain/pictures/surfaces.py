"""Which mesh stands for a space, and the part of a map that lies on it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cortax.brain.data.meshes import FSAVERAGE, Mesh, fsaverage_mesh
from cortax.brain.data.spaces import Space

__all__ = ["Hemisphere", "hemispheres"]

Floats = NDArray[np.float64]
# The finest mesh whose geometry is installed; finer ones begin with its vertices.
FINEST = "fsaverage5"


@dataclass(frozen=True, eq=False)
class Hemisphere:
    """One hemisphere with its map: `side` is "left" or "right", `values` float64 (n_vertices,), NaN for none."""

    side: str
    mesh: Mesh
    values: Floats


def hemispheres(space: Space, values: Floats, kind: str = "inflated") -> list[Hemisphere]:
    """Lay a map on the meshes that are installed.

    Parameters
    ----------
    space : Space
    values : float64 array of shape (n_locations,)
    kind : {"inflated", "pial", "white"}

    Returns
    -------
    list of Hemisphere
        Left and right; empty where no mesh of the space is installed. fsaverage6 and finer are shown at the vertices
        of fsaverage5, with which they begin.
    """
    if space.kind != "surface" or not space.name.startswith("fsaverage"):
        return []
    name = space.name if space.name in FSAVERAGE else FINEST
    halves = {"L": values[: space.n_left], "R": values[space.n_left :]}
    found = []
    for hemi, half in halves.items():
        mesh = fsaverage_mesh(name, kind, hemi=hemi)
        found.append(Hemisphere({"L": "left", "R": "right"}[hemi], mesh, half[: mesh.n_vertices]))
    return found

"""Where the values of a map live: a surface mesh, CIFTI grayordinates, a voxel grid or nothing known.

A space only says how many locations there are and what they are called, so that two files can be told apart
before a number of one is compared with a number of the other.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from cortax.errors import InputError, choices

__all__ = ["SPACES", "Kind", "Space", "abstract_space", "known_space", "volume_space"]

Kind = Literal["surface", "grayordinates", "volume", "abstract"]


@dataclass(frozen=True)
class Space:
    """A set of numbered locations: left hemisphere first, then right, then everything else.

    `n_left` and `n_right` count the vertices of a surface, or the cortical grayordinates, of a hemisphere;
    `n_other` counts grayordinates below the cortex and the locations of an abstract space. A volume has a
    `shape` (voxels, flattened in C order) and an `affine` (voxel to mm, row by row). Grayordinates of a file have
    the affine of their voxels, and in `locations` a text for each structure that digests its vertices or voxels;
    `reordered` says that a file lists them in another order, so that an array without names cannot be placed.
    """

    name: str
    kind: Kind
    n_left: int = 0
    n_right: int = 0
    n_other: int = 0
    shape: tuple[int, ...] = ()
    affine: tuple[tuple[float, ...], ...] = ()
    locations: tuple[str, ...] = ()
    reordered: bool = False

    def __post_init__(self) -> None:
        if self.kind not in get_args(Kind):
            raise InputError(f"the kind of space {self.name!r}: {choices(self.kind, get_args(Kind))}")
        if self.n_locations < 1:
            raise InputError(f"space {self.name!r} has no locations")

    @property
    def n_locations(self) -> int:
        """Length of a map in this space."""
        voxels = math.prod(self.shape) if self.shape else 0
        return self.n_left + self.n_right + self.n_other + voxels

    @property
    def hemispheric(self) -> bool:
        """Whether a map may come as one file a hemisphere."""
        return self.kind == "surface"

    def n_hemisphere(self, hemi: str) -> int:
        """Vertices of one hemisphere, "L" or "R"."""
        return {"L": self.n_left, "R": self.n_right}[hemi]

    def to_dict(self) -> dict[str, Any]:
        """Turn into plain JSON values; `from_dict` is the way back."""
        fields = asdict(self)
        fields["shape"] = list(self.shape)
        fields["affine"] = [list(row) for row in self.affine]
        fields["locations"] = list(self.locations)
        # Most spaces have neither
        return {key: value for key, value in fields.items() if value or key not in ("locations", "reordered")}

    @classmethod
    def from_dict(cls, fields: Mapping[str, Any]) -> Space:
        """Build from what `to_dict` gave, also after a trip through JSON."""
        unknown = sorted(set(fields) - set(cls.__dataclass_fields__))
        if unknown:
            raise InputError(f"a space's keys: {choices(unknown[0], cls.__dataclass_fields__)}")
        values = dict(fields)
        values["shape"] = tuple(int(n) for n in fields.get("shape", ()))
        values["affine"] = tuple(tuple(float(x) for x in row) for row in fields.get("affine", ()))
        values["locations"] = tuple(map(str, fields.get("locations", ())))
        return cls(**values)

    @classmethod
    def from_name(cls, name: str) -> Space:
        """Look a well-known space up; an unknown name raises InputError with the nearest known one."""
        try:
            return SPACES[name]
        except KeyError:
            raise InputError(f"unknown space: {choices(name, SPACES)}") from None

    def matches(self, other: Space) -> bool:
        """Whether maps of both can be compared location by location: there is no `difference`."""
        return not self.difference(other)

    def difference(self, other: Space) -> str:
        """Say what keeps maps of both from being compared location by location; "" if nothing does.

        Names count for meshes only, of which they are all that is known. Affines may differ by rounding (1e-3 mm a
        voxel), as they do between programs. Locations are compared where both know theirs.
        """
        mine, others = (
            (space.kind, space.n_left, space.n_right, space.n_other, space.shape) for space in (self, other)
        )
        if mine != others:
            return f"{self.describe()} is not {other.describe()}"
        meshes = {_MESHES.get(self.name), _MESHES.get(other.name)} - {None}
        if self.kind == "surface" and len(meshes) > 1:
            return f"{self.name} and {other.name} are different meshes of as many vertices"
        if self.affine and other.affine and not np.allclose(self.affine, other.affine, rtol=0.0, atol=1e-3):
            return f"the voxels' affine is {self._rows()} in one, {other._rows()} in the other"
        if self.locations and other.locations and self.locations != other.locations:
            return "locations differ: " + "; ".join(_differing(self.locations, other.locations))
        return ""

    def _rows(self) -> str:
        return "[" + "; ".join(" ".join(f"{x:g}" for x in row) for row in self.affine[:3]) + "]"

    def describe(self) -> str:
        """One phrase for messages: name, and the grid of a volume."""
        if self.kind != "volume":
            return f"{self.name} ({self.n_locations} locations)"
        return f"{self.name} (shape {self.shape}, affine {self._rows()})"


def _surface(name: str, n_vertices: int) -> Space:
    return Space(name, "surface", n_left=n_vertices, n_right=n_vertices)


SPACES: dict[str, Space] = {
    space.name: space
    for space in (
        # Icosahedral meshes: 10 * 4**n + 2 vertices a hemisphere.
        *(_surface(f"fsaverage{n}", 10 * 4**n + 2) for n in (3, 4, 5, 6)),
        _surface("fsaverage", 163842),
        _surface("fsaverage7", 163842),
        _surface("fsLR-32k", 32492),
        _surface("fsLR-59k", 59292),
        _surface("fsLR-164k", 163842),
        _surface("civet-41k", 40962),
        _surface("civet-164k", 163842),
        # The cortex without its medial wall, then voxels of 19 structures: HCP's of 2 mm, and those of 7 T of 1.6 mm.
        Space("grayordinates-91k", "grayordinates", n_left=29696, n_right=29716, n_other=31870),
        Space("grayordinates-170k", "grayordinates", n_left=54216, n_right=54225, n_other=62053),
    )
}

# Two names of one mesh; spaces of other names are not known to differ.
_MESHES = {name: name for name in SPACES} | {"fsaverage7": "fsaverage"}


def _differing(mine: tuple[str, ...], others: tuple[str, ...]) -> list[str]:
    """One text for each structure that is not the same in both."""
    first, second = (dict(text.split(": ", 1) for text in texts) for texts in (mine, others))
    return [
        f"{name} has {first.get(name, 'nothing')} in one, {second.get(name, 'nothing')} in the other"
        for name in sorted({*first, *second})
        if first.get(name) != second.get(name)
    ]


def known_space(n_locations: int, *, hemi: str | None = None) -> Space | None:
    """Find the known space with so many locations, in one hemisphere if `hemi` is given; else None."""
    for space in SPACES.values():
        count = space.n_locations if hemi is None else space.n_hemisphere(hemi)
        if count == n_locations and (hemi is None or space.hemispheric):
            return space
    return None


def volume_space(shape: tuple[int, ...], affine: NDArray[Any], *, name: str = "volume") -> Space:
    """Describe a voxel grid: a 3-D shape and its 4 x 4 affine, which ValueError refuses if it places no voxel."""
    affine = np.asarray(affine, np.float64)
    if not np.isfinite(affine).all() or np.linalg.det(affine) == 0:
        raise ValueError(f"the affine of the voxels' grid is singular or not finite: {affine.tolist()}")
    rows = tuple(tuple(float(x) for x in row) for row in np.asarray(affine))
    return Space(name, "volume", shape=tuple(int(n) for n in shape), affine=rows)


def abstract_space(n_locations: int, *, name: str = "abstract") -> Space:
    """Describe locations of which nothing but the number is known."""
    return Space(name, "abstract", n_other=n_locations)

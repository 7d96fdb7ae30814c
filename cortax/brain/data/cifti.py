"""CIFTI-2: one file for the whole brain, its cortex without the medial wall."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from io import BytesIO
from pathlib import Path
from typing import Any, cast

import nibabel as nib
import numpy as np
from nibabel.arrayproxy import ArrayProxy
from nibabel.cifti2.parse_cifti2 import Cifti2Parser
from nibabel.orientations import axcodes2ornt, inv_ornt_aff, io_orientation, ornt_transform
from numpy.typing import NDArray

from cortax.brain.data.bounds import check_claim, read_head
from cortax.brain.data.spaces import SPACES, Space, known_space
from cortax.errors import InputError

__all__ = ["CORTEX", "CiftiAxes", "CiftiParcels", "Structure", "expand_cortex", "read_cifti", "read_parcels"]

_KIND = "CIFTI_INDEX_TYPE_"
CORTEX = ("CIFTI_STRUCTURE_CORTEX_LEFT", "CIFTI_STRUCTURE_CORTEX_RIGHT")


@dataclass(frozen=True)
class Structure:
    """A structure and its grayordinates `start:stop`: some `vertices` of its `n_vertices` if it is a surface."""

    name: str
    start: int
    stop: int
    n_vertices: int = 0
    vertices: NDArray[np.int64] | None = None


@dataclass(frozen=True)
class CiftiAxes:
    """What a CIFTI header says: names of the maps, tables of labels if any, structures of the grayordinates.

    `space` describes the grayordinates, whatever their order in the file: cortex left, cortex right, all others.
    `order` takes the file's grayordinates into the order of the space, None where the file has that order. `named`
    says that the names of the maps are the file's own, and not the numbers of a series.
    """

    maps: tuple[str, ...]
    labels: tuple[Mapping[int, str], ...] | None
    structures: tuple[Structure, ...]
    space: Space
    order: NDArray[np.intp] | None
    named: bool = True


@dataclass(frozen=True)
class CiftiParcels:
    """What a CIFTI header says of parcels.

    `rows` are the names of maps, those of parcels if `square`, and empty for a series; `parcels` are of the columns.
    """

    rows: tuple[str, ...]
    parcels: tuple[str, ...]
    square: bool


def read_cifti(path: Path) -> tuple[Any, CiftiAxes]:
    """Open a dense CIFTI-2 file (maps x grayordinates).

    Returns
    -------
    data : array proxy of shape (n_maps, n_grayordinates)
        In the order of the file.
    axes : CiftiAxes

    Raises
    ------
    InputError
        The file is CIFTI-2, but not dense (parcels, connectivity), or has two labels of one number.
    DamagedFileError, ValueError
        The file lists a location twice, or holds other or fewer numbers than its header claims.
    """
    proxy, xml = _opened(path)
    try:
        axes = _parse(xml, proxy.shape)
    except InputError as error:
        raise InputError(f"{path}: {error}") from None
    return proxy, axes


def read_parcels(path: Path) -> tuple[Any, CiftiParcels]:
    """Open a CIFTI-2 file of parcels: maps, a series or parcels, by parcels.

    Returns
    -------
    data : array proxy of shape (n_rows, n_parcels)
    axes : CiftiParcels

    Raises
    ------
    InputError
        The file is CIFTI-2, but of something else, or has two parcels of one name.
    DamagedFileError, ValueError
        The file holds other or fewer numbers than its header claims.
    """
    proxy, xml = _opened(path)
    try:
        axes = _parse_parcels(xml, proxy.shape)
    except InputError as error:
        raise InputError(f"{path}: {error}") from None
    return proxy, axes


def _opened(path: Path) -> tuple[Any, bytes]:
    """The matrix as it is on disk, and the header of its axes."""
    # Without annotations of their own.
    proxy, kind = cast(Any, ArrayProxy), cast(Any, nib.Nifti2Header)
    header = kind(read_head(path, 540))
    shape, offset = header.get_data_shape(), header.get_data_offset()
    check_claim(path, shape, header.get_data_dtype().itemsize, held=path.stat().st_size, offset=offset)
    # From bytes that are there: an extension's length is not believed either.
    header = kind.from_fileobj(BytesIO(read_head(path, offset)))
    extension = next((e for e in header.extensions if e.get_code() == 32), None)
    if extension is None:
        raise InputError(f"{path}: a NIfTI file without the CIFTI-2 header that its name promises")
    # On disk the matrix is 6-D, (1, 1, 1, 1, maps, grayordinates).
    return proxy(path, header, mmap=False).reshape(shape[-2:]), extension.content


# The XML takes longer to parse than the numbers to read, and is the same in every subject of a cohort.
@lru_cache(maxsize=8)
def _parse(xml: bytes, shape: tuple[int, int]) -> CiftiAxes:
    parser = _Parser()  # type: ignore[no-untyped-call]
    parser.parse(string=xml.rstrip(b"\0"))  # type: ignore[no-untyped-call]
    header: Any = parser.header
    kinds = [header.matrix.get_index_map(i).indices_map_to_data_type.removeprefix(_KIND) for i in (0, 1)]
    if kinds[0] not in ("SCALARS", "SERIES", "LABELS") or kinds[1] != "BRAIN_MODELS":
        raise InputError("a CIFTI file of maps x grayordinates is needed (dscalar, dtseries, dlabel)")
    # Before nibabel makes arrays of such lengths
    found = len(header.get_axis(0)), sum(model.index_count for model in header.matrix.get_index_map(1).brain_models)
    if found != shape:
        raise ValueError(f"its header speaks of {found[0]} maps x {found[1]} grayordinates, its numbers are {shape}")
    maps, brain = header.get_axis(0), header.get_axis(1)
    # A series numbers its maps; only scalars and labels name them.
    names = range(len(maps)) if kinds[0] == "SERIES" else maps.name
    labels = None
    if kinds[0] == "LABELS":
        labels = tuple({int(k): str(v[0]).strip() for k, v in table.items()} for table in maps.label)
    structures = tuple(_structure(*model) for model in brain.iter_structures())
    space, order = _canonical(brain, structures)
    return CiftiAxes(tuple(map(str, names)), labels, structures, space, order, kinds[0] != "SERIES")


@lru_cache(maxsize=8)
def _parse_parcels(xml: bytes, shape: tuple[int, int]) -> CiftiParcels:
    parser = _Parser()  # type: ignore[no-untyped-call]
    parser.parse(string=xml.rstrip(b"\0"))  # type: ignore[no-untyped-call]
    header: Any = parser.header
    axes = [header.matrix.get_index_map(i) for i in (0, 1)]
    kinds = [axis.indices_map_to_data_type.removeprefix(_KIND) for axis in axes]
    if kinds[0] not in ("SCALARS", "SERIES", "PARCELS") or kinds[1] != "PARCELS":
        raise InputError("a CIFTI file of parcels is needed (pscalar, ptseries, pconn)")
    parcels = [_parcel_names(axis) for axis in axes]
    maps = parcels[0]
    if kinds[0] == "SCALARS":
        maps = tuple(str(one.map_name) for one in axes[0].named_maps)
    n_rows = int(axes[0].number_of_series_points) if kinds[0] == "SERIES" else len(maps)
    if (n_rows, len(parcels[1])) != shape:
        raise ValueError(f"its header speaks of {n_rows} rows x {len(parcels[1])} parcels, its numbers are {shape}")
    return CiftiParcels(maps, parcels[1], kinds[0] == "PARCELS")


def _parcel_names(axis: Any) -> tuple[str, ...]:
    names = tuple(str(parcel.name).strip() for parcel in axis.parcels)
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise InputError(f"has more than one parcel of the names {twice[:5]}")
    return names


class _Parser(Cifti2Parser):
    """nibabel's, but of two labels with one number it does not forget the first."""

    def EndElementHandler(self, name: str) -> None:  # noqa: N802 - as nibabel calls it
        if name == "Label":
            self.flush_chardata()  # type: ignore[no-untyped-call]
            table, label = self.struct_state[-2:]
            if label.key in table and table[label.key].label != label.label:
                raise InputError(f"labels {table[label.key].label!r} and {label.label!r} have one number, {label.key}")
        super().EndElementHandler(name)  # type: ignore[no-untyped-call]


def _structure(name: str, where: slice, model: Any) -> Structure:
    start, stop = where.start or 0, (where.start or 0) + len(model)
    if name not in model.nvertices:
        return Structure(name, start, stop)
    return Structure(name, start, stop, int(model.nvertices[name]), np.asarray(model.vertex, dtype=np.int64))


def _canonical(brain: Any, structures: tuple[Structure, ...]) -> tuple[Space, NDArray[np.intp] | None]:
    """Describe the grayordinates in one order, that of HCP's files, and say how to get there.

    Cortex left and right, then structures by name; vertices rising; voxels from left to right slowest, that is, of
    grids whose axes run to the left, to the front and up, the first axis fastest.
    """
    names = [s.name for s in structures]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise ValueError(f"lists the structures {twice} more than once")
    voxels, affine = _in_las(brain)
    order: list[NDArray[np.intp]] = []
    about = []
    for s in sorted(structures, key=lambda s: ((CORTEX.index(s.name) if s.name in CORTEX else 2), s.name)):
        places = voxels[s.start : s.stop] if s.vertices is None else s.vertices[:, None]
        within = np.lexsort(places.T)
        places = places[within]
        limit = s.n_vertices if s.vertices is not None else np.iinfo(np.int64).max
        if places.min() < 0 or places.max() >= limit or not np.diff(places, axis=0).any(axis=1).all():
            raise ValueError(f"structure {s.name}: lists a location twice, or one that does not exist")
        order.append(within + s.start)
        what = "voxels" if s.vertices is None else f"of {s.n_vertices} vertices"
        about.append(f"{s.name}: {len(places)} {what}, {hashlib.sha256(places.tobytes()).hexdigest()[:16]}")
    whole = np.concatenate(order)
    moved = not np.array_equal(whole, np.arange(len(whole)))
    count = {s.name: s.stop - s.start for s in structures}
    left, right = (count.get(name, 0) for name in CORTEX)
    n_other = len(whole) - left - right
    space = Space("grayordinates", "grayordinates", n_left=left, n_right=right, n_other=n_other)
    space = next((known for known in SPACES.values() if known.matches(space)), space)
    return replace(space, affine=affine, locations=tuple(about), reordered=moved), whole if moved else None


def _in_las(brain: Any) -> tuple[NDArray[np.int64], tuple[tuple[float, ...], ...]]:
    """Voxels as if the axes of their grid ran to the left, to the front and up; and that grid's affine."""
    voxels = np.asarray(brain.voxel, np.int64)
    if brain.affine is None:
        return voxels, ()
    shape = tuple(int(n) for n in brain.volume_shape)
    turn: Any = ornt_transform(io_orientation(brain.affine), axcodes2ornt("LAS"))  # type: ignore[no-untyped-call]
    turned = np.empty_like(voxels)
    for axis, (to, flip) in enumerate(turn.astype(int)):
        turned[:, to] = voxels[:, axis] if flip == 1 else shape[axis] - 1 - voxels[:, axis]
    affine = np.asarray(brain.affine) @ inv_ornt_aff(turn, shape)  # type: ignore[no-untyped-call]
    return turned, tuple(tuple(float(x) for x in row) for row in affine)


def expand_cortex(
    values: NDArray[Any], structures: tuple[Structure, ...], *, fill: float, space: Space | None = None
) -> NDArray[Any]:
    """Spread cortical grayordinates over all vertices of both hemispheres.

    Parameters
    ----------
    values : array of shape (n_grayordinates,)
    structures : of the file that the values are from
    fill : float
        For vertices outside the file (the medial wall).
    space : Space, optional
        A surface, of which each hemisphere must have as many vertices.

    Returns
    -------
    array of shape (n_left + n_right,), dtype of `values`
        Grayordinates outside the cortex are left out.

    Raises
    ------
    InputError
        A hemisphere is not in the file, or is of another mesh.
    """
    by_name = {s.name: s for s in structures}
    halves = []
    for name, hemi in zip(CORTEX, "LR", strict=True):
        if name not in by_name or by_name[name].vertices is None:
            raise InputError(f"no structure {name}; the file holds {sorted(by_name)}")
        s = by_name[name]
        n_vertices = space.n_hemisphere(hemi) if space else s.n_vertices
        if s.n_vertices != n_vertices:
            guess = known_space(s.n_vertices, hemi=hemi)
            hint = f", as many as in {guess.name!r}" if guess else ""
            raise InputError(f"{name} has {s.n_vertices} vertices{hint}, that of the maps' space {n_vertices}")
        half = np.full(s.n_vertices, fill, dtype=values.dtype)
        half[s.vertices] = values[s.start : s.stop]
        halves.append(half)
    return np.concatenate(halves)

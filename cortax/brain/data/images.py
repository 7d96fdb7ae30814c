"""Reading one map of one subject, whatever the program that wrote it.

The format is told by the file's name: GIFTI, NIfTI-1/2, CIFTI-2, FreeSurfer MGH/MGZ, FreeSurfer's extensionless
surface files (lh.thickness) and numpy arrays. Parcellations are read by `cortax.brain.data.labels`.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
from numpy.typing import NDArray

from cortax.brain.data.bounds import capacity, check_claim, is_packed, open_npy, read_head, read_whole
from cortax.brain.data.cifti import Structure, read_cifti
from cortax.brain.data.freesurfer import read_curv
from cortax.brain.data.gifti import (
    GEOMETRY,
    Hemi,
    gifti_hemisphere,
    in_vertex_order,
    intent,
    name_hemisphere,
    read_gifti,
)
from cortax.brain.data.spaces import Space, volume_space
from cortax.data.files import ends_with, opened
from cortax.errors import InputError, choices

__all__ = [
    "MapValues",
    "is_cifti",
    "load_volume",
    "nifti_header",
    "pick_one",
    "read_map",
]
# Bytes a value, by the number that MGH has for its type; the values begin after a header of so many bytes.
_MGH_BYTES = {0: 1, 1: 4, 3: 4, 4: 2}
_MGH_OFFSET = 284


@dataclass(frozen=True)
class MapValues:
    """One map as its file has it.

    `values` is 1-D float32. `hemi` is what the file says of itself, None if it does not. `space` is known for
    volumes and CIFTI files, which carry it, and None otherwise. `structures` is filled for CIFTI only; `order`
    brings the values of a CIFTI file that lists its grayordinates otherwise into the order of its space.
    """

    values: NDArray[np.float32]
    hemi: Hemi | None = None
    space: Space | None = None
    structures: tuple[Structure, ...] = ()
    order: NDArray[np.intp] | None = None


def read_map(path: Path | str, *, pick: int | str | None = None) -> MapValues:
    """Read one map.

    Parameters
    ----------
    path : path
        A volume is flattened in C order; a CIFTI map keeps the file's grayordinates.
    pick : int or str, optional
        Which map of a file with several: its index from 0, or its name (GIFTI, CIFTI).

    Returns
    -------
    MapValues
        float32; NaN and infinities as they are in the file.

    Raises
    ------
    DamagedFileError
        Missing, empty, cut short, or not in the format of its name.
    InputError
        Several maps and no `pick`, no such map, labels or a surface mesh instead of a map.
    """
    path = Path(path)
    what, reader = _reader(path)
    # What is too large for single precision becomes infinite, as it would be told of in a file.
    with opened(path, what), np.errstate(over="ignore"):
        found: MapValues = reader(path, pick)
    return found


def _reader(path: Path) -> tuple[str, Any]:
    if ends_with(path, ".npy"):
        return "numpy array", _read_npy
    if ends_with(path, ".gii", ".gii.gz"):
        return "GIFTI file", _read_gifti
    if is_cifti(path):
        return "CIFTI-2 file", _read_cifti
    if ends_with(path, ".nii", ".nii.gz", ".mgh", ".mgz", ".mgh.gz"):
        return "image", _read_volume
    if ends_with(path, ".annot"):
        raise InputError(f"{path}: a parcellation where a map is needed")
    return "FreeSurfer surface map, nor is its name that of another image", _read_morph


def is_cifti(path: Path) -> bool:
    """Whether the name is that of a CIFTI-2 file: NAME.dscalar.nii, NAME.dlabel.nii and their like."""
    stem, dot, kind = path.name.lower().removesuffix(".nii").rpartition(".")
    return ends_with(path, ".nii") and bool(stem and dot) and kind in _CIFTI_KINDS


_CIFTI_KINDS = frozenset(("dscalar", "dtseries", "dlabel", "dconn", "pscalar", "ptseries", "plabel", "pconn"))


def _read_npy(path: Path, pick: int | str | None) -> MapValues:
    data = open_npy(path)
    if data.dtype.kind not in "fiub":
        raise InputError(f"{path}: numbers are needed, found an array of {data.dtype}")
    if data.ndim == 2 and 1 not in data.shape:
        data = data[pick_one(path, pick, len(data))]
    elif data.size != max(data.shape, default=0):
        raise InputError(f"{path}: an array of one or two axes is needed, found shape {data.shape}")
    return MapValues(np.array(data, np.float32).ravel())


def _read_gifti(path: Path, pick: int | str | None) -> MapValues:
    image = read_gifti(path)
    if any(intent(array) == "NIFTI_INTENT_LABEL" for array in image.darrays):
        raise InputError(f"{path}: a parcellation where a map is needed")
    # CAT12 keeps the mesh and the values in one file.
    arrays = [a for a in image.darrays if intent(a) not in (*GEOMETRY, "NIFTI_INTENT_NODE_INDEX")]
    if image.darrays and not arrays:
        raise InputError(f"{path}: a surface mesh where a map is needed")
    names = [str(array.meta.get("Name", "")) for array in arrays]
    array = arrays[pick_one(path, pick, len(names), names)]
    if array.data.size != max(array.data.shape):
        raise InputError(f"{path}: one value a vertex is needed, found an array of shape {array.data.shape}")
    values = in_vertex_order(path, image, array.data.ravel())
    return MapValues(values.astype(np.float32, copy=False), gifti_hemisphere(path, image, array))


def _read_cifti(path: Path, pick: int | str | None) -> MapValues:
    data, axes = read_cifti(path)
    if axes.labels is not None:
        raise InputError(f"{path}: a parcellation where a map is needed")
    row = pick_one(path, pick, len(axes.maps), axes.maps)
    values = np.asarray(data[row], dtype=np.float32)
    return MapValues(values, space=axes.space, structures=axes.structures, order=axes.order)


def _read_volume(path: Path, pick: int | str | None) -> MapValues:
    image = load_volume(path)
    shape = tuple(int(n) for n in image.shape)
    # The proxy scales in single precision: there is never a float64 copy of the image.
    data = np.asarray(image.dataobj, dtype=np.float32)
    if data.size == max(shape):
        # FreeSurfer keeps surface maps in volume files of n x 1 x 1 voxels.
        return MapValues(data.ravel(), name_hemisphere(path))
    if len(shape) > 3:
        n_volumes = data.size // int(np.prod(shape[:3]))
        data = data.reshape(*shape[:3], n_volumes)[..., pick_one(path, pick, n_volumes)]
    if data.shape[1:] == (1, 1):
        return MapValues(data.ravel(), name_hemisphere(path))
    return MapValues(data.ravel(), space=volume_space(data.shape, image.affine))


def load_volume(path: Path) -> Any:
    """Open a NIfTI-1, NIfTI-2 or MGH image, compressed or not.

    DamagedFileError is raised where the header claims more than the file can hold, InputError where voxels are not
    single numbers.
    """
    if ends_with(path, ".mgh", ".mgz", ".mgh.gz"):
        kind: Any = nib.MGHImage
        _, *shape, number = struct.unpack_from(">6i", read_head(path, 540))
        offset, itemsize = _MGH_OFFSET, _MGH_BYTES[number]
    else:
        header = nifti_header(path)
        kind = nib.Nifti2Image if isinstance(header, nib.Nifti2Header) else nib.Nifti1Image
        shape, offset, itemsize = header.get_data_shape(), header.get_data_offset(), header.get_data_dtype().itemsize
    check_claim(path, shape, itemsize, held=capacity(path, packed=is_packed(path)), offset=offset)
    data = read_whole(path)
    check_claim(path, shape, itemsize, held=len(data), offset=offset)
    return kind.from_bytes(data)


def nifti_header(path: Path) -> Any:
    """Read the header of a NIfTI-1 or NIfTI-2 file; InputError is raised where voxels are not single numbers."""
    head = read_head(path, 540)
    nifti2 = 540 in (int.from_bytes(head[:4], "little"), int.from_bytes(head[:4], "big"))
    kind: Any = nib.Nifti2Header if nifti2 else nib.Nifti1Header
    header = kind(head[: 540 if nifti2 else 348])
    if header.get_data_dtype().kind not in "fiu":
        raise InputError(f"{path}: numbers are needed, found voxels of {header.get_data_dtype()}")
    return header


def _read_morph(path: Path, pick: int | str | None) -> MapValues:
    values = read_curv(path)
    values = values[:, pick_one(path, pick, values.shape[1])]
    return MapValues(values.astype(np.float32), name_hemisphere(path))


def pick_one(path: Path, pick: int | str | None, n_maps: int, names: Sequence[str] = ()) -> int:
    """Turn a wish for one of several maps, by name or else by number from 0, into its index.

    InputError says what there is, also where two maps have the name.
    """
    if pick is None:
        if n_maps == 1:
            return 0
        listed = f": {list(names)}" if any(names) else ""
        example = next(filter(None, names), "0")
        raise InputError(
            f"{path}: {n_maps} maps where one is needed, say which{listed}; as in {path.name + '#' + example!r}"
        )
    if isinstance(pick, str) and pick in names:
        if list(names).count(pick) > 1:
            raise InputError(f"{path}: maps {[i for i, name in enumerate(names) if name == pick]} are both {pick!r}")
        return list(names).index(pick)
    if isinstance(pick, str) and not pick.isdecimal():
        raise InputError(f"{path}: no such map: {choices(pick, names)}")
    if not 0 <= int(pick) < n_maps:
        raise InputError(f"{path}: no map {pick}, the file's maps are 0 to {n_maps - 1}")
    return int(pick)

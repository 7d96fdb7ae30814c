"""Reading one map of one subject, whatever the program that wrote it.

The format is told by the file's name: GIFTI, NIfTI-1/2, CIFTI-2, FreeSurfer MGH/MGZ, FreeSurfer's extensionless
surface files (lh.thickness) and numpy arrays. Parcellations are read by `cortax.data.labels`.
"""

from __future__ import annotations

import gzip
import struct
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import nibabel as nib
import numpy as np
from nibabel.freesurfer.io import read_morph_data
from numpy.typing import NDArray

from cortax.data.cifti import Structure, cifti_space, read_cifti
from cortax.data.files import DamagedFileError, ends_with, opened
from cortax.data.spaces import Space, volume_space
from cortax.errors import InputError, choices

__all__ = [
    "Hemi",
    "MapValues",
    "gifti_hemisphere",
    "is_cifti",
    "load_volume",
    "name_hemisphere",
    "pick_one",
    "read_map",
]

Hemi = Literal["L", "R"]

_GIFTI_HEMI: dict[str, Hemi] = {"CortexLeft": "L", "CortexRight": "R"}
_NAME_HEMI: dict[str, Hemi] = {"lh.": "L", "rh.": "R"}
_GEOMETRY = ("NIFTI_INTENT_POINTSET", "NIFTI_INTENT_TRIANGLE")
_MORPH_MAGIC = b"\xff\xff\xff"


@dataclass(frozen=True)
class MapValues:
    """One map as its file has it.

    `values` is 1-D float32. `hemi` is what the file says of itself, None if it does not. `space` is known for
    volumes and CIFTI files, which carry it, and None otherwise. `structures` is filled for CIFTI only.
    """

    values: NDArray[np.float32]
    hemi: Hemi | None = None
    space: Space | None = None
    structures: tuple[Structure, ...] = ()


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
    with opened(path, what):
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
    data = np.load(path, allow_pickle=False)
    if data.dtype.kind not in "fiub":
        raise InputError(f"{path}: numbers are needed, found an array of {data.dtype}")
    if data.ndim == 2 and 1 not in data.shape:
        data = data[pick_one(path, pick, len(data))]
    elif data.size != max(data.shape, default=0):
        raise InputError(f"{path}: an array of one or two axes is needed, found shape {data.shape}")
    return MapValues(data.ravel().astype(np.float32, copy=False))


def _read_gifti(path: Path, pick: int | str | None) -> MapValues:
    image: Any = nib.load(path)
    intents = [nib.nifti1.intent_codes.niistring[array.intent] for array in image.darrays]
    if any(intent in _GEOMETRY for intent in intents):
        raise InputError(f"{path}: a surface mesh where a map is needed")
    if "NIFTI_INTENT_LABEL" in intents:
        raise InputError(f"{path}: a parcellation where a map is needed")
    names = [str(array.meta.get("Name", "")) for array in image.darrays]
    array = image.darrays[pick_one(path, pick, len(names), names)]
    if array.data.size != max(array.data.shape):
        raise InputError(f"{path}: one value a vertex is needed, found an array of shape {array.data.shape}")
    return MapValues(array.data.ravel().astype(np.float32, copy=False), gifti_hemisphere(image, array))


def gifti_hemisphere(image: Any, array: Any) -> Hemi | None:
    """Tell the hemisphere from a GIFTI array's metadata, or else the file's."""
    key = "AnatomicalStructurePrimary"
    return _GIFTI_HEMI.get(array.meta.get(key) or image.meta.get(key))


def _read_cifti(path: Path, pick: int | str | None) -> MapValues:
    data, axes = read_cifti(path)
    if axes.labels is not None:
        raise InputError(f"{path}: a parcellation where a map is needed")
    row = pick_one(path, pick, len(axes.maps), axes.maps)
    values = np.asarray(data[row], dtype=np.float32)
    return MapValues(values, space=cifti_space(axes.structures), structures=axes.structures)


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
    """Open a NIfTI-1, NIfTI-2 or MGH image, compressed or not."""
    data = path.read_bytes()
    if data[:2] == b"\x1f\x8b":
        # All of it: nibabel stops at the last voxel, and never sees the checksum behind it.
        data = gzip.decompress(data)
    if ends_with(path, ".mgh", ".mgz", ".mgh.gz"):
        return nib.MGHImage.from_bytes(data)
    nifti2 = 540 in (int.from_bytes(data[:4], "little"), int.from_bytes(data[:4], "big"))
    return (nib.Nifti2Image if nifti2 else nib.Nifti1Image).from_bytes(data)


def _read_morph(path: Path, pick: int | str | None) -> MapValues:
    with path.open("rb") as file:
        head = file.read(15)
    if head[:3] != _MORPH_MAGIC or len(head) < 15:
        raise DamagedFileError(path, "not an image: neither its name nor its first bytes are those of a known format")
    n_vertices, _, n_values = struct.unpack(">3i", head[3:])
    expected = 15 + 4 * n_vertices * n_values
    if path.stat().st_size < expected:
        raise DamagedFileError(path, f"cut short: {path.stat().st_size} bytes of {expected}")
    pick_one(path, pick, n_values)
    values = read_morph_data(path)  # type: ignore[no-untyped-call]
    return MapValues(values.astype(np.float32), name_hemisphere(path))


def name_hemisphere(path: Path) -> Hemi | None:
    """Tell the hemisphere of a FreeSurfer file, whose only mark is the beginning of its name."""
    return _NAME_HEMI.get(path.name[:3].lower())


def pick_one(path: Path, pick: int | str | None, n_maps: int, names: Sequence[str] = ()) -> int:
    """Turn a wish for one of several maps into its index; InputError says what there is."""
    if pick is None:
        if n_maps == 1:
            return 0
        listed = f": {list(names)}" if any(names) else ""
        raise InputError(f"{path}: {n_maps} maps where one is needed, say which{listed}")
    if isinstance(pick, str) and not pick.isdecimal():
        if pick not in names:
            raise InputError(f"{path}: no such map: {choices(pick, names)}")
        return list(names).index(pick)
    if not 0 <= int(pick) < n_maps:
        raise InputError(f"{path}: no map {pick}, the file's maps are 0 to {n_maps - 1}")
    return int(pick)

"""GIFTI: nibabel's parser, kept from other files and from arrays larger than the file can hold."""

from __future__ import annotations

import base64
import zlib
from pathlib import Path
from typing import Any, Literal, cast

import nibabel as nib
import numpy as np
from nibabel.gifti.parse_gifti_fast import GiftiImageParser
from nibabel.gifti.util import array_index_order_codes, gifti_encoding_codes, gifti_endian_codes
from nibabel.nifti1 import data_type_codes
from numpy.typing import NDArray

from cortax.brain.data.bounds import capacity, check_claim, read_whole
from cortax.brain.data.map_files import data_files
from cortax.data.files import DamagedFileError
from cortax.errors import InputError

__all__ = ["GEOMETRY", "Hemi", "gifti_hemisphere", "in_vertex_order", "intent", "name_hemisphere", "read_gifti"]

Hemi = Literal["L", "R"]

GEOMETRY = ("NIFTI_INTENT_POINTSET", "NIFTI_INTENT_TRIANGLE")
_MOST_AXES = 6  # of the format
_NODES = "NIFTI_INTENT_NODE_INDEX"
_HEMI: dict[str, Hemi] = {"cortexleft": "L", "cortexright": "R"}
_NAME_HEMI: dict[str, Hemi] = {"lh.": "L", "rh.": "R"}
# Or of both: CAT12 and Caret merge them
_UNSAID = ("", "invalid", "other", "unknown", "cortex", "cortexleftandright")


class _Parser(GiftiImageParser):
    def __init__(self, path: Path) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.path = path
        # Of all arrays together: many may swell a little
        self.left = capacity(path, packed=True)

    def StartElementHandler(self, name: str, attrs: dict[str, str]) -> None:  # noqa: N802 - as nibabel calls it
        # nibabel counts up to that number
        if name == "DataArray" and not 0 < int(attrs["Dimensionality"]) <= _MOST_AXES:
            raise DamagedFileError(self.path, f"an array of {attrs['Dimensionality']} axes")
        super().StartElementHandler(name, attrs)  # type: ignore[no-untyped-call]

    def flush_chardata(self) -> None:
        if self.write_to == "Data":
            array: Any = self.da
            encoding = str(gifti_encoding_codes.label[array.encoding])
            dtype: Any = data_type_codes.dtype[array.datatype]
            n_bytes = check_claim(self.path, array.dims, dtype.itemsize, held=self.left)
            self.left -= n_bytes
            if encoding != "ASCII":
                data = self._external(array, n_bytes) if encoding == "External" else self._own(n_bytes, encoding)
                array.data = self._array(array, dtype, data, n_bytes)
                self._char_blocks = None
                return
        super().flush_chardata()  # type: ignore[no-untyped-call]

    def _own(self, n_bytes: int, encoding: str) -> bytes:
        data = base64.b64decode("".join(self._char_blocks or ()))
        # Never more than the array needs, and one byte that says that there would be
        return zlib.decompressobj().decompress(data, n_bytes + 1) if encoding == "B64GZ" else data

    def _external(self, array: Any, n_bytes: int) -> bytes:
        allowed = data_files(self.path)
        name, offset = array.ext_fname, array.ext_offset
        if name not in [file.name for file in allowed]:
            raise DamagedFileError(
                self.path,
                f"its values lie in an external file, {name!r}, a change of which would go unseen; only "
                f"{' or '.join(file.name for file in allowed) or 'files inside it'} is read",
            )
        with self.path.with_name(name).open("rb") as file:
            file.seek(offset)
            return file.read(n_bytes)

    def _array(self, array: Any, dtype: np.dtype[Any], data: bytes, n_bytes: int) -> NDArray[Any]:
        if len(data) != n_bytes:
            raise DamagedFileError(self.path, f"an array of {n_bytes} bytes by its header has other than that")
        swapped: Any = dtype.newbyteorder(cast(Any, gifti_endian_codes.byteorder[array.endian]))
        order: Any = array_index_order_codes.npcode[array.ind_ord]
        return np.asarray(np.frombuffer(bytearray(data), swapped).reshape(array.dims, order=order))


def read_gifti(path: Path) -> Any:
    """Read a GIFTI file, packed or not, into nibabel's GiftiImage.

    Raises
    ------
    DamagedFileError
        It holds no GIFTI, or arrays of another size than it says, or larger than the file can hold; or its values
        lie in another file than those of `data_files`: no record of inputs would know of it.
    """
    parser = _Parser(path)
    parser.parse(string=read_whole(path))  # type: ignore[no-untyped-call]
    if parser.img is None:
        raise DamagedFileError(path, "XML, but not a GIFTI file")
    return parser.img


def intent(array: Any) -> str:
    """Return what an array holds, as `NIFTI_INTENT_SHAPE`."""
    return str(nib.nifti1.intent_codes.niistring[array.intent])


def gifti_hemisphere(path: Path, image: Any, array: Any) -> Hemi | None:
    """Tell the hemisphere from a GIFTI array's metadata, or else the file's; None if it is not said.

    InputError is raised for a structure that is no hemisphere of the cortex.
    """
    key = "AnatomicalStructurePrimary"
    said = array.meta.get(key) or image.meta.get(key) or ""
    name = said.lower().removeprefix("cifti_structure_").replace("_", "")
    if name not in _HEMI and name not in _UNSAID:
        raise InputError(f"{path}: holds the structure {said!r}, not one hemisphere of the cortex")
    return _HEMI.get(name)


def in_vertex_order(path: Path, image: Any, values: NDArray[Any]) -> NDArray[Any]:
    """Put values in the order of the vertices that the file lists for them, if it does (`NODE_INDEX`).

    InputError is raised where it does not list every vertex once.
    """
    lists = [array.data.ravel() for array in image.darrays if intent(array) == _NODES]
    if not lists:
        return values
    if len(lists) > 1 or not np.array_equal(np.sort(lists[0]), np.arange(len(values))):
        raise InputError(f"{path}: lists vertices (NODE_INDEX), but not each of {len(values)} once")
    ordered = np.empty_like(values)
    ordered[lists[0]] = values
    return ordered


def name_hemisphere(path: Path) -> Hemi | None:
    """Tell the hemisphere of a FreeSurfer file, whose only mark is the beginning of its name."""
    return _NAME_HEMI.get(path.name[:3].lower())

"""FreeSurfer's own surface files, read from bytes that are there: no length in them is believed."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cortax.brain.data.bounds import check_claim
from cortax.data.files import DamagedFileError

__all__ = ["check_geometry", "read_annotation", "read_curv"]

_CURV = b"\xff\xff\xff"
_TRIANGLES, _QUADS, _OLD_QUADS = b"\xff\xff\xfe", b"\xff\xff\xfd", b"\xff\xff\xff"


def read_curv(path: Path) -> NDArray[Any]:
    """Read a map such as lh.thickness: float32 (n_vertices, n_maps)."""
    data = path.read_bytes()
    if data[:3] != _CURV or len(data) < 15:
        raise DamagedFileError(path, "not an image: neither its name nor its first bytes are those of a known format")
    n_vertices, _, n_maps = struct.unpack_from(">3i", data, 3)
    check_claim(path, (n_vertices, n_maps), 4, held=len(data), offset=15)
    return np.frombuffer(data, ">f4", n_vertices * n_maps, 15).reshape(n_vertices, n_maps)


def read_annotation(path: Path) -> tuple[NDArray[np.int32], dict[int, tuple[str, int]]]:
    """Read an annotation.

    Returns
    -------
    colours : int32 array of shape (n_vertices,)
        In the order of the vertices, whatever the order in the file.
    table : dict of int -> (str, int)
        Name and colour of each region by its number. A number that comes twice is a DamagedFileError.
    """
    read = _Stream(path)
    n_vertices = read.number()
    check_claim(path, (n_vertices, 2), 4, held=len(read.data), offset=4)
    vertices, colours = read.ints(2 * n_vertices).reshape(n_vertices, 2).T
    if not np.array_equal(np.sort(vertices), np.arange(n_vertices)):
        raise DamagedFileError(path, f"does not list each of its {n_vertices} vertices once")
    ordered = np.empty(n_vertices, np.int32)
    ordered[vertices] = colours
    if read.number() == 0:
        raise DamagedFileError(path, "has no table of regions")
    n_regions = read.number()
    numbered = n_regions < 0
    if numbered:
        if n_regions != -2:
            raise DamagedFileError(path, f"a table of regions of the unknown version {-n_regions}")
        read.number()
    read.text()  # the file that the table was made from
    if numbered:
        n_regions = read.number()
    table: dict[int, tuple[str, int]] = {}
    for i in range(n_regions):
        number = read.number() if numbered else i
        name = read.text()
        red, green, blue, _ = read.ints(4).tolist()
        if number in table:
            raise DamagedFileError(path, f"regions {table[number][0]!r} and {name!r} have one number, {number}")
        table[number] = name, red + (green << 8) + (blue << 16)
    return ordered, table


class _Stream:
    """Big-endian integers and texts, one after the other; numpy and struct refuse what is not there."""

    def __init__(self, path: Path) -> None:
        self.path, self.data, self.place = path, path.read_bytes(), 0

    def number(self) -> int:
        return int.from_bytes(self._take(4), "big", signed=True)

    def ints(self, count: int) -> NDArray[np.int32]:
        return np.frombuffer(self._take(4 * count), ">i4").astype(np.int32)

    def text(self) -> str:
        return self._take(self.number()).rstrip(b"\0").decode("utf-8", "replace").strip()

    def _take(self, n_bytes: int) -> bytes:
        found = self.data[self.place : self.place + n_bytes] if n_bytes >= 0 else b""
        if len(found) != n_bytes:
            raise DamagedFileError(self.path, f"cut short: {n_bytes} bytes are claimed where {len(found)} are")
        self.place += n_bytes
        return found


def check_geometry(path: Path) -> None:
    """Raise DamagedFileError where a geometry file such as lh.pial is shorter than it claims."""
    with path.open("rb") as file:
        magic, held = file.read(3), path.stat().st_size
        if magic == _TRIANGLES:
            file.readline(4096), file.readline(4096)
            n_vertices, n_faces = struct.unpack(">2i", file.read(8))
            sizes = 12, 12
        elif magic in (_QUADS, _OLD_QUADS):
            n_vertices, n_faces = (int.from_bytes(file.read(3), "big") for _ in range(2))
            sizes = (12 if magic == _QUADS else 6), 12
        else:
            raise DamagedFileError(path, "not a FreeSurfer surface, nor is its name that of another mesh")
        check_claim(path, (n_vertices,), sizes[0], held=held)
        check_claim(path, (n_faces,), sizes[1], held=held - n_vertices * sizes[0])

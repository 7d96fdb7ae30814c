"""How large a file's content may be, decided from its header and its size before anything is allocated.

Every reader of images asks here. A file that is not packed holds at most its own bytes. A packed one may swell to
`SWELLING` times its size, or to `FLOOR` if that is more: one image of ordinary size is never too large.
"""

from __future__ import annotations

import gzip
import math
import zipfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cortax.data.files import DamagedFileError

__all__ = [
    "FLOOR",
    "SWELLING",
    "capacity",
    "check_claim",
    "check_npz",
    "is_packed",
    "open_npy",
    "read_head",
    "read_whole",
]

SWELLING = 100
FLOOR = 512 * 2**20


def is_packed(path: Path) -> bool:
    """Whether the file is gzip, by its first bytes."""
    with path.open("rb") as file:
        return file.read(2) == b"\x1f\x8b"


def capacity(path: Path, *, packed: bool) -> int:
    """Return how many bytes the file can hold."""
    size = path.stat().st_size
    return max(FLOOR, SWELLING * size) if packed else size


def check_claim(path: Path, shape: Iterable[int], itemsize: int, *, held: int, offset: int = 0) -> int:
    """Compare what a header claims with what there is.

    Parameters
    ----------
    shape : int, of the array that the header speaks of
    itemsize : int, bytes a value
    held : int
        Bytes that there are, or can be (`capacity`), the first `offset` of them not of the array.

    Returns
    -------
    int
        Bytes of the array.

    Raises
    ------
    DamagedFileError
        A length is not positive, or there is less.
    """
    shape = tuple(int(n) for n in shape)
    if not shape or min(shape) < 1:
        raise DamagedFileError(path, f"its header claims an array of shape {shape}, which holds no values")
    claimed = offset + math.prod(shape) * itemsize
    if claimed > held:
        raise DamagedFileError(
            path, f"cut short, or its header lies: it claims shape {shape}, {claimed} bytes, where {held} can be"
        )
    return claimed - offset


def read_head(path: Path, n_bytes: int) -> bytes:
    """Read the first bytes, unpacked if the file is gzip; fewer if there are no more."""
    with gzip.open(path) if is_packed(path) else path.open("rb") as file:
        head: bytes = file.read(n_bytes)
    return head


def read_whole(path: Path) -> bytes:
    """Read all bytes, unpacked if the file is gzip.

    Raises
    ------
    DamagedFileError
        They are more than the file's `capacity`.
    """
    if not is_packed(path):
        return path.read_bytes()
    most, size, blocks = capacity(path, packed=True), 0, []
    with gzip.open(path) as file:
        # To the end, where the checksum is
        while block := file.read(2**20):
            blocks.append(block)
            size += len(block)
            if size > most:
                raise DamagedFileError(
                    path, f"unpacks to more than {most} bytes, {SWELLING} times its size and {FLOOR >> 20} MiB"
                )
    return b"".join(blocks)


def open_npy(path: Path) -> NDArray[Any]:
    """Map a `.npy` file, which allocates nothing and fails where the file is shorter than its header claims."""
    values: NDArray[Any] = np.load(path, mmap_mode="r", allow_pickle=False)
    check_claim(path, values.shape, values.dtype.itemsize, held=path.stat().st_size)
    return values


def check_npz(path: Path) -> None:
    """Raise DamagedFileError where the arrays of a `.npz` file are larger than it can hold, or than they are."""
    left = capacity(path, packed=True)
    with zipfile.ZipFile(path) as archive:
        for member in archive.infolist():
            with archive.open(member) as file:
                shape, _, dtype = _npy_header(file)
            left -= check_claim(path, (*shape, 1), dtype.itemsize, held=min(member.file_size, left))


def _npy_header(file: Any) -> tuple[tuple[int, ...], bool, np.dtype[Any]]:
    version = np.lib.format.read_magic(file)
    read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    header: tuple[tuple[int, ...], bool, np.dtype[Any]] = read(file)
    return header

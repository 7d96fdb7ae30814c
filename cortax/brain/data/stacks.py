"""One file for everybody: images whose last axis, or arrays whose first axis, are the subjects.

A header says where each row lies, and rows are read one at a time, so that memory does not grow with the file. What
lies otherwise is first brought into rows on disk: a packed file is unpacked, and one whose subjects lie next to each
other (CIFTI, numpy's Fortran order) is turned, block by block, in a temporary file of its unpacked size.
"""

from __future__ import annotations

import gzip
import math
from contextlib import ExitStack
from dataclasses import dataclass, replace
from io import BytesIO
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any, BinaryIO, cast

import nibabel as nib
import numpy as np
from nibabel.arrayproxy import ArrayProxy
from numpy.typing import NDArray

from cortax.brain.data.bounds import capacity, check_claim, is_packed, open_npy, read_head
from cortax.brain.data.cifti import Structure, read_cifti
from cortax.brain.data.gifti import Hemi, name_hemisphere
from cortax.brain.data.images import MapValues, is_cifti, nifti_header
from cortax.brain.data.spaces import Space, volume_space
from cortax.data.files import DamagedFileError, ends_with, opened
from cortax.errors import InputError

__all__ = ["FORMATS", "Stack", "Stacks", "describe_stack"]

FORMATS = ".mgh, .mgz, .nii, .nii.gz, .dscalar.nii, .dtseries.nii or .npy"
# Bytes that are turned, or unpacked, at a time
_BLOCK = 16 * 2**20


@dataclass(frozen=True)
class Stack:
    """What the header of such a file says: `n_rows` rows of `shape`, stored as `dtype` and scaled by `scale`.

    `turned` says that values of one location lie next to each other, and not those of one row. `names` are those that
    the file has for its rows, `space`, `hemi`, `structures` and `order` as in `MapValues`.
    """

    path: Path
    n_rows: int
    shape: tuple[int, ...]
    dtype: np.dtype[Any]
    offset: int
    scale: tuple[float, float] = (1.0, 0.0)
    turned: bool = False
    names: tuple[str, ...] = ()
    hemi: Hemi | None = None
    space: Space | None = None
    structures: tuple[Structure, ...] = ()
    order: NDArray[np.intp] | None = None

    @property
    def row_bytes(self) -> int:
        """Bytes of a row on disk."""
        return math.prod(self.shape) * self.dtype.itemsize


def describe_stack(path: Path) -> Stack:
    """Read the header of a file that holds everybody.

    Raises
    ------
    DamagedFileError
        Missing, cut short, larger by its header than it can be, or not in the format of its name.
    InputError
        A format that holds no such stack, or not numbers.
    """
    path = Path(path)
    with opened(path, "file of all subjects"):
        if ends_with(path, ".npy"):
            return _describe_npy(path)
        if is_cifti(path):
            return _describe_cifti(path)
        if ends_with(path, ".mgh", ".mgz", ".mgh.gz"):
            return _describe_mgh(path)
        if ends_with(path, ".nii", ".nii.gz"):
            return _describe_nifti(path)
    raise InputError(f"{path}: one file of all subjects must be {FORMATS}")


def _describe_npy(path: Path) -> Stack:
    data = cast(np.memmap[Any, Any], open_npy(path))
    if data.dtype.kind not in "fiub":
        raise InputError(f"{path}: numbers are needed, found an array of {data.dtype}")
    if data.ndim < 2:
        raise InputError(f"{path}: an array of shape (n_subjects, n_values) is needed, found {data.shape}")
    turned = data.flags.f_contiguous and not data.flags.c_contiguous
    if turned and data.ndim > 2:
        raise InputError(f"{path}: is in Fortran order, which is read of arrays of two axes only, not of {data.shape}")
    return Stack(path, len(data), data.shape[1:], data.dtype, data.offset, turned=turned)


def _describe_cifti(path: Path) -> Stack:
    proxy, axes = read_cifti(path)
    if axes.labels is not None:
        raise InputError(f"{path}: a parcellation where maps are needed")
    n_rows, n_values = (int(n) for n in proxy.shape)
    names = axes.maps if axes.named else ()
    return Stack(
        path,
        n_rows,
        (n_values,),
        proxy.dtype,
        int(proxy.offset),
        (float(proxy.slope), float(proxy.inter)),
        turned=n_rows > 1,
        names=names,
        space=axes.space,
        structures=axes.structures,
        order=axes.order,
    )


def _describe_mgh(path: Path) -> Stack:
    kind: Any = nib.MGHImage.header_class
    header = kind.from_fileobj(BytesIO(read_head(path, 284)))
    dtype = header.get_data_dtype().newbyteorder(">")
    return _of_volumes(path, header.get_data_shape(), dtype, header.get_data_offset(), (1.0, 0.0), header.get_affine())


def _describe_nifti(path: Path) -> Stack:
    header = nifti_header(path)
    dtype, (slope, inter) = header.get_data_dtype(), header.get_slope_inter()
    scale = (1.0 if slope is None else float(slope), 0.0 if inter is None else float(inter))
    affine = header.get_best_affine()
    return _of_volumes(path, header.get_data_shape(), dtype, header.get_data_offset(), scale, affine)


def _of_volumes(
    path: Path, shape: tuple[int, ...], dtype: np.dtype[Any], offset: int, scale: tuple[float, float], affine: Any
) -> Stack:
    check_claim(path, shape, dtype.itemsize, held=capacity(path, packed=is_packed(path)), offset=offset)
    grid = tuple(int(n) for n in (*shape, 1, 1, 1)[:3])
    n_rows = math.prod(int(n) for n in shape[3:])
    # FreeSurfer keeps surface maps in volume files of n x 1 x 1 voxels.
    if grid[1:] == (1, 1):
        return Stack(path, n_rows, grid, dtype, offset, scale, hemi=name_hemisphere(path))
    return Stack(path, n_rows, grid, dtype, offset, scale, space=volume_space(grid, affine))


class Stacks:
    """Reads rows of such files, each of which is opened once: a context.

    Parameters
    ----------
    folder : path, optional
        Where what must be unpacked or turned is kept meanwhile; by default where the system keeps such files.
    """

    def __init__(self, folder: Path | str | None = None) -> None:
        self._folder = folder
        self._opened: dict[Path, tuple[Stack, BinaryIO]] = {}
        self._closing = ExitStack()

    def __enter__(self) -> Stacks:
        return self

    def __exit__(self, *_: object) -> None:
        self._closing.close()

    def read(self, path: Path, row: int) -> MapValues:
        """Return a row, from 0, as a map: float32, NaN and infinities as they are in the file.

        Raises
        ------
        DamagedFileError, InputError
            As `describe_stack`; a packed file that cannot be unpacked; no such row.
        """
        stack, _ = self._open(path)
        values = self.values(path, row)
        return MapValues(values.ravel(), stack.hemi, stack.space, stack.structures, stack.order)

    def values(self, path: Path, row: int, dtype: type[np.floating] = np.float32) -> NDArray[Any]:
        """Return a row, from 0, in the shape that it has in the file; otherwise as `read`."""
        stack, file = self._open(path)
        if not 0 <= row < stack.n_rows:
            raise InputError(f"{path}: no row {row + 1}, the file has {stack.n_rows}")
        n_bytes = stack.row_bytes
        spec = (stack.shape, stack.dtype, stack.offset + row * n_bytes, *stack.scale)
        proxy: Any = ArrayProxy
        # As single files are scaled; what is too large for single precision becomes infinite.
        with opened(path, "file of all subjects"), np.errstate(over="ignore"):
            order = "C" if ends_with(path, ".npy") else "F"
            return np.asarray(proxy(file, spec, mmap=False, order=order), dtype=dtype)

    def _open(self, path: Path) -> tuple[Stack, BinaryIO]:
        if path not in self._opened:
            stack = describe_stack(path)
            with opened(path, "file of all subjects"):
                file = self._in_rows(stack)
            if stack.turned:
                stack = replace(stack, offset=0)
            self._opened[path] = stack, file
        return self._opened[path]

    def _in_rows(self, stack: Stack) -> BinaryIO:
        packed = is_packed(stack.path)
        if not packed and not stack.turned:
            return self._closing.enter_context(stack.path.open("rb"))
        kept = cast(BinaryIO, self._closing.enter_context(TemporaryFile(dir=self._folder)))  # noqa: SIM115 - it is one
        if packed:
            _unpack(stack, kept)
        else:
            _turn(stack, kept)
        return kept


def _unpack(stack: Stack, file: BinaryIO) -> None:
    """Write all bytes, as many as the header claims at least, to the end, where the checksum is."""
    most = capacity(stack.path, packed=True)
    with gzip.open(stack.path) as source:
        while block := source.read(_BLOCK):
            file.write(block)
            if file.tell() > most:
                raise DamagedFileError(stack.path, f"unpacks to more than {most} bytes")
    check_claim(stack.path, (stack.n_rows, *stack.shape), stack.dtype.itemsize, held=file.tell(), offset=stack.offset)


def _turn(stack: Stack, file: BinaryIO) -> None:
    """Write (n_rows, n_values) in C order, of values that lie in Fortran order."""
    n_values, itemsize = math.prod(stack.shape), stack.dtype.itemsize
    at_once = max(1, _BLOCK // (stack.n_rows * itemsize))
    with stack.path.open("rb") as source:
        source.seek(stack.offset)
        for start in range(0, n_values, at_once):
            count = min(at_once, n_values - start)
            # (values, rows), as they lie
            block = np.frombuffer(source.read(count * stack.n_rows * itemsize), stack.dtype).reshape(count, -1)
            for row, values in enumerate(np.ascontiguousarray(block.T)):
                file.seek((row * n_values + start) * itemsize)
                file.write(values.tobytes())

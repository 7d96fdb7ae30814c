"""Diffusion-weighted volumes: decompressed once, the voxels of the mask put row by row, and mapped from then on."""

from __future__ import annotations

import base64
import gzip
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
import numpy.typing as npt

from cortax.brain.data.bounds import capacity, check_claim, is_packed
from cortax.brain.data.images import load_volume, nifti_header
from cortax.data.files import DamagedFileError, ends_with, opened
from cortax.errors import InputError
from cortax.learning.arrays import Bools, Floats, Ints
from cortax.provenance.files import file_digest
from cortax.store import load, save
from cortax.workloads.diffusion.gradient_files import read_gradients
from cortax.workloads.diffusion.models.gradients import Gradients
from cortax.workloads.diffusion.voxels import decode_voxels

__all__ = ["Volume", "check_volume", "measure_volume", "open_volume", "save_volume"]

_NIFTI1: Any = (nib.Nifti1Image, nib.Nifti1Header)
_NIFTI2: Any = (nib.Nifti2Image, nib.Nifti2Header)
_NIFTI1_HEADER = 348  # bytes
# Volumes that are put in place together: fewer, longer writes.
_TOGETHER = 16
# In mm, the unit of affines: what programs round away when they write a mask.
_SAME_PLACE = 1e-3


@dataclass(frozen=True, eq=False)
class Volume:
    """The voxels of a diffusion-weighted volume that lie in its mask.

    Attributes
    ----------
    signals : tuple of arrays of shape (n, n_gradients), memory-mapped
        Of each block of voxels, as the file has them, before `slope` and `inter`; NaN and infinite values stay.
    rows : int64 array of shape (n_voxels,)
        Where each voxel is in `signals`, put one below the other.
    voxels : int64 array of shape (n_voxels,)
        Where they are: flat indices, in C order, of the image; rising.
    gradients : Gradients
    shape : tuple of int, of length 3
    slope, inter : float
        A signal is slope x stored + inter.
    header : str
        The NIfTI header of the input, base64.
    notes : tuple of str
        What was understood otherwise than the files have it.
    """

    signals: tuple[npt.NDArray[Any], ...]
    rows: Ints
    voxels: Ints
    gradients: Gradients
    shape: tuple[int, int, int]
    slope: float
    inter: float
    header: str
    notes: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.voxels)

    def read(self, start: int, stop: int) -> Floats:
        """Return the signals of voxels start to stop: float64 of shape (stop - start, n_gradients), in memory."""
        rows, first = self.rows[start:stop], 0
        values: Floats = np.empty((len(rows), len(self.gradients.bvals)))
        for block in self.signals:
            mine = (rows >= first) & (rows < first + len(block))
            values[mine] = block[rows[mine] - first]
            first += len(block)
        if (self.slope, self.inter) != (1.0, 0.0):
            values *= self.slope
            values += self.inter
        return values

    def image(self, values: npt.NDArray[Any], *, outside: float = 0) -> Any:
        """Return values of shape (n_voxels, ...) as a NIfTI image on the grid of the input."""
        whole = np.full((int(np.prod(self.shape)), *values.shape[1:]), outside, dtype=values.dtype)
        whole[self.voxels] = values
        raw = base64.b64decode(self.header)
        kind, header_kind = _NIFTI2 if len(raw) > _NIFTI1_HEADER else _NIFTI1
        header = header_kind(raw)
        header.set_data_dtype(values.dtype)
        header.set_data_offset(0)
        header.set_slope_inter(1, 0)
        # They are of the input's values, not of the map's.
        header["cal_min"] = header["cal_max"] = 0
        return kind(whole.reshape(*self.shape, *values.shape[1:]), None, header)


def check_volume(root: Path, options: Mapping[str, Any]) -> tuple[Any, Gradients, list[str]]:
    """Look at the header, gradients and mask of a volume, without reading its signals.

    Parameters
    ----------
    root : Path
        The project.
    options : mapping
        Of a `diffusion_volume` job: `files` by kind (dwi, bval, bvec and perhaps mask), `b0_threshold`.

    Returns
    -------
    header
        Of the image, see nibabel.
    gradients : Gradients
    notes : list of str

    Raises
    ------
    InputError
        A file is missing, damaged or does not fit the others; the message names it.
    """
    files = {kind: root / file for kind, file in options["files"].items()}
    header = _header(files["dwi"])
    bvals, bvecs, notes = read_gradients(
        files["bval"], files["bvec"], n_volumes=header.get_data_shape()[3], b0_threshold=options["b0_threshold"]
    )
    return header, Gradients(bvals, bvecs, options["b0_threshold"]), notes


def measure_volume(root: Path, options: Mapping[str, Any]) -> tuple[Bools, int]:
    """Return which voxels are in the mask, flat in C order, and the number of gradients; `options` as `save_volume`.

    Raises
    ------
    InputError
        See `check_volume`; or the mask changed since the build began.
    """
    dwi, mask = root / options["files"]["dwi"], options["files"].get("mask")
    header = _header(dwi)
    shape = header.get_data_shape()
    if mask is None:
        return np.ones(int(np.prod(shape[:3])), dtype=bool), int(shape[3])
    inside = _mask(root / mask, dwi, header).ravel()
    _check_same(root, options, "mask")
    return inside, int(shape[3])


def save_volume(folder: Path, root: Path, options: Mapping[str, Any]) -> tuple[Volume, list[str]]:
    """Read a volume and write the voxels of its mask into a folder; return them and the names of the files.

    One volume of the file is in memory at a time, and `_TOGETHER` volumes of the mask. `options` are those of
    `check_volume`; `digests` by kind; and `voxels`, see `encode_voxels`, or None for those of the mask, or all.

    Raises
    ------
    InputError
        See `check_volume`; or a file changed since the build began.
    """
    header, gradients, notes = check_volume(root, options)
    path = root / options["files"]["dwi"]
    shape = tuple(int(n) for n in header.get_data_shape()[:3])
    chosen = options["voxels"]
    voxels = np.flatnonzero(measure_volume(root, options)[0] if chosen is None else decode_voxels(chosen))
    _write_signals(folder / "signals.npy", path, header, voxels)
    for kind in options["files"]:
        _check_same(root, options, kind)
    slope, inter = header.get_slope_inter()
    about = {
        "shape": shape,
        "slope": 1.0 if slope is None else float(slope),
        "inter": 0.0 if inter is None else float(inter),
        "header": base64.b64encode(header.binaryblock).decode(),
        "notes": notes,
        "b0_threshold": gradients.b0_threshold,
    }
    content = {
        "voxels.npy": voxels.astype(np.int64),
        "gradients.npz": {"bvals": gradients.bvals, "bvecs": gradients.bvecs},
        "volume.json": about,
    }
    files = ["signals.npy", *save(folder, content)]
    return open_volume(folder), files


def open_volume(*folders: str | Path) -> Volume:
    """Open what `save_volume` wrote, of one block of a volume's voxels or several; signals are memory-mapped."""
    names = ("signals.npy", "voxels.npy", "gradients.npz", "volume.json")
    blocks = [load(folder, *names) for folder in folders]
    voxels = np.concatenate([block[1] for block in blocks])
    rows = np.argsort(voxels, kind="stable")
    _, _, arrays, about = blocks[0]
    return Volume(
        tuple(block[0] for block in blocks),
        rows,
        voxels[rows],
        Gradients(arrays["bvals"], arrays["bvecs"], about["b0_threshold"]),
        tuple(about["shape"]),
        about["slope"],
        about["inter"],
        about["header"],
        tuple(about["notes"]),
    )


def _check_same(root: Path, options: Mapping[str, Any], kind: str) -> None:
    file = options["files"][kind]
    if file_digest(root / file) != options["digests"][kind]:
        raise InputError(f"{file}: changed since the build began; start it again")


def _header(path: Path) -> Any:
    if not ends_with(path, ".nii", ".nii.gz"):
        raise InputError(f"{path}: a NIfTI file is needed, NAME.nii or NAME.nii.gz")
    with opened(path, "NIfTI file"):
        header = nifti_header(path)
        header.get_slope_inter()  # raises where signals cannot be scaled
        shape = header.get_data_shape()
        if len(shape) != 4:
            raise InputError(
                f"{path}: an image of 4 axes is needed, three of space and one of gradients; "
                f"this one has {len(shape)}: {tuple(int(n) for n in shape)}"
            )
        if not np.isfinite(header.get_best_affine()).all():
            raise InputError(f"{path}: its affine, by which voxels have a place, must be finite numbers")
        check_claim(
            path,
            shape,
            header.get_data_dtype().itemsize,
            held=capacity(path, packed=is_packed(path)),
            offset=header.get_data_offset(),
        )
    return header


def _mask(path: Path, dwi: Path, header: Any) -> Bools:
    with opened(path, "NIfTI file"):
        image = load_volume(path)
        values = np.asarray(image.dataobj)
    shape, own = tuple(header.get_data_shape()[:3]), values.shape[:3]
    if own != shape or values.size != int(np.prod(shape)):
        raise InputError(f"{path}: a mask of shape {shape} is needed, as {dwi.name} has; found {values.shape}")
    affine = header.get_best_affine()
    if not np.allclose(image.affine, affine, rtol=0, atol=_SAME_PLACE):
        raise InputError(
            f"{path}: the mask lies elsewhere than {dwi.name}: their affines differ by up to "
            f"{np.abs(image.affine - affine).max():.4g} mm; resample one of them to the grid of the other"
        )
    inside: Bools = np.asarray(values.reshape(shape) > 0)
    if not inside.any():
        raise InputError(f"{path}: the mask is empty: no voxel is above 0")
    return inside


def _write_signals(target: Path, path: Path, header: Any, voxels: Ints) -> None:
    """Write the voxels of an image as rows, in C order of the image."""
    shape = tuple(int(n) for n in header.get_data_shape())
    dtype = header.get_data_dtype()
    # The file runs through x first.
    places = np.ravel_multi_index(np.unravel_index(voxels, shape[:3]), shape[:3], order="F")
    out = np.lib.format.open_memmap(target, mode="w+", dtype=dtype.newbyteorder("="), shape=(len(voxels), shape[3]))
    block = np.empty((len(voxels), _TOGETHER), dtype=out.dtype)
    with opened(path, "NIfTI file"):
        for number, volume in enumerate(_volumes(path, header)):
            place = number % _TOGETHER
            block[:, place] = volume[places]
            if place == _TOGETHER - 1 or number == shape[3] - 1:
                out[:, number - place : number + 1] = block[:, : place + 1]
    out.flush()


def _volumes(path: Path, header: Any) -> Iterator[npt.NDArray[Any]]:
    """Yield the stored values of each volume, flat, in the order of the file."""
    shape, dtype = header.get_data_shape(), header.get_data_dtype()
    n_voxels = int(np.prod(shape[:3]))
    size = n_voxels * dtype.itemsize
    with gzip.open(path) if is_packed(path) else path.open("rb") as file:
        file.read(header.get_data_offset())
        for number in range(shape[3]):
            if len(data := file.read(size)) < size:
                raise DamagedFileError(path, f"cut short: it ends in volume {number + 1} of {shape[3]}")
            yield np.frombuffer(data, dtype=dtype)
        # To the end, where the checksum of gzip is.
        while file.read(1 << 20):
            pass

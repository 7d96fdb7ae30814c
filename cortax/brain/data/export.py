"""Writing maps in the formats that viewers open: GIFTI for surfaces, CIFTI-2 for grayordinates, NIfTI for volumes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import nibabel as nib
import numpy as np
from nibabel.cifti2.cifti2_axes import BrainModelAxis
from numpy.typing import NDArray

from cortax.brain.data.cifti import CiftiAxes, read_cifti
from cortax.brain.data.images import is_cifti
from cortax.brain.data.spaces import Space
from cortax.data.files import opened
from cortax.errors import InputError

__all__ = ["MAP_SUFFIX", "write_maps"]

# Without annotations of their own.
_cifti: Any = nib.cifti2
_gifti: Any = nib.gifti
_nifti: Any = nib.nifti1

# By kind of space; of a surface there is a file for each hemisphere.
MAP_SUFFIX = {"surface": ".func.gii", "grayordinates": ".dscalar.nii", "volume": ".nii.gz"}
_STRUCTURE = {"L": "CortexLeft", "R": "CortexRight"}


def write_maps(
    stem: Path, values: NDArray[np.floating], names: Sequence[str], space: Space, *, template: Path | None = None
) -> list[Path]:
    """Write maps of a space.

    Parameters
    ----------
    stem : Path
        The file without `MAP_SUFFIX`; a surface gets `_hemi-L` and `_hemi-R` besides.
    values : array of shape (n_maps, n_locations)
        NaN marks a location without a value. It stays NaN on a surface, which viewers leave bare, and becomes 0 in
        NIfTI and CIFTI, where viewers take 0 for background and NaN spoils interpolation.
    names : sequence of str, of length n_maps
    space : Space
    template : Path, optional
        A CIFTI file of the same grayordinates, which are more than a space tells.

    Returns
    -------
    list of Path
        The files, float32. Maps are data arrays of GIFTI, rows of CIFTI, and the fourth axis of NIfTI where there
        are several.

    Raises
    ------
    InputError
        Shapes disagree, the space is none of a file format, or the template is missing or of other grayordinates.
    """
    if values.shape != (len(names), space.n_locations):
        raise InputError(
            f"{stem}: values {values.shape} are not ({len(names)}, n_locations) of space {space.describe()}"
        )
    single = np.asarray(values, dtype=np.float32)
    if space.kind == "surface":
        halves = {"L": single[:, : space.n_left], "R": single[:, space.n_left :]}
        return [_write_gifti(stem, hemi, half, names) for hemi, half in halves.items()]
    filled = np.nan_to_num(single, nan=0.0, posinf=np.inf, neginf=-np.inf)
    if space.kind == "volume":
        return [_write_volume(stem, filled, names, space)]
    if space.kind == "grayordinates":
        return [_write_cifti(stem, filled, names, space, template)]
    raise InputError(f"{stem}: nothing is known about the locations of space {space.describe()}, so no image can be")


def _write_gifti(stem: Path, hemi: str, values: NDArray[np.float32], names: Sequence[str]) -> Path:
    structure = {"AnatomicalStructurePrimary": _STRUCTURE[hemi]}
    arrays = [
        _gifti.GiftiDataArray(
            np.ascontiguousarray(row),
            intent="NIFTI_INTENT_NORMAL",
            datatype="NIFTI_TYPE_FLOAT32",
            meta=_gifti.GiftiMetaData({**structure, "Name": name}),
        )
        for row, name in zip(values, names, strict=True)
    ]
    path = stem.with_name(f"{stem.name}_hemi-{hemi}{MAP_SUFFIX['surface']}")
    nib.save(_gifti.GiftiImage(meta=_gifti.GiftiMetaData(structure), darrays=arrays), path)
    return path


def _write_volume(stem: Path, values: NDArray[np.float32], names: Sequence[str], space: Space) -> Path:
    grid = values.reshape(len(names), *space.shape)
    image = _nifti.Nifti1Image(grid[0] if len(names) == 1 else np.moveaxis(grid, 0, -1), np.array(space.affine))
    image.header.set_xyzt_units("mm")
    image.header["descrip"] = ", ".join(names).encode()[:79]
    path = stem.with_name(stem.name + MAP_SUFFIX["volume"])
    nib.save(image, path)
    return path


def _write_cifti(
    stem: Path, values: NDArray[np.float32], names: Sequence[str], space: Space, template: Path | None
) -> Path:
    if template is None:
        raise InputError(f"{stem}: grayordinates need a CIFTI file that has them, such as one of the study's maps")
    brain, axes = _grayordinates(template)
    if difference := space.difference(axes.space):
        raise InputError(f"{template}: {len(brain)} grayordinates, not those of space {space.describe()}: {difference}")
    if axes.order is not None:
        ordered = np.empty_like(values)
        ordered[:, axes.order] = values
        values = ordered
    image = _cifti.Cifti2Image(values, header=(_cifti.ScalarAxis(list(names)), brain))
    image.update_headers()
    image.nifti_header.set_intent("ConnDenseScalar")
    path = stem.with_name(stem.name + MAP_SUFFIX["grayordinates"])
    nib.save(image, path)
    return path


def _grayordinates(path: Path) -> tuple[BrainModelAxis, CiftiAxes]:
    if not is_cifti(path):
        raise InputError(f"{path}: not a CIFTI-2 file by its name")
    with opened(path, "CIFTI-2 file"):
        _, axes = read_cifti(path)
        return _cifti.load(path).header.get_axis(1), axes

"""Bringing a volume onto another voxel grid."""

from __future__ import annotations

from typing import Any

import nibabel as nib
import numpy as np
from nibabel.orientations import apply_orientation, inv_ornt_aff, io_orientation, ornt_transform
from nibabel.processing import resample_from_to
from numpy.typing import NDArray

from cortax.brain.data.spaces import Space, volume_space
from cortax.errors import InputError

__all__ = ["resample_labels", "turn_axes"]


def turn_axes(values: NDArray[Any], source: Space, target: Space) -> NDArray[Any] | None:
    """Give the values of a volume in the order of another grid of the same voxels, whose axes run otherwise.

    Parameters
    ----------
    values : array of shape (n_locations,)
        In C order of `source`.

    Returns
    -------
    array of shape (n_locations,), or None
        In C order of `target`; None where the grids do not have the same voxels.
    """
    if source.matches(target):
        return values
    if source.kind != "volume" or target.kind != "volume":
        return None
    ends: list[Any] = [io_orientation(np.array(space.affine)) for space in (source, target)]  # type: ignore[no-untyped-call]
    turn = ornt_transform(*ends)  # type: ignore[no-untyped-call]
    turned: Any = apply_orientation(values.reshape(source.shape), turn)  # type: ignore[no-untyped-call]
    affine = np.array(source.affine) @ inv_ornt_aff(turn, source.shape)  # type: ignore[no-untyped-call]
    return turned.ravel() if volume_space(turned.shape, affine).matches(target) else None


def resample_labels(labels: NDArray[np.int32], source: Space, target: Space) -> NDArray[np.int32]:
    """Give every voxel of `target` the label of the nearest voxel of `source`.

    Parameters
    ----------
    labels : array of shape (n_source_locations,), int32
        In C order. Both spaces are volumes in the same mm coordinates.

    Returns
    -------
    array of shape (n_target_locations,), int32
        0 outside the source grid. A small region may lose all its voxels.

    Raises
    ------
    InputError
        One of the two is no volume.
    """
    for space in (source, target):
        if space.kind != "volume":
            raise InputError(f"only volumes can be resampled, {space.describe()} is a {space.kind} space")
    image = nib.Nifti1Image(labels.reshape(source.shape).astype(np.int32), np.array(source.affine))  # type: ignore[no-untyped-call]
    # Order 0 copies labels and never mixes them
    grid = (target.shape, np.array(target.affine))
    moved = resample_from_to(image, grid, order=0, mode="constant", cval=0)  # type: ignore[no-untyped-call]
    return np.asarray(moved.dataobj).astype(np.int32).ravel()

"""Bringing a label volume onto another voxel grid."""

from __future__ import annotations

import nibabel as nib
import numpy as np
from nibabel.processing import resample_from_to
from numpy.typing import NDArray

from cortax.data.spaces import Space
from cortax.errors import InputError

__all__ = ["resample_labels"]


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

"""Back from regions to locations: the value of a region, given to the vertices or voxels that it is made of."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from cortax.brain.parcellation.atlas import Atlas
from cortax.errors import AtlasError

__all__ = ["back_project"]


def back_project(atlas: Atlas, values: NDArray[np.floating]) -> NDArray[np.float64]:
    """Give every location the value of its region.

    Parameters
    ----------
    atlas : Atlas
        Hard: a location has the value of its region. Soft (no weight negative): the mean of its regions' values,
        by their weights there. Signed: the sum of weight times value, as such regions sum up to a map.
    values : array of shape (n_maps, n_regions)
        NaN is no value: a location has the mean or sum of its other regions.

    Returns
    -------
    float64 array of shape (n_maps, n_locations)
        NaN outside all regions, and where no region has a value.

    Raises
    ------
    AtlasError
        Another number of regions.
    """
    if values.ndim != 2 or values.shape[1] != atlas.n_regions:
        raise AtlasError(f"atlas {atlas.name!r}: values {values.shape}, must be (n_maps, {atlas.n_regions})")
    given = ~np.isnan(values)
    # Both products are over what is stored of the weights, so that nothing becomes of NaN times nothing.
    sums = (atlas.weights.T @ np.where(given, values, 0.0).T).T
    covered = (abs(atlas.weights).T @ given.T.astype(np.float64)).T
    if not atlas.is_signed:
        sums = np.divide(sums, covered, out=np.full(sums.shape, np.nan), where=covered > 0)
    found: NDArray[np.float64] = np.where(covered > 0, sums, np.nan)
    return found

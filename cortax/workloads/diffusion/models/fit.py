"""What a fit of many voxels gives."""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum

import numpy as np
import numpy.typing as npt

from cortax.learning.arrays import Floats, Ints

__all__ = ["FITTED", "Fit", "Status", "join", "take"]


class Status(IntEnum):
    """How the fit of a voxel ended; `has_parameters` where there is something to show."""

    FITTED = 0
    CLIPPED = 1
    PURE_WATER = 2
    NOT_CONVERGED = 3
    NOT_FINITE = 4
    NO_B0 = 5
    NO_TISSUE = 6
    SINGULAR = 7
    FAILED = 8

    @property
    def has_parameters(self) -> bool:
        """Whether the voxel has parameters; else they are NaN."""
        return self in FITTED

    @property
    def sentence(self) -> str:
        """What a page says of such voxels."""
        return _SENTENCES[self]


FITTED = frozenset({Status.FITTED, Status.CLIPPED, Status.PURE_WATER, Status.NOT_CONVERGED})

_SENTENCES = {
    Status.FITTED: "fitted",
    Status.CLIPPED: "fitted, with signals that are zero or negative: they count as the least signal allowed",
    Status.PURE_WATER: "nothing but free water: the mean diffusivity, or the fraction of water, is that of water",
    Status.NOT_CONVERGED: "stopped at the highest number of iterations: the parameters are the last ones",
    Status.NOT_FINITE: "not fitted: a signal is NaN or infinite",
    Status.NO_B0: "not fitted: the mean signal without diffusion weighting is not above zero",
    Status.NO_TISSUE: "not fitted: no signal is left for tissue",
    Status.SINGULAR: "not fitted: the signals do not determine the parameters",
    Status.FAILED: "not fitted: the model's own code raised an error",
}


@dataclass(frozen=True, eq=False)
class Fit:
    """Fits of n voxels.

    Attributes
    ----------
    parameters : float64 array of shape (n, p)
        Columns as in the model's `names`. NaN where nothing was fitted.
    sse : float64 array of shape (n,)
        Sum of squared differences between signals and prediction. NaN where nothing was fitted or predicted.
    iterations : int32 array of shape (n,)
        0 where the method has none.
    status : uint8 array of shape (n,)
        A `Status` each.
    """

    parameters: Floats
    sse: Floats
    iterations: npt.NDArray[np.int32]
    status: npt.NDArray[np.uint8]


def join(fits: list[Fit]) -> Fit:
    """Return the fits of several sets of voxels as one, in the order given; at least one."""
    return Fit(*(np.concatenate(parts) for parts in zip(*(vars(fit).values() for fit in fits), strict=True)))


def take(fit: Fit, voxels: slice | Ints) -> Fit:
    """Return the fits of some voxels."""
    return Fit(*(values[voxels] for values in vars(fit).values()))

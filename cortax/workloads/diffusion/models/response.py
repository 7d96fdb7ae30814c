"""The signal of a single bundle of fibres, by which constrained spherical deconvolution divides."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from cortax.errors import InputError, StudyError
from cortax.learning.arrays import Bools, Floats
from cortax.workloads.diffusion.models.gradients import Gradients
from cortax.workloads.diffusion.models.maps import eigenvalues, fractional_anisotropy
from cortax.workloads.diffusion.models.tensor import TensorModel

__all__ = ["Response", "auto_response", "box", "check_response"]


@dataclass(frozen=True)
class Response:
    """A prolate tensor.

    Attributes
    ----------
    evals : tuple of three float
        mm2/s; the first along the fibres, the others equal.
    s0 : float
        Signal without weighting.
    n_voxels : int
        Of how many voxels it is the mean; 0 if it was given.
    """

    evals: tuple[float, float, float]
    s0: float
    n_voxels: int = 0


def check_response(response: Response, *, where: str) -> None:
    """Raise a StudyError unless the response is positive, finite and longer than wide."""
    along, across, third = response.evals
    if not (math.isfinite(response.s0) and response.s0 > 0):
        raise StudyError(f"{where}: the response's S0 must be positive. Got {response.s0:g} instead.")
    if not all(math.isfinite(value) and value > 0 for value in response.evals):
        raise StudyError(
            f"{where}: the response's eigenvalues must be positive (mm2/s). Got {list(response.evals)} instead."
        )
    if across != third or along <= across:
        raise StudyError(
            f"{where}: a response has one large eigenvalue and two that are equal and smaller (mm2/s). "
            f"Got {list(response.evals)} instead."
        )


def box(shape: tuple[int, int, int], *, radius: int = 10) -> Bools:
    """Return the voxels within `radius` of a volume's middle along every axis, where DIPY looks for single fibres."""
    inside = np.zeros(shape, dtype=bool)
    inside[tuple(slice(max(n // 2 - radius, 0), n // 2 + radius + 1) for n in shape)] = True
    return inside


def auto_response(
    signals: Floats, gradients: Gradients, *, fa_threshold: float = 0.7, where: str = "response"
) -> Response:
    """Return the mean response of the voxels whose fractional anisotropy is above a threshold.

    The rule is that of DIPY's `auto_response_ssst` (Tournier et al. 2004, NeuroImage): tensors by weighted least
    squares; the mean largest eigenvalue and, twice, the mean second one; the mean of all unweighted signals.

    Parameters
    ----------
    signals : float64 array of shape (n, g)
        Of the voxels to look at: those of a mask, or of `box`. Voxels that cannot be fitted do not count.
    gradients : Gradients
    fa_threshold : float
    where : str
        What messages begin with.

    Raises
    ------
    InputError
        If no voxel is above the threshold.
    StudyError
        If the response is not one; see `check_response`.
    """
    fit = TensorModel(gradients).fit(signals)
    evals = eigenvalues("dti", fit.parameters, gradients)
    anisotropy = fractional_anisotropy(evals)
    chosen = np.nan_to_num(anisotropy, nan=0.0) > fa_threshold
    if not chosen.any():
        highest = np.nanmax(anisotropy) if np.isfinite(anisotropy).any() else math.nan
        raise InputError(
            f"{where}: none of {len(signals)} voxels has a fractional anisotropy above {fa_threshold:g}, so none "
            f"counts as a single fibre; the highest is {highest:.3f}: lower fa_threshold, or give a response"
        )
    along, across = evals[chosen, 0].mean(), evals[chosen, 1].mean()
    response = Response(
        (float(along), float(across), float(across)),
        float(signals[chosen][:, gradients.is_b0].mean()),
        int(chosen.sum()),
    )
    check_response(response, where=where)
    return response

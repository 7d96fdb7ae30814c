"""Maps: what is shown of a fit."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from cortax.errors import StudyError, choices
from cortax.learning.arrays import Floats
from cortax.workloads.diffusion.models.fit import Fit
from cortax.workloads.diffusion.models.gradients import Gradients, design_matrix
from cortax.workloads.diffusion.models.harmonics import basis_of, peak_sphere, to_mrtrix

__all__ = ["MAPS", "N_PEAKS", "Map", "compute_map", "eigenvalues", "fractional_anisotropy"]

# Of a distribution of fibres: how many peaks are kept, how high they must be relative to the highest, and how far apart
# in degrees. The last two are DIPY's.
N_PEAKS, _PEAK_HEIGHT, _PEAK_ANGLE = 3, 0.5, 25.0
# Voxels whose distributions are on the sphere at the same time.
_TOGETHER = 4096


@dataclass(frozen=True)
class Map:
    """A map that can be asked for.

    Attributes
    ----------
    title : str
    unit : str
        Empty where it has none.
    kinds : tuple of str
        The models that have it.
    """

    title: str
    unit: str
    kinds: tuple[str, ...]


_TENSORS = ("dti", "fwdti")
MAPS = {
    "fa": Map("fractional anisotropy", "", _TENSORS),
    "md": Map("mean diffusivity", "mm2/s", _TENSORS),
    "ad": Map("axial diffusivity", "mm2/s", _TENSORS),
    "rd": Map("radial diffusivity", "mm2/s", _TENSORS),
    "evals": Map("eigenvalues, the largest first", "mm2/s", _TENSORS),
    "v1": Map("direction of the largest eigenvalue: x, y, z, its sign without meaning", "", _TENSORS),
    "color_fa": Map("fractional anisotropy times the direction's absolute x, y, z", "", _TENSORS),
    "tensor": Map("tensor: Dxx, Dxy, Dyy, Dxz, Dyz, Dzz", "mm2/s", _TENSORS),
    "s0": Map("signal without weighting", "signal", _TENSORS),
    "f": Map("fraction of free water", "", ("fwdti",)),
    "gfa": Map("generalised fractional anisotropy of the fibres' distribution", "", ("csd",)),
    "peaks": Map("directions of the highest peaks: x, y, z of each, the highest first", "", ("csd",)),
    "peak_values": Map("the distribution's amplitude at its highest peaks", "", ("csd",)),
    "sh": Map("coefficients of even spherical harmonics, DIPY's legacy descoteaux07", "", ("csd",)),
    "sh_mrtrix": Map("coefficients of even spherical harmonics, MRtrix3's tournier07", "", ("csd",)),
    "parameters": Map("what DIPY's model has", "", ("dipy",)),
    "sse": Map("sum of squared residuals", "signal squared", (*_TENSORS, "csd", "dipy")),
}


def compute_map(name: str, kind: str, fit: Fit, *, gradients: Gradients) -> Floats:
    """Return a map of n voxels, with one column for each of its components.

    Parameters
    ----------
    name : str
        One of `MAPS`.
    kind : str
        Of the model.
    fit : Fit
    gradients : Gradients
        Those of the fit.

    Returns
    -------
    float64 array of shape (n, n_components)
        NaN where the fit has no parameters, and for peaks that are not there. A voxel's values do not depend on the
        others.

    Raises
    ------
    StudyError
        If there is no such map of this model.
    """
    allowed = [each for each, about in MAPS.items() if kind in about.kinds]
    if name not in allowed:
        raise StudyError(f"maps of {kind}: {choices(name, allowed)}")
    if name == "sse":
        return fit.sse[:, None]
    if name in ("sh", "parameters"):
        return fit.parameters
    if name == "sh_mrtrix":
        return to_mrtrix(fit.parameters)
    if kind == "csd":
        return _distribution_map(name, fit.parameters)
    return _tensor_map(name, kind, fit.parameters, gradients)


def eigenvalues(kind: str, parameters: Floats, gradients: Gradients) -> Floats:
    """Return the eigenvalues of tensors, the largest first: (n, 3), mm2/s; NaN for NaN. See `_decompose`."""
    return _decompose(kind, parameters, gradients)[0]


def fractional_anisotropy(evals: Floats) -> Floats:
    """Return FA = sqrt(1/2 ((a-b)^2 + (b-c)^2 + (c-a)^2) / (a^2 + b^2 + c^2)): (n,); 0 where all are 0."""
    a, b, c = evals.T
    total = a * a + b * b + c * c
    differences = (a - b) ** 2 + (b - c) ** 2 + (c - a) ** 2
    return np.asarray(np.sqrt(0.5 * differences / np.where(total == 0, 1.0, total)))


def _decompose(kind: str, parameters: Floats, gradients: Gradients) -> tuple[Floats, Floats]:
    """Return eigenvalues (n, 3), the largest first, and eigenvectors (n, 3, 3) as columns.

    Noise makes some eigenvalues negative. As in DIPY they are raised to the least one allowed: 1e-6 divided by the
    largest entry of the design matrix for a tensor alone, 0 for one beside free water.
    """
    n = len(parameters)
    evals, evecs = np.full((n, 3), np.nan), np.full((n, 3, 3), np.nan)
    there = np.isfinite(parameters[:, :6]).all(axis=1)
    values, vectors = np.linalg.eigh(parameters[there][:, [[0, 1, 3], [1, 2, 4], [3, 4, 5]]])
    least = 1e-6 / -design_matrix(gradients).min() if kind == "dti" else 0.0
    evals[there], evecs[there] = np.maximum(values[:, ::-1], least), vectors[:, :, ::-1]
    return evals, evecs


def _tensor_map(name: str, kind: str, parameters: Floats, gradients: Gradients) -> Floats:
    if name in ("f", "s0", "tensor"):
        columns = {"tensor": slice(0, 6), "s0": slice(6, 7), "f": slice(7, 8)}[name]
        return parameters[:, columns]
    evals, evecs = _decompose(kind, parameters, gradients)
    if name == "evals":
        return evals
    if name == "v1":
        return evecs[:, :, 0]
    anisotropy = fractional_anisotropy(evals)[:, None]
    if name == "color_fa":
        return np.asarray(np.abs(evecs[:, :, 0]) * anisotropy.clip(0, 1))
    scalars = {
        "fa": anisotropy,
        "md": evals.mean(axis=1, keepdims=True),
        "ad": evals[:, :1],
        "rd": evals[:, 1:].mean(axis=1, keepdims=True),
    }
    return np.asarray(scalars[name])


def _distribution_map(name: str, coefficients: Floats) -> Floats:
    """Return a map of distributions of fibres, on DIPY's `default_sphere`, half a sphere."""
    sphere = peak_sphere()
    basis = basis_of(sphere.vertices, coefficients.shape[1])
    measure = {"gfa": _generalised_anisotropy, "peaks": _peaks, "peak_values": _peak_values}[name]
    found = []
    for start in range(0, len(coefficients), _TOGETHER):
        # Not a matrix product of BLAS, whose sums depend on how many voxels there are.
        found.append(measure(np.einsum("nc,vc->nv", coefficients[start : start + _TOGETHER], basis), sphere))
    return np.concatenate(found)


def _generalised_anisotropy(amplitudes: Floats, sphere: Any) -> Floats:  # noqa: ARG001
    """Return sqrt(n sum (a - mean a)^2 / ((n - 1) sum a^2)) over n directions (Tuch 2004); NaN where all are 0."""
    n = amplitudes.shape[1]
    total = (amplitudes**2).sum(axis=1, keepdims=True)
    spread = ((amplitudes - amplitudes.mean(axis=1, keepdims=True)) ** 2).sum(axis=1, keepdims=True)
    return np.asarray(np.sqrt(n * spread / ((n - 1) * np.where(total == 0, np.nan, total))))


def _peaks(amplitudes: Floats, sphere: Any) -> Floats:
    found = np.full((len(amplitudes), N_PEAKS, 3), np.nan)
    for row, (directions, _) in enumerate(_find_peaks(amplitudes, sphere)):
        found[row, : len(directions)] = directions
    return found.reshape(len(amplitudes), -1)


def _peak_values(amplitudes: Floats, sphere: Any) -> Floats:
    found = np.full((len(amplitudes), N_PEAKS), np.nan)
    for row, (_, values) in enumerate(_find_peaks(amplitudes, sphere)):
        found[row, : len(values)] = values
    return found


def _find_peaks(amplitudes: Floats, sphere: Any) -> Iterator[tuple[Floats, Floats]]:
    """Yield the directions (n_peaks, 3) and values of the peaks of every voxel, the highest first; none for NaN."""
    from dipy.direction.peaks import peak_directions

    for row in amplitudes:
        if np.isfinite(row).all():
            directions, values, _ = peak_directions(
                row, sphere, relative_peak_threshold=_PEAK_HEIGHT, min_separation_angle=_PEAK_ANGLE
            )
            yield directions[:N_PEAKS], values[:N_PEAKS]
        else:
            yield np.empty((0, 3)), np.empty(0)

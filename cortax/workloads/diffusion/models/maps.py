"""Maps: what is shown of a fit."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from cortax.errors import StudyError, choices
from cortax.learning.arrays import Floats
from cortax.workloads.diffusion.models.fit import Fit
from cortax.workloads.diffusion.models.gradients import Gradients, design_matrix

__all__ = ["MAPS", "Map", "compute_map", "eigenvalues", "fractional_anisotropy"]


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
        NaN where the fit has no parameters. A voxel's values do not depend on the others.

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

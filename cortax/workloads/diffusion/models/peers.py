"""The same models by DIPY's own code, one voxel after another: what cortax's are compared with.

A voxel for which DIPY raises an error gets a status, so that it does not end the fit of the others.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from cortax.learning.arrays import Bools, Floats
from cortax.workloads.diffusion.models.deconvolution import deconvolution, dipy_deconvolution
from cortax.workloads.diffusion.models.fit import Fit, Status
from cortax.workloads.diffusion.models.free_water import F_WATER, FreeWaterModel
from cortax.workloads.diffusion.models.gradients import Gradients
from cortax.workloads.diffusion.models.response import Response
from cortax.workloads.diffusion.models.tensor import TensorModel

__all__ = ["VoxelLoop", "peer_deconvolution", "peer_free_water", "peer_tensor"]

# Signals of shape (g,) to parameters of shape (p,) and a status.
FitVoxel = Callable[[Floats], tuple[Floats, Status]]


@dataclass(frozen=True, eq=False)
class VoxelLoop:
    """A model that is fitted by a Python function, voxel by voxel.

    Attributes
    ----------
    gradients : Gradients
    names : tuple of str
    fit_voxel : callable
    predictor : callable, optional
        Parameters of shape (n, p) to signals of shape (n, g).
    """

    gradients: Gradients
    names: tuple[str, ...]
    fit_voxel: FitVoxel
    predictor: Callable[[Floats], Floats] | None = None

    def fit(self, signals: Floats) -> Fit:
        """Fit signals of shape (n, g)."""
        n = len(signals)
        parameters, sse = np.full((n, len(self.names)), np.nan), np.full(n, np.nan)
        status = np.zeros(n, np.uint8)
        for v, signal in enumerate(np.asarray(signals, dtype=np.float64)):
            status[v] = why_unfit(signal, self.gradients.is_b0)
            if status[v] == Status.FITTED:
                parameters[v], status[v] = self._try(signal)
        predicted = self.predict(parameters)
        if predicted is not None:
            sse = squared_error(signals, predicted)
        return Fit(parameters, sse, np.zeros(n, np.int32), status)

    def _try(self, signal: Floats) -> tuple[Floats, Status]:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                return self.fit_voxel(signal)
            except Exception:  # Whatever another package raises for a voxel: the voxel's status says so.
                return np.full(len(self.names), np.nan), Status.FAILED

    def predict(self, parameters: Floats) -> Floats | None:
        """Return the signals of parameters of shape (n, p), as (n, g), or None if the model cannot say."""
        return None if self.predictor is None else self.predictor(parameters)


def why_unfit(signal: Floats, is_b0: Bools) -> Status:
    """Return why a voxel's signals of shape (g,) cannot be fitted, or FITTED."""
    if not np.isfinite(signal).all():
        return Status.NOT_FINITE
    if is_b0.any() and not signal[is_b0].sum() > 0:
        return Status.NO_B0
    return Status.FITTED


def squared_error(signals: Floats, predicted: Floats) -> Floats:
    """Return the sum of squared differences of (n, g), over what is predicted: (n,); NaN where nothing is."""
    differences = signals - predicted
    there = np.isfinite(differences)
    return np.where(there.any(axis=1), np.sum(np.where(there, differences, 0.0) ** 2, axis=1), np.nan)


def peer_tensor(gradients: Gradients, method: str) -> VoxelLoop:
    """Return `TensorModel` by DIPY. Eigenvalues are at least DIPY's least one, as it keeps no others."""
    from dipy.reconst.dti import TensorModel as DipyTensorModel

    model = DipyTensorModel(gradients.table(), fit_method=method.upper(), return_S0_hat=True)

    def fit_voxel(signal: Floats) -> tuple[Floats, Status]:
        fit = model.fit(signal[None])
        parameters = np.concatenate([fit.lower_triangular()[0], np.ravel(fit.S0_hat)])
        return parameters, _fitted(signal)

    like = TensorModel(gradients, method)
    return VoxelLoop(gradients, like.names, fit_voxel, like.predict)


def _fitted(signal: Floats) -> Status:
    return Status.CLIPPED if (signal <= 0).any() else Status.FITTED


def peer_free_water(gradients: Gradients, method: str) -> VoxelLoop:
    """Return `FreeWaterModel` by DIPY, which makes eigenvalues positive and keeps no S0.

    For `nls`, S0 is the best one for the tensor and the fraction that DIPY gives.
    """
    from dipy.reconst.fwdti import FreeWaterTensorModel

    model = FreeWaterTensorModel(gradients.table(), fit_method=method.upper())
    like = FreeWaterModel(gradients, method)

    def fit_voxel(signal: Floats) -> tuple[Floats, Status]:
        found = model.fit(signal).model_params
        if not found.any():
            return np.full(len(like.names), np.nan), Status.NO_TISSUE
        evecs = found[3:12].reshape(3, 3)
        tensor = (evecs * found[:3]) @ evecs.T
        f = found[12]
        parameters = np.array([*tensor[[0, 1, 1, 2, 2, 2], [0, 0, 1, 0, 1, 2]], signal[gradients.is_b0].mean(), f])
        if f >= F_WATER:
            return parameters, Status.PURE_WATER
        if method == "nls":
            shape = like.predict(np.array([[*parameters[:6], 1.0, f]]))[0]
            parameters[6] = signal @ shape / (shape @ shape)
        return parameters, _fitted(signal)

    return VoxelLoop(gradients, like.names, fit_voxel, like.predict)


def peer_deconvolution(
    gradients: Gradients, response: Response, *, sh_order: int = 8, tau: float = 0.1, shell: float | None = None
) -> VoxelLoop:
    """Return `DeconvolutionModel` by DIPY."""
    model, used = dipy_deconvolution(gradients, response, sh_order=sh_order, tau=tau, shell=shell)
    like = deconvolution(gradients, response, sh_order=sh_order, tau=tau, shell=shell)

    def fit_voxel(signal: Floats) -> tuple[Floats, Status]:
        with warnings.catch_warnings(record=True) as raised:
            warnings.simplefilter("always")
            coefficients = model.fit(signal[used]).shm_coeff
        stopped = any("failed to converge" in str(warning.message) for warning in raised)
        return coefficients, Status.NOT_CONVERGED if stopped else Status.FITTED

    return VoxelLoop(gradients, like.names, fit_voxel, like.predict)

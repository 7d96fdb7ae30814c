"""Models by name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

import numpy as np

from cortax.errors import StudyError, choices
from cortax.learning.arrays import Floats
from cortax.workloads.diffusion.models.any_dipy import any_dipy_model
from cortax.workloads.diffusion.models.deconvolution import deconvolution
from cortax.workloads.diffusion.models.fit import Fit
from cortax.workloads.diffusion.models.free_water import FreeWaterModel
from cortax.workloads.diffusion.models.gradients import Gradients
from cortax.workloads.diffusion.models.peers import peer_deconvolution, peer_free_water, peer_tensor
from cortax.workloads.diffusion.models.response import Response
from cortax.workloads.diffusion.models.tensor import TensorModel

__all__ = ["KINDS", "SOLVERS", "Model", "compile_free_water", "compile_tensors", "make_model"]

KINDS = ("dti", "fwdti", "csd", "dipy")
SOLVERS = ("cortax", "dipy")


class Model(Protocol):
    """A model for the signals of a voxel.

    `names` are the columns of a fit's parameters. `fit` takes float64 signals of shape (n, g), in the order of the
    gradients, and never raises for what the signals are: see `Status`. `predict` takes parameters of shape (n, p)
    and returns signals of shape (n, g), NaN where parameters are NaN or nothing is predicted, or None where the model
    cannot say.
    """

    @property
    def names(self) -> tuple[str, ...]: ...  # noqa: D102

    def fit(self, signals: Floats) -> Fit: ...  # noqa: D102

    def predict(self, parameters: Floats) -> Floats | None: ...  # noqa: D102


def make_model(
    kind: str,
    options: Mapping[str, Any],
    gradients: Gradients,
    *,
    response: Response | None = None,
    solver: str = "cortax",
) -> Model:
    """Return a model for these measurements, which `check_model` has passed.

    Making one takes longer than fitting a voxel: make it once a process.

    Parameters
    ----------
    kind : str
        `dti`: a tensor. `fwdti`: a tensor beside free water. `csd`: constrained spherical deconvolution. `dipy`: a
        class of `dipy.reconst`, which is always fitted by DIPY.
    options : mapping
        `dti`: `method`, "wls" (the default) or "ols". `fwdti`: `method`, "nls" (the default) or "wls". `csd`:
        `sh_order` (8), `tau` (0.1), `shell` (the b-value of one of several shells). `dipy`: `name`, `arguments`,
        `outputs`, as for `any_dipy_model`.
    gradients : Gradients
    response : Response, optional
        Of a single fibre; csd needs one.
    solver : str
        "cortax": compiled. "dipy": DIPY's own code, voxel by voxel, to compare with.

    Raises
    ------
    StudyError
        If there is no such kind, method, solver or class, or if csd has no response.
    """
    if kind not in KINDS:
        raise StudyError(f"model: {choices(kind, KINDS)}")
    if solver not in SOLVERS:
        raise StudyError(f"solver: {choices(solver, SOLVERS)}")
    own = solver == "cortax"
    if kind == "dti":
        method = _method(options, ("wls", "ols"))
        return TensorModel(gradients, method) if own else peer_tensor(gradients, method)
    if kind == "fwdti":
        method = _method(options, ("nls", "wls"))
        return FreeWaterModel(gradients, method) if own else peer_free_water(gradients, method)
    if kind == "csd":
        if response is None:
            raise StudyError("csd: a response is needed, given or estimated, and there is none")
        return (deconvolution if own else peer_deconvolution)(gradients, response, **options)
    return any_dipy_model(options["name"], gradients, **_without(options, "name"), response=response)


def compile_tensors() -> None:
    """See `Workload`."""
    _fit_one("dti")


def compile_free_water() -> None:
    """See `Workload`."""
    _fit_one("fwdti")


def _fit_one(kind: str) -> None:
    directions = np.random.default_rng(0).normal(size=(20, 3))
    bvals = np.array([0.0, *[1000.0] * 10, *[2000.0] * 9])
    gradients = Gradients(bvals, directions / np.linalg.norm(directions, axis=1, keepdims=True))
    make_model(kind, {}, gradients).fit(np.exp(-0.001 * bvals)[None])


def _method(options: Mapping[str, Any], allowed: tuple[str, ...]) -> str:
    """Return the method asked for, or the first."""
    method = str(options.get("method", allowed[0]))
    if method not in allowed:
        raise StudyError(f"method: {choices(method, allowed)}")
    return method


def _without(options: Mapping[str, Any], name: str) -> dict[str, Any]:
    return {each: value for each, value in options.items() if each != name}

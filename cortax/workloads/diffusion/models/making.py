"""Models by name."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

from cortax.errors import StudyError, choices
from cortax.learning.arrays import Floats
from cortax.workloads.diffusion.models.fit import Fit
from cortax.workloads.diffusion.models.gradients import Gradients
from cortax.workloads.diffusion.models.peers import peer_tensor
from cortax.workloads.diffusion.models.response import Response
from cortax.workloads.diffusion.models.tensor import TensorModel

__all__ = ["KINDS", "SOLVERS", "Model", "make_model"]

KINDS = ("dti",)
SOLVERS = ("cortax", "dipy")


class Model(Protocol):
    """A model for the signals of a voxel.

    `names` are the columns of a fit's parameters. `fit` takes float64 signals of shape (n, g), in the order of the
    gradients, and never raises for what the signals are: see `Status`. `predict` takes parameters of shape (n, p)
    and returns signals of shape (n, g), NaN where parameters are NaN, or None where the model cannot say.
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
    response: Response | None = None,  # noqa: ARG001
    solver: str = "cortax",
) -> Model:
    """Return a model for these measurements, which `check_model` has passed.

    Parameters
    ----------
    kind : str
        `dti`: a diffusion tensor.
    options : mapping
        `dti`: `method`, "wls" (the default) or "ols".
    gradients : Gradients
    response : Response, optional
        Of a single fibre; csd needs one.
    solver : str
        "cortax": compiled. "dipy": DIPY's own code, voxel by voxel, to compare with.

    Raises
    ------
    StudyError
        If there is no such kind, method or solver.
    """
    if kind not in KINDS:
        raise StudyError(f"model: {choices(kind, KINDS)}")
    if solver not in SOLVERS:
        raise StudyError(f"solver: {choices(solver, SOLVERS)}")
    method = _method(options, "wls", ("wls", "ols"))
    return TensorModel(gradients, method) if solver == "cortax" else peer_tensor(gradients, method)


def _method(options: Mapping[str, Any], default: str, allowed: tuple[str, ...]) -> str:
    method = str(options.get("method", default))
    if method not in allowed:
        raise StudyError(f"method: {choices(method, allowed)}")
    return method

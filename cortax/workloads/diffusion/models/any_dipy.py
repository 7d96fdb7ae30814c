"""Any model of `dipy.reconst` by name, through DIPY itself."""

from __future__ import annotations

import importlib
import inspect
import warnings
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from cortax.errors import StudyError, choices
from cortax.learning.arrays import Floats
from cortax.workloads.diffusion.models.fit import Status
from cortax.workloads.diffusion.models.gradients import Gradients, design_matrix
from cortax.workloads.diffusion.models.peers import VoxelLoop
from cortax.workloads.diffusion.models.response import Response

__all__ = ["any_dipy_model"]

# What is kept of a fit if nothing is said: the first of these that it has.
_USUAL = ("model_params", "shm_coeff", "coeff", "beta")


def any_dipy_model(
    name: str,
    gradients: Gradients,
    *,
    arguments: Mapping[str, Any] | None = None,
    outputs: Sequence[str] = (),
    response: Response | None = None,
) -> VoxelLoop:
    """Return a model of DIPY.

    Parameters
    ----------
    name : str
        Module and class within `dipy.reconst`, such as "dki.DiffusionKurtosisModel".
    gradients : Gradients
    arguments : mapping, optional
        Named arguments of the class, beside the gradients.
    outputs : sequence of str
        Attributes of a fitted voxel, such as "fa"; those that are methods are called. Each gives a column, or as many
        as it has elements. Without any: what the class calls its parameters.
    response : Response, optional
        Handed to a class that takes one.

    Returns
    -------
    VoxelLoop
        Does not predict signals, so that sums of squares are NaN.

    Raises
    ------
    StudyError
        If there is no such class, if it does not take the arguments, or if it cannot be fitted to signals of a tensor
        without noise that are measured in this way.
    """
    model = _make(name, gradients, arguments or {}, response)
    example = 1000.0 * np.exp(design_matrix(gradients)[:, :6] @ [1.7e-3, 0, 0.3e-3, 0, 0, 0.3e-3])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            fit = model.fit(example)
        except Exception as error:
            raise StudyError(f"model {name!r} cannot be fitted to signals measured in this way: {error}") from error
        chosen = tuple(outputs) or tuple(each for each in _USUAL if hasattr(fit, each))[:1]
        missing = [each for each in chosen if not hasattr(fit, each)]
        if missing or not chosen:
            public = [each for each in dir(fit) if not each.startswith("_")]
            raise StudyError(f"outputs of {name!r}: {choices(missing[0] if missing else '', public)}")
        sizes = [len(_values(fit, each)) for each in chosen]
    names = tuple(
        each if size == 1 else f"{each}_{number}"
        for each, size in zip(chosen, sizes, strict=True)
        for number in range(size)
    )

    def fit_voxel(signal: Floats) -> tuple[Floats, Status]:
        fit = model.fit(signal)
        return np.concatenate([_values(fit, each) for each in chosen]), Status.FITTED

    return VoxelLoop(gradients, names, fit_voxel)


def _values(fit: Any, name: str) -> Floats:
    value = getattr(fit, name)
    return np.ravel(np.asarray(value() if callable(value) else value, dtype=np.float64))


def _make(name: str, gradients: Gradients, arguments: Mapping[str, Any], response: Response | None) -> Any:
    module_name, _, class_name = name.rpartition(".")
    try:
        module = importlib.import_module(f"dipy.reconst.{module_name}")
    except ImportError as error:
        raise StudyError(
            f"model {name!r}: there is no module dipy.reconst.{module_name}; write module and class, such as "
            "'dki.DiffusionKurtosisModel'"
        ) from error
    classes = {each: found for each, found in vars(module).items() if inspect.isclass(found) and hasattr(found, "fit")}
    if class_name not in classes:
        raise StudyError(f"models of dipy.reconst.{module_name}: {choices(class_name, classes)}")
    chosen: Any = classes[class_name]
    given = dict(arguments)
    if response is not None and "response" in inspect.signature(chosen).parameters:
        given.setdefault("response", (np.array(response.evals), response.s0))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return chosen(gradients.table(), **given)
        except Exception as error:
            raise StudyError(f"model {name!r} cannot be made with arguments {sorted(given)}: {error}") from error

"""Which engine trains a network: lanes for LSTMs, PyTorch for modules that a study names."""

from __future__ import annotations

import importlib
import importlib.util
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from cortax.errors import StudyError
from cortax.lanes import LANES
from cortax.lanes.batched import HAS_FMA
from cortax.workloads.sequences import training
from cortax.workloads.sequences.networks import MODULES, ModuleNetwork, NetworkSize, initial_parameters
from cortax.workloads.sequences.training import Curves, Models, TrainingOptions, Windows

__all__ = [
    "Network",
    "models_at_a_time",
    "network_of",
    "new_parameters",
    "predict",
    "prepare",
    "train",
]

Array = npt.NDArray[Any]
Network = NetworkSize | ModuleNetwork

# Windows at a time; fixed, as the last bits of PyTorch's products may depend on it.
_BATCH = 8


def network_of(options: Mapping[str, Any], n_inputs: int, n_outputs: int) -> Network:
    """Return the network of the options `network` of `train` and `predict`."""
    if options["kind"] == "torch":
        return ModuleNetwork(options["module"], n_inputs, n_outputs, options["arguments"])
    return NetworkSize(n_inputs, options["hidden"], n_outputs)


def prepare(network: Network, window: int) -> None:
    """Make sure that a network can be trained in windows of so many days, and have code compiled or loaded for it.

    Raises
    ------
    StudyError
        PyTorch is not installed, or a module is not as it should be, see `modules.check`.
    """
    if isinstance(network, ModuleNetwork):
        _modules().check(network, window)
        return
    if not HAS_FMA:
        print("this processor has no fused multiply-add: the last bits differ from those of processors that have it")
    training.warm_up(np.float32)


def models_at_a_time(network: Network) -> int:
    """Return how many models are a unit of work: as many as are trained side by side."""
    return 1 if isinstance(network, ModuleNetwork) else LANES


def new_parameters(network: Network, seed: int) -> npt.NDArray[np.float64]:
    """Return the weights that a model begins with, as one row."""
    return (
        _modules().initial_parameters(network, seed)
        if isinstance(network, ModuleNetwork)
        else initial_parameters(network, seed)
    )


def train(
    models: Models,
    network: Network,
    windows: Windows,
    validation: Windows | None,
    options: TrainingOptions,
    seeds: Sequence[int],
) -> tuple[Models, Curves]:
    """Train models by so many epochs more, see `training.train` and `modules.train`."""
    if isinstance(network, ModuleNetwork):
        trained: tuple[Models, Curves] = _modules().train(models, network, windows, validation, options, seeds)
        return trained
    return training.train(models, network, windows, validation, options)


def predict(parameters: Array, network: Network, x: Array) -> Array:
    """Return the outputs of models, (n_models, n_steps, n_windows, n_outputs); see `training.predict`."""
    if isinstance(network, ModuleNetwork):
        outputs: Array = _modules().predict(parameters, network, x, _BATCH)
        return outputs
    return training.predict(parameters, network, x, _BATCH)


def _modules() -> Any:
    if importlib.util.find_spec("torch") is None:
        raise StudyError("network.kind = 'torch' needs PyTorch: pip install 'cortax[torch]'")
    return importlib.import_module(MODULES)

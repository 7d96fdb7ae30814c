"""Networks that a study names: PyTorch modules, each trained by itself in a plain loop.

Loaded where a study asks for it, by no import statement: studies without it need no PyTorch, and do not depend on its
version.
"""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from cortax.errors import StudyError
from cortax.learning.search.spaces import content_seed
from cortax.workloads.sequences.networks import ModuleNetwork
from cortax.workloads.sequences.training import Curves, Models, State, TrainingOptions, Windows, note_epoch

__all__ = ["check", "initial_parameters", "predict", "train"]

Array = npt.NDArray[Any]
# Of windows that a module is tried with before it is trained: it must not mistake one of them for none.
_TRIED = (1, 3)

# Workers have one core each, and are forked from processes that have tried a module.
torch.set_num_threads(1)


def initial_parameters(network: ModuleNetwork, seed: int) -> npt.NDArray[np.float64]:
    """Return all that a new module holds (its `state_dict`) as one row; made with PyTorch's generator at this seed.

    Raises StudyError: it cannot be made.
    """
    return _row(_make(network, seed)).astype(np.float64)


def check(network: ModuleNetwork, window: int) -> None:
    """Try a new module with windows of zeros.

    Raises
    ------
    StudyError
        It cannot be imported or made, has nothing to train, fails, or its outputs are not of shape
        (n_steps, n_windows, n_outputs).
    """
    module = _make(network, 0).eval()
    if not _trainable(module):
        raise StudyError(f"{_named(network)}: has no parameters to train")
    for n_windows in _TRIED:
        x = torch.zeros(window, n_windows, network.n_inputs)
        try:
            with torch.no_grad():
                _outputs(module, network, x)
        except StudyError:
            raise
        except Exception as error:
            raise StudyError(
                f"{_named(network)}: fails with inputs of shape {tuple(x.shape)} (days, windows, inputs): "
                f"{type(error).__name__}: {error}"
            ) from error


def train(
    models: Models,
    network: ModuleNetwork,
    windows: Windows,
    validation: Windows | None,
    options: TrainingOptions,
    seeds: Sequence[int],
) -> tuple[Models, Curves]:
    """Train models by so many epochs more, one after the other, on one thread; see `training.train`.

    Loss, clipping, steps and stopping are those of `TrainingOptions`. What is random in a module, such as dropout, is
    drawn in every epoch from the seed of the model and the number of the epoch, so that 100 epochs after 100 are 200.

    Parameters
    ----------
    models : Models
        `parameters` as `initial_parameters` returns them.
    network : ModuleNetwork
    windows, validation : Windows
        Of the type of the models' parameters. `validation` is needed with `patience` only.
    options : TrainingOptions
    seeds : sequence of int
        Of each model.

    Raises
    ------
    StudyError
        The module cannot be made, or returns outputs of a wrong shape.
    """
    dtype = models.parameters.dtype
    batches = [_tensors(batch) for batch in windows.batches(options.batch)]
    checks = [_tensors(batch) for batch in validation.batches(options.batch)] if validation and options.patience else []
    held = {name: values.copy() for name, values in vars(models).items()}
    curves = Curves(*(np.full((len(seeds), options.epochs), np.nan) for _ in range(2)))
    for row, seed in enumerate(seeds):
        trainer = _Trainer(network, seed, held, row, options)
        for epoch in range(options.epochs):
            if held["state"][row] != State.TRAINING:
                break
            loss, valid = trainer.epoch(batches), trainer.validate(checks) if checks else np.nan
            curves.train[row, epoch], curves.validation[row, epoch] = loss, valid
            held["parameters"][row], held["moments"][row] = trainer.state(dtype)
            held["steps"][row] += len(batches)
            note_epoch(held, row, loss, valid, finite=trainer.finite(), patience=options.patience)
    return Models(**held), curves


def predict(parameters: Array, network: ModuleNetwork, x: Array, batch: int) -> Array:
    """Return the outputs of models, of shape (n_models, n_steps, n_windows, n_outputs); see `training.predict`.

    Raises StudyError: the module cannot be made, or returns outputs of a wrong shape.
    """
    found = np.empty((len(parameters), *x.shape[:2], network.n_outputs), x.dtype)
    parts = torch.tensor(x).split(batch, dim=1)
    module = _make(network, 0).to(parts[0].dtype).eval()
    for row, values in enumerate(parameters):
        _load(module, values)
        with torch.no_grad():
            found[row] = torch.cat([_outputs(module, network, part) for part in parts], dim=1).numpy()
    return found


class _Trainer:
    """One module and its optimiser, of a row of `Models`."""

    def __init__(
        self, network: ModuleNetwork, seed: int, held: dict[str, Array], row: int, options: TrainingOptions
    ) -> None:
        self._network, self._seed, self._options = network, seed, options
        self._done = int(held["epochs"][row])
        self._weights = torch.tensor(held["weights"][row])
        parameters = torch.tensor(held["parameters"][row])
        self._module = _make(network, seed).to(parameters.dtype)
        _load(self._module, held["parameters"][row])
        self._trained = _trainable(self._module)
        # A gradient from the beginning: a parameter that a step does not reach takes part in it all the same.
        for parameter in self._trained.values():
            parameter.grad = torch.zeros_like(parameter)
        self._adam = torch.optim.Adam(self._trained.values(), lr=options.rate)
        for name, place in _places(self._module).items():
            if name in self._trained and held["steps"][row]:
                first, second = (torch.tensor(held["moments"][row, k, place]) for k in range(2))
                parameter = self._trained[name]
                self._adam.state[parameter] = {
                    "step": torch.tensor(float(held["steps"][row])),
                    "exp_avg": first.reshape(parameter.shape),
                    "exp_avg_sq": second.reshape(parameter.shape),
                }

    def epoch(self, batches: Sequence[tuple[Any, Any, Any]]) -> float:
        """Take a step for each batch; return the mean of the losses before them."""
        self._done += 1
        self._module.train()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(content_seed(self._seed, "epoch", self._done))
            return float(np.mean([self._step(*batch) for batch in batches]))

    def _step(self, x: Any, y: Any, observed: Any) -> float:
        self._adam.zero_grad(set_to_none=False)
        counted = self._weights != 0
        squares = _squares(_outputs(self._module, self._network, x), y, observed)[counted]
        none = squares == 0  # the root has no gradient there; NaN stays NaN
        errors = torch.sqrt(torch.where(none, 1.0, squares) / observed.sum((0, 1))[counted].clamp(min=1))
        loss = (self._weights[counted] * torch.where(none, 0.0, errors)).sum()
        loss.backward()
        if self._options.clip is not None:
            torch.nn.utils.clip_grad_norm_(self._trained.values(), self._options.clip)
        self._adam.step()
        return float(loss.item())

    def validate(self, checks: Sequence[tuple[Any, Any, Any]]) -> float:
        """Return the root mean squared error of the first target over all windows."""
        self._module.eval()
        with torch.no_grad():
            total = sum(float(_squares(_outputs(self._module, self._network, x), y, o)[0]) for x, y, o in checks)
        return float(np.sqrt(total / max(sum(int(observed[..., 0].sum()) for *_, observed in checks), 1)))

    def finite(self) -> bool:
        """Whether all weights that are trained are; constants of a module, such as masks, need not be."""
        return all(bool(torch.isfinite(parameter).all()) for parameter in self._trained.values())

    def state(self, dtype: Any) -> tuple[Array, Array]:
        """Return what the module holds, and both moments of what of it is trained; 0 elsewhere."""
        row = _row(self._module).astype(dtype)
        moments = np.zeros((2, len(row)), dtype)
        for name, place in _places(self._module).items():
            if name in self._trained:
                held = self._adam.state[self._trained[name]]
                for k, moment in enumerate(("exp_avg", "exp_avg_sq")):
                    moments[k, place] = held[moment].numpy().ravel()
        return row, moments


def _named(network: ModuleNetwork) -> str:
    return f"network.module = {network.module!r}"


def _make(network: ModuleNetwork, seed: int) -> Any:
    name, _, attribute = network.module.partition(":")
    try:
        kind = getattr(importlib.import_module(name), attribute)
    except (ImportError, AttributeError, ValueError) as error:
        raise StudyError(f"{_named(network)}: is not 'package.file:Class' that can be imported: {error}") from error
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        try:
            made = kind(network.n_inputs, network.n_outputs, **network.arguments)
        except Exception as error:
            raise StudyError(
                f"{_named(network)}: cannot be made with {network.n_inputs} inputs, {network.n_outputs} outputs and "
                f"arguments {dict(network.arguments)}: {type(error).__name__}: {error}"
            ) from error
    if not isinstance(made, torch.nn.Module):
        raise StudyError(f"{_named(network)}: must be a torch.nn.Module. Got {type(made).__name__} instead")
    return made


def _outputs(module: Any, network: ModuleNetwork, x: Any) -> Any:
    found = module(x)
    wanted = (*x.shape[:2], network.n_outputs)
    shape = tuple(found.shape) if isinstance(found, torch.Tensor) else type(found).__name__
    if shape != wanted:
        raise StudyError(
            f"{_named(network)}: of inputs of shape {tuple(x.shape)} (days, windows, inputs) its outputs must be of "
            f"shape {wanted} (days, windows, targets). Got {shape} instead"
        )
    return found


def _trainable(module: Any) -> dict[str, Any]:
    return {name: parameter for name, parameter in module.named_parameters() if parameter.requires_grad}


def _places(module: Any) -> dict[str, slice]:
    """Where each tensor of a module lies in its row."""
    places, start = {}, 0
    for name, tensor in module.state_dict().items():
        places[name] = slice(start, start + tensor.numel())
        start += tensor.numel()
    return places


def _row(module: Any) -> Array:
    tensors = module.state_dict().values()
    return np.concatenate([tensor.numpy().ravel() for tensor in tensors])


def _load(module: Any, row: Array) -> None:
    held = module.state_dict()
    with torch.no_grad():
        for name, place in _places(module).items():
            held[name].copy_(torch.tensor(row[place]).reshape(held[name].shape))


def _tensors(windows: Windows) -> tuple[Any, Any, Any]:
    x, y, observed = (torch.tensor(values) for values in (windows.x, windows.y, windows.observed))
    return x, y, observed


def _squares(outputs: Any, y: Any, observed: Any) -> Any:
    """Sums of squared errors where observed, float64 of shape (n_outputs,)."""
    errors: Any = torch.where(observed, outputs - y, 0.0)
    return errors.double().square().sum((0, 1))

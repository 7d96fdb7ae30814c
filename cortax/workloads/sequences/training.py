"""Training of a pack of models side by side: one epoch after the other, each model as if it were alone."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from enum import IntEnum
from typing import Any

import numpy as np
import numpy.typing as npt

from cortax.lanes.batched import LANES
from cortax.learning.arrays import Bools, Floats, Ints
from cortax.workloads.sequences.networks import NetworkSize
from cortax.workloads.sequences.passes import (
    Work,
    adam_step,
    backward,
    forward,
    make_work,
    output_gradients,
    squared_errors,
    squared_norms,
)

__all__ = [
    "Curves",
    "Models",
    "State",
    "TrainingOptions",
    "Windows",
    "begin",
    "compile_lstm",
    "note_epoch",
    "predict",
    "train",
    "warm_up",
]

Array = npt.NDArray[Any]


class State(IntEnum):
    """What has become of a model."""

    TRAINING = 0
    STOPPED = 1  # no better on validation for `patience` epochs
    DIVERGED = 2  # a loss or a weight is not finite


@dataclass(frozen=True, eq=False)
class Windows:
    """Windows of time, all of one length.

    Attributes
    ----------
    x : array of shape (n_steps, n_windows, n_inputs)
        Finite.
    y : array of shape (n_steps, n_windows, n_outputs)
        Of the type of x; anything where not observed.
    observed : bool array of shape (n_steps, n_windows, n_outputs)
        What counts, in losses and gradients.
    """

    x: Array
    y: Array
    observed: Bools

    def batches(self, size: int) -> Iterator[Windows]:
        """Yield windows in their order, so many at a time; the last batch may be smaller."""
        for start in range(0, self.x.shape[1], size):
            part = slice(start, start + size)
            # Copies, which compiled code may write to: it is compiled anew for arrays that it may not.
            yield Windows(*(np.array(a[:, part], order="C") for a in (self.x, self.y, self.observed)))


@dataclass(frozen=True)
class TrainingOptions:
    """How models are trained.

    The loss of a batch is sum_k w_k sqrt(mean of squared errors of target k where observed), w_k the weights of a
    model's `Models`; targets without an observation add nothing. An epoch takes all batches in their order.

    Attributes
    ----------
    epochs : int
        To train, beyond those that models have been trained.
    rate : float
        Learning rate of Adam.
    batch : int
        Windows a step.
    clip : float, optional
        The largest norm of a model's gradient (`torch.nn.utils.clip_grad_norm_`).
    patience : int, optional
        After how many epochs without a better validation a model stops, with the weights of its best epoch. Validation
        is the root mean squared error of the first target.
    """

    epochs: int
    rate: float = 1e-3
    batch: int = 10
    clip: float | None = None
    patience: int | None = None


@dataclass(frozen=True, eq=False)
class Models:
    """Models between epochs: all that it takes to go on, or to predict. A model a row.

    Attributes
    ----------
    parameters : array of shape (n_models, n_parameters)
        After the last epoch; its type, float32 or float64, is that of all arithmetic.
    moments : array of shape (n_models, 2, n_parameters)
        Of Adam.
    best : array of shape (n_models, n_parameters)
        The weights to predict with: of the best epoch on validation, or of the last where nothing is validated.
    weights : float64 array of shape (n_models, n_outputs)
        Of the targets' losses.
    best_loss : float64 array of shape (n_models,)
        Validation of `best`; infinite where there is none.
    epochs, steps, best_epoch, state : int64 arrays of shape (n_models,)
        Epochs and steps of Adam so far, the epoch (from 1) of `best`, and a `State`.
    """

    parameters: Array
    moments: Array
    best: Array
    weights: Floats
    best_loss: Floats
    epochs: Ints
    steps: Ints
    best_epoch: Ints
    state: Ints


@dataclass(frozen=True, eq=False)
class Curves:
    """Losses by epoch, float64 arrays of shape (n_models, n_epochs); NaN where a model was not trained or validated.

    `train` is the mean of the batches' losses, each before its step; `validation` as in `TrainingOptions`.
    """

    train: Floats
    validation: Floats


def begin(parameters: Array, weights: Floats) -> Models:
    """Return models that have not been trained; `parameters` and `weights` as in `Models`."""
    n = len(parameters)
    zeros = np.zeros(n, dtype=np.int64)
    moments = np.zeros((n, 2, parameters.shape[1]), parameters.dtype)
    infinite = np.full(n, np.inf)
    return Models(parameters, moments, parameters, weights, infinite, zeros, zeros, zeros, zeros)


def note_epoch(
    models: dict[str, Array], row: int, loss: float, valid: float, *, finite: bool, patience: int | None
) -> None:
    """Note what an epoch has made of a model: its best weights so far, and whether it goes on.

    Parameters
    ----------
    models : dict
        The attributes of `Models`, changed in place. Weights, moments and steps of the row are those after the epoch.
    row : int
    loss, valid : float
        Of the epoch.
    finite : bool
        Whether all trained weights of the row are.
    patience : int, optional
        As in `TrainingOptions`.
    """
    models["epochs"][row] += 1
    if not (np.isfinite(loss) and finite):
        models["best"][row] = np.nan
        models["state"][row] = State.DIVERGED
    elif patience is None or valid < models["best_loss"][row]:
        models["best"][row] = models["parameters"][row]
        models["best_epoch"][row] = models["epochs"][row]
        models["best_loss"][row] = valid if patience else np.inf
    elif models["epochs"][row] - models["best_epoch"][row] >= patience:
        models["state"][row] = State.STOPPED


def train(
    models: Models, size: NetworkSize, windows: Windows, validation: Windows | None, options: TrainingOptions
) -> tuple[Models, Curves]:
    """Train models by so many epochs more; those that have stopped or diverged stay as they are.

    A model's numbers are the same to the bit whichever models are trained with it, and 100 epochs after 100 are 200.

    Parameters
    ----------
    models : Models
        As many as one likes; they are trained eight at a time.
    size : NetworkSize
    windows, validation : Windows
        Of the type of the models' parameters. `validation` is needed with `patience` only.
    options : TrainingOptions

    Returns
    -------
    models : Models
    curves : Curves
        Of these epochs.
    """
    parts = []
    for start in range(0, len(models.parameters), LANES):
        rows = slice(start, start + LANES)
        part = Models(**{name: values[rows] for name, values in vars(models).items()})
        parts.append(_Pack(part, size, options).train(windows, validation))
    joined = Models(*(np.concatenate([vars(part)[name] for part, _ in parts]) for name in vars(models)))
    return joined, Curves(
        *(np.concatenate([vars(part)[name] for _, part in parts]) for name in ("train", "validation"))
    )


def predict(parameters: Array, size: NetworkSize, x: Array, batch: int) -> Array:
    """Return the outputs of models, of shape (n_models, n_steps, n_windows, n_outputs); NaN of models that are NaN.

    `parameters` (n_models, n_parameters); `x` (n_steps, n_windows, n_inputs) of the same type; `batch`: windows at a
    time, which changes no number.
    """
    found = np.empty((len(parameters), *x.shape[:2], size.n_outputs), x.dtype)
    for start in range(0, len(parameters), LANES):
        rows = slice(start, start + LANES)
        cell, heads = size.split(_lanes(parameters[rows]))
        for first in range(0, x.shape[1], batch):
            part = np.array(x[:, first : first + batch], order="C")
            work = make_work(part.shape, size.n_hidden, size.n_outputs, x.dtype)
            forward(part, cell, heads, work)
            outputs = np.moveaxis(work.outputs, -1, 0)[: len(found[rows])]
            found[rows, :, first : first + batch] = outputs
    return found


def warm_up(dtype: Any) -> None:
    """Have the code for a type compiled or loaded, so that processes that are forked from here find it."""
    size = NetworkSize(1, 1, 1)
    windows = Windows(*(np.zeros((1, 1, 1), kind) for kind in (dtype, dtype, np.bool_)))
    train(
        begin(np.zeros((1, size.n_parameters), dtype), np.ones((1, 1))),
        size,
        windows,
        None,
        TrainingOptions(1, clip=1.0),
    )


def compile_lstm() -> None:
    """See `Workload`."""
    warm_up(np.float32)


def _lanes(rows: Array) -> Array:
    """Return rows as lanes, the last axis; lanes without a row repeat the first one."""
    taken = [*range(len(rows)), *[0] * (LANES - len(rows))]
    return np.ascontiguousarray(np.moveaxis(rows[taken], 0, -1))


class _Pack:
    """At most `LANES` models while they are trained; lanes are the last axis of all arrays."""

    def __init__(self, models: Models, size: NetworkSize, options: TrainingOptions) -> None:
        self._models, self._size, self._options = models, size, options
        self._parameters, self._moments = _lanes(models.parameters), _lanes(models.moments)
        self._weights, self._steps = _lanes(models.weights), _lanes(models.steps)
        self._gradient = np.empty_like(self._parameters)

    def train(self, windows: Windows, validation: Windows | None) -> tuple[Models, Curves]:
        with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
            # A model that diverges is told by its state.
            return self._train(windows, validation)

    def _train(self, windows: Windows, validation: Windows | None) -> tuple[Models, Curves]:
        options, models = self._options, {name: values.copy() for name, values in vars(self._models).items()}
        n = len(models["state"])
        curves = Curves(*(np.full((n, options.epochs), np.nan) for _ in range(2)))
        batches = list(windows.batches(options.batch))
        checks = list(validation.batches(options.batch)) if validation and options.patience else []
        works = {
            part.x.shape: make_work(part.x.shape, self._size.n_hidden, self._size.n_outputs, part.x.dtype)
            for part in (*batches, *checks)
        }
        running = models["state"] == State.TRAINING
        for epoch in range(options.epochs):
            if not running.any():
                break
            losses = np.mean([self._step(batch, works[batch.x.shape]) for batch in batches], axis=0)
            valid = self._validate(checks, works) if checks else np.full(LANES, np.nan)
            curves.train[running, epoch] = losses[:n][running]
            curves.validation[running, epoch] = valid[:n][running]
            for lane in np.flatnonzero(running):
                self._note(models, int(lane), float(losses[lane]), float(valid[lane]))
            running = models["state"] == State.TRAINING
        return replace(self._models, **models), curves

    def _note(self, models: dict[str, Array], lane: int, loss: float, valid: float) -> None:
        """Keep what a model is after an epoch; lanes go on with others, rows of models that have ended do not."""
        models["parameters"][lane] = self._parameters[:, lane]
        models["moments"][lane] = self._moments[..., lane]
        models["steps"][lane] = self._steps[lane]
        finite = bool(np.isfinite(models["parameters"][lane]).all())
        note_epoch(models, lane, loss, valid, finite=finite, patience=self._options.patience)

    def _step(self, batch: Windows, work: Work) -> Floats:
        """Take one step of all models; return their losses before it, (LANES,)."""
        cell, heads = self._size.split(self._parameters)
        forward(batch.x, cell, heads, work)
        errors, counts = self._errors(batch, work), batch.observed.sum(axis=(0, 1))[:, None]
        scale = np.where((counts == 0) | (errors == 0), 0.0, self._weights / (counts * errors))
        output_gradients(work, batch.y, batch.observed, scale.astype(batch.x.dtype))
        backward(cell, heads, work, *self._size.split(self._gradient))
        self._steps += 1
        self._update()
        # Sums over targets in their order, whatever the lanes.
        loss = np.zeros(LANES)
        for weight, error in zip(self._weights, errors, strict=True):
            # Of a target that does not count, an infinite error does not either.
            loss += np.where(weight == 0, 0.0, weight * error)
        return loss

    def _errors(self, batch: Windows, work: Work) -> Floats:
        """Return root mean squared errors where observed, (n_outputs, LANES); 0 where nothing is."""
        total = np.zeros((self._size.n_outputs, LANES))
        squared_errors(work.outputs, batch.y, batch.observed, total)
        counts = batch.observed.sum(axis=(0, 1))[:, None]
        errors: Floats = np.sqrt(total / np.maximum(counts, 1))
        return errors

    def _update(self) -> None:
        dtype, norms, scale = self._gradient.dtype, np.zeros(LANES), np.ones(LANES)
        if self._options.clip is not None:
            squared_norms(self._gradient, norms)
            # PyTorch's: a NaN stays NaN.
            scale = np.minimum(self._options.clip / (np.sqrt(norms) + 1e-6), 1.0)
        # Powers one by one: those of a whole array may be rounded by the place in it.
        rate = np.array([self._options.rate / (1 - 0.9 ** int(step)) for step in self._steps])
        root = np.array([(1 - 0.999 ** int(step)) ** -0.5 for step in self._steps])
        values = (values.astype(dtype) for values in (scale, rate, root))
        adam_step(self._parameters, self._gradient, self._moments, *values)

    def _validate(self, checks: list[Windows], works: dict[Any, Work]) -> Floats:
        """Return the root mean squared error of the first target over all windows, (LANES,)."""
        cell, heads = self._size.split(self._parameters)
        total, count = np.zeros((self._size.n_outputs, LANES)), 0
        for batch in checks:
            work = works[batch.x.shape]
            forward(batch.x, cell, heads, work)
            squared_errors(work.outputs, batch.y, batch.observed, total)
            count += int(batch.observed[..., 0].sum())
        error: Floats = np.sqrt(total[0] / max(count, 1))
        return error

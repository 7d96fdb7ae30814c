"""The task of `train`: units are packs of models, each a factor and a seed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from cortax.lanes.batched import HAS_FMA, LANES
from cortax.learning.search.spaces import content_seed
from cortax.payload import open_sealed, seal
from cortax.provenance import outputs
from cortax.store import build, load, pack, save, split, unpack
from cortax.workflow.task import Unit
from cortax.workloads.sequences.dataset import Dataset, open_series
from cortax.workloads.sequences.networks import NetworkSize, initial_parameters
from cortax.workloads.sequences.training import Curves, Models, TrainingOptions, Windows, begin, train, warm_up

__all__ = ["TrainTask", "model_key", "open_models", "open_train_task", "save_models"]

Arrays = dict[str, npt.NDArray[Any]]


def model_key(factor: float, seed: int) -> str:
    """Return what a model is called as a unit."""
    return f"factor-{float(factor)}-seed-{seed}"


@dataclass(frozen=True, eq=False)
class TrainTask:
    """See `Task`: its values are a model each, with its losses.

    Attributes
    ----------
    windows, validation : Windows
    models : Models
        Before these epochs.
    keys : tuple of str
        What each model is called.
    size : NetworkSize
    options : TrainingOptions
    """

    windows: Windows
    validation: Windows
    models: Models
    keys: tuple[str, ...]
    size: NetworkSize
    options: TrainingOptions

    def units(self) -> list[Unit]:
        """Return a unit for each pack of models: which ones are together changes no number."""
        return [Unit(self.keys[first : first + LANES]) for first in range(0, len(self.keys), LANES)]

    def do(self, unit: int) -> list[bytes]:
        """Train a pack."""
        rows = slice(unit * LANES, (unit + 1) * LANES)
        pack_of = Models(**{name: values[rows] for name, values in vars(self.models).items()})
        trained, curves = train(pack_of, self.size, self.windows, self.validation, self.options)
        found = []
        for row, key in enumerate(self.keys[rows]):
            arrays = {name: np.asarray(values[row]) for name, values in {**vars(trained), **vars(curves)}.items()}
            found.append(seal(key, pack(arrays, None)))
        return found

    def pack(self) -> tuple[Arrays, dict[str, Any]]:
        """See `Task`."""
        parts = {"windows": self.windows, "validation": self.validation, "models": self.models}
        arrays = {f"{part}-{name}": values for part, held in parts.items() for name, values in split(held)[0].items()}
        return arrays, {"keys": self.keys, "size": asdict(self.size), "options": asdict(self.options)}

    @classmethod
    def unpack(cls, arrays: Mapping[str, npt.NDArray[Any]], about: Mapping[str, Any]) -> TrainTask:
        """See `Task`."""

        def part(name: str) -> Arrays:
            prefix = f"{name}-"
            return {key.removeprefix(prefix): values for key, values in arrays.items() if key.startswith(prefix)}

        return cls(
            build(Windows, part("windows")),
            build(Windows, part("validation")),
            build(Models, part("models")),
            tuple(about["keys"]),
            build(NetworkSize, about["size"]),
            build(TrainingOptions, about["options"]),
        )

    def read(self, values: Mapping[str, bytes]) -> tuple[Models, Curves]:
        """Return models and losses, a model a row, of what `collect_task` returned.

        Raises ProjectError: a value is not what a worker sealed for this model.
        """
        rows = [unpack(open_sealed(key, values[key]))[0] for key in self.keys]
        arrays = {name: np.array([row[name] for row in rows]) for name in rows[0]}
        return build(Models, arrays), build(Curves, arrays)


def open_train_task(jobs: Mapping[str, Any], options: Mapping[str, Any]) -> TrainTask:
    """Open the inputs of `train`.

    Raises CortaxError: an input is not what its job saved, or the site cannot be trained, see `Dataset`.
    """
    outputs.check_all(jobs)
    dataset = Dataset(open_series(jobs["site"].path), options)
    train_part, validation = (dataset.period(name, options[name], np.float32) for name in ("train", "validation"))
    size = NetworkSize(dataset.n_inputs, options["hidden"], len(options["targets"]))
    if not HAS_FMA:
        print("this processor has no fused multiply-add: the last bits differ from those of processors that have it")
    warm_up(np.float32)
    return TrainTask(
        train_part.windows,
        validation.windows,
        open_models(jobs["before"].path)[0] if jobs["before"] else _new_models(size, options),
        tuple(model_key(factor, seed) for factor, seed in options["models"]),
        size,
        build(TrainingOptions, options),
    )


def _new_models(size: NetworkSize, options: Mapping[str, Any]) -> Models:
    seeds = [content_seed(options["seed"], options["site"], seed) for _, seed in options["models"]]
    parameters = [initial_parameters(size, seed) for seed in seeds]
    weights = [[1.0, *[factor] * (size.n_outputs - 1)] for factor, _ in options["models"]]
    return begin(np.array(parameters).astype(np.float32), np.array(weights))


def save_models(folder: str, models: Models, curves: Curves, pairs: Sequence[Sequence[float]]) -> list[str]:
    """Write models, their losses, and the factor and seed of each into a folder; return the names of the files."""
    about = {"models": [list(pair) for pair in pairs], "fused": HAS_FMA}
    return save(folder, {"models.npz": vars(models), "curves.npz": vars(curves), "models.json": about})


def open_models(folder: str) -> tuple[Models, Curves, list[tuple[float, int]]]:
    """Open what `save_models` wrote: models, losses, and (factor, seed) of each."""
    models, curves, about = load(folder, "models.npz", "curves.npz", "models.json")
    return build(Models, models), build(Curves, curves), [(float(f), int(s)) for f, s in about["models"]]

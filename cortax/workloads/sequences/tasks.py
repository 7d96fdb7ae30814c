"""The task of `train`: units are packs of models, each a factor and a seed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from cortax.lanes.batched import HAS_FMA
from cortax.learning.search.spaces import content_seed
from cortax.payload import open_sealed, seal
from cortax.provenance import outputs
from cortax.provenance.closure import check_class_code, class_code
from cortax.store import build, load, pack, save, split, unpack
from cortax.workflow.task import Unit
from cortax.workloads.sequences.dataset import Dataset, open_series
from cortax.workloads.sequences.engines import (
    Network,
    models_at_a_time,
    network_of,
    new_parameters,
    prepare,
    train,
)
from cortax.workloads.sequences.networks import code_of, model_key
from cortax.workloads.sequences.training import Curves, Models, TrainingOptions, Windows, begin

__all__ = ["TrainTask", "check_code", "open_models", "open_train_task", "save_models"]

Arrays = dict[str, npt.NDArray[Any]]


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
    seeds : tuple of int
        Of each model, from what it is.
    made_of : mapping
        The option `network` of `train`.
    options : TrainingOptions
    """

    windows: Windows
    validation: Windows
    models: Models
    keys: tuple[str, ...]
    seeds: tuple[int, ...]
    made_of: Mapping[str, Any]
    options: TrainingOptions

    @property
    def network(self) -> Network:
        """What every model is."""
        return network_of(self.made_of, self.windows.x.shape[2], self.windows.y.shape[2])

    def units(self) -> list[Unit]:
        """Return a unit for each pack of models: which ones are together changes no number."""
        n = models_at_a_time(self.network)
        return [Unit(self.keys[first : first + n]) for first in range(0, len(self.keys), n)]

    def do(self, unit: int) -> list[bytes]:
        """Train a pack."""
        network = self.network
        n = models_at_a_time(network)
        rows = slice(unit * n, (unit + 1) * n)
        pack_of = Models(**{name: values[rows] for name, values in vars(self.models).items()})
        trained, curves = train(pack_of, network, self.windows, self.validation, self.options, self.seeds[rows])
        found = []
        for row, key in enumerate(self.keys[rows]):
            arrays = {name: np.asarray(values[row]) for name, values in {**vars(trained), **vars(curves)}.items()}
            found.append(seal(key, pack(arrays, None)))
        return found

    def pack(self) -> tuple[Arrays, dict[str, Any]]:
        """See `Task`."""
        parts = {"windows": self.windows, "validation": self.validation, "models": self.models}
        arrays = {f"{part}-{name}": values for part, held in parts.items() for name, values in split(held)[0].items()}
        about = {"keys": self.keys, "seeds": self.seeds, "network": self.made_of, "options": asdict(self.options)}
        return arrays, {**about, "code": class_code(code_of(self.made_of))}

    @classmethod
    def unpack(cls, arrays: Mapping[str, npt.NDArray[Any]], about: Mapping[str, Any]) -> TrainTask:
        """See `Task`.

        Raises ProjectError: the code of a module is not that of where the task was packed.
        """
        check_code(about)

        def part(name: str) -> Arrays:
            prefix = f"{name}-"
            return {key.removeprefix(prefix): values for key, values in arrays.items() if key.startswith(prefix)}

        return cls(
            build(Windows, part("windows")),
            build(Windows, part("validation")),
            build(Models, part("models")),
            tuple(about["keys"]),
            tuple(about["seeds"]),
            about["network"],
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

    Raises CortaxError: an input is not what its job saved, the site cannot be trained, see `Dataset`, or the network,
    see `engines.prepare`.
    """
    outputs.check_all(jobs)
    check_code(options)
    dataset = Dataset(open_series(jobs["site"].path), options)
    train_part, validation = (dataset.period(name, options[name], np.float32) for name in ("train", "validation"))
    network = network_of(options["network"], dataset.n_inputs, len(options["targets"]))
    prepare(network, options["window"])
    seeds = tuple(content_seed(options["seed"], options["site"], seed) for _, seed in options["models"])
    return TrainTask(
        train_part.windows,
        validation.windows,
        open_models(jobs["before"].path)[0] if jobs["before"] else _new_models(network, seeds, options),
        tuple(model_key(factor, seed) for factor, seed in options["models"]),
        seeds,
        options["network"],
        build(TrainingOptions, options),
    )


def check_code(options: Mapping[str, Any]) -> None:
    """Make sure that the code of a module is that of the options `network` and `code`; ProjectError if it is not."""
    check_class_code(code_of(options["network"]), options["code"])


def _new_models(network: Network, seeds: Sequence[int], options: Mapping[str, Any]) -> Models:
    parameters = [new_parameters(network, seed) for seed in seeds]
    weights = [[1.0, *[factor] * (network.n_outputs - 1)] for factor, _ in options["models"]]
    return begin(np.array(parameters).astype(np.float32), np.array(weights))


def save_models(folder: str, models: Models, curves: Curves, pairs: Sequence[Sequence[float]]) -> list[str]:
    """Write models, their losses, and the factor and seed of each into a folder; return the names of the files."""
    about = {"models": [list(pair) for pair in pairs], "fused": HAS_FMA}
    return save(folder, {"models.npz": vars(models), "curves.npz": vars(curves), "models.json": about})


def open_models(folder: str) -> tuple[Models, Curves, list[tuple[float, int]]]:
    """Open what `save_models` wrote: models, losses, and (factor, seed) of each."""
    models, curves, about = load(folder, "models.npz", "curves.npz", "models.json")
    return build(Models, models), build(Curves, curves), [(float(f), int(s)) for f, s in about["models"]]

"""The task of `decode`: each unit is one bin."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from cortax.errors import SearchError
from cortax.learning.arrays import Floats, Ints, Singles
from cortax.learning.folds import Folds
from cortax.payload import open_sealed, seal
from cortax.provenance import outputs
from cortax.store import build, pack, split, unpack
from cortax.workflow.task import Unit
from cortax.workloads.decoding.bins import BinFit, DecoderOptions, fit_bin
from cortax.workloads.decoding.described import Described, open_features
from cortax.workloads.decoding.folds import trial_folds, trial_targets
from cortax.workloads.decoding.linear import warm_up
from cortax.workloads.decoding.plain import fit_bin_plainly

__all__ = ["DecodeTask", "bin_key", "decoder_options", "open_decode_task"]

Arrays = dict[str, npt.NDArray[Any]]


def bin_key(number: int) -> str:
    """Return what a bin is called as a unit."""
    return f"bin {number + 1}"


@dataclass(frozen=True, eq=False)
class DecodeTask:
    """See `Task`: its values are a `BinFit` for each bin.

    Attributes
    ----------
    features : float32 array of shape (n_bins, n_trials, n_columns)
    y : int or float64 array of shape (n_trials,)
        Classes, or continuous labels.
    folds : Folds
    options : DecoderOptions
    where : str
        Begin of messages: subject, features and decoder.
    """

    features: Singles
    y: Floats | Ints
    folds: Folds
    options: DecoderOptions
    where: str

    def units(self) -> list[Unit]:
        """Return a unit for each bin: what bins share is nothing but trials."""
        return [Unit((bin_key(number),)) for number in range(len(self.features))]

    def do(self, unit: int) -> list[bytes]:
        """Decode a bin."""
        fit = fit_bin_plainly if self.options.plain else fit_bin
        try:
            found = fit(np.asarray(self.features[unit], dtype=np.float64), self.y, self.folds, self.options)
        except SearchError as error:
            raise SearchError(f"{self.where}, {bin_key(unit)}: {error}") from error
        arrays, about = split(found)
        return [seal(bin_key(unit), pack(arrays, about))]

    def pack(self) -> tuple[Arrays, dict[str, Any]]:
        """See `Task`."""
        arrays: Arrays = {"features": self.features, "y": self.y, **split(self.folds)[0]}
        return arrays, {"options": asdict(self.options), "where": self.where}

    @classmethod
    def unpack(cls, arrays: Mapping[str, npt.NDArray[Any]], about: Mapping[str, Any]) -> DecodeTask:
        """See `Task`."""
        options = build(DecoderOptions, about["options"])
        return cls(arrays["features"], arrays["y"], build(Folds, arrays), options, about["where"])

    def read(self, values: Mapping[str, bytes]) -> list[BinFit]:
        """Return what every bin learnt, in their order, of what `collect_task` returned.

        Raises ProjectError: a value is not what a worker sealed for this bin.
        """
        keys = [bin_key(number) for number in range(len(self.features))]
        return [build(BinFit, *unpack(open_sealed(key, values[key]))) for key in keys]


def decoder_options(options: Mapping[str, Any]) -> DecoderOptions:
    """Return the options of a decoder as those of a `decode` job say."""
    return build(DecoderOptions, {**options, "configs": tuple(options["configs"])})


def open_decode_task(jobs: Mapping[str, Any], options: Mapping[str, Any]) -> tuple[DecodeTask, Described, list[str]]:
    """Open the inputs of `decode`; return the task, what its features are of, and the classes.

    Raises CortaxError: an input is not what its job saved, or folds cannot be made, see `trial_folds`.
    """
    outputs.check_all(jobs)
    features, about = open_features(jobs["features"].path)
    continuous = options["kind"] == "ridge"
    y, classes = trial_targets(about.labels, continuous=continuous)
    folds = trial_folds(
        about.labels,
        about.groups,
        n_outer=options["n_outer"],
        n_inner=options["n_inner"],
        seed=options["seed"],
        subject=options["subject"],
        continuous=continuous,
    )
    task = DecodeTask(features, y, folds, decoder_options(options), options["where"])
    if not task.options.plain:
        warm_up(task.options.kind)
    return task, about, classes

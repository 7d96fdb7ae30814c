"""The task of `generalise`: each unit is one bin that was trained in."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from cortax.errors import InputError
from cortax.learning.arrays import Floats, Ints, Singles
from cortax.learning.folds import Folds
from cortax.payload import open_sealed, seal
from cortax.provenance import outputs
from cortax.store import build, pack, split, unpack
from cortax.workflow.task import Unit
from cortax.workloads.decoding.bins import DecoderOptions
from cortax.workloads.decoding.described import Described, open_features
from cortax.workloads.decoding.folds import count_classes, trial_targets
from cortax.workloads.decoding.linear import vote
from cortax.workloads.decoding.plain import decision_values, refit
from cortax.workloads.decoding.store import Votes, open_decoded
from cortax.workloads.decoding.training import bin_key, decoder_options

__all__ = ["GeneraliseTask", "open_generalise_task"]

Arrays = dict[str, npt.NDArray[Any]]


@dataclass(frozen=True, eq=False)
class GeneraliseTask:
    """See `Task`: its values are votes and decisions of all bins that are tested in, for each bin that was trained in.

    Attributes
    ----------
    weights, intercepts : float64 arrays
        Of `Decoded`; of no columns where scikit-learn's estimators are fitted again.
    tested : float32 array of shape (n_bins, n_trials, n_columns)
        Features of the phase that is tested in.
    trained : float32 array of shape (n_bins, n_training_trials, n_columns)
        Of the phase that was trained in.
    y : int or float64 array of shape (n_training_trials,)
        Classes, or continuous labels.
    chosen : int array of shape (n_bins, n_outer)
        Numbers of configurations.
    folds : Folds
        Of the training trials.
    options : DecoderOptions
    same : bool
        Whether both phases are one: a trial is then told by the fold that tests it, and by no other.
    """

    weights: Floats
    intercepts: Floats
    tested: Singles
    trained: Singles
    y: Floats | Ints
    chosen: Ints
    folds: Folds
    options: DecoderOptions
    same: bool

    @property
    def n_classes(self) -> int:
        """Number of classes; 0 where labels are continuous."""
        return count_classes(self.y)

    def units(self) -> list[Unit]:
        """Return a unit for each bin that was trained in."""
        return [Unit((bin_key(number),)) for number in range(len(self.trained))]

    def do(self, unit: int) -> list[bytes]:
        """Predict all bins by what was trained in one: first products of a bin at a time, then votes."""
        decide = self._refitted(unit) if self.options.plain else self._linear(unit)
        counts, means = [], []
        for X in self.tested:
            decisions = decide(X)
            if self.same:
                decisions = decisions[np.arange(len(X)), self.folds.test.argmax(axis=0)][:, None]
            counts.append((vote(decisions)[:, :, None] == np.arange(self.n_classes)).sum(axis=1))
            means.append(decisions.mean(axis=1))
        # Decisions are ranked, in which single precision is as good; predictions keep the digits of their labels.
        precision = np.float32 if self.n_classes else np.float64
        arrays: Arrays = {"votes": np.array(counts, dtype=np.uint16), "decisions": np.array(means, dtype=precision)}
        return [seal(bin_key(unit), pack(arrays, None))]

    def _linear(self, unit: int) -> Callable[[Singles], Floats]:
        """Return what decides about trials, (n_trials, n_columns), by weights: (n_trials, n_outer, n_outputs)."""
        shape = self.weights.shape[2:]
        flat = self.weights[unit].reshape(-1, shape[0] * shape[1])
        # Most columns were selected in no fold.
        used = np.flatnonzero(flat.any(axis=1))
        weights, intercepts = np.ascontiguousarray(flat[used]), self.intercepts[unit]
        return lambda X: (X[:, used].astype(np.float64) @ weights).reshape(len(X), *shape) + intercepts

    def _refitted(self, unit: int) -> Callable[[Singles], Floats]:
        """Fit the chosen configuration of each outer fold again, as estimators are not kept; return what decides."""
        trained = np.asarray(self.trained[unit], dtype=np.float64)
        models = [
            refit(trained[~test], self.y[~test], self.options, self.options.configs[config])[0]
            for test, config in zip(self.folds.test, self.chosen[unit], strict=True)
        ]

        def decide(X: Singles) -> Floats:
            values = X.astype(np.float64)
            return np.stack([decision_values(model, values, self.n_classes) for model in models], axis=1)

        return decide

    def pack(self) -> tuple[Arrays, dict[str, Any]]:
        """See `Task`."""
        names = ("weights", "intercepts", "tested", "trained", "y", "chosen")
        arrays = {name: getattr(self, name) for name in names}
        return arrays | split(self.folds)[0], {"options": asdict(self.options), "same": self.same}

    @classmethod
    def unpack(cls, arrays: Mapping[str, npt.NDArray[Any]], about: Mapping[str, Any]) -> GeneraliseTask:
        """See `Task`."""
        rest = {"folds": build(Folds, arrays), "options": build(DecoderOptions, about["options"])}
        return build(cls, arrays, about, rest)

    def read(self, values: Mapping[str, bytes]) -> tuple[npt.NDArray[np.uint16], Singles | Floats]:
        """Return votes and decisions of all bins, see `Votes`, of what `collect_task` returned.

        Raises ProjectError: a value is not what a worker sealed for this bin.
        """
        keys = [bin_key(number) for number in range(len(self.trained))]
        parts = [unpack(open_sealed(key, values[key]))[0] for key in keys]
        return np.array([part["votes"] for part in parts]), np.array([part["decisions"] for part in parts])

    def votes(self, values: Mapping[str, bytes], classes: tuple[str, ...], about: Described) -> Votes:
        """Return what `collect_task` returned as `Votes`."""
        votes, decisions = self.read(values)
        return Votes(votes, decisions, 1 if self.same else self.folds.n_outer, classes, about)


def open_generalise_task(
    jobs: Mapping[str, Any], options: Mapping[str, Any]
) -> tuple[GeneraliseTask, tuple[str, ...], Described]:
    """Open the inputs of `generalise`; return the task, the classes, and what the tested features are of.

    Raises CortaxError: an input is not what its job saved, or phases have different columns or classes.
    """
    outputs.check_all(jobs)
    decoded = open_decoded(jobs["decode"].path)
    trained, _ = open_features(jobs["trained"].path)
    tested, about = open_features(jobs["tested"].path)
    continuous = options["kind"] == "ridge"
    labels = set() if continuous else set(about.labels)
    if tested.shape[2] != trained.shape[2] or labels != set(decoded.classes):
        raise InputError(
            f"{options['where']}: trained on {trained.shape[2]} columns and classes {list(decoded.classes)}; "
            f"the tested phase has {tested.shape[2]} columns and {sorted(labels)}"
        )
    task = GeneraliseTask(
        decoded.weights,
        decoded.intercepts,
        tested,
        trained,
        trial_targets(decoded.about.labels, continuous=continuous)[0],
        decoded.chosen,
        decoded.folds,
        decoder_options(options),
        options["same"],
    )
    return task, decoded.classes, about

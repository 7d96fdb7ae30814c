"""What jobs of decoding keep: fitted decoders, and votes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from cortax.learning.arrays import Floats, Ints, Singles
from cortax.learning.folds import Folds
from cortax.store import build, load, save, split
from cortax.workloads.decoding.bins import BinFit
from cortax.workloads.decoding.described import Described, open_described

__all__ = [
    "Decoded",
    "Votes",
    "open_decoded",
    "open_votes",
    "save_decoded",
    "save_votes",
]


@dataclass(frozen=True, eq=False)
class Decoded:
    """The decoders of all bins of a subject; arrays as in `BinFit`, bins first, then outer folds.

    Attributes
    ----------
    weights : float64 array of shape (n_bins, n_columns, n_outer, n_outputs), memory-mapped
        Of no columns where scikit-learn's estimators decode.
    classes : tuple of str
        In the order of votes and outputs; none where labels are continuous.
    configs : tuple
        Of the decoder, which `chosen` counts.
    """

    chosen: Ints
    scores: Floats
    n_selected: Ints
    n_empty: Ints
    weights: Floats
    intercepts: Floats
    patterns: Floats
    folds: Folds
    classes: tuple[str, ...]
    configs: tuple[Any, ...]
    about: Described


@dataclass(frozen=True, eq=False)
class Votes:
    """What decoders trained in every bin say about every trial in every bin of a phase.

    Attributes
    ----------
    votes : uint16 array of shape (n_bins trained in, n_bins tested in, n_trials, n_classes)
        How many models voted for the class; a trial has `n_models` votes.
    decisions : float32 array of shape (n_bins, n_bins, n_trials, n_outputs)
        Mean of the models' decision values. Where labels are continuous there are no classes, and so no votes, and this
        is the mean prediction, float64.
    n_models : int
        The outer folds; or 1 in the phase that was trained in, where a trial is told by the fold that tests it.
    """

    votes: npt.NDArray[np.uint16]
    decisions: Singles | Floats
    n_models: int
    classes: tuple[str, ...]
    about: Described


def save_decoded(
    folder: str | Path, fits: Sequence[BinFit], folds: Folds, about: Described, *, classes: Sequence[str], configs: Any
) -> list[str]:
    """Write the decoders of all bins into a folder; return the names of the files."""
    arrays: Mapping[str, Any] = {
        name: np.array([getattr(fit, name) for fit in fits])
        for name in ("chosen", "scores", "n_selected", "n_empty", "intercepts", "patterns")
    }
    content = {
        "weights.npy": np.stack([fit.weights for fit in fits]),
        "decoders.npz": dict(arrays),
        "folds.npz": split(folds)[0],
        "decoders.json": {"classes": list(classes), "configs": configs},
        "features.json": about.__dict__,
    }
    return save(folder, content)


def open_decoded(folder: str | Path) -> Decoded:
    """Open what `save_decoded` wrote."""
    weights, arrays, folds, about = load(folder, "weights.npy", "decoders.npz", "folds.npz", "decoders.json")
    rest = {"weights": weights, "folds": build(Folds, folds), "about": open_described(folder)}
    return build(Decoded, arrays, about, rest)


def save_votes(folder: str | Path, votes: Votes) -> list[str]:
    """Write votes into a folder; return the names of the files."""
    about = {"n_models": votes.n_models, "classes": votes.classes}
    content = {"votes.npy": votes.votes, "decisions.npy": votes.decisions, "votes.json": about}
    return save(folder, content | {"features.json": votes.about.__dict__})


def open_votes(folder: str | Path) -> Votes:
    """Open what `save_votes` wrote."""
    votes, decisions, about = load(folder, "votes.npy", "decisions.npy", "votes.json")
    rest = {"votes": votes, "decisions": decisions, "about": open_described(folder)}
    return build(Votes, about, rest)

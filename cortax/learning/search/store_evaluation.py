"""Evaluations on disk. Apart from searches, so that a change here costs no search."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from cortax.errors import ProjectError
from cortax.learning.search.evaluations import Evaluation
from cortax.store import build, load, save

__all__ = ["StoredEvaluation", "open_evaluation", "save_evaluation"]

_FILES = {
    "predictions.npz": ("predictions", "labels"),
    "models.npz": ("chosen", "train_rows", "not_converged", "coefficients", "confound_coefficients", "intercepts"),
}
_CLASSES = "classes.npz"
# Before the name of a target, which may be one of a parameter of numpy's.
_OF = "target-"
_NOT_LINEAR = dict.fromkeys(("coefficients", "confound_coefficients", "intercepts"))


@dataclass(frozen=True, eq=False)
class StoredEvaluation:
    """An evaluation, and what its axes stand for.

    Attributes
    ----------
    found : Evaluation
    targets, columns : tuple of str
        Names of the targets, and of the regions.
    """

    found: Evaluation
    targets: tuple[str, ...]
    columns: tuple[str, ...]


def save_evaluation(
    folder: str | Path, found: Evaluation, targets: Sequence[str], columns: Sequence[str]
) -> tuple[list[str], list[str]]:
    """Write predictions and models into a folder; return the names of results, and of what else it wrote.

    `predictions.npz` holds predictions and labels (n_repeats, n_targets, n_subjects); `models.npz` the number of
    the chosen configuration, rows and, of linear pipelines, coefficients by target and outer fold. `classes.npz` is
    there where a target is ordinal or has more than two classes: of each such one, as `target-NAME`, the probabilities
    of its classes (n_repeats, n_subjects, n_classes).
    """
    held = {file: {name: getattr(found, name) for name in names} for file, names in _FILES.items()}
    arrays = {file: {name: part for name, part in parts.items() if part is not None} for file, parts in held.items()}
    if found.probabilities:
        arrays[_CLASSES] = {_OF + targets[t]: values for t, values in sorted(found.probabilities.items())}
    about = {"columns": columns, "failures": found.failures, "targets": targets}
    return save(folder, {**arrays, "models.json": about}), save(folder, {"seconds.npy": found.seconds})


def open_evaluation(folder: str | Path) -> StoredEvaluation:
    """Read what `save_evaluation` wrote."""
    predictions, models, about = load(folder, *_FILES, "models.json")
    try:
        (seconds,) = load(folder, "seconds.npy")
    except ProjectError:  # timings are no result, and may be lost
        seconds = np.full(models["chosen"].shape, np.nan)
    classes: dict[str, Any] = {}
    if (Path(folder) / _CLASSES).exists():
        (classes,) = load(folder, _CLASSES)
    probabilities = {about["targets"].index(name.removeprefix(_OF)): values for name, values in classes.items()}
    more = {"seconds": seconds, "probabilities": probabilities}
    found = build(Evaluation, _NOT_LINEAR, predictions, models, about, more)
    return StoredEvaluation(found, tuple(about["targets"]), tuple(about["columns"]))

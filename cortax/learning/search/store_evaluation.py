"""Evaluations on disk. Apart from searches, so that a change here costs no search."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from cortax.errors import ProjectError
from cortax.learning.search.evaluations import Evaluation
from cortax.learning.search.pipelines import LinearModel
from cortax.store import build, load, save, split

__all__ = ["StoredEvaluation", "name_models", "open_evaluation", "read_models", "save_evaluation"]

_FILES = {
    "predictions.npz": ("predictions", "labels"),
    "models.npz": ("chosen", "train_rows", "not_converged", "coefficients", "confound_coefficients", "intercepts"),
}
_CLASSES, _CLASS_MODELS = "classes.npz", "class_models.npz"
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


def name_models(models: Mapping[str, LinearModel]) -> dict[str, npt.NDArray[Any]]:
    """Return the arrays of models of several columns, by what they are and whose: `coefficients-NAME`."""
    return {f"{part}-{name}": values for name, model in models.items() for part, values in split(model)[0].items()}


def read_models(arrays: Mapping[str, npt.NDArray[Any]]) -> dict[str, LinearModel]:
    """Return what `name_models` was given; other arrays are left alone."""
    parts: dict[str, dict[str, npt.NDArray[Any]]] = {}
    own = {field.name for field in fields(LinearModel)}
    for key, values in arrays.items():
        part, dash, name = key.partition("-")
        if dash and part in own:
            parts.setdefault(name, {})[part] = values
    return {name: build(LinearModel, found) for name, found in parts.items()}


def save_evaluation(
    folder: str | Path, found: Evaluation, targets: Sequence[str], columns: Sequence[str]
) -> tuple[list[str], list[str]]:
    """Write predictions and models into a folder; return the names of results, and of what else it wrote.

    `predictions.npz` holds predictions and labels (n_repeats, n_targets, n_subjects); `models.npz` the number of
    the chosen configuration, rows and, of linear pipelines, coefficients by target and outer fold. `classes.npz` is
    there where a target is ordinal or has more than two classes: of each such one, as `target-NAME`, the probabilities
    of its classes (n_repeats, n_subjects, n_classes). `class_models.npz` is there where these have linear models, see
    `Evaluation.class_models`: `coefficients-NAME`, `confound_coefficients-NAME` and `intercept-NAME`.
    """
    held = {file: {name: getattr(found, name) for name in names} for file, names in _FILES.items()}
    arrays = {file: {name: part for name, part in parts.items() if part is not None} for file, parts in held.items()}
    if found.probabilities:
        arrays[_CLASSES] = {_OF + targets[t]: values for t, values in sorted(found.probabilities.items())}
    if found.class_models:
        arrays[_CLASS_MODELS] = name_models({targets[t]: model for t, model in sorted(found.class_models.items())})
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
    by_name: dict[str, LinearModel] = {}
    if (Path(folder) / _CLASS_MODELS).exists():
        by_name = read_models(*load(folder, _CLASS_MODELS))
    class_models = {about["targets"].index(name): model for name, model in by_name.items()}
    more = {"seconds": seconds, "probabilities": probabilities, "class_models": class_models}
    found = build(Evaluation, _NOT_LINEAR, predictions, models, about, more)
    return StoredEvaluation(found, tuple(about["targets"]), tuple(about["columns"]))

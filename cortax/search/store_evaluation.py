"""Evaluations on disk. Apart from searches, so that a change here costs no search."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from cortax.search.evaluations import Evaluation

__all__ = ["StoredEvaluation", "open_evaluation", "save_evaluation"]

_LINEAR = ("coefficients", "confound_coefficients", "intercepts")


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
    the chosen configuration, rows and, of linear pipelines, coefficients by target and outer fold.
    """
    folder = Path(folder)
    np.savez(folder / "predictions.npz", predictions=found.predictions, labels=found.labels)
    models: dict[str, Any] = {
        "chosen": found.chosen,
        "train_rows": found.train_rows,
        "not_converged": found.not_converged,
    }
    if found.coefficients is not None:
        models |= {name: getattr(found, name) for name in _LINEAR}
    np.savez(folder / "models.npz", **models)
    about = {"columns": list(columns), "failures": found.failures, "targets": list(targets)}
    (folder / "models.json").write_text(json.dumps(about, indent=1, sort_keys=True))
    np.save(folder / "seconds.npy", found.seconds)
    return ["predictions.npz", "models.npz", "models.json"], ["seconds.npy"]


def open_evaluation(folder: str | Path) -> StoredEvaluation:
    """Read what `save_evaluation` wrote."""
    folder = Path(folder)
    about = json.loads((folder / "models.json").read_text())
    with np.load(folder / "predictions.npz", allow_pickle=False) as stored:
        predicted = dict(stored)
    with np.load(folder / "models.npz", allow_pickle=False) as stored:
        models: dict[str, Any] = dict.fromkeys(_LINEAR) | dict(stored)
    seconds = _seconds(folder, models["chosen"].shape)
    found = Evaluation(**predicted, **models, seconds=seconds, failures=tuple(about["failures"]))
    return StoredEvaluation(found, tuple(about["targets"]), tuple(about["columns"]))


def _seconds(folder: Path, shape: tuple[int, ...]) -> npt.NDArray[np.float64]:
    try:
        found: npt.NDArray[np.float64] = np.load(folder / "seconds.npy", allow_pickle=False)
    except (OSError, ValueError, EOFError):
        return np.full(shape, np.nan)  # timings are no result, and may be lost
    return found

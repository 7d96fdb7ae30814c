"""Evaluations on disk. Apart from searches, so that a change here costs no search."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from cortax.search.evaluations import Evaluation

__all__ = ["save_evaluation"]


def save_evaluation(folder: str | Path, found: Evaluation, columns: Sequence[str]) -> tuple[list[str], list[str]]:
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
        models["coefficients"] = found.coefficients
        models["confound_coefficients"] = found.confound_coefficients
        models["intercepts"] = found.intercepts
    np.savez(folder / "models.npz", **models)
    about = {"columns": list(columns), "failures": found.failures}
    (folder / "models.json").write_text(json.dumps(about, indent=1, sort_keys=True))
    np.save(folder / "seconds.npy", found.seconds)
    return ["predictions.npz", "models.npz", "models.json"], ["seconds.npy"]

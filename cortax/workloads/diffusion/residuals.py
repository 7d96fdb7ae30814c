"""What a fit leaves: residuals of every gradient, and how many voxels came to which end."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from cortax.workloads.diffusion.models.fit import Fit, Status
from cortax.workloads.diffusion.models.making import Model, make_model
from cortax.workloads.diffusion.responding import chosen_response
from cortax.workloads.diffusion.store import open_fit
from cortax.workloads.diffusion.volumes import Volume, open_volume

__all__ = ["residual_table", "residual_tables", "status_table"]

# Added up so many at a time: the sums are the same however the fit was cut into units.
_VOXELS = 4096


def residual_tables(jobs: Mapping[str, Any], options: Mapping[str, Any]) -> dict[str, pd.DataFrame]:
    """Return the tables of `diffusion_residuals`, by the names of their files; see `make_model` for `options`."""
    volume = open_volume(*(job.path for job in jobs["volume"]))
    fit = open_fit([job.path for job in jobs["fit"]], volume.rows)
    response = chosen_response(jobs, options)
    model = make_model(
        options["kind"], options["options"], volume.gradients, response=response, solver=options["solver"]
    )
    return {"status.parquet": status_table(fit), "residuals.parquet": residual_table(model, volume, fit)}


def status_table(fit: Fit) -> pd.DataFrame:
    """Count the voxels of each status that there is: status, n_voxels, share, meaning."""
    counts = np.bincount(fit.status, minlength=max(Status) + 1)
    rows = [
        {
            "status": status.name.lower(),
            "n_voxels": int(counts[status]),
            "share": counts[status] / len(fit.status),
            "meaning": status.sentence,
        }
        for status in Status
        if counts[status]
    ]
    return pd.DataFrame(rows, columns=["status", "n_voxels", "share", "meaning"])


def residual_table(model: Model, volume: Volume, fit: Fit) -> pd.DataFrame:
    """Compare signals with what the model predicts, gradient by gradient, over all voxels with parameters.

    Returns
    -------
    DataFrame
        gradient (from 1), b (s/mm2), x, y, z (of the direction), n_voxels, signal (mean), mean and rms (of signal
        less prediction, in units of the signal; NaN of a gradient that the model does not predict). No rows where it
        predicts none.
    """
    gradients = volume.gradients
    totals = np.zeros((3, len(gradients.bvals)))
    n_voxels = 0
    for start in range(0, len(volume), _VOXELS):
        signals = volume.read(start, min(start + _VOXELS, len(volume)))
        predicted = model.predict(np.asarray(fit.parameters[start : start + len(signals)]))
        if predicted is None:
            return pd.DataFrame(columns=["gradient", "b", "x", "y", "z", "n_voxels", "signal", "mean", "rms"])
        # Of some gradients a model may say nothing, such as those of other shells: they stay NaN.
        known = np.isfinite(predicted).any(axis=1)
        residuals = signals[known] - predicted[known]
        totals += [signals[known].sum(axis=0), residuals.sum(axis=0), (residuals**2).sum(axis=0)]
        n_voxels += int(known.sum())
    signal, mean, square = totals / n_voxels if n_voxels else np.full_like(totals, np.nan)
    return pd.DataFrame(
        {
            "gradient": np.arange(1, len(gradients.bvals) + 1),
            "b": gradients.bvals,
            **dict(zip("xyz", gradients.bvecs.T, strict=True)),
            "n_voxels": n_voxels,
            "signal": signal,
            "mean": mean,
            "rms": np.sqrt(square),
        }
    )

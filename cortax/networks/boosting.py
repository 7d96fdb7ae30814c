"""Gradient boosting for networks, by LightGBM on bins that all genes share.

Small trees on nine tenths of the samples with a learning rate of 0.01, as in `cortax.networks.grnboost`, but as many as
are asked for, on binned values. LightGBM's own random forest would be `cortax.networks.trees` at many times the cost.
"""

from __future__ import annotations

from typing import Any

import lightgbm
import numpy as np
import numpy.typing as npt

__all__ = ["bin_regulators", "boosted_gains"]

Floats = npt.NDArray[np.float64]

_QUIET = {"verbosity": -1, "num_threads": 1, "deterministic": True, "force_row_wise": True}
# Bins must not depend on how many samples a leaf needs: genes and options share them.
_BINS = {"max_bin": 255, "min_data_in_bin": 1, "feature_pre_filter": False}
_TREES = {
    "objective": "regression",
    "learning_rate": 0.01,
    "max_depth": 3,
    "num_leaves": 8,
    "bagging_freq": 1,
    "bagging_fraction": 0.9,
    "min_sum_hessian_in_leaf": 0.0,
}


def bin_regulators(values: npt.NDArray[np.float32]) -> lightgbm.Dataset:
    """Bin regulators for any number of genes.

    Parameters
    ----------
    values : float32 array of shape (n_regulators, n_samples)

    Returns
    -------
    lightgbm.Dataset
        Its label is exchanged from gene to gene: not for several threads at a time.
    """
    samples = np.ascontiguousarray(values.T)
    return lightgbm.Dataset(samples, label=np.zeros(len(samples)), params=_QUIET | _BINS).construct()


def boosted_gains(
    bins: lightgbm.Dataset,
    y: Floats,
    *,
    candidates: npt.NDArray[np.int64],
    n_trees: int,
    n_drawn: int,
    min_leaf: int,
    seed: int,
) -> Floats:
    """Boost one gene and return what each regulator contributes.

    Parameters
    ----------
    bins : lightgbm.Dataset
        Of `bin_regulators`.
    y : float64 array of shape (n_samples,)
    candidates : int64 array
        The regulators that may be split on.
    n_trees, n_drawn, min_leaf, seed : int
        As in `cortax.networks.trees.grow_forest`; all samples of a leaf count.

    Returns
    -------
    float64 array of shape (n_regulators,)
        Decrease in the residuals' sum of squares over n_samples, averaged over trees.
    """
    bins.set_label(y)
    parameters: dict[str, Any] = {
        **_QUIET,
        **_BINS,
        **_TREES,
        "feature_fraction_bynode": n_drawn / len(candidates),
        "min_data_in_leaf": min_leaf,
        "seed": seed,
    }
    if len(candidates) < bins.num_feature():
        parameters["interaction_constraints"] = [candidates.tolist()]
    booster = lightgbm.Booster(parameters, bins)
    for _ in range(n_trees):
        booster.update()
    return np.asarray(booster.feature_importance("gain"), dtype=np.float64) / (len(y) * n_trees)

"""The obvious way: one scikit-learn forest a target gene. The oracle of the tests, and what benchmarks compare with."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from sklearn.ensemble import ExtraTreesRegressor, RandomForestRegressor

from cortax.workloads.network.options import ForestOptions

__all__ = ["reference_importances"]

Floats = npt.NDArray[np.float64]


def reference_importances(
    values: npt.NDArray[Any], own: int | None, target_values: Floats, options: ForestOptions, *, seed: int = 0
) -> Floats:
    """Return the importances of regulators for one gene, by a scikit-learn ensemble.

    Parameters
    ----------
    values : float array of shape (n_samples, n_regulators)
    own : int, or None
        The column that is the target itself, which is no candidate.
    target_values : float64 array of shape (n_samples,)
        Not constant.
    options : ForestOptions
        Of method "forest" or "extra_trees".

    Returns
    -------
    float64 array of shape (n_regulators,)
        As in `cortax.workloads.network.forests.gene_importances`.
    """
    candidates = np.delete(np.arange(values.shape[1]), [] if own is None else own)
    kind = {"forest": RandomForestRegressor, "extra_trees": ExtraTreesRegressor}[options.method]
    model = kind(
        n_estimators=options.n_trees,
        max_features=options.n_drawn(len(candidates)),
        min_samples_leaf=options.min_samples_leaf,
        random_state=seed,
    )
    model.fit(values[:, candidates], (target_values - target_values.mean()) / target_values.std())
    found = np.zeros(values.shape[1])
    each = [tree.tree_.compute_feature_importances(normalize=False) for tree in model.estimators_]
    found[candidates] = np.mean(each, axis=0)
    return found

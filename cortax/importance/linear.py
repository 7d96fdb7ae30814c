"""Linear models: coefficients in units that can be compared, and the activation patterns that belong to them."""

from __future__ import annotations

import numpy as np

from cortax.importance.parts import Part
from cortax.search.cells import Floats

__all__ = ["linear_kinds", "patterns", "spreads"]


def linear_kinds(part: Part, coefficients: Floats) -> dict[str, Floats]:
    """Say what the coefficients of a linear model say about its regions.

    Parameters
    ----------
    part : Part
    coefficients : float64 array of shape (n_regions,)
        Per unit of the measured regions.

    Returns
    -------
    dict of float64 arrays of shape (n_regions,)
        `coefficient` as it is; `standardised`, per standard deviation of the region in the training part, without
        what confounds explain; `pattern`, see `patterns`.
    """
    return {
        "coefficient": coefficients,
        "standardised": coefficients * spreads(part),
        "pattern": patterns(part, coefficients),
    }


def spreads(part: Part) -> Floats:
    """Return the standard deviation (of the population) of every region in the training part, without confounds."""
    found: Floats = part.X.std(axis=0) * part.front.scale
    return found


def patterns(part: Part, coefficients: Floats) -> Floats:
    """Return the activation pattern of a linear model: Cov(X) w / Var(X w), on the training rows.

    A coefficient says what to add up to predict, and may be large where a region has nothing to do with the target
    but with the noise of others. The pattern says how a region changes with what the model predicts, in units of the
    region per unit of prediction (of a classifier's log odds). Regions are without what confounds explain. A model
    that predicts the same of everybody has a pattern of zeros.

    Source: Haufe et al., On the interpretation of weight vectors of linear models in multivariate neuroimaging,
    NeuroImage 87 (2014), equation 6.
    """
    predicted = part.X @ (coefficients * part.front.scale)
    predicted -= predicted.mean()
    variance = float(predicted @ predicted)
    if not variance > 0:
        return np.zeros_like(coefficients)
    found: Floats = (predicted @ part.X) * part.front.scale / variance
    return found

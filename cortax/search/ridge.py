"""Ridge regression: one factorisation per training set for all penalties and all targets.

With at least as many rows as columns the Gram matrix is factorised, else the kernel of the rows. One
eigendecomposition serves every penalty; a single penalty is cheaper by Cholesky. Both are direct: there is nothing
to converge, so a configuration's `tol` and `max_iter` are accepted and change nothing.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from numbers import Integral, Real
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import linalg

from cortax.search.cells import Configs
from cortax.search.training import Fits, TrainingSet

__all__ = ["TOGETHER", "fit", "unable"]

Floats = npt.NDArray[np.float64]

# Targets share everything: all of them make one batch.
TOGETHER: int | None = None

# An eigendecomposition costs as much as this many Cholesky factorisations.
_CHOLESKYS = 16

# Numbers of coefficients that are worked on at a time: 256 MiB.
_BLOCK = 2**25


def unable(task: str, configs: Configs) -> str:
    """Return why some configuration must be left to scikit-learn, or "".

    Without a penalty, of columns that depend on each other, its answer is a matter of rounding; what it refuses, it
    shall refuse in its own words.
    """
    if task != "regression":
        return f"only regression, not {task!r}"
    for config in configs:
        if unknown := set(config) - {"alpha", "tol", "max_iter"}:
            return f"unknown parameter {min(unknown)!r}"
        for name, allowed in _ALLOWED.items():
            if name in config and (isinstance(config[name], bool) or not allowed(config[name])):
                return f"{name} = {config[name]!r}"
    return ""


_ALLOWED: dict[str, Callable[[Any], bool]] = {
    "alpha": lambda value: isinstance(value, Real) and 0 < value < math.inf,
    "tol": lambda value: isinstance(value, Real) and 0 <= value < math.inf,
    "max_iter": lambda value: value is None or (isinstance(value, Integral) and value >= 1),
}


def fit(
    part: TrainingSet,
    Y: Floats,
    configs: Configs,
    *,
    task: str,  # noqa: ARG001  (only one)
    seeds: npt.NDArray[np.int64],  # noqa: ARG001  (nothing is random)
    coefficients: bool = False,
) -> Fits:
    """Fit every penalty to every target, as scikit-learn's `Ridge` does.

    Parameters
    ----------
    part : TrainingSet
    Y : float64 array of shape (n_train, n_targets)
        Any number of targets, permuted ones for instance. A target with NaN or infinity fails alone.
    configs : configurations, see `unable`
    task, seeds
        Not looked at.
    coefficients : bool
        Whether coefficients and intercepts are wanted.

    Returns
    -------
    Fits
        Of a training set that overflows every fit is a failure.

    Notes
    -----
    Memory beyond the result's: two matrices of (m, m), m = min(n_train, n_regions), one of (n_valid, m), and 512 MiB.
    """
    alphas = np.array([float(config.get("alpha", 1.0)) for config in configs])
    n_targets, n_valid = Y.shape[1], len(part.valid)
    decisions = np.full((n_targets, len(alphas), n_valid), np.nan)
    weights = np.full((n_targets, len(alphas), part.n_regions), np.nan) if coefficients else None
    bad = ~np.isfinite(Y).all(axis=0)
    failures: list[tuple[int, int, Exception]] = [
        (int(t), number, ValueError("Input y contains NaN or infinity."))
        for t in np.flatnonzero(bad)
        for number in range(len(alphas))
    ]
    good = np.flatnonzero(~bad)
    size = max(1, _BLOCK // (len(alphas) * part.n_regions))
    try:
        for start in range(0, len(good), size):
            some = good[start : start + size]
            decisions[some], found = _solve(part, Y[:, some], alphas, coefficients=coefficients)
            if weights is not None:
                weights[some] = found
    except (np.linalg.LinAlgError, ValueError) as error:
        failures += [(int(t), number, error) for t in good for number in range(len(alphas))]
    means = Y.mean(axis=0)
    intercepts = None if weights is None else means[:, None] - weights @ part.means
    counts = np.zeros((2, n_targets, len(alphas)), dtype=np.int64)
    return Fits(decisions, counts[0], counts[1], False, weights, intercepts, tuple(failures))

"""Ranks of parcellations by score, and their means over targets in resamples of the targets."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike, NDArray
from scipy.stats import rankdata

from cortax.scores import METRICS

__all__ = ["mean_ranks", "rank_targets", "score_matrix"]

Floats = NDArray[np.float64]


def score_matrix(scores: pd.DataFrame, metrics: Mapping[str, str]) -> pd.DataFrame:
    """Take each target's score, the mean over folds, by pipeline and parcellation.

    Parameters
    ----------
    scores : DataFrame
        The columns target, metric, fold, pipeline, parcellation and value.
    metrics : mapping of target to metric
        A scikit-learn scorer counts as one of which more is better.

    Returns
    -------
    DataFrame of float64
        A row a target by name, a column a (pipeline, parcellation) in order of appearance. The sign is such that
        more is better; NaN is a score that is not there or has no meaning.
    """
    means = scores[(scores["fold"] == "mean") & (scores["metric"] == scores["target"].map(metrics))]
    cells = pd.MultiIndex.from_frame(scores[["pipeline", "parcellation"]].drop_duplicates())
    table = means.pivot(index="target", columns=["pipeline", "parcellation"], values="value")
    table = table.reindex(index=sorted(metrics), columns=cells).astype("float64")
    errors = [name for name, metric in METRICS.items() if not metric.greater_is_better]
    sign = [-1.0 if metrics[target] in errors else 1.0 for target in table.index]
    return table.mul(sign, axis=0)


def rank_targets(values: ArrayLike) -> Floats:
    """Rank within each target: the best is 1, equal ones share the mean of their ranks.

    Parameters
    ----------
    values : array of shape (n_targets, n_items), float64
        More is better.

    Returns
    -------
    array of shape (n_targets, n_items), float64
        A target that lacks a value is NaN throughout: ranks among fewer would not compare with the others.
    """
    found = np.asarray(values, dtype=np.float64)
    return np.asarray(rankdata(-found, method="average", axis=1, nan_policy="propagate"), dtype=np.float64)


def mean_ranks(ranks: Floats, weights: ArrayLike) -> Floats:
    """Average ranks over targets, in many resamples at once.

    Parameters
    ----------
    ranks : array of shape (n_targets, n_items), float64
        See `rank_targets`.
    weights : array of shape (n_resamples, n_targets)
        How often each target is in each resample.

    Returns
    -------
    array of shape (n_resamples, n_items), float64
        NaN for a resample without any target that was ranked.
    """
    ranked = np.isfinite(ranks).all(axis=1)
    inside = np.asarray(weights, dtype=np.float64)[:, ranked]
    total = inside.sum(axis=1, keepdims=True)
    nothing = np.full((len(inside), ranks.shape[1]), np.nan)
    return np.asarray(np.divide(inside @ ranks[ranked], total, out=nothing, where=total > 0))

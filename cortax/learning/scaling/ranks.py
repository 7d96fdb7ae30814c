"""Ranks of parcellations by score, within each pipeline and across, and their means in resamples of the targets."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from scipy.stats import rankdata

from cortax.learning.arrays import Floats, Ints
from cortax.learning.scores import metric_sign

__all__ = ["Ranking", "mean_ranks", "rank_study", "rank_targets", "resample_targets", "score_matrix"]


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
    return table.mul([metric_sign(metrics[target]) for target in table.index], axis=0)


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


SINGLE, TOGETHER = "single", "with-ensembles"


@dataclass(frozen=True, eq=False)
class Ranking:
    """Mean ranks of some parcellations, in the study itself and in resamples of its targets.

    Attributes
    ----------
    group : str
        "single" or "with-ensembles": what was ranked among what.
    ranks : str
        "within" a pipeline, "across" pipelines, or "inter": between all pairs of parcellation and pipeline.
    pipeline : str
        "*" for all.
    items : DataFrame
        A row for each thing that was ranked: parcellation, pipeline, size, type.
    means : array of shape (1 + n_resamples, n_items), float64
        The first row is the study itself.
    n_targets : int
        How many were ranked.
    """

    group: str
    ranks: str
    pipeline: str
    items: pd.DataFrame
    means: Floats
    n_targets: int


def resample_targets(n_targets: int, n_bootstrap: int, *, seed: int) -> Ints:
    """Draw targets with replacement: how often each is in each resample, of shape (n_bootstrap, n_targets)."""
    drawn = np.random.default_rng(seed).integers(n_targets, size=(n_bootstrap, n_targets))
    apart = drawn + np.arange(n_bootstrap)[:, None] * n_targets
    return np.bincount(apart.ravel(), minlength=n_bootstrap * n_targets).reshape(n_bootstrap, n_targets)


def rank_study(
    values: pd.DataFrame, parcellations: pd.DataFrame, *, n_bootstrap: int, seed: int
) -> tuple[list[Ranking], list[str]]:
    """Rank single parcellations among each other, and then with the ensembles, if there are any.

    Parameters
    ----------
    values : DataFrame
        See `score_matrix`.
    parcellations : DataFrame
        By name: `size`, `type` and `ensemble` (bool).
    n_bootstrap, seed : int
        Resamples of the targets: the same ones for every ranking.

    Returns
    -------
    list of Ranking, list of str
        The second says what was left out.
    """
    drawn = resample_targets(len(values), n_bootstrap, seed=seed)
    ranker = _Ranker(parcellations, np.vstack([np.ones((1, len(values))), drawn]))
    names = values.columns.get_level_values("parcellation")
    is_ensemble = parcellations.loc[names, "ensemble"].to_numpy(dtype=bool)
    found = ranker.group(SINGLE, values.loc[:, ~is_ensemble])
    if is_ensemble.any():
        found += ranker.group(TOGETHER, values)
    return found, ranker.warnings


class _Ranker:
    def __init__(self, parcellations: pd.DataFrame, weights: Floats) -> None:
        self._parcellations, self._weights = parcellations, weights
        self.warnings: list[str] = []

    def group(self, group: str, values: pd.DataFrame) -> list[Ranking]:
        """All rankings of one group: across pipelines first, then within each, then between all pairs."""
        pipelines = list(dict.fromkeys(values.columns.get_level_values("pipeline")))
        within = [self._rank(group, "within", name, values.loc[:, [name]]) for name in pipelines]
        if len(pipelines) < 2:
            return within
        return [*self._across(group, within), *within, self._rank(group, "inter", "*", values)]

    def _rank(self, group: str, ranks: str, pipeline: str, values: pd.DataFrame) -> Ranking:
        ranked = rank_targets(values.to_numpy())
        missing = np.isnan(ranked[:, 0])  # a target is ranked as a whole or not at all
        if missing.any():
            who = f"pipeline {pipeline!r}" if ranks == "within" else "all pairs of parcellation and pipeline"
            lacking = [str(name) for name, is_missing in zip(values.index, missing, strict=True) if is_missing]
            self.warnings.append(f"{group}, {who}: some score of the targets {lacking} is missing: they are not ranked")
        items = values.columns.to_frame(index=False)
        about = self._parcellations.loc[items["parcellation"], ["size", "type"]].reset_index(drop=True)
        means = mean_ranks(ranked, self._weights)
        return Ranking(group, ranks, pipeline, pd.concat([items, about], axis=1), means, int((~missing).sum()))

    def _across(self, group: str, within: Sequence[Ranking]) -> list[Ranking]:
        """The mean over pipelines that rank the same parcellations: all of them. None if there is no such pipeline."""
        everything = pd.concat([ranking.items for ranking in within]).drop_duplicates("parcellation")
        whole = [ranking for ranking in within if len(ranking.items) == len(everything)]
        if left_out := [ranking.pipeline for ranking in within if len(ranking.items) < len(everything)]:
            self.warnings.append(
                f"{group}: the pipelines {left_out} were not run on all {len(everything)} parcellations: they are not "
                "in the ranks across pipelines"
            )
        if not whole:
            return []
        names = pd.Index(everything["parcellation"])
        means = [r.means[:, pd.Index(r.items["parcellation"]).get_indexer(names)] for r in whole]
        items = everything.assign(pipeline="*").reset_index(drop=True)
        n_targets = min(ranking.n_targets for ranking in whole)
        return [Ranking(group, "across", "*", items, np.mean(means, axis=0), n_targets)]

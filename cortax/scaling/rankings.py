"""The rankings of a study: its parcellations within each pipeline, across pipelines, and all pairs together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from cortax.intervals import bootstrap_weights
from cortax.scaling.ranks import mean_ranks, rank_targets

__all__ = ["Ranking", "rank_study"]

Floats = NDArray[np.float64]

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
    drawn = bootstrap_weights(np.asarray(values.index, dtype=str), n_bootstrap, seed=seed)
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

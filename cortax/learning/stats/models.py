"""Models that are compared, their scores, and what is asked of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import pandas as pd

from cortax.learning.arrays import Floats
from cortax.learning.scores import metric_sign
from cortax.learning.stats.influences import InfluenceRows

__all__ = ["Asked", "ComparedModel", "Scores", "score_cube"]


@dataclass(frozen=True, eq=False)
class ComparedModel:
    """One evaluation.

    Attributes
    ----------
    scores : DataFrame
        See `cortax.learning.predictions.COLUMNS`.
    influences : callable, optional
        Reads those of its groups; without it there are neither intervals nor tests.
    """

    parcellation: str
    pipeline: str
    scores: pd.DataFrame
    influences: Callable[[], InfluenceRows] | None = None


@dataclass(frozen=True)
class Asked:
    """What is asked of models.

    Attributes
    ----------
    pairs : {"all", "best", "reference"}
        Against the best of each target and metric the tests are only descriptive: it was chosen by the scores that
        are tested, so p is too small.
    references : tuple of str
        Names of pipelines and parcellations.
    metrics : tuple of str
        Those that are compared; all where empty.
    rope : mapping of metric to float
        See `posterior`; others have that of `Metric`.
    correction : {"bh", "by"}
        See `adjust`; the family are all tests of one metric and kind in the study.
    """

    pairs: str = "all"
    references: tuple[str, ...] = ()
    metrics: tuple[str, ...] = ()
    rope: Mapping[str, float] = field(default_factory=dict)
    confidence: float = 0.95
    correction: str = "bh"


@dataclass(frozen=True, eq=False)
class Scores:
    """Scores of all models, rows (target, metric) and outer folds: values of shape (n_models, n_rows, n_folds)."""

    rows: tuple[tuple[str, str], ...]
    values: Floats

    @property
    def signs(self) -> Floats:
        """1 for each row in which greater is better, -1 for errors; scikit-learn's scorers have their sign."""
        return np.array([metric_sign(metric) for _, metric in self.rows])

    @property
    def means(self) -> Floats:
        """Means over the folds that there are, of shape (n_models, n_rows); NaN where there is none."""
        there = ~np.isnan(self.values)
        sums, n_folds = np.where(there, self.values, 0.0).sum(axis=2), there.sum(axis=2)
        means: Floats = np.divide(sums, n_folds, out=np.full(sums.shape, np.nan), where=n_folds > 0)
        return means


def score_cube(models: Sequence[ComparedModel], metrics: Sequence[str] = ()) -> Scores:
    """Put the scores of all models together; NaN where one has none. Rows are sorted."""
    table = pd.concat([model.scores.assign(model=place) for place, model in enumerate(models)], ignore_index=True)
    table = table[(table["fold"] != "mean") & (table["metric"].isin(metrics) | (not metrics))]
    grouped = table.groupby(["target", "metric"], sort=True)
    firsts = table.iloc[sorted(first[0] for first in grouped.indices.values())]
    rows = tuple(sorted(zip(firsts["target"].astype(str), firsts["metric"].astype(str), strict=True)))
    folds = table["fold"].astype(np.int64).to_numpy()
    values = np.full((len(models), len(rows), int(folds.max(initial=-1)) + 1), np.nan)
    values[table["model"].to_numpy(), grouped.ngroup().to_numpy(), folds] = table["value"].to_numpy()
    return Scores(rows, values)

"""Models that are compared, their scores, and what is asked of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import pandas as pd

from cortax.scores import METRICS
from cortax.stats.store_resampled import ResampledRows

__all__ = ["Asked", "Model", "Scores", "default_rope", "score_cube"]

# In the units of the target, squared or not: no size of a difference is small for all targets.
_WITH_UNITS = ("mean_squared_error", "mean_absolute_error")
# The 1 % that Benavoli et al. (2017) take for no difference in practice.
_ROPE = 0.01

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Model:
    """One evaluation.

    Attributes
    ----------
    parcellation, pipeline : str
    scores : DataFrame
        See `cortax.intervals.COLUMNS`.
    resampled : callable, optional
        Reads its resampled scores; without it there are no intervals.
    """

    parcellation: str
    pipeline: str
    scores: pd.DataFrame
    resampled: Callable[[], ResampledRows] | None = None


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
        See `posterior`; others have `default_rope`.
    interval : {"basic", "percentile", "bca"}
    confidence : float
    correction : {"bh", "by"}
        See `adjust`; the family are all tests of one metric and kind in the study.
    """

    pairs: str = "all"
    references: tuple[str, ...] = ()
    metrics: tuple[str, ...] = ()
    rope: Mapping[str, float] = field(default_factory=dict)
    interval: str = "basic"
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
        better = [metric not in METRICS or METRICS[metric].greater_is_better for _, metric in self.rows]
        return np.where(better, 1.0, -1.0)

    @property
    def means(self) -> Floats:
        """Means over the folds that there are, of shape (n_models, n_rows); NaN where there is none."""
        there = ~np.isnan(self.values)
        sums, n_folds = np.where(there, self.values, 0.0).sum(axis=2), there.sum(axis=2)
        means: Floats = np.divide(sums, n_folds, out=np.full(sums.shape, np.nan), where=n_folds > 0)
        return means


def default_rope(metric: str) -> float:
    """Return 0.01 for a score without units, and 0, no region, for what may have some."""
    return _ROPE if metric in METRICS and metric not in _WITH_UNITS else 0.0


def score_cube(models: Sequence[Model], metrics: Sequence[str] = ()) -> Scores:
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

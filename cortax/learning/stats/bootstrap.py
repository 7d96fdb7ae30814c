"""Intervals of scores, and of the differences of two, from resamples of whole groups.

Of finished predictions alone. An interval is of the score that these fitted models would have in the population that
the groups were drawn from, averaged over folds. It says nothing of what other training subjects would have made of
the models: see `cortax.learning.stats.comparisons`.

Null and exchangeability: groups (families) are drawn independently of each other from one population, within a fold;
members of a group may resemble each other in any way.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path

import numpy as np
import numpy.typing as npt
from numpy.typing import ArrayLike, NDArray
from scipy.special import ndtr, ndtri

from cortax.errors import SearchError
from cortax.learning.arrays import Floats, Ints
from cortax.learning.predictions import OutOfFold, bootstrap_weights, mean_over_folds, score_folds
from cortax.learning.scores import Metric
from cortax.store import build, load, save

__all__ = [
    "Resampled",
    "ResampledRows",
    "basic_interval",
    "bca_interval",
    "group_strata",
    "open_resampled",
    "percentile_interval",
    "resample_scores",
    "save_resampled",
]

# Rows of weights that are held at a time while groups are left out one by one.
_ROWS = 256


@dataclass(frozen=True, eq=False)
class Resampled:
    """Scores by some metrics: mean over folds in the cohort, in resamples, and without each group.

    Attributes
    ----------
    values : float64 array of shape (n_metrics,)
    resampled : float64 array of shape (n_metrics, n_bootstrap)
    jackknife : float64 array of shape (n_metrics, n_groups)
        In the order of the sorted groups; (n_metrics, 0) where it was not asked for.
    scored : bool array of shape (n_metrics, n_folds)
        The folds that the means are over.
    """

    values: Floats
    resampled: Floats
    jackknife: Floats
    scored: NDArray[np.bool_]


def resample_scores(
    given: OutOfFold, metrics: Sequence[Metric], groups: ArrayLike, *, n_bootstrap: int, seed: int, jackknife: bool
) -> Resampled:
    """Score one target's predictions in the cohort, in resamples of its groups, and without each group.

    Parameters
    ----------
    groups : array of shape (n_subjects,)
        Families; resampled whole. Every fold keeps its number of groups.
    n_bootstrap, seed : int
        The resamples depend on these, the groups and the folds alone: those of two models are paired.
    jackknife : bool
        Whether groups are left out one by one, which only `bca_interval` needs.

    Returns
    -------
    Resampled
        NaN where a fold that is scored in the cohort has no score, as an AUC of one class.
    """
    drawn = bootstrap_weights(groups, n_bootstrap, seed=seed, strata=given.strata)
    found = score_folds(given, metrics, np.vstack([np.ones((1, len(given.y))), drawn]))
    means = np.stack([mean_over_folds(scores) for scores in found])
    left_out = np.zeros((len(metrics), 0))
    if jackknife:
        left_out = _leave_groups_out(given, metrics, np.asarray(groups), found[:, :, 0])
    return Resampled(means[:, 0], means[:, 1:], left_out, ~np.isnan(found[:, :, 0]))


def _leave_groups_out(
    given: OutOfFold, metrics: Sequence[Metric], groups: NDArray[np.generic], whole: Floats
) -> Floats:
    """Means over folds without each group; `whole` are the scores of all, (n_metrics, n_folds)."""
    names, index = np.unique(groups, return_inverse=True)
    without = np.repeat(whole[:, :, None], len(names), axis=2)
    for fold, test in enumerate(given.tests):
        rows = np.flatnonzero(test)
        # A fold's score changes only without a group that it tests.
        one = OutOfFold(
            given.y[rows],
            np.ones((1, len(rows)), dtype=bool),
            {what: values[fold : fold + 1, rows] for what, values in given.predicted.items()},
            given.strata[rows],
        )
        for some in _batches(np.unique(index[rows])):
            weights = (index[rows] != some[:, None]).astype(np.float64)
            without[:, fold, some] = score_folds(one, metrics, weights)[:, 0]
    scored = ~np.isnan(whole)
    return np.stack(
        [
            scores[kept].mean(axis=0) if kept.any() else np.full(len(names), np.nan)
            for scores, kept in zip(without, scored, strict=True)
        ]
    )


def _batches(values: Ints) -> Iterator[Ints]:
    for start in range(0, len(values), _ROWS):
        yield values[start : start + _ROWS]


def group_strata(groups: ArrayLike, strata: ArrayLike) -> Ints:
    """Return the stratum of each group, in the order of the sorted groups: that of its first subject."""
    _, first = np.unique(np.asarray(groups), return_index=True)
    found: Ints = np.asarray(strata, dtype=np.int64)[first]
    return found


def basic_interval(values: ArrayLike, resampled: ArrayLike, *, confidence: float = 0.95) -> Floats:
    """Basic intervals: percentiles mirrored at the value (Davison & Hinkley 1997, ch. 5.2.1).

    R2 of a fold with few groups is too small on average, and in resamples of them even smaller. Percentiles are off by
    both, what is mirrored by neither. Bounds may lie beyond the best score there can be.

    Parameters
    ----------
    values : array of shape (n,), float64
    resampled : array of shape (n, n_bootstrap), float64
        NaN is left out.

    Returns
    -------
    float64 array of shape (n, 2)
        NaN where nothing is left.
    """
    mirrored: Floats = 2 * np.asarray(values)[:, None] - percentile_interval(resampled, confidence=confidence)[:, ::-1]
    return mirrored


def percentile_interval(resampled: ArrayLike, *, confidence: float = 0.95) -> Floats:
    """Percentile intervals (Efron & Tibshirani 1993, ch. 13).

    Parameters
    ----------
    resampled : array of shape (n, n_bootstrap), float64
        NaN, a resample in which the score has no meaning, is left out.

    Returns
    -------
    float64 array of shape (n, 2)
        NaN where nothing is left.
    """
    tail = (1 - confidence) / 2
    return np.array([_quantiles(row, np.array([tail, 1 - tail])) for row in np.asarray(resampled)]).reshape(-1, 2)


def bca_interval(
    values: ArrayLike, resampled: ArrayLike, jackknife: ArrayLike, strata: ArrayLike, *, confidence: float = 0.95
) -> Floats:
    """Bias-corrected and accelerated intervals (Efron & Tibshirani 1993, ch. 14.3 and 15.4).

    As `scipy.stats.bootstrap` has them, whose samples would be the strata and whose observations the groups; it
    would score all folds anew without each group, which is why the formula stands here.

    Parameters
    ----------
    values : array of shape (n,), float64
    resampled : array of shape (n, n_bootstrap), float64
        NaN is left out.
    jackknife : array of shape (n, n_groups), float64
        The same without each group; NaN is left out.
    strata : array of shape (n_groups,), int
        Which groups are resampled among each other.

    Returns
    -------
    float64 array of shape (n, 2)
        NaN where all resamples lie on one side of the value: the bias cannot be corrected then.
    """
    tail = (1 - confidence) / 2
    normal = ndtri(np.array([tail, 1 - tail]))
    found = []
    for value, row, without in zip(np.asarray(values), np.asarray(resampled), np.asarray(jackknife), strict=True):
        row = row[~np.isnan(row)]
        below = ((row < value).mean() + (row <= value).mean()) / 2 if len(row) and not np.isnan(value) else np.nan
        bias = ndtri(below)
        if not np.isfinite(bias):
            found.append([np.nan, np.nan])
            continue
        shifted = bias + normal
        found.append(_quantiles(row, ndtr(bias + shifted / (1 - _acceleration(without, np.asarray(strata)) * shifted))))
    return np.array(found, dtype=np.float64).reshape(-1, 2)


def _quantiles(row: Floats, levels: Floats) -> list[float]:
    kept = row[~np.isnan(row)]
    return [float("nan")] * len(levels) if not len(kept) else [float(q) for q in np.quantile(kept, levels)]


def _acceleration(without: Floats, strata: Ints) -> float:
    """A sixth of the skewness of the groups' influences, over all strata."""
    cubes = squares = 0.0
    for stratum in np.unique(strata):
        scores = without[(strata == stratum) & ~np.isnan(without)]
        n = max(len(scores), 1)
        influence = (n - 1) * (scores.sum() / n - scores)
        cubes += float((influence**3).sum()) / n**3
        squares += float((influence**2).sum()) / n**2
    return cubes / (6 * squares**1.5) if squares > 0 else 0.0


@dataclass(frozen=True, eq=False)
class ResampledRows:
    """Resampled scores of all targets and metrics.

    Attributes
    ----------
    rows : tuple of (str, str)
        Target and metric of each row.
    found : Resampled
        Its first axis are the rows.
    strata : int array of shape (n_groups,)
        See `group_strata`.
    """

    rows: tuple[tuple[str, str], ...]
    found: Resampled
    strata: npt.NDArray[np.int64]


def save_resampled(
    folder: str | Path, found: Mapping[str, tuple[Sequence[str], Resampled]], strata: npt.NDArray[np.int64]
) -> list[str]:
    """Write for each target its metrics and their resampled scores; return the names of the files.

    Raises SearchError: there is no target to write.
    """
    if not found:
        raise SearchError("there is no target that has any of the metrics")
    rows = [[target, metric] for target, (metrics, _) in found.items() for metric in metrics]
    names = [field.name for field in fields(Resampled)]
    arrays = {name: np.concatenate([getattr(one, name) for _, one in found.values()]) for name in names}
    return save(folder, {"resampled.npz": arrays | {"strata": strata}, "resampled.json": {"rows": rows}})


def open_resampled(folder: str | Path) -> ResampledRows:
    """Read what `save_resampled` wrote."""
    arrays, about = load(folder, "resampled.npz", "resampled.json")
    rows = tuple((target, metric) for target, metric in about["rows"])
    return ResampledRows(rows, build(Resampled, arrays), arrays["strata"])

"""Intervals of scores, and of the differences of two models, from resamples that are stored."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pandas as pd

from cortax.stats.bootstrap import Resampled, basic_interval, bca_interval, percentile_interval
from cortax.stats.models import Asked, Model
from cortax.stats.store_resampled import ResampledRows

__all__ = ["COLUMNS", "intervals_table", "paired_intervals"]

COLUMNS = ("parcellation", "pipeline", "target", "metric", "value", "low", "high", "n_resamples")

_SCORES = ("values", "resampled", "jackknife")

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]


def intervals_table(models: Sequence[Model], asked: Asked) -> pd.DataFrame:
    """Give every score its interval.

    Returns
    -------
    DataFrame with `COLUMNS`
        One row a model, target and metric: mean over outer folds. Empty without resamples.
    """
    rows = []
    for model in models:
        if model.resampled is None:
            continue
        stored = model.resampled()
        found, bounds = stored.found, _bounds(stored.found, stored.strata, asked)
        n_resamples = (~np.isnan(found.resampled)).sum(axis=1)
        for row, values, (low, high), n in zip(stored.rows, found.values, bounds, n_resamples, strict=True):
            rows.append((model.parcellation, model.pipeline, *row, float(values), float(low), float(high), int(n)))
    return pd.DataFrame(rows, columns=list(COLUMNS))


def paired_intervals(
    models: Sequence[Model], rows: Sequence[tuple[str, str]], a: Ints, b: Ints, asked: Asked
) -> tuple[Floats, Ints, npt.NDArray[np.str_]]:
    """Intervals of differences of models, both scored in the same resamples.

    Parameters
    ----------
    models : sequence of Model
    rows : sequence of (target, metric)
    a, b : int arrays of shape (n_pairs, n_rows)
        Numbers of the models.
    asked : Asked

    Returns
    -------
    bounds : float64 array of shape (n_pairs, n_rows, 2)
    n_resamples : int array of shape (n_pairs, n_rows)
        Those that the bounds rest on.
    lost : str array of shape (n_pairs, n_rows)
        Why there are none; empty where there are, or where nobody asked for them.
    """
    bounds, n_resamples = np.full((*a.shape, 2), np.nan), np.zeros(a.shape, dtype=np.int64)
    lost = np.full(a.shape, "", dtype="<U64")
    found = [None if model.resampled is None else model.resampled() for model in models]
    strata = next((each.strata for each in found if each is not None), None)
    if strata is None:
        return bounds, n_resamples, lost
    split = [{} if each is None else _by_row(each) for each in found]
    for pair, row in np.ndindex(*a.shape):
        one, two = (split[model].get(rows[row]) for model in (a[pair, row], b[pair, row]))
        if one is None or two is None:
            lost[pair, row] = "no interval: one of the two has no resamples"
            continue
        if (one.scored != two.scored).any():
            lost[pair, row] = "no interval: the two lack different folds"
            continue
        difference = _difference(one, two)
        bounds[pair, row] = _bounds(difference, strata, asked)[0]
        n_resamples[pair, row] = int((~np.isnan(difference.resampled)).sum())
        if np.isnan(bounds[pair, row]).any() and n_resamples[pair, row]:
            lost[pair, row] = "no interval: all resamples are on one side"
    return bounds, n_resamples, lost


def _by_row(stored: ResampledRows) -> dict[tuple[str, str], Resampled]:
    return {
        row: Resampled(**{name: getattr(stored.found, name)[place : place + 1] for name in (*_SCORES, "scored")})
        for place, row in enumerate(stored.rows)
    }


def _difference(one: Resampled, two: Resampled) -> Resampled:
    """The difference of two scores in each resample: both are of the same groups."""
    return Resampled(**{name: getattr(one, name) - getattr(two, name) for name in _SCORES}, scored=one.scored)


def _bounds(found: Resampled, strata: Ints, asked: Asked) -> Floats:
    """Bounds of every row, shape (n_rows, 2), by the interval that is asked for."""
    if asked.interval == "bca":
        return bca_interval(found.values, found.resampled, found.jackknife, strata, confidence=asked.confidence)
    if asked.interval == "percentile":
        return percentile_interval(found.resampled, confidence=asked.confidence)
    return basic_interval(found.values, found.resampled, confidence=asked.confidence)

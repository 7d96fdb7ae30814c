"""What networks should beat: the mean of the day of the year, and a linear model of the inputs of the last days."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from sklearn.linear_model import Ridge

from cortax.learning.arrays import Floats, Ints
from cortax.workloads.sequences.dataset import Dataset, Period
from cortax.workloads.sequences.reading import Days

__all__ = ["ALPHAS", "SPANS", "day_number", "lagged", "mean_of_day", "predict_baselines"]

# Days before, from and to: a linear model has the mean of each input over each of them.
SPANS = ((0, 0), (1, 1), (2, 3), (4, 7), (8, 15), (16, 31), (32, 63))
ALPHAS = tuple(10.0**power for power in range(-2, 7))


def predict_baselines(dataset: Dataset, options: Mapping[str, Any]) -> dict[str, dict[str, Floats]]:
    """Predict the days of both periods after training without any network.

    Parameters
    ----------
    dataset : Dataset
    options : mapping
        `inputs`, `warm_up`, and the first and the last day of `train`, `validation` and `test`.

    Returns
    -------
    dict of period to dict of baseline to array
        Float64 of shape (n_days, n_targets), in the targets' units. "day of the year": the mean of the target in the
        training period on this day of the year. "linear": ridge regression of the scaled, transformed target on the
        scaled inputs, each as its means over `SPANS` as far back as the warm-up of windows reaches, and on sine and
        cosine of the day of the year where networks are given them. It is fitted to training days; its penalty is that
        of `ALPHAS` with the least squared error in the validation period. NaN on the first days of a period, which
        have no such past, and of a target that was not observed often enough.
    """
    parts = {name: dataset.period(name, options[name], np.float64) for name in ("train", "validation", "test")}
    table = {name: _features(part, len(options["inputs"]), options["warm_up"]) for name, part in parts.items()}
    later = {name: part for name, part in parts.items() if name != "train"}
    linear = {name: np.full(part.observed.shape, np.nan) for name, part in later.items()}
    for k in range(parts["train"].observed.shape[1]):
        if (model := _fit(table, parts, k)) is None:
            continue
        for name, values in linear.items():
            there = ~np.isnan(table[name]).any(axis=1)
            values[there, k] = model.predict(table[name][there])
    return {
        name: {
            "day of the year": mean_of_day(parts["train"].days, parts["train"].observed)[day_number(part.days)],
            "linear": dataset.in_units(linear[name]),
        }
        for name, part in later.items()
    }


def _features(part: Period, n_inputs: int, reach: int) -> Floats:
    return np.column_stack([lagged(part.x[:, :n_inputs], reach), part.x[:, n_inputs:]])


def lagged(x: Floats, reach: int) -> Floats:
    """Return means of columns over the `SPANS` that go back by at most `reach` days, (n_days, n_spans * n_columns).

    NaN on days whose span begins before the first one.
    """
    means = []
    for first, last in SPANS:
        if last <= reach:
            found = np.full(x.shape, np.nan)
            spans = np.lib.stride_tricks.sliding_window_view(x, last - first + 1, axis=0)
            found[last:] = spans[: len(x) - last].mean(axis=-1)
            means.append(found)
    return np.column_stack(means)


def _fit(table: Mapping[str, Floats], parts: Mapping[str, Period], k: int) -> Ridge | None:
    """Return the model of a target, None where training or validation has no observed day for it."""
    rows = {
        name: ~np.isnan(table[name]).any(axis=1) & ~np.isnan(parts[name].y[:, k]) & parts[name].counts
        for name in ("train", "validation")
    }
    if not all(part.any() for part in rows.values()):
        return None
    data = {name: (table[name][own], parts[name].y[own, k]) for name, own in rows.items()}
    models = [Ridge(alpha=alpha).fit(*data["train"]) for alpha in ALPHAS]
    x, y = data["validation"]
    best: Ridge = min(models, key=lambda model: float(np.sum((model.predict(x) - y) ** 2)))
    return best


def day_number(days: Days) -> Ints:
    """Return the day of the year from 0 to 364; 29 February counts as 28 February."""
    years = days.astype("datetime64[Y]")
    first = years.astype("datetime64[D]")
    number = (days - first).astype(np.int64)
    leap = ((years + 1).astype("datetime64[D]") - first).astype(np.int64) == 366
    found: Ints = number - (leap & (number >= 59))
    return found


def mean_of_day(days: Days, observed: Floats) -> Floats:
    """Return the mean of each column by day of the year, (365, n_targets).

    A day of the year that was never observed has what lies between its neighbours; NaN where nothing was observed.
    """
    place = day_number(days)
    found = np.full((365, observed.shape[1]), np.nan)
    for k, column in enumerate(observed.T):
        there = ~np.isnan(column)
        if there.any():
            count = np.bincount(place[there], minlength=365)
            known = np.flatnonzero(count)
            means = np.bincount(place[there], column[there], minlength=365)[known] / count[known]
            found[:, k] = np.interp(np.arange(365), known, means, period=365)
    return found

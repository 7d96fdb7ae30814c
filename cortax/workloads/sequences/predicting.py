"""Predictions of all models of a site, and how good they are."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from cortax.learning.arrays import Floats, Singles
from cortax.store import build, load, save
from cortax.workloads.sequences.dataset import Dataset, open_series
from cortax.workloads.sequences.engines import network_of, predict
from cortax.workloads.sequences.reading import Days
from cortax.workloads.sequences.skill import skill
from cortax.workloads.sequences.tasks import check_code, open_models
from cortax.workloads.sequences.training import State

__all__ = ["PERIODS", "Predictions", "open_predictions", "predict_site", "save_predictions", "skill_tables"]

PERIODS = ("validation", "test")


@dataclass(frozen=True, eq=False)
class Predictions:
    """What all models of a site say about one period.

    Attributes
    ----------
    days : datetime64[D] array of shape (n_days,)
    observed : float64 array of shape (n_days, n_targets)
        In the targets' units; NaN where missing, and on the days of the warm-up nothing is predicted.
    values : float32 array of shape (n_models, n_days, n_targets)
        NaN of models that diverged.
    factors, seeds : tuples
        Of each model.
    diverged : tuple of bool
    targets : tuple of str
        The primary one first.
    """

    days: Days
    observed: Floats
    values: Singles
    factors: tuple[float, ...]
    seeds: tuple[int, ...]
    diverged: tuple[bool, ...]
    targets: tuple[str, ...]


def predict_site(site: Any, trained: Sequence[Any], options: Mapping[str, Any]) -> dict[str, Predictions]:
    """Predict both periods after training by all models of a site that are asked for.

    `site`, `trained`: the jobs; `options`: those of `predict`. Raises CortaxError as `Dataset` does, or
    where the code of a module is not that of the build.
    """
    check_code(options)
    dataset = Dataset(open_series(site.path), options)
    network = network_of(options["network"], dataset.n_inputs, len(options["targets"]))
    wanted = [(float(factor), int(seed)) for factor, seed in options["models"]]
    best: dict[tuple[float, int], tuple[npt.NDArray[Any], bool]] = {}
    for job in trained:
        models, _, pairs = open_models(job.path)
        for row, pair in enumerate(pairs):
            best.setdefault(pair, (models.best[row], models.state[row] == State.DIVERGED))
    parameters = np.array([best[pair][0] for pair in wanted])
    found = {}
    for name in PERIODS:
        period = dataset.period(name, options[name], np.float32)
        values = predict(parameters, network, period.windows.x)
        found[name] = Predictions(
            period.days,
            np.where(period.counts[:, None], period.observed, np.nan),
            np.array([dataset.by_day(outputs, period) for outputs in values]),
            tuple(factor for factor, _ in wanted),
            tuple(seed for _, seed in wanted),
            tuple(bool(best[pair][1]) for pair in wanted),
            tuple(options["names"]),
        )
    check_code(options)
    return found


def save_predictions(folder: str, found: Mapping[str, Predictions]) -> list[str]:
    """Write predictions into a folder; return the names of the files."""
    files: dict[str, Any] = {}
    for name, part in found.items():
        files[f"{name}.npy"] = part.values
        files[f"{name}.npz"] = {"days": part.days.astype(np.int64), "observed": part.observed}
        files[f"{name}.json"] = {key: getattr(part, key) for key in ("factors", "seeds", "diverged", "targets")}
    return save(folder, files)


def open_predictions(folder: str, name: str) -> Predictions:
    """Open what `save_predictions` wrote of a period."""
    values, arrays, about = load(folder, f"{name}.npy", f"{name}.npz", f"{name}.json")
    return build(Predictions, arrays, about, {"values": values, "days": arrays["days"].astype("datetime64[D]")})


def skill_tables(
    parts: Mapping[str, Predictions], baselines: Mapping[str, Mapping[str, Floats]]
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return the skill of every model; and that of the mean prediction over seeds of every factor, beside baselines.

    A row for each period, target and model; models of factor 0 are trained for the primary target only, and have no row
    of others. `diverged` is "yes" or "no"; those that did have NaN, and no part in means. In the second table `model`
    is "networks" or the name of a baseline, which has no factor (NaN) and no seeds (0).

    `parts`: predictions by period. `baselines`: by period and name, see `predict_baselines`.
    """
    models = [row for period, part in parts.items() for row in _model_rows(period, part)]
    means = [row for period, part in parts.items() for row in _mean_rows(period, part, baselines[period])]
    return pd.DataFrame(models), pd.DataFrame(means)


def _model_rows(period: str, part: Predictions) -> Iterator[dict[str, Any]]:
    for k, target, factor, rows in _factors(part):
        for row in rows:
            head = {"period": period, "target": target, "factor": factor, "seed": part.seeds[row]}
            diverged = "yes" if part.diverged[row] else "no"
            yield {**head, "diverged": diverged, **_skill(part.observed[:, k], part.values[row, :, k])}


def _mean_rows(period: str, part: Predictions, baselines: Mapping[str, Floats]) -> Iterator[dict[str, Any]]:
    for k, target, factor, rows in _factors(part):
        kept = [row for row in rows if not part.diverged[row]]
        observed = part.observed[:, k]
        mean = part.values[kept, :, k].astype(np.float64).mean(axis=0) if kept else np.full(len(observed), np.nan)
        head = {"period": period, "target": target, "model": "networks", "factor": factor, "n_seeds": len(kept)}
        yield {**head, **_skill(observed, mean)}
    for k, target in enumerate(part.targets):
        for name, predicted in baselines.items():
            head = {"period": period, "target": target, "model": name, "factor": np.nan, "n_seeds": 0}
            yield {**head, **_skill(part.observed[:, k], predicted[:, k])}


def _factors(part: Predictions) -> Iterator[tuple[int, str, float, list[int]]]:
    """Yield each target and factor that is trained for it, and the models of the factor."""
    for k, target in enumerate(part.targets):
        for factor in dict.fromkeys(part.factors):
            if factor or not k:
                yield k, target, factor, [row for row, own in enumerate(part.factors) if own == factor]


def _skill(observed: Floats, predicted: npt.NDArray[Any]) -> dict[str, float]:
    return skill(observed, predicted.astype(np.float64))

"""Which models differ: on which target, a row for every pair, target and metric; over all targets; and intervals."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from cortax.learning.arrays import Floats, Ints
from cortax.learning.scores import METRICS, default_rope
from cortax.learning.stats.bootstrap import Resampled, ResampledRows, basic_interval, bca_interval, percentile_interval
from cortax.learning.stats.comparisons import OverTargets, adjust, corrected_t, friedman, posterior, wilcoxon
from cortax.learning.stats.models import Asked, ComparedModel, Scores, score_cube
from cortax.learning.stats.pairs import Rivals, best_pairs, find_rivals, fixed_pairs

__all__ = ["COLUMNS", "compare_models", "compare_over_targets", "intervals_table"]

INTERVALS_COLUMNS = ("parcellation", "pipeline", "target", "metric", "value", "low", "high", "n_resamples")

_SCORES = ("values", "resampled", "jackknife")


def intervals_table(models: Sequence[ComparedModel], asked: Asked) -> pd.DataFrame:
    """Give every score its interval.

    Returns
    -------
    DataFrame with `INTERVALS_COLUMNS`
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
    return pd.DataFrame(rows, columns=list(INTERVALS_COLUMNS))


def paired_intervals(
    models: Sequence[ComparedModel], rows: Sequence[tuple[str, str]], a: Ints, b: Ints, asked: Asked
) -> tuple[Floats, Ints, npt.NDArray[np.str_]]:
    """Intervals of differences of models, both scored in the same resamples.

    Parameters
    ----------
    a, b : int arrays of shape (n_pairs, n_rows)
        Numbers of the models.

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


COLUMNS = (
    *("target", "metric", "kind", "within", "a", "b", "difference", "low", "high", "n_resamples", "better"),
    *("t", "n_folds", "p", "p_fdr", "p_holm", "family", "n_family", "p_left", "p_rope", "p_right", "rope", "note"),
)
# Scores that differ by a smaller share of themselves differ by rounding.
_ROUNDING = 1e-12
_CHOSEN = "b was chosen by these scores: p is too small"


def compare_models(models: Sequence[ComparedModel], ratios: Mapping[str, float], asked: Asked) -> pd.DataFrame:
    """Compare every pair of rivals on every target, by every metric.

    Parameters
    ----------
    ratios : mapping of target to float
        Test subjects to training subjects of an outer fold.

    Returns
    -------
    DataFrame with `COLUMNS`
        `difference` is the score of a minus that of b, averaged over outer folds, in the metric's units; `better` says
        which of the two that favours. `low` and `high` are of the bootstrap (`bootstrap`), `t` and `p` of
        `corrected_t`, `p_left`, `p_rope` and `p_right` of `posterior`. `p_fdr` and `p_holm` are adjusted within
        `family`, of which there are `n_family` tests. NaN is explained by `note`.
    """
    scores = score_cube(models, asked.metrics)
    named = [(model.parcellation, model.pipeline) for model in models]
    parts = [
        _compare(rivals, scores, models, ratios, asked) for rivals in find_rivals(named, asked.pairs, asked.references)
    ]
    if not parts:
        return pd.DataFrame(columns=list(COLUMNS))
    table = pd.concat(parts, ignore_index=True)
    table["family"] = table["kind"] + ", " + table["metric"]
    families = table["family"].tolist()
    table["n_family"] = table.groupby("family")["p"].transform("count").astype(np.int64)
    table["p_fdr"] = adjust(table["p"].to_numpy(), families, asked.correction)
    table["p_holm"] = adjust(table["p"].to_numpy(), families, "holm")
    order = ["kind", "within", "target", "metric"]
    return table.sort_values(order, kind="stable", ignore_index=True)[list(COLUMNS)]


def _compare(
    rivals: Rivals, scores: Scores, models: Sequence[ComparedModel], ratios: Mapping[str, float], asked: Asked
) -> pd.DataFrame:
    """All rows of one group of rivals: pairs x (targets and metrics)."""
    values = scores.values[list(rivals.places)]
    a, b = _pairs(rivals, scores, asked)
    every = np.arange(len(scores.rows))
    differences = values[a, every] - values[b, every]
    rounding = _ROUNDING * np.maximum(np.abs(values[a, every]), np.abs(values[b, every]))
    test = corrected_t(np.where(np.abs(differences) <= rounding, 0.0, differences), [ratios[t] for t, _ in scores.rows])
    rope = np.array([asked.rope.get(metric, default_rope(metric)) for _, metric in scores.rows])
    sides = posterior(test, rope)
    bounds, n_resamples, lost = paired_intervals([models[place] for place in rivals.places], scores.rows, a, b, asked)
    names = np.array(rivals.names)
    favoured = np.sign(test.difference * scores.signs)
    columns: dict[str, Any] = {
        "target": [target for target, _ in scores.rows],
        "metric": [metric for _, metric in scores.rows],
        "kind": rivals.kind,
        "within": rivals.within,
        "a": names[a],
        "b": names[b],
        "difference": test.difference,
        "low": bounds[..., 0],
        "high": bounds[..., 1],
        "n_resamples": n_resamples,
        "better": np.select([favoured > 0, favoured < 0], [names[a], names[b]], default=""),
        **{name: getattr(test, name) for name in ("t", "n_folds", "p")},
        **{f"p_{name}": getattr(sides, name) for name in ("left", "rope", "right")},
        "rope": rope,
        "note": _join(_join(test.note, lost), np.array(_CHOSEN if asked.pairs == "best" else "")),
    }
    return pd.DataFrame({name: np.broadcast_to(column, a.shape).ravel() for name, column in columns.items()})


def _pairs(rivals: Rivals, scores: Scores, asked: Asked) -> tuple[Ints, Ints]:
    """Numbers of a and of b among the rivals, each of shape (n_pairs, n_rows)."""
    if asked.pairs == "best":
        return best_pairs(scores.means[list(rivals.places)] * scores.signs)
    a, b = fixed_pairs(rivals.names, asked.pairs, asked.references)
    shape = (len(a), len(scores.rows))
    return np.broadcast_to(a[:, None], shape), np.broadcast_to(b[:, None], shape)


def _join(notes: npt.NDArray[np.str_], others: npt.NDArray[np.str_]) -> npt.NDArray[np.str_]:
    both = np.char.add(np.where((notes != "") & (others != ""), "; ", ""), others)
    return np.char.add(notes, both)


OVER_TARGETS_COLUMNS = (
    *("kind", "within", "metric", "test", "a", "b", "n_models", "n_targets", "median", "statistic"),
    *("p", "p_fdr", "family", "n_family", "note"),
)


def compare_over_targets(models: Sequence[ComparedModel], asked: Asked) -> pd.DataFrame:
    """Test rivals over all targets that have a metric.

    Parameters
    ----------
    asked : Asked
        Where each is compared with the best of each target, only Friedman's test is made.

    Returns
    -------
    DataFrame with `OVER_TARGETS_COLUMNS`
        `median` is the median over targets of the score of a minus that of b. Metrics in the units of targets have no
        signed-rank test. `p_fdr` is adjusted within `family`, all such tests of one metric and kind in the study.
    """
    scores = score_cube(models, asked.metrics)
    named = [(model.parcellation, model.pipeline) for model in models]
    means = scores.means
    rows: list[dict[str, Any]] = []
    for rivals in find_rivals(named, asked.pairs, asked.references):
        for metric in dict.fromkeys(metric for _, metric in scores.rows):
            of_metric = [row for row, (_, name) in enumerate(scores.rows) if name == metric]
            rows += _test(rivals, means[np.ix_(rivals.places, of_metric)], metric, asked)
    table = pd.DataFrame(rows, columns=list(OVER_TARGETS_COLUMNS))
    if len(table):
        table["family"] = table["test"] + ", " + table["kind"] + ", " + table["metric"]
        table["n_family"] = table.groupby("family")["p"].transform("count").astype(np.int64)
        table["p_fdr"] = adjust(table["p"].to_numpy(), table["family"].tolist(), asked.correction)
    return table.sort_values(["kind", "within", "metric", "test"], kind="stable", ignore_index=True)


def _test(rivals: Rivals, means: npt.NDArray[np.float64], metric: str, asked: Asked) -> list[dict[str, Any]]:
    """Rows of one group of rivals and metric; `means` are of shape (n_models, n_targets)."""
    shared = {"kind": rivals.kind, "within": rivals.within, "metric": metric}
    found = [_row(shared, "friedman", "", "", len(rivals.names), np.nan, friedman(means))]
    if asked.pairs != "best" and metric in METRICS and not METRICS[metric].units:
        for a, b in zip(*fixed_pairs(rivals.names, asked.pairs, asked.references), strict=True):
            differences = means[a] - means[b]
            median = np.nanmedian(differences) if np.isfinite(differences).any() else np.nan
            found.append(
                _row(shared, "wilcoxon", rivals.names[a], rivals.names[b], 2, float(median), wilcoxon(differences))
            )
    return found


def _row(
    shared: dict[str, str], test: str, a: str, b: str, n_models: int, median: float, found: OverTargets
) -> dict[str, Any]:
    about = {"test": test, "a": a, "b": b, "n_models": n_models, "median": median}
    return {**shared, **about, **{name: getattr(found, name) for name in ("n_targets", "statistic", "p", "note")}}

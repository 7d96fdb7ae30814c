"""Which models differ: on which target, a row for every pair, target and metric; over all targets; and intervals."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from cortax.learning.arrays import Floats, Ints
from cortax.learning.intervals import interval, limits_of_difference
from cortax.learning.jackknife import paired_variance, score_variance
from cortax.learning.scores import METRICS, default_rope, metric_limits
from cortax.learning.stats.comparisons import OverTargets, adjust, friedman, paired_test, posterior, wilcoxon
from cortax.learning.stats.models import Asked, ComparedModel, Scores, score_cube
from cortax.learning.stats.pairs import Rivals, best_pairs, find_rivals, fixed_pairs

__all__ = ["COLUMNS", "compare_models", "compare_over_targets", "intervals_table"]

INTERVALS_COLUMNS = ("parcellation", "pipeline", "target", "metric", "value", "low", "high", "n_groups")


def intervals_table(models: Sequence[ComparedModel], asked: Asked) -> pd.DataFrame:
    """Give every score its interval.

    Returns
    -------
    DataFrame with `INTERVALS_COLUMNS`
        One row a model, target and metric: mean over outer folds.
    """
    rows = []
    for model in models:
        for (target, metric), found in (model.influences() if model.influences else {}).items():
            variance, n_groups = score_variance(found.influences, found.scored.shape[1]), found.influences.shape[2]
            limits = metric_limits(metric)
            bounds = interval(found.values, variance, n_groups - 1, limits, confidence=asked.confidence)[0]
            rows.append((model.parcellation, model.pipeline, target, metric, found.values[0], *bounds, n_groups))
    return pd.DataFrame(rows, columns=list(INTERVALS_COLUMNS))


@dataclass(frozen=True, eq=False)
class _Differences:
    """Variances of differences and groups that they rest on, of shape (n_pairs, n_rows); why there are none."""

    variance: Floats
    n_groups: Ints
    lost: npt.NDArray[np.str_]
    one_split: bool


def _differences(models: Sequence[ComparedModel], rows: Sequence[tuple[str, str]], a: Ints, b: Ints) -> _Differences:
    """Look up variances for models of the numbers a and b, both of shape (n_pairs, n_rows)."""
    variance, n_groups = np.full(a.shape, np.nan), np.zeros(a.shape, dtype=np.int64)
    lost, one_split = np.full(a.shape, "", dtype="<U64"), True
    found = [model.influences() if model.influences else {} for model in models]
    for pair, row in np.ndindex(*a.shape):
        one, two = (found[model].get(rows[row]) for model in (a[pair, row], b[pair, row]))
        if one is None or two is None:
            lost[pair, row] = "no test: groups were not left out of both"
        elif (one.scored != two.scored).any():
            lost[pair, row] = "no test: the two lack different folds"
        else:
            influences = one.influences - two.influences
            variance[pair, row] = paired_variance(influences, one.scored.shape[1])[0]
            n_groups[pair, row] = influences.shape[2]
            one_split = influences.shape[1] == 1
    return _Differences(variance, n_groups, lost, one_split)


COLUMNS = (
    *("target", "metric", "kind", "within", "a", "b", "difference", "low", "high", "n_groups", "better"),
    *("t", "n_folds", "p", "p_fdr", "p_holm", "family", "n_family", "p_left", "p_rope", "p_right", "rope", "note"),
)
# Scores that differ by a smaller share of themselves differ by rounding.
_ROUNDING = 1e-12
_CHOSEN = "b was chosen by these scores: p is too small"


def compare_models(models: Sequence[ComparedModel], asked: Asked) -> pd.DataFrame:
    """Compare every pair of rivals on every target, by every metric.

    Returns
    -------
    DataFrame with `COLUMNS`
        `difference` is the score of a minus that of b, averaged over outer folds, in the metric's units; `better` says
        which of the two that favours. `low` and `high` are its interval, `t` and `p` of `paired_test`, with the same
        variance; `p_left`, `p_rope` and `p_right` of `posterior`. `p_fdr` and `p_holm` are adjusted within
        `family`, of which there are `n_family` tests. NaN is explained by `note`.
    """
    scores = score_cube(models, asked.metrics)
    named = [(model.parcellation, model.pipeline) for model in models]
    parts = [_compare(rivals, scores, models, asked) for rivals in find_rivals(named, asked.pairs, asked.references)]
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


def _compare(rivals: Rivals, scores: Scores, models: Sequence[ComparedModel], asked: Asked) -> pd.DataFrame:
    """All rows of one group of rivals: pairs x (targets and metrics)."""
    values = scores.values[list(rivals.places)]
    a, b = _pairs(rivals, scores, asked)
    every = np.arange(len(scores.rows))
    n_folds = (~np.isnan(values[a, every] - values[b, every])).sum(axis=2)
    found = _differences([models[place] for place in rivals.places], scores.rows, a, b)
    means = scores.means[list(rivals.places)]
    one, two = means[a, every], means[b, every]
    rounding = _ROUNDING * np.maximum(np.abs(one), np.abs(two))
    difference = np.where(np.abs(one - two) <= rounding, 0.0, one - two)
    names = np.array(rivals.names)
    favoured = np.sign(difference * scores.signs)
    columns: dict[str, Any] = {
        "target": [target for target, _ in scores.rows],
        "metric": [metric for _, metric in scores.rows],
        "kind": rivals.kind,
        "within": rivals.within,
        "a": names[a],
        "b": names[b],
        "difference": np.where(n_folds > 0, difference, np.nan),
        "n_groups": found.n_groups,
        "better": np.select([favoured > 0, favoured < 0], [names[a], names[b]], default=""),
        "n_folds": n_folds,
    }
    columns |= _tested(columns["difference"], found, [metric for _, metric in scores.rows], asked)
    columns["note"] = _join(
        _join(np.where(found.lost == "", columns["note"], ""), found.lost),
        np.array(_CHOSEN if asked.pairs == "best" else ""),
    )
    return pd.DataFrame({name: np.broadcast_to(column, a.shape).ravel() for name, column in columns.items()})


def _tested(differences: Floats, found: _Differences, metrics: Sequence[str], asked: Asked) -> dict[str, Any]:
    """Test all differences, of shape (n_pairs, n_rows), those of one metric at a time."""
    names = ("low", "high", "t", "p", "p_left", "p_rope", "p_right", "rope")
    columns: dict[str, Any] = {name: np.full(differences.shape, np.nan) for name in names}
    columns["note"] = np.full(differences.shape, "", dtype="<U128")
    for metric in dict.fromkeys(metrics):
        at = np.s_[:, np.flatnonzero(np.array(metrics) == metric)]
        limits, variance = limits_of_difference(metric_limits(metric)), found.variance[at]
        test = paired_test(differences[at], variance, found.n_groups[at], limits, one_split=found.one_split)
        rope = asked.rope.get(metric, default_rope(metric))
        sides = posterior(test, rope, limits)
        bounds = interval(test.difference, variance, test.freedom, limits, confidence=asked.confidence)
        results = (bounds[..., 0], bounds[..., 1], test.t, test.p, sides.left, sides.rope, sides.right, rope, test.note)
        for name, result in zip((*names, "note"), results, strict=True):
            columns[name][at] = result
    return columns


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

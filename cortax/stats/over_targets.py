"""Comparisons of models over all targets: a signed-rank test a pair, and Friedman's of all rivals."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from cortax.stats.comparisons import OverTargets, friedman, wilcoxon
from cortax.stats.discoveries import adjust
from cortax.stats.models import Asked, Model, default_rope, score_cube
from cortax.stats.pairs import Rivals, find_rivals, fixed_pairs

__all__ = ["COLUMNS", "compare_over_targets"]

COLUMNS = (
    *("kind", "within", "metric", "test", "a", "b", "n_models", "n_targets", "median", "statistic"),
    *("p", "p_fdr", "family", "n_family", "note"),
)


def compare_over_targets(models: Sequence[Model], asked: Asked) -> pd.DataFrame:
    """Test rivals over all targets that have a metric.

    Parameters
    ----------
    models : sequence of Model
    asked : Asked
        Where each is compared with the best of each target, only Friedman's test is made.

    Returns
    -------
    DataFrame with `COLUMNS`
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
    table = pd.DataFrame(rows, columns=list(COLUMNS))
    if len(table):
        table["family"] = table["test"] + ", " + table["kind"] + ", " + table["metric"]
        table["n_family"] = table.groupby("family")["p"].transform("count").astype(np.int64)
        table["p_fdr"] = adjust(table["p"].to_numpy(), table["family"].tolist(), asked.correction)
    return table.sort_values(["kind", "within", "metric", "test"], kind="stable", ignore_index=True)


def _test(rivals: Rivals, means: npt.NDArray[np.float64], metric: str, asked: Asked) -> list[dict[str, Any]]:
    """Rows of one group of rivals and metric; `means` are of shape (n_models, n_targets)."""
    shared = {"kind": rivals.kind, "within": rivals.within, "metric": metric}
    found = [_row(shared, "friedman", "", "", len(rivals.names), np.nan, friedman(means))]
    if asked.pairs != "best" and default_rope(metric):
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

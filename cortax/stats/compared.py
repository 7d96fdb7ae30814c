"""Which models differ, and on which target: one row for every pair, target and metric."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from cortax.stats.comparisons import corrected_t, posterior
from cortax.stats.discoveries import adjust
from cortax.stats.models import Asked, Model, Scores, default_rope, score_cube
from cortax.stats.paired import paired_intervals
from cortax.stats.pairs import Rivals, best_pairs, find_rivals, fixed_pairs

__all__ = ["COLUMNS", "compare_models"]

COLUMNS = (
    *("target", "metric", "kind", "within", "a", "b", "difference", "low", "high", "n_resamples", "better"),
    *("t", "n_folds", "p", "p_fdr", "p_holm", "family", "n_family", "p_left", "p_rope", "p_right", "rope", "note"),
)
# Scores that differ by a smaller share of themselves differ by rounding.
_ROUNDING = 1e-12
_CHOSEN = "b was chosen by these scores: p is too small"

Ints = npt.NDArray[np.int64]


def compare_models(models: Sequence[Model], ratios: Mapping[str, float], asked: Asked) -> pd.DataFrame:
    """Compare every pair of rivals on every target, by every metric.

    Parameters
    ----------
    models : sequence of Model
    ratios : mapping of target to float
        Test subjects to training subjects of an outer fold.
    asked : Asked

    Returns
    -------
    DataFrame with `COLUMNS`
        `difference` is the score of a minus that of b, averaged over outer folds, in the metric's units; `better` says
        which of the two that favours. `low` and `high` are of the bootstrap (`cortax.stats.bootstrap`), `t` and `p` of
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
    rivals: Rivals, scores: Scores, models: Sequence[Model], ratios: Mapping[str, float], asked: Asked
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

"""How performance scales with the number of regions, in one study: what a report of it shows.

`analyse` gives a table, `ranks.parquet`, with a row for each parcellation in each ranking:

`group`, `ranks`, `pipeline`
    The ranking. `group` is "single" (parcellations by themselves, ranked among each other) or "with-ensembles" (all
    ranked together). `ranks` is "within" (of one `pipeline`), "across" (the mean over the pipelines that were run on
    all parcellations) or "inter" (all pairs of parcellation and pipeline, ranked together).
`parcellation`, `size`, `type`
    What was ranked. An ensemble's size is that of its members together.
`mean_rank`, `low`, `high`, `n_targets`
    Mean over targets (1 is the best), its percentile interval over resamples of the targets, and how many were ranked.

and a report, `scaling.json`:

`metrics`
    For each target, the metric that it was ranked by.
`confidence`, `n_resamples`
    Of all intervals; 0 resamples if there are none.
`fits`
    A list. Each has `group`, `ranks` and `pipeline` as above, `type` ("*", or the one type that was fitted by itself),
    `n_targets`, `law` (see `PowerLaw.to_dict`; null if there is none), `interval` (for "slope", "intercept" and each
    effect a low and a high value; null where no resample has it), `n_resamples` (how many have a law) and `warnings`.
    A fit of "inter" ranks has effects of pipelines, `pipeline[...]`, in the place of `type[...]`.
`warnings`
    What was left out or could not be estimated, and why.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from cortax.errors import InputError
from cortax.learning.arrays import Floats
from cortax.learning.scaling.powerlaw import MIN_PARCELLATIONS, PowerLaw, fit_power_law
from cortax.learning.scaling.ranks import Ranking, rank_study, score_matrix

__all__ = ["analyse"]


FEW_TARGETS = 10


def analyse(
    scores: pd.DataFrame,
    parcellations: pd.DataFrame,
    *,
    metrics: Mapping[str, str],
    n_bootstrap: int = 1000,
    confidence: float = 0.95,
    seed: int = 0,
) -> tuple[pd.DataFrame, dict[str, Any]]:
    """Rank parcellations, and fit the power law between their sizes and mean ranks.

    Parameters
    ----------
    scores : DataFrame
        The table of scores of a study.
    parcellations : DataFrame
        By name: `size`, `type` and `ensemble` (bool). What is not described is not ranked.
    metrics : mapping of target to metric
        What the targets are ranked by.
    n_bootstrap : int
        Resamples of the targets, of which whole ones are drawn with replacement; the region of the power law is
        chosen anew in each. With few targets, or targets that are alike, such intervals are too narrow.

    Returns
    -------
    DataFrame, dict
        The table of ranks and the report, see the module. A law that cannot be fitted is null, with a warning.
    """
    warnings: list[str] = []
    if unknown := sorted(set(scores["parcellation"]) - set(parcellations.index)):
        warnings.append(f"not ranked: {unknown}; an ensemble of other parcellations in each pipeline has no one size")
        scores = scores[~scores["parcellation"].isin(unknown)]
    if len(metrics) < 2 and n_bootstrap:
        warnings.append(f"no intervals: they rest on resamples of the targets, and there is only {list(metrics)}")
        n_bootstrap = 0
    elif len(metrics) < FEW_TARGETS and n_bootstrap:
        warnings.append(f"intervals rest on resamples of {len(metrics)} targets: of so few they are too narrow")
    matrix = score_matrix(scores, metrics)
    rankings, left_out = rank_study(matrix, parcellations, n_bootstrap=n_bootstrap, seed=seed)
    warnings += left_out
    rows = [_rows(ranking, confidence) for ranking in rankings]
    fits = [fit for ranking in rankings for fit in _fits(ranking, confidence, warnings)]
    report = {
        "metrics": dict(sorted(metrics.items())),
        "confidence": confidence,
        "n_resamples": n_bootstrap,
        "fits": fits,
        "warnings": warnings,
    }
    return pd.concat(rows, ignore_index=True), report


def _rows(ranking: Ranking, confidence: float) -> pd.DataFrame:
    """The rows of a ranking in the table of ranks."""
    low, high = _interval(ranking.means[1:], confidence)
    rows = ranking.items[["parcellation", "size", "type"]].copy()
    for place, (name, value) in enumerate({"group": ranking.group, "ranks": ranking.ranks}.items()):
        rows.insert(place, name, value)
    rows.insert(2, "pipeline", ranking.items["pipeline"])
    rows = rows.assign(mean_rank=ranking.means[0], low=low, high=high, n_targets=ranking.n_targets)
    return rows.astype({"size": "float64", "n_targets": "int64"})


def _fits(ranking: Ranking, confidence: float, warnings: list[str]) -> Iterable[dict[str, Any]]:
    """The fit of a ranking, and those of each type by itself."""
    about = {"group": ranking.group, "ranks": ranking.ranks, "pipeline": ranking.pipeline}
    types = ranking.items["type"]
    chosen = {"*": np.ones(len(types), dtype=bool)}
    if ranking.ranks != "inter" and types.nunique() > 1:
        chosen |= {name: (types == name).to_numpy() for name in sorted(set(types))}
    for name, inside in chosen.items():
        if name != "*" and inside.sum() < MIN_PARCELLATIONS:
            continue
        law, resampled, said = _fit(ranking, inside)
        warnings += [f"{ranking.group}, {ranking.ranks} {ranking.pipeline}, type {name}: {text}" for text in said]
        low, high = _interval(resampled, confidence)
        names = [] if law is None else list(law.estimate)
        yield {
            **about,
            "type": name,
            "n_targets": ranking.n_targets,
            "law": None if law is None else _for_json(law.to_dict()),
            "interval": {of: [_number(low[k]), _number(high[k])] for k, of in enumerate(names)},
            "n_resamples": len(resampled),
            "warnings": said,
        }


def _fit(ranking: Ranking, inside: NDArray[np.bool_]) -> tuple[PowerLaw | None, Floats, list[str]]:
    """The law, its estimates in those resamples that have one, and what was said."""
    items, means = ranking.items[inside], ranking.means[:, inside]
    what = "pipeline" if ranking.ranks == "inter" else "type"
    sizes, categories = items["size"].to_numpy(), list(items[what])
    try:
        law = fit_power_law(sizes, means[0], categories, what=what)
    except InputError as error:
        return None, np.empty((0, 0)), [str(error)]
    resampled = []
    for ranks in means[1:]:
        try:
            again = fit_power_law(sizes, ranks, categories, what=what, reference=law.reference)
        except InputError:
            continue  # too few targets with ranks, or too few sizes in the region
        same = again.reference == law.reference
        resampled.append([again.estimate.get(name, np.nan) if same else np.nan for name in law.estimate])
    return law, np.array(resampled).reshape(-1, len(law.estimate)), list(law.warnings)


def _interval(resampled: Floats, confidence: float) -> tuple[Floats, Floats]:
    """Percentiles of each column over the resamples that have it; NaN if none has."""
    ends = np.full((2, resampled.shape[1]), np.nan)
    for k, column in enumerate(resampled.T):
        if len(values := column[np.isfinite(column)]):
            ends[:, k] = np.quantile(values, [(1 - confidence) / 2, (1 + confidence) / 2])
    return ends[0], ends[1]


def _number(value: float) -> float | None:
    """JSON has no NaN."""
    return float(value) if np.isfinite(value) else None


def _for_json(found: Any) -> Any:
    if isinstance(found, dict):
        return {key: _for_json(value) for key, value in found.items()}
    return _number(found) if isinstance(found, float) else found

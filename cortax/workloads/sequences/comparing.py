"""Which factor a site takes, chosen on validation, and whether it beats single-task models in the test period."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

from cortax.learning.arrays import Floats
from cortax.learning.stats.comparisons import adjust
from cortax.workloads.sequences.skill import HIGHER_IS_BETTER

__all__ = ["choices_table", "counts_table", "gains_table", "open_skills"]

VERDICTS = ("gains", "loses", "neither")


def choices_table(skills: Mapping[str, pd.DataFrame], *, target: str, metric: str) -> pd.DataFrame:
    """Return the factor that every site takes: that of the best median over seeds in the validation period.

    Parameters
    ----------
    skills : mapping of site to table
        As `skill_tables` makes them.
    target : str
        The primary one.
    metric : {"nse", "kge", "rmse"}

    Returns
    -------
    DataFrame
        A row a site. `factor` is the best of all, `multi_task` the best above 0 (NaN where there is none), each the
        smallest of equals, with the medians. NaN where no model has the metric: all diverged, or observations do not
        vary.
    """
    sign = 1 if HIGHER_IS_BETTER[metric] else -1
    rows = []
    for site, table in skills.items():
        part = table[(table["period"] == "validation") & (table["target"] == target)]
        medians = sign * part.groupby("factor")[metric].median().dropna().sort_index()
        multi = medians[medians.index > 0]
        row: dict[str, Any] = {"site": site, "metric": metric}
        for name, found in (("factor", medians), ("multi_task", multi)):
            row[name] = float(found.index.to_numpy()[int(found.argmax())]) if len(found) else np.nan
            row[f"{name}_{metric}"] = float(sign * found.max()) if len(found) else np.nan
        row[f"single_task_{metric}"] = float(sign * medians.get(0.0, np.nan))
        rows.append(row)
    return pd.DataFrame(rows)


def gains_table(
    skills: Mapping[str, pd.DataFrame], chosen: pd.DataFrame, *, target: str, options: Mapping[str, Any]
) -> pd.DataFrame:
    """Compare the best multi-task factor of every site with factor 0 in the test period, paired over seeds.

    Parameters
    ----------
    skills, target
        As for `choices_table`.
    chosen : DataFrame
        What it returned.
    options : mapping
        `metric`, `correction`, `confidence`, `alpha`.

    Returns
    -------
    DataFrame
        A row a site: `gain`, the mean difference over seeds (positive is better, whatever the metric), `low` and `high`
        by Student's t, `p` of the two-sided signed-rank test (Wilcoxon 1945), `q` corrected over sites, and `verdict`:
        "gains" or "loses" where q <= alpha, else "neither". Seeds of which either model diverged are left out,
        `n_seeds` are in. NaN where there are fewer than two.
    """
    metric = options["metric"]
    sign = 1 if HIGHER_IS_BETTER[metric] else -1
    rows = []
    for site, factor in zip(chosen["site"], chosen["multi_task"], strict=True):
        table = skills[site]
        part = table[(table["period"] == "test") & (table["target"] == target)]
        wide = part.pivot(index="seed", columns="factor", values=metric)
        both = wide[[factor, 0.0]].dropna() if {factor, 0.0} <= set(wide.columns) else wide.iloc[:0]
        pairs = sign * (both[factor] - both[0.0]).to_numpy(np.float64) if len(both) else np.empty(0)
        rows.append({"site": site, "metric": metric, "factor": factor, **_paired(pairs, options["confidence"])})
    found = pd.DataFrame(rows)
    found["q"] = adjust(found["p"].to_numpy(), ["sites"] * len(found), options["correction"])
    sure = found["q"] <= options["alpha"]
    found["verdict"] = np.select([sure & (found["gain"] > 0), sure & (found["gain"] < 0)], VERDICTS[:2], VERDICTS[2])
    return found


def _paired(pairs: Floats, confidence: float) -> dict[str, float]:
    n = len(pairs)
    row = {"n_seeds": n, **dict.fromkeys(("gain", "low", "high", "p"), np.nan)}
    if n < 2:
        return row
    mean = float(pairs.mean())
    half = float(stats.t.isf((1 - confidence) / 2, n - 1) * pairs.std(ddof=1) / np.sqrt(n))
    p = float(stats.wilcoxon(pairs).pvalue) if np.any(pairs) else 1.0
    return {**row, "gain": mean, "low": mean - half, "high": mean + half, "p": p}


def counts_table(gains: pd.DataFrame, confidence: float) -> pd.DataFrame:
    """Return how many sites gain, lose and neither, with exact intervals of the share (Clopper and Pearson 1934)."""
    n = len(gains)
    rows: list[dict[str, Any]] = []
    for verdict in VERDICTS:
        k = int((gains["verdict"] == verdict).sum())
        interval = stats.binomtest(k, n).proportion_ci(confidence_level=confidence, method="exact")
        rows.append({"verdict": verdict, "sites": k, "share": k / n, "low": interval.low, "high": interval.high})
    return pd.DataFrame(rows)


def open_skills(jobs: Sequence[Any], sites: Sequence[str]) -> dict[str, pd.DataFrame]:
    """Open what the `skill` jobs of these sites saved, by site."""
    return {site: pd.read_parquet(f"{job.path}/skill.parquet") for site, job in zip(sites, jobs, strict=True)}

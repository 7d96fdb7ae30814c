"""Strategies over several parcellations: what they gain over the single ones that they are made of."""

from __future__ import annotations

import html
from collections.abc import Sequence
from typing import Any

import numpy as np
import pandas as pd

from cortax.report.blocks import Block, Choice, Figure, Section, Sheet, Text
from cortax.report.figures import as_pixels, as_svg, marks_of, new_figure, put_legend
from cortax.report.material import Material

__all__ = ["section"]

_COLUMNS = (
    *("target", "metric", "pool", "strategy", "pipeline", "value", "low", "high"),
    *("mean of members", "best member's", "gain over the mean", "gain over the best"),
)


def section(material: Material) -> Section | None:
    """Return the section."""
    table = _table(material)
    if table.empty:
        return None
    words = (
        "<p>Dots are the single parcellations (of a pool over all pipelines: with each pipeline). A strategy uses no "
        "outer test subject to choose or weigh them; the best single one, known only afterwards, is no fair rival, "
        "and is shown because everybody asks. A positive gain is an improvement, whatever the metric.</p>"
    )
    figures = tuple(
        (f"{pool}, {pipeline}", _draw(rows, f"{pool}, {pipeline}"))
        for (pool, pipeline), rows in table.groupby(["pool", "pipeline"], sort=False)
    )
    shown = table.drop(columns="members")
    caption = "Strategies and the single parcellations that they are made of"
    sheet = Sheet("strategy-scores", caption, shown, filters=("pool", "strategy", "pipeline"), jobs={"value": "job"})
    blocks: tuple[Block, ...] = (Text(words), Choice("strategy-figures", "pool and pipeline", figures), sheet)
    return Section("strategies", "Strategies over parcellations", blocks)


def _table(material: Material) -> pd.DataFrame:
    """One row a strategy, pipeline and target; `members` are the scores of the single ones."""
    scores = material.main_scores
    value = scores.set_index(["parcellation", "pipeline", "target"])["value"]
    rows = []
    for (called, pipeline), job in material.evaluated.items():
        if job.method != "ensemble":
            continue
        members = [tuple(name.rpartition("/")[::2]) for name in job.setup["options"]["members"]]
        pool, _, strategy = called.rpartition("/")
        own = scores[(scores["parcellation"] == called) & (scores["pipeline"] == pipeline)]
        for score in own.to_dict("records"):
            target = str(score["target"])
            singles = np.array([value.get((*member, target), np.nan) for member in members], dtype=np.float64)
            about = {"pool": pool, "strategy": strategy, "pipeline": pipeline, "members": singles, "job": job.id}
            numbers = {key: score[key] for key in ("target", "metric", "value", "low", "high")}
            rows.append(numbers | about | _gains(score["value"], singles, material.is_better_high(target)))
    return pd.DataFrame(rows, columns=[*_COLUMNS, "job", "members"])


def _gains(value: float, singles: Any, high: bool) -> dict[str, float]:
    known = singles[~np.isnan(singles)]
    mean, best = (known.mean(), known.max() if high else known.min()) if len(known) else (np.nan, np.nan)
    sign = 1.0 if high else -1.0
    return {
        "mean of members": float(mean),
        "best member's": float(best),
        "gain over the mean": float(sign * (value - mean)),
        "gain over the best": float(sign * (value - best)),
    }


def _draw(rows: pd.DataFrame, title: str) -> Figure:
    strategies = list(dict.fromkeys(rows["strategy"]))
    targets = {str(metric): list(dict.fromkeys(some["target"])) for metric, some in rows.groupby("metric", sort=False)}
    per_target = 0.16 + 0.12 * len(strategies)
    n_targets = sum(map(len, targets.values()))
    figure = new_figure(7.5, 0.5 + 0.45 * len(targets) + per_target * n_targets)
    panels = figure.subplots(len(targets), 1, height_ratios=[len(names) for names in targets.values()], squeeze=False)
    for axes, (metric, names) in zip(panels[:, 0], targets.items(), strict=True):
        _panel(axes, rows[rows["metric"] == metric], names, strategies)
        axes.set_xlabel(f"{metric}, mean over folds")
    put_legend(panels[0, 0], "")
    gains = {name: rows.loc[rows["strategy"] == name, "gain over the mean"] for name in strategies}
    words = "; ".join(f"{name} {found.median():+.3f}, better on {(found > 0).sum()}" for name, found in gains.items())
    caption = f"{title}: median gain over the mean of the single ones, over {n_targets} targets: {words}."
    return Figure(as_svg(figure, f"Scores of strategies and single parcellations. {caption}"), html.escape(caption))


def _panel(axes: Any, rows: pd.DataFrame, targets: Sequence[str], strategies: Sequence[str]) -> None:
    place = {target: -k for k, target in enumerate(targets)}
    singles = rows.drop_duplicates("target")
    at = np.repeat([place[target] for target in singles["target"]], [len(found) for found in singles["members"]])
    behind, values = as_pixels(axes, len(at)), np.concatenate(list(singles["members"]))
    axes.scatter(values, at, s=14, color="#8c8c8c", linewidths=0, label="single parcellation", zorder=behind)
    step = 0.7 / max(len(strategies), 1)
    for k, (name, (colour, marker)) in enumerate(marks_of(strategies).items()):
        some = rows[rows["strategy"] == name]
        below = [place[target] - 0.02 - step * (k + 0.5) for target in some["target"]]
        axes.hlines(below, some["low"], some["high"], color=colour, linewidth=0.9)
        axes.scatter(some["value"], below, s=22, color=colour, marker=marker, label=name, zorder=3)
    axes.set_yticks([place[target] - 0.25 for target in targets], targets)
    axes.set_ylim(-len(targets) + 0.25, 0.35)
    axes.hlines([-k + 0.28 for k in range(1, len(targets))], *axes.get_xlim(), color="#dddddd", linewidth=0.6)

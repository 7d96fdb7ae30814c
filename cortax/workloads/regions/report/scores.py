"""Scores in a table and heat maps, predictions of one cell, and what strategies gain over single parcellations."""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from sklearn.calibration import calibration_curve
from sklearn.metrics import confusion_matrix, roc_curve

from cortax.learning.classes import is_by_class
from cortax.report.blocks import Block, Choice, Figure, PageSection, Sheet, Text, html_table, job_link
from cortax.report.figures import COLOURS, HEAT, as_pixels, as_png, as_svg, marks_of, new_figure, put_legend
from cortax.workloads.regions.report.material import Material, Meaning

if TYPE_CHECKING:
    from matplotlib.figure import Figure as Canvas

__all__ = ["predictions_section", "scores_section", "strategies_section"]

# So many cells have room for a number, and so many for its interval too.
WITH_VALUES, WITH_INTERVALS = 600, 120
LARGE = 2500
SMALL = 7


def scores_section(material: Material) -> PageSection:
    """Return the section of scores."""
    best = _best(material)
    blocks: list[Block] = [best, _sheet(material)]
    limits = _limits(material.main_scores)
    for pipeline in material.main_scores["pipeline"].unique():
        blocks.append(_heat_map(material.main_scores, str(pipeline), limits))
    return PageSection("scores", "Scores", tuple(blocks))


def _best(material: Material) -> Text:
    rows = []
    for target, found in material.main_scores.groupby("target", sort=False):
        high = material.is_better_high(str(target))
        ordered = found.sort_values("value", ascending=not high, kind="stable", na_position="last")
        top = ordered.iloc[0]
        cells = [target, top["metric"], top["parcellation"], top["pipeline"]]
        numbers = f"{top['value']:.3f}", f"{top['low']:.3f} to {top['high']:.3f}"
        rows.append((*map(html.escape, map(str, cells)), *numbers, job_link(str(top["job"]))))
    names = ("target", "metric", "parcellation", "pipeline", "mean over folds", "interval", "job")
    caption = (
        "The best of each target. Being the best of many, it is optimistic: see the intervals of the others below."
    )
    return html_table(names, rows, caption)


def _sheet(material: Material) -> Sheet:
    mean = material.scores[material.scores["fold"] == "mean"]
    ids = [material.evaluated[key].id for key in zip(mean["parcellation"], mean["pipeline"], strict=True)]
    names = ["parcellation", "pipeline", "target", "metric", "value", "low", "high", "n_subjects"]
    return Sheet(
        "all-scores",
        "Every score: the mean over folds, with its interval",
        mean[names].assign(job=ids),
        filters=("pipeline", "target", "metric"),
        jobs={"value": "job"},
    )


def _limits(scores: pd.DataFrame) -> dict[str, tuple[float, float]]:
    """Ends of the colours of each metric: the same for every pipeline, and a few extremes do not bleach the rest."""
    known = scores.dropna(subset=["value"]).groupby("metric")["value"]
    return {str(metric): (float(values.quantile(0.02)), float(values.quantile(0.98))) for metric, values in known}


def _heat_map(scores: pd.DataFrame, pipeline: str, limits: Mapping[str, tuple[float, float]]) -> Figure:
    found = scores[scores["pipeline"] == pipeline]
    parcellations = list(dict.fromkeys(found["parcellation"]))
    metrics = list(dict.fromkeys(found["metric"]))
    targets = {m: list(dict.fromkeys(found.loc[found["metric"] == m, "target"])) for m in metrics}
    n_columns = sum(map(len, targets.values()))
    n_cells = n_columns * len(parcellations)
    width = 2.2 + n_columns * (0.95 if n_cells <= WITH_INTERVALS else 0.6 if n_cells <= WITH_VALUES else 0.22)
    height = 1.3 + len(parcellations) * (
        0.42 if n_cells <= WITH_INTERVALS else 0.22 if n_cells <= WITH_VALUES else 0.13
    )
    figure = new_figure(max(width, 4), height)
    panels = figure.subplots(1, len(metrics), width_ratios=[len(targets[m]) for m in metrics], squeeze=False)[0]
    for place, (axes, metric) in enumerate(zip(panels, metrics, strict=True)):
        part = found[found["metric"] == metric]
        tables = {
            name: part.pivot(index="parcellation", columns="target", values=name).loc[parcellations, targets[metric]]
            for name in ("value", "low", "high")
        }
        _panel(figure, axes, tables, limits.get(metric, (0.0, 1.0)), metric, n_cells)
        axes.set_yticks(range(len(parcellations)) if place == 0 else [], parcellations if place == 0 else [])
        axes.tick_params(axis="y", labelsize=SMALL if n_cells > WITH_VALUES else None)
        axes.set(xlabel="target", ylabel="parcellation" if place == 0 else "")
    caption = f"{html.escape(pipeline)}: mean over folds of each parcellation and target"
    caption += ", with its interval." if n_cells <= WITH_INTERVALS else "; intervals are in the table above."
    caption += " A colour means the same value for every pipeline."
    alt = (
        f"Heat map of pipeline {pipeline}: {len(parcellations)} parcellations by {n_columns} targets. "
        f"{_in_words(found)} The table of all scores holds the same numbers."
    )
    return Figure((as_png if n_cells > LARGE else as_svg)(figure, alt), caption)


def _panel(
    figure: Canvas,
    axes: Any,
    tables: Mapping[str, pd.DataFrame],
    limits: tuple[float, float],
    metric: str,
    n_cells: int,
) -> None:
    values, lows, highs = (tables[name].to_numpy(dtype=np.float64) for name in ("value", "low", "high"))
    image = axes.imshow(values, aspect="auto", cmap=HEAT, interpolation="nearest", vmin=limits[0], vmax=limits[1])
    axes.set_xticks(range(values.shape[1]), tables["value"].columns, rotation=60, ha="right", rotation_mode="anchor")
    figure.colorbar(image, ax=axes, fraction=0.05, pad=0.02, label=metric, extend="both", aspect=30)
    if n_cells > WITH_VALUES:
        return
    middle = sum(limits) / 2
    for row, column in np.ndindex(values.shape):
        value = float(values[row, column])
        text = "\u2013" if np.isnan(value) else f"{value:.2f}"
        if n_cells <= WITH_INTERVALS and not np.isnan(value):
            text += f"\n{lows[row, column]:.2f} to {highs[row, column]:.2f}"
        colour = "black" if value > middle else "white"
        axes.text(column, row, text, ha="center", va="center", fontsize=6.5, color=colour, linespacing=1.1)


def _in_words(found: pd.DataFrame) -> str:
    known = found.dropna(subset=["value"])
    parts = [
        f"{metric} runs from {values.min():.3f} to {values.max():.3f}."
        for metric, values in known.groupby("metric", sort=False)["value"]
    ]
    return " ".join(parts)


Floats = npt.NDArray[np.float64]
N_BINS = 8


def predictions_section(material: Material) -> PageSection | None:
    """Return the section of predictions: of each target the parcellation and pipeline that predict it best."""
    made = [_of_target(material, str(target)) for target in material.main_scores["target"].unique()]
    figures = tuple(found for found in made if found is not None)
    if not figures:
        return None
    return PageSection("predictions", "Predictions", (Choice("cells", "target", figures),))


def _of_target(material: Material, target: str) -> tuple[str, Figure] | None:
    scores = material.main_scores
    found = scores[scores["target"] == target].dropna(subset=["value"])
    if found.empty:
        return None
    best = found.sort_values("value", ascending=not material.is_better_high(target), kind="stable").iloc[0]
    stored = material.evaluation(best["parcellation"], best["pipeline"])
    # The first repeat: every subject once, predicted by models that never saw it.
    predicted = stored.found.predictions[0, stored.targets.index(target)]
    place = material.targets.names.index(target)
    truth = material.targets.values[:, place]
    known = np.isfinite(predicted) & np.isfinite(truth)
    if material.targets.tasks[place] == "regression":
        return target, _regression(truth[known], predicted[known], _where(target, best), material.meaning(target))
    if len(np.unique(truth[known])) < 2:
        return None
    classes = material.class_names[target]
    if is_by_class(material.targets.tasks[place], len(classes)):
        labels = stored.found.labels[0, stored.targets.index(target)]
        return target, _confusion(truth[known], labels[known], classes, _where(target, best))
    return target, _classification(truth[known], predicted[known], _where(target, best), material.meaning(target))


def _where(target: str, best: Any) -> str:
    return f"{target} from {best['parcellation']} by {best['pipeline']}"


def _regression(truth: Floats, predicted: Floats, where: str, meaning: Meaning) -> Figure:
    units = f" ({meaning.units})" if meaning.units else ""
    figure = new_figure(7.5, 3)
    left, right = figure.subplots(1, 2)
    behind = [as_pixels(axes, len(truth)) for axes in (left, right)]
    left.scatter(predicted, truth, s=10, alpha=0.6, color=COLOURS[0], zorder=behind[0], linewidths=0)
    ends = [min(predicted.min(), truth.min()), max(predicted.max(), truth.max())]
    left.plot(ends, ends, color="#444444", linewidth=1, linestyle="--")
    left.set(xlabel=f"predicted out of fold{units}", ylabel=f"observed{units}")
    right.scatter(predicted, truth - predicted, s=10, alpha=0.6, color=COLOURS[0], zorder=behind[1], linewidths=0)
    right.axhline(0, color="#444444", linewidth=1, linestyle="--")
    right.set(xlabel=f"predicted out of fold{units}", ylabel=f"residual: observed - predicted{units}")
    r = np.corrcoef(predicted, truth)[0, 1] if predicted.std() > 0 else np.nan
    words = (
        f"{len(truth)} subjects; correlation over all folds {r:.2f}; predictions spread {predicted.std():.3g} (SD), "
        f"observations {truth.std():.3g}."
    )
    alt = f"Observed values and residuals against predictions: {where}. {words}"
    return Figure(as_svg(figure, alt), f"{html.escape(where)}. {words} The dashed line would be a perfect prediction.")


def _classification(truth: Floats, probability: Floats, where: str, meaning: Meaning) -> Figure:
    figure = new_figure(7.5, 3)
    left, right = figure.subplots(1, 2)
    false, true, _ = roc_curve(truth, probability)
    left.plot(false, true, color=COLOURS[0])
    left.plot([0, 1], [0, 1], color="#444444", linewidth=1, linestyle="--")
    left.set(xlabel="false positive rate", ylabel="true positive rate", aspect="equal")
    share, mean = calibration_curve(truth, np.clip(probability, 0, 1), n_bins=N_BINS, strategy="quantile")
    right.plot(mean, share, color=COLOURS[1], marker="s")
    right.plot([0, 1], [0, 1], color="#444444", linewidth=1, linestyle="--")
    right.set(xlabel=f"predicted probability of {meaning.positive}", ylabel=f"share of {meaning.positive}")
    right.set_aspect("equal")
    gap = float(np.abs(share - mean).max())
    words = (
        f"{len(truth)} subjects, {int(truth.sum())} of {meaning.positive}; predictions of all folds together. In "
        f"{len(mean)} groups of rising probability the share of {meaning.positive} is off by at most {gap:.2f}."
    )
    alt = f"ROC curve and calibration: {where}. {words}"
    return Figure(as_svg(figure, alt), html.escape(f"{where}. {words}", quote=False))


def _confusion(truth: Floats, labels: Floats, classes: Sequence[str], where: str) -> Figure:
    """Draw how often each class is predicted of each, and the share of each class that is found."""
    n = len(classes)
    counts = confusion_matrix(truth.astype(np.int64), labels.astype(np.int64), labels=range(n))
    sizes = counts.sum(axis=1)
    recall = counts.diagonal() / np.maximum(sizes, 1)
    side = max(2.4, 0.3 * n)
    figure = new_figure(7.5, side + 1.1)
    left, right = figure.subplots(1, 2, width_ratios=[1.6, 1])
    left.imshow(counts / np.maximum(sizes, 1)[:, None], cmap=HEAT, vmin=0, vmax=1, aspect="auto")
    size = SMALL if n > 8 else 9
    for row, column in np.ndindex(counts.shape):
        colour = "black" if counts[row, column] > sizes[row] / 2 else "white"
        left.text(column, row, str(counts[row, column]), ha="center", va="center", color=colour, fontsize=size)
    left.set_xticks(range(n), classes, rotation=45, ha="right", rotation_mode="anchor", fontsize=size)
    left.set_yticks(range(n), classes, fontsize=size)
    left.set(xlabel="predicted out of fold", ylabel="observed")
    right.barh(range(n), recall, color=COLOURS[0])
    for row, value in enumerate(recall):
        right.text(min(value, 0.78) + 0.02, row, f"{value:.2f}", va="center", fontsize=size)
    right.set_yticks(range(n), classes, fontsize=size)
    right.set(xlim=(0, 1), ylim=(n - 0.5, -0.5), xlabel="recall: share of the class that is found")
    each = ", ".join(f"{name} {value:.2f} of {of}" for name, value, of in zip(classes, recall, sizes, strict=True))
    words = f"{len(truth)} subjects, {int(counts.trace())} of them labelled right. Recall: {each}."
    alt = f"Confusion matrix and recall of each class: {where}. {words}"
    caption = f"{where}. {words} Numbers are subjects; a colour is the share of a row."
    return Figure(as_svg(figure, alt), html.escape(caption))


_COLUMNS = (
    *("target", "metric", "pool", "strategy", "pipeline", "value", "low", "high"),
    *("mean of members", "best member's", "gain over the mean", "gain over the best"),
)


def strategies_section(material: Material) -> PageSection | None:
    """Return the section of strategies."""
    table = _strategy_table(material)
    if table.empty:
        return None
    words = (
        "<p>Dots are the single parcellations (of a pool over all pipelines: with each pipeline). A strategy uses no "
        "outer test subject to choose or weigh them; the best single one, known only afterwards, is no fair rival, "
        "and is shown because everybody asks. A positive gain is an improvement, whatever the metric.</p>"
    )
    figures = tuple(
        (f"{pool}, {pipeline}", _draw_strategies(rows, f"{pool}, {pipeline}"))
        for (pool, pipeline), rows in table.groupby(["pool", "pipeline"], sort=False)
    )
    shown = table.drop(columns="members")
    caption = "Strategies and the single parcellations that they are made of"
    sheet = Sheet("strategy-scores", caption, shown, filters=("pool", "strategy", "pipeline"), jobs={"value": "job"})
    blocks: tuple[Block, ...] = (Text(words), Choice("strategy-figures", "pool and pipeline", figures), sheet)
    return PageSection("strategies", "Strategies over parcellations", blocks)


def _strategy_table(material: Material) -> pd.DataFrame:
    """One row a strategy, pipeline and target; `members` are the scores of the single ones."""
    scores = material.main_scores
    value = scores.set_index(["parcellation", "pipeline", "target"])["value"]
    models = {job.name: model for model, job in material.evaluated.items()}
    rows = []
    for (called, pipeline), job in material.evaluated.items():
        if job.method != "ensemble":
            continue
        members = [models[name] for name in job.jobs["evaluate"] if name in models]
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


def _draw_strategies(rows: pd.DataFrame, title: str) -> Figure:
    strategies = list(dict.fromkeys(rows["strategy"]))
    targets = {str(metric): list(dict.fromkeys(some["target"])) for metric, some in rows.groupby("metric", sort=False)}
    per_target = 0.16 + 0.12 * len(strategies)
    n_targets = sum(map(len, targets.values()))
    figure = new_figure(7.5, 0.5 + 0.45 * len(targets) + per_target * n_targets)
    panels = figure.subplots(len(targets), 1, height_ratios=[len(names) for names in targets.values()], squeeze=False)
    for axes, (metric, names) in zip(panels[:, 0], targets.items(), strict=True):
        _strategy_panel(axes, rows[rows["metric"] == metric], names, strategies)
        axes.set_xlabel(f"{metric}, mean over folds")
    put_legend(panels[0, 0], "")
    gains = {name: rows.loc[rows["strategy"] == name, "gain over the mean"] for name in strategies}
    words = "; ".join(f"{name} {found.median():+.3f}, better on {(found > 0).sum()}" for name, found in gains.items())
    caption = f"{title}: median gain over the mean of the single ones, over {n_targets} targets: {words}."
    return Figure(as_svg(figure, f"Scores of strategies and single parcellations. {caption}"), html.escape(caption))


def _strategy_panel(axes: Any, rows: pd.DataFrame, targets: Sequence[str], strategies: Sequence[str]) -> None:
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

"""What the searches chose, and what they saw: chosen values over all cells, and the score of every configuration."""

from __future__ import annotations

import html
import math
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from cortax.report.blocks import Block, Choice, Figure, PageSection, Sheet, Text
from cortax.report.figures import COLOURS, HEAT, as_svg, log_axis, new_figure
from cortax.workloads.regions.report.material import Material, SearchedPart

__all__ = ["section"]

MAX_ROWS = 20_000
# A parameter that spans more than so much is drawn on a log axis.
LOG_RATIO = 30


def section(material: Material) -> PageSection | None:
    """Return the section."""
    chosen = _chosen(material)
    if chosen.empty:
        return None
    surfaces = [found for found in (_surface(material, name) for name in _pipelines(material)) if found]
    spread = [(str(name), _spread(str(name), rows)) for name, rows in chosen.groupby("pipeline", sort=False)]
    drawn = tuple((name, figure) for name, figure in spread if figure)
    blocks: list[Block] = [Choice("chosen-values", "pipeline", drawn)] if drawn else []
    if surfaces:
        blocks.append(Choice("surfaces", "search of pipeline", tuple(surfaces)))
    blocks.append(_sheet(chosen))
    return PageSection("searches", "Chosen configurations", tuple(blocks))


def _sheet(chosen: pd.DataFrame) -> Block:
    if len(chosen) > MAX_ROWS:
        return Text(
            f"<p>{len(chosen)} configurations were chosen, more than a browser should hold: those of one parcellation "
            "and pipeline are in <code>models.npz</code> of its job, by their numbers in the search.</p>"
        )
    shown = chosen.assign(configuration=[_words(config) for config in chosen["configuration"]])
    caption = "The configuration that was chosen for each target and outer fold"
    return Sheet("chosen", caption, shown, filters=("pipeline", "target"))


def _pipelines(material: Material) -> list[str]:
    return list(dict.fromkeys(pipeline for _, pipeline in material.evaluated))


def _cells(part: SearchedPart, tasks: dict[str, str]) -> Iterator[tuple[str, int, int, dict[str, Any]]]:
    """Target, outer fold, and number and values of the configuration that was chosen."""
    for (place, outer), number in np.ndenumerate(part.evaluation.found.chosen):
        target = part.evaluation.targets[place]
        if number >= 0 and target in tasks:
            yield target, outer, int(number), part.search.configs_of(place, outer, tasks[target])[number]


def _chosen(material: Material) -> pd.DataFrame:
    tasks = dict(zip(material.targets.names, material.targets.tasks, strict=True))
    rows = [
        {"parcellation": parcellation, "pipeline": pipeline, "target": target, "fold": outer, "configuration": config}
        for parcellation, pipeline in material.evaluated
        for part in material.parts(parcellation, pipeline)
        for target, outer, _, config in _cells(part, tasks)
    ]
    return pd.DataFrame(rows)


def _words(config: dict[str, Any]) -> str:
    return ", ".join(
        f"{name} {value:.3g}" if isinstance(value, float) else f"{name} {value}" for name, value in config.items()
    )


def _plain(configs: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """Parameters that are not always numbers as text, so that None and lists can be counted too."""
    numbers = (int, float, type(None))
    texts = {name for config in configs for name, value in config.items() if not isinstance(value, numbers)}
    return [{name: str(value) if name in texts else value for name, value in config.items()} for config in configs]


def _spread(pipeline: str, chosen: pd.DataFrame) -> Figure | None:
    """Draw how often each value of each parameter was chosen; nothing where all are one."""
    table = pd.DataFrame(_plain(list(chosen["configuration"])))
    names = [name for name in table.columns if table[name].nunique() > 1]
    if not names:
        return None
    figure = new_figure(7.5, 1.9 * math.ceil(len(names) / 3) + 0.2)
    panels = figure.subplots(math.ceil(len(names) / 3), min(3, len(names)), squeeze=False).ravel()
    words = []
    for axes, name in zip(panels, names, strict=False):
        values = table[name].dropna()
        words.append(f"{name}: {_histogram(axes, values)}")
        axes.set_xlabel(name)
    for axes in panels[len(names) :]:
        axes.set_axis_off()
    panels[0].set_ylabel("units")
    alt = f"How often {pipeline} chose each value, over {len(chosen)} units. {'; '.join(words)}."
    caption = f"{html.escape(pipeline)}: what was chosen, over all parcellations, targets and outer folds."
    return Figure(as_svg(figure, alt), caption)


def _histogram(axes: Any, values: pd.Series) -> str:
    if not pd.api.types.is_numeric_dtype(values) or pd.api.types.is_bool_dtype(values):
        counts = values.astype(str).value_counts()
        axes.bar(counts.index, counts.to_numpy(), color=COLOURS[0])
        return ", ".join(f"{name} {n} times" for name, n in counts.items())
    numbers = values.to_numpy(dtype=np.float64)
    low, high = numbers.min(), numbers.max()
    is_log = low > 0 and high / low > LOG_RATIO
    edges = np.geomspace(low, high, 21) if is_log else np.linspace(low, max(high, low + 1e-9), 21)
    axes.hist(numbers, bins=edges, color=COLOURS[0])
    if is_log:
        log_axis(axes.xaxis, edges, n_most=4)
    return f"from {low:.3g} to {high:.3g}, median {np.median(numbers):.3g}"


def _surface(material: Material, pipeline: str) -> tuple[str, Figure] | None:
    """Draw the inner score of every configuration of one cell: of the target that this pipeline predicts best."""
    found = material.main_scores[(material.main_scores["pipeline"] == pipeline)].dropna(subset=["value"])
    tasks = dict(zip(material.targets.names, material.targets.tasks, strict=True))
    for row in found.sort_values("value", ascending=False, kind="stable").to_dict("records"):
        parcellation, target = str(row["parcellation"]), str(row["target"])
        for part in material.parts(parcellation, pipeline):
            if target in part.evaluation.targets and _is_chosen(part, target):
                return pipeline, _of_cell(part, target, tasks[target], f"{pipeline}, {target} from {parcellation}")
    return None


def _is_chosen(part: SearchedPart, target: str) -> bool:
    """Whether any outer fold of a target found a configuration."""
    return bool((part.evaluation.found.chosen[part.evaluation.targets.index(target)] >= 0).any())


def _of_cell(part: SearchedPart, target: str, task: str, where: str) -> Figure:
    place = part.evaluation.targets.index(target)
    chosen = part.evaluation.found.chosen[place]
    outer = int(np.argmax(chosen >= 0))
    configs = part.search.configs_of(place, outer, task)
    scores = np.asarray(part.search.scores[place, outer][: len(configs)])
    return _draw_surface(pd.DataFrame(configs), scores, int(chosen[outer]), f"{where}, outer fold {outer}")


def _draw_surface(configs: pd.DataFrame, scores: npt.NDArray[np.float64], chosen: int, where: str) -> Figure:
    mean = np.nanmean(np.where(np.isnan(scores).all(axis=1, keepdims=True), -np.inf, scores), axis=1)
    mean = np.where(np.isfinite(mean), mean, np.nan)
    names = [
        name for name in configs.columns if pd.api.types.is_float_dtype(configs[name]) and configs[name].nunique() > 1
    ]
    names = names or [name for name in configs.columns if pd.api.types.is_numeric_dtype(configs[name])]
    if not names:
        configs, names = configs.assign(number=range(len(configs))), ["number"]
    figure = new_figure(5.5, 3)
    axes = figure.subplots()
    if len(names) >= 2:
        image = axes.scatter(configs[names[0]], configs[names[1]], c=mean, cmap=HEAT, s=36)
        axes.set_ylabel(names[1])
        figure.colorbar(image, ax=axes, label="mean inner score")
        at = configs[names[0]].iloc[chosen], configs[names[1]].iloc[chosen]
    else:
        axes.scatter(configs[names[0]], mean, color=COLOURS[0], s=24)
        axes.set_ylabel("mean inner score")
        at = configs[names[0]].iloc[chosen], mean[chosen]
    axes.scatter(*at, s=140, facecolors="none", edgecolors=COLOURS[1], linewidths=2)
    axes.set_xlabel(names[0])
    for axis, name in zip((axes.xaxis, axes.yaxis), names[:2], strict=False):
        values = configs[name].to_numpy(dtype=np.float64)
        if values.min() > 0 and values.max() / values.min() > LOG_RATIO:
            log_axis(axis, values)
    ends = f"{np.nanmin(mean):.3f} to {np.nanmax(mean):.3f}"
    best = f"The chosen one, circled, scores {mean[chosen]:.3f}; all run from {ends}."
    return Figure(
        as_svg(figure, f"Inner scores of {len(configs)} configurations: {where}. {best}"),
        f"{html.escape(where)}. {best}",
    )

"""Which pipelines and parcellations differ, the clearest of each target drawn; and permutation tests, with nulls."""

from __future__ import annotations

import html
from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from cortax.learning.stats.nulls import open_nulls
from cortax.learning.stats.permutation_tests import join_nulls, warnings_of
from cortax.report.blocks import Block, Choice, Figure, PageSection, Sheet, Text, job_link
from cortax.report.figures import COLOURS, as_svg, new_figure
from cortax.report.page import MadeJob
from cortax.workloads.regions.report.material import Material

__all__ = ["comparisons_section", "permutations_section"]

# So many differences are drawn a target and kind, and so many rows of a table are sent to a browser.
MAX_DRAWN, MAX_ROWS, MAX_LETTERS = 20, 5_000, 48
LEVEL = 0.05

_SHOWN = (
    *("kind", "within", "target", "metric", "a", "b", "difference", "low", "high", "better"),
    *("t", "p", "p_fdr", "p_holm", "p_rope", "note"),
)
_OVER_TARGETS = ("kind", "within", "metric", "test", "a", "b", "n_targets", "median", "p", "p_fdr", "note")


def comparisons_section(material: Material) -> PageSection | None:
    """Return the section of comparisons."""
    blocks = [block for job in material.of("compare") for block in _of_job(job, material)]
    return PageSection("comparisons", "Comparisons", tuple(blocks)) if blocks else None


def _of_job(job: MadeJob, material: Material) -> list[Block]:
    table = pd.read_parquet(job.folder / "comparisons.parquet")
    if table.empty:
        return []
    n_tests, below = int(table["p"].notna().sum()), int((table["p_fdr"] <= LEVEL).sum())
    words = (
        f"<p>{len(table)} comparisons of two pipelines on one parcellation, or of two parcellations under one "
        f"pipeline; {below} of {n_tests} tests have a corrected p (p_fdr) of at most {LEVEL}. Interval and p are of "
        "what the two would score on other samples of as many people. Of one split there is no p, as nothing tells "
        "how much depends on who was trained on; with splits.n_repeats there is. p_rope is the probability that the "
        f"two are practically equal. Made by {job_link(job.id)}; all columns are in "
        "<code>comparisons.parquet</code>.</p>"
    )
    main = table[table["metric"] == table["target"].map(material.first_metric)]
    drawn = main if len(main) else table
    figures = tuple((str(target), _draw_forest(rows, str(target))) for target, rows in drawn.groupby("target"))
    blocks: list[Block] = [Text(words), Choice("forest", "target", figures), *_comparison_sheet(table)]
    return blocks + _over_targets(pd.read_parquet(job.folder / "over_targets.parquet"))


def _comparison_sheet(table: pd.DataFrame) -> list[Block]:
    shown = _clearest_first(table)[list(_SHOWN)].head(MAX_ROWS)
    blocks: list[Block] = []
    if len(table) > MAX_ROWS:
        words = f"The table below holds the {MAX_ROWS} clearest comparisons, of {len(table)}."
        blocks.append(Text(f"<p>{words}</p>"))
    return [
        *blocks,
        Sheet(
            "comparison-table",
            "Comparisons, the clearest (the largest t) first",
            shown,
            filters=("kind", "within", "target", "metric"),
        ),
    ]


def _over_targets(table: pd.DataFrame) -> list[Block]:
    if table.empty:
        return []
    shown = table[list(_OVER_TARGETS)].head(MAX_ROWS)
    caption = "Over all targets: signed-rank tests of two, Friedman's test of all rivals"
    return [Sheet("over-targets", caption, shown, filters=("kind", "metric", "test"))]


def _draw_forest(rows: pd.DataFrame, target: str) -> Figure:
    kinds = list(dict.fromkeys(rows["kind"]))
    parts = {kind: _clearest(rows[rows["kind"] == kind]) for kind in kinds}
    longest = max(map(len, parts.values()))
    height = 1.0 + 0.2 * longest
    figure = new_figure(11, height)
    # Places by hand: to lay out so many words takes longer than to draw them.
    figure.set_layout_engine("none")
    places = {"left": 0.24, "right": 0.99, "wspace": 0.95, "top": 1 - 0.3 / height, "bottom": 0.55 / height}
    panels = figure.subplots(1, len(kinds), squeeze=False, gridspec_kw=places)[0]
    metric = rows["metric"].iloc[0]
    for axes, (kind, part) in zip(panels, parts.items(), strict=True):
        _forest(axes, part, longest)
        axes.set_title(f"{kind}: {len(part)} of {(rows['kind'] == kind).sum()}", fontsize=9)
        axes.set_xlabel(f"difference in {metric}, first - second")
    clear = int((rows["p_fdr"] <= LEVEL).sum())
    words = f"{clear} of {len(rows)} comparisons have a corrected p of at most {LEVEL} (filled)."
    first = _clearest_first(rows).iloc[0]
    alt = (
        f"Differences in {metric} of {target}, with intervals. {words} The clearest is {_pair(first)}: "
        f"{first['difference']:.3f}. The table below holds all."
    )
    caption = (
        f"{html.escape(target)}: the clearest differences, with their intervals. {words} Chosen so, "
        "they are larger than others would find them."
    )
    return Figure(as_svg(figure, alt), caption)


def _clearest(rows: pd.DataFrame) -> pd.DataFrame:
    return _clearest_first(rows).head(MAX_DRAWN).sort_values("difference", kind="stable")


def _clearest_first(rows: pd.DataFrame) -> pd.DataFrame:
    return rows.sort_values("t", key=lambda t: -t.abs(), kind="stable")


def _forest(axes: Any, rows: pd.DataFrame, longest: int) -> None:
    places = range(len(rows))
    axes.axvline(0, color="#444444", linewidth=1, linestyle="--")
    axes.hlines(places, rows["low"], rows["high"], color=COLOURS[0], linewidth=1)
    is_clear = (rows["p_fdr"] <= LEVEL).to_numpy()
    faces = [COLOURS[0] if clear else "white" for clear in is_clear]
    axes.scatter(rows["difference"], places, s=24, facecolors=faces, edgecolors=COLOURS[0], zorder=3)
    names = [_pair(row) for row in rows.to_dict("records")]
    shown = [name if len(name) <= MAX_LETTERS else f"{name[: MAX_LETTERS - 1]}\u2026" for name in names]
    axes.set_yticks(places, shown, fontsize=7)
    axes.set_ylim(-0.8, longest - 0.2)


def _pair(row: Any) -> str:
    return f"{row['a']} - {row['b']} ({row['within']})"


N_BINS = 30

_SHOWN_TESTS = (
    *("parcellation", "pipeline", "target", "metric", "value", "p", "p_max", "q"),
    *("n_permutations", "null_mean", "null_sd"),
)


def permutations_section(material: Material) -> PageSection | None:
    """Return the section of permutations."""
    blocks = [block for job in material.of("permutation_tests") for block in _tests_of_job(job, material)]
    return PageSection("permutations", "Permutation tests", tuple(blocks)) if blocks else None


def _tests_of_job(job: MadeJob, material: Material) -> list[Block]:
    table = pd.read_parquet(job.folder / "permutations.parquet")
    exchange = ", ".join(sorted(set(table["exchange"])))
    words = (
        f"<p>Targets were permuted ({html.escape(exchange)}), and searched, refitted and scored like the real ones. p "
        "is of one test alone; p_max holds the chance of any false finding over all tests of the metric, q the "
        f"expected share of false ones. Made by {job_link(job.id)}.</p>"
    )
    figures = [_of_target(job, material, str(target), rows) for target, rows in table.groupby("target")]
    drawn = tuple(found for found in figures if found is not None)
    blocks: list[Block] = [Text(words)]
    if drawn:
        blocks.append(Choice("nulls", "target", drawn))
    if said := warnings_of(table):
        blocks.append(Text("<ul>" + "".join(f"<li>{html.escape(text)}</li>" for text in said) + "</ul>"))
    caption = "Every test; p cannot be below 1 / (n_permutations + 1)"
    filters = ("parcellation", "pipeline", "target", "metric")
    return [*blocks, Sheet("permutation-table", caption, table[list(_SHOWN_TESTS)], filters=filters)]


def _of_target(job: MadeJob, material: Material, target: str, rows: pd.DataFrame) -> tuple[str, Figure] | None:
    """Draw the null of what predicts a target best, of those that were tested."""
    tested = rows[(rows["metric"] == material.first_metric.get(target)) & rows["p"].notna()]
    if tested.empty:
        return None
    best = tested.sort_values("value", ascending=not material.is_better_high(target), kind="stable").iloc[0]
    model = {axis: str(best[axis]) for axis in ("parcellation", "pipeline")}
    null = _null_of(job, model, target, str(best["metric"]))
    return target, _draw_null(null[~np.isnan(null)], best)


def _null_of(job: MadeJob, model: Mapping[str, str], target: str, metric: str) -> npt.NDArray[np.float64]:
    """Scores of the permuted target, from the jobs that the tests took it from."""
    parts = zip(job.setup["options"]["nulls"], job.setup["jobs"]["permute"], strict=True)
    chosen = [(part, made) for part, made in parts if model.items() <= part.items() and target in part["take"]]
    nulls = [open_nulls(job.beside(made).folder) for _, made in chosen]
    task = nulls[0].tasks[nulls[0].targets.index(target)]
    joined = join_nulls(nulls, target, n_parts=chosen[0][0]["n_parts"])
    return joined[:, list(nulls[0].metrics[task]).index(metric)]


def _draw_null(null: npt.NDArray[np.float64], best: Any) -> Figure:
    figure = new_figure(6.5, 2.6)
    axes = figure.subplots()
    axes.hist(null, bins=min(N_BINS, max(5, len(null) // 4)), color="#8c8c8c", label="permuted targets")
    axes.axvline(best["value"], color=COLOURS[1], linewidth=2.5, label="observed")
    axes.set(xlabel=f"{best['metric']}, mean over folds", ylabel="permutations")
    axes.legend(loc="upper center", bbox_to_anchor=(0.5, 1.2), ncols=2)
    where = f"{best['target']} from {best['parcellation']} by {best['pipeline']}"
    words = (
        f"Observed {best['value']:.3f}; {len(null)} permutations, mean {null.mean():.3f}, SD {null.std():.3f}; "
        f"p = {best['p']:.4f}, p_max = {best['p_max']:.4f}, q = {best['q']:.4f}."
    )
    return Figure(as_svg(figure, f"Histogram of {where}. {words}"), f"{html.escape(where)}. {words}")

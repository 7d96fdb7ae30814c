"""Which pipelines and parcellations differ: every comparison in a table, and the clearest of each target drawn."""

from __future__ import annotations

import html
from typing import Any

import pandas as pd

from cortax.report.blocks import Block, Choice, Figure, Section, Sheet, Text, job_link
from cortax.report.figures import COLOURS, as_svg, new_figure
from cortax.report.material import MadeJob, Material

__all__ = ["section"]

# So many differences are drawn a target and kind, and so many rows of a table are sent to a browser.
MAX_DRAWN, MAX_ROWS, MAX_LETTERS = 20, 5_000, 48
LEVEL = 0.05

_SHOWN = (
    *("kind", "within", "target", "metric", "a", "b", "difference", "low", "high", "better"),
    *("p", "p_fdr", "p_holm", "p_rope", "note"),
)
_OVER_TARGETS = ("kind", "within", "metric", "test", "a", "b", "n_targets", "median", "p", "p_fdr", "note")


def section(material: Material) -> Section | None:
    """Return the section."""
    blocks = [block for job in material.of("compare") for block in _of_job(job, material)]
    return Section("comparisons", "Comparisons", tuple(blocks)) if blocks else None


def _of_job(job: MadeJob, material: Material) -> list[Block]:
    table = pd.read_parquet(job.folder / "comparisons.parquet")
    if table.empty:
        return []
    n_tests, below = int(table["p"].notna().sum()), int((table["p_fdr"] <= LEVEL).sum())
    words = (
        f"<p>{len(table)} comparisons of two pipelines on one parcellation, or of two parcellations under one "
        f"pipeline; {below} of {n_tests} tests have a corrected p (p_fdr) of at most {LEVEL}. p is of a t-test over "
        "outer folds, corrected for what their training parts share; p_rope is the probability that the two are "
        f"practically equal. Made by {job_link(job.id)}; all columns are in <code>comparisons.parquet</code>.</p>"
    )
    main = table[table["metric"] == table["target"].map(material.first_metric)]
    drawn = main if len(main) else table
    figures = tuple((str(target), _draw(rows, str(target))) for target, rows in drawn.groupby("target"))
    blocks: list[Block] = [Text(words), Choice("forest", "target", figures), *_sheet(table)]
    return blocks + _over_targets(pd.read_parquet(job.folder / "over_targets.parquet"))


def _sheet(table: pd.DataFrame) -> list[Block]:
    shown = table[list(_SHOWN)].sort_values("p", kind="stable").head(MAX_ROWS)
    blocks: list[Block] = []
    if len(table) > MAX_ROWS:
        words = f"The table below holds the {MAX_ROWS} comparisons with the smallest p, of {len(table)}."
        blocks.append(Text(f"<p>{words}</p>"))
    return [
        *blocks,
        Sheet(
            "comparison-table",
            "Comparisons, the smallest p first",
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


def _draw(rows: pd.DataFrame, target: str) -> Figure:
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
    first = rows.sort_values("p", kind="stable").iloc[0]
    alt = (
        f"Differences in {metric} of {target}, with intervals. {words} The smallest p is of {_pair(first)}: "
        f"{first['difference']:.3f}. The table below holds all."
    )
    caption = (
        f"{html.escape(target)}: the differences with the smallest p, with their intervals. {words} Chosen by their p, "
        "they are larger than others would find them."
    )
    return Figure(as_svg(figure, alt), caption)


def _clearest(rows: pd.DataFrame) -> pd.DataFrame:
    return rows.sort_values("p", kind="stable").head(MAX_DRAWN).sort_values("difference", kind="stable")


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

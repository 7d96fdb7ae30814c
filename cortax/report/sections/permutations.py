"""Permutation tests: the scores that permuted targets get, beside the one that was observed."""

from __future__ import annotations

import html
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from cortax.report.blocks import Block, Choice, Figure, Section, Sheet, Text, job_link
from cortax.report.figures import COLOURS, as_svg, new_figure
from cortax.report.material import MadeJob, Material
from cortax.stats.permutation_tests import join_nulls, warnings_of
from cortax.stats.store_nulls import open_nulls

__all__ = ["section"]

N_BINS = 30

_SHOWN = (
    *("parcellation", "pipeline", "target", "metric", "value", "p", "p_max", "q"),
    *("n_permutations", "null_mean", "null_sd"),
)


def section(material: Material) -> Section | None:
    """Return the section."""
    blocks = [block for job in material.of("permutation_tests") for block in _of_job(job, material)]
    return Section("permutations", "Permutation tests", tuple(blocks)) if blocks else None


def _of_job(job: MadeJob, material: Material) -> list[Block]:
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
    return [*blocks, Sheet("permutation-table", caption, table[list(_SHOWN)], filters=filters)]


def _of_target(job: MadeJob, material: Material, target: str, rows: pd.DataFrame) -> tuple[str, Figure] | None:
    """Draw the null of what predicts a target best, of those that were tested."""
    tested = rows[(rows["metric"] == material.first_metric.get(target)) & rows["p"].notna()]
    if tested.empty:
        return None
    best = tested.sort_values("value", ascending=not material.is_better_high(target), kind="stable").iloc[0]
    null = _null_of(job, f"{best['parcellation']}/{best['pipeline']}", target, str(best["metric"]))
    return target, _draw(null[~np.isnan(null)], best)


def _null_of(job: MadeJob, cell: str, target: str, metric: str) -> npt.NDArray[np.float64]:
    """Scores of the permuted target, from the jobs that the tests took it from."""
    parts = zip(job.setup["options"]["nulls"], job.setup["jobs"]["permute"], strict=True)
    chosen = [(about, made) for about, made in parts if about["cell"] == cell and target in about["take"]]
    nulls = [open_nulls(job.folder.parent / made) for _, made in chosen]
    task = nulls[0].tasks[nulls[0].targets.index(target)]
    joined = join_nulls(nulls, target, n_parts=chosen[0][0]["n_parts"])
    return joined[:, list(nulls[0].metrics[task]).index(metric)]


def _draw(null: npt.NDArray[np.float64], best: Any) -> Figure:
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

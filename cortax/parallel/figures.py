"""Scaling as a picture: speed-up of fixed work, and efficiency of work that grows with its workers."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

__all__ = ["draw_scaling"]

# Okabe and Ito (2008): told apart with any kind of colour vision; markers tell the same without colour.
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00")
MARKERS = ("o", "s", "^", "D", "v")
LINES = ("-", "--", ":", "-.", (0, (1, 3)))


def draw_scaling(table: pd.DataFrame, path: Path) -> None:
    """Draw strong scaling on the left and weak scaling on the right, a line a back-end and pipeline.

    Parameters
    ----------
    table : DataFrame
        See `tables.scaling`; of several sizes the large one is drawn.
    path : Path
        Of the SVG file. Where there is nothing to draw, none is written.
    """
    # It takes a second to import, which no other command should pay.
    import matplotlib as mpl
    from matplotlib.figure import Figure

    drawn = table[table["size"] == ("large" if (table["size"] == "large").any() else "small")]
    if drawn.empty:
        return
    with mpl.rc_context({"svg.fonttype": "none", "svg.hashsalt": "cortax", "font.size": 9}):
        figure = Figure(figsize=(9, 4), layout="constrained")
        axes = figure.subplots(1, 2)
        workers = sorted(drawn["processes"].unique())
        for axis, kind, value, ideal in (
            (axes[0], "strong", "speedup", workers),
            (axes[1], "weak", "efficiency", [1.0] * len(workers)),
        ):
            axis.plot(workers, ideal, color="0.7", label="ideal")
            _lines(axis, drawn[drawn["kind"] == kind], value)
            axis.set_xticks(workers)
            axis.set_xlabel("workers")
            axis.set_ylim(bottom=0)
            axis.spines[["top", "right"]].set_visible(False)
        axes[0].set(ylabel="speed-up", title="Strong scaling: the same work")
        axes[1].set(ylabel="efficiency", title="Weak scaling: as much work for every worker")
        figure.legend(*axes[0].get_legend_handles_labels(), loc="outside right center", frameon=False)
        figure.savefig(path, format="svg", metadata={"Date": None, "Title": "Scaling on this machine"})


def _lines(axis: object, table: pd.DataFrame, value: str) -> None:
    styles = {name: LINES[i % len(LINES)] for i, name in enumerate(table["backend"].unique())}
    marks = {name: i % len(COLOURS) for i, name in enumerate(table["pipeline"].unique())}
    for (backend, pipeline), part in table.groupby(["backend", "pipeline"], sort=False):
        curve = part.sort_values("processes")
        axis.plot(  # type: ignore[attr-defined]
            curve["processes"],
            curve[value],
            color=COLOURS[marks[pipeline]],
            marker=MARKERS[marks[pipeline]],
            linestyle=styles[backend],
            label=f"{pipeline}, {backend}",
        )

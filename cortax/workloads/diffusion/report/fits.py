"""How well models fit: residuals by gradient and by shell."""

from __future__ import annotations

import numpy as np
import pandas as pd

from cortax.report.blocks import Block, Choice, Figure, PageSection, Sheet, Text
from cortax.report.figures import as_svg, marks_of, new_figure, put_legend
from cortax.workloads.diffusion.models.gradients import shell_of_each
from cortax.workloads.diffusion.report.material import Material

__all__ = ["section"]


def section(material: Material) -> PageSection | None:
    """Return the section."""
    table = material.made.table("diffusion_residuals", "residuals.parquet")
    if not len(table):
        return None
    table = table.assign(shell=_shells(material, table))
    words = (
        "<p>A residual is a signal less what the model predicts. Their root mean square over voxels is shown as a "
        "share of the mean signal of the gradient. A direction that stands out from its shell was measured badly "
        "(motion, a lost slice); a shell that does is not described by the model.</p>"
    )
    figures = tuple((str(model), _figure(str(model), part)) for model, part in table.groupby("model", sort=False))
    blocks: list[Block] = [Text(words), Choice("residuals", "Model", figures), _by_shell(table)]
    return PageSection("residuals", "Residuals", tuple(blocks))


def _shells(material: Material, table: pd.DataFrame) -> np.ndarray:
    """The mean b-value of each row's shell; 0 of a b0."""
    found = np.zeros(len(table))
    for name, rows in table.groupby("volume").indices.items():
        found[rows] = shell_of_each(material.volumes[str(name)].gradients)[table["gradient"].to_numpy()[rows] - 1]
    return found


def _figure(model: str, table: pd.DataFrame) -> Figure:
    figure = new_figure(7.0, 3.0)
    axes = figure.subplots()
    names = [str(name) for name in table["volume"].unique()]
    for name, (colour, marker) in marks_of(names).items():
        part = table[table["volume"] == name]
        axes.plot(part["gradient"], part["rms"] / part["signal"], marker, color=colour, ms=3, label=name)
    axes.set_xlabel("gradient, in the order of the file")
    axes.set_ylabel("root mean square / mean signal")
    axes.set_ylim(bottom=0)
    put_legend(axes, "volume")
    share, told = (table["rms"] / table["signal"]).to_numpy(), ""
    if np.isfinite(share).any():
        worst = table.iloc[int(np.nanargmax(share))]
        told = f" The largest share is that of gradient {worst['gradient']} of {worst['volume']}."
    return Figure(as_svg(figure, f"Residuals of {model} by gradient, {len(names)} volumes.{told}"), told.strip())


def _by_shell(table: pd.DataFrame) -> Block:
    square = table.assign(square=table["rms"] ** 2)
    grouped = square.groupby(["model", "volume", "shell"], sort=False)
    means = grouped[["signal", "mean", "square"]].mean().reset_index()
    shown = means.assign(
        n_gradients=grouped.size().to_numpy(),
        rms=np.sqrt(means["square"]),
        share=np.sqrt(means["square"]) / means["signal"],
        job=grouped["job"].first().to_numpy(),
    ).drop(columns="square")
    shown = shown.rename(columns={"shell": "shell, s/mm2", "share": "rms / signal"})
    filters = tuple(name for name in ("model", "volume") if shown[name].nunique() > 1)
    return Sheet("residuals-by-shell", "Residuals by shell", shown, filters, {"rms": "job"})

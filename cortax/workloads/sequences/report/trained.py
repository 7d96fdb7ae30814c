"""How networks learnt: losses by epoch, epochs, and the models that diverged."""

from __future__ import annotations

import html

import numpy as np
import pandas as pd

from cortax.learning.arrays import Floats
from cortax.report.blocks import Block, Choice, Figure, PageSection, Sheet, Warned
from cortax.report.figures import COLOURS, as_svg, new_figure
from cortax.report.page import MadeJob
from cortax.workloads.sequences.report.material import Material
from cortax.workloads.sequences.tasks import open_models
from cortax.workloads.sequences.training import State

__all__ = ["section"]

_MOST = 8
_WORDS = {State.TRAINING: "trained", State.STOPPED: "stopped early", State.DIVERGED: "diverged"}


def section(material: Material) -> PageSection | None:
    """Return the section."""
    jobs = material.made.of("train")
    if not jobs:
        return None
    table = pd.concat([_models(job) for job in jobs], ignore_index=True)
    failed = table[table["state"] == _WORDS[State.DIVERGED]]
    blocks: list[Block] = []
    if len(failed):
        blocks.append(Warned(f"{len(failed)} models diverged: their losses or weights are not finite. They have no "
                             "skill, and no part in means and tests; the others do not depend on them"))  # fmt: skip
    names = list(dict.fromkeys(job.key["site"] for job in jobs))[:_MOST]
    figures = tuple((job.name, _figure(job)) for job in jobs if job.key["site"] in names)
    blocks.append(Choice("losses", "job", figures))
    filters = tuple(name for name in ("site", "state") if table[name].nunique() > 1)
    blocks.append(Sheet("models", "Models", table, filters, {"loss": "job"}))
    return PageSection("training", "Training", tuple(blocks))


def _models(job: MadeJob) -> pd.DataFrame:
    models, curves, pairs = open_models(str(job.folder))
    return pd.DataFrame(
        {
            "site": job.key["site"],
            "factor": [factor for factor, _ in pairs],
            "seed": [seed for _, seed in pairs],
            "state": [_WORDS[State(state)] for state in models.state],
            "epochs": models.epochs,
            "best epoch": models.best_epoch,
            "loss": [_last(losses) for losses in curves.train],
            "validation": np.where(np.isfinite(models.best_loss), models.best_loss, np.nan),
            "job": job.id,
        }
    )


def _last(losses: Floats) -> float:
    """The last finite loss; NaN where there is none."""
    finite = losses[np.isfinite(losses)]
    return float(finite[-1]) if len(finite) else np.nan


def _figure(job: MadeJob) -> Figure:
    models, curves, pairs = open_models(str(job.folder))
    first = int(job.key["epochs"]) - curves.train.shape[1]
    epochs = first + 1 + np.arange(curves.train.shape[1])
    figure = new_figure(6.5, 2.8)
    axes = figure.subplots()
    words = []
    for number, factor in enumerate(dict.fromkeys(factor for factor, _ in pairs)):
        rows = [row for row, (own, _) in enumerate(pairs) if own == factor and models.state[row] != State.DIVERGED]
        if not rows:
            continue
        colour = COLOURS[number % len(COLOURS)]
        axes.plot(epochs, _medians(curves.train[rows]), color=colour, label=f"factor {factor:g}")
        if np.isfinite(curves.validation[rows]).any():
            axes.plot(epochs, _medians(curves.validation[rows]), color=colour, linestyle="--")
        words.append(f"factor {factor:g} {_last(_medians(curves.train[rows])):.3f}")
    axes.set(xlabel="epoch", ylabel="loss")
    axes.legend(loc="upper left", bbox_to_anchor=(1.01, 1.0))
    alt = f"Losses by epoch of {job.name}, medians over seeds that were still trained. Last: {', '.join(words)}."
    caption = f"{html.escape(job.name)}: medians over seeds; dashed: root mean squared error on validation."
    return Figure(as_svg(figure, alt), caption)


def _medians(losses: Floats) -> Floats:
    """Median over models (rows) of every epoch; NaN where none was trained."""
    found = np.full(losses.shape[1], np.nan)
    there = np.isfinite(losses).any(axis=0)
    found[there] = np.nanmedian(losses[:, there], axis=0)
    return found

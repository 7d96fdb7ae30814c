"""What was predicted: sites, periods, networks, and what the tables lack."""

from __future__ import annotations

import html
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from cortax.report.blocks import Block, PageSection, Sheet, Text, Warned
from cortax.workloads.sequences.dataset import open_series
from cortax.workloads.sequences.reading import typical_values, unit_warnings
from cortax.workloads.sequences.report.material import Material

__all__ = ["section"]


def section(material: Material) -> PageSection | None:
    """Return the section."""
    if not material.predict:
        return None
    table, warnings = _sites(material)
    blocks: list[Block] = [Text(_words(material)), *(Warned(text) for text in warnings)]
    blocks.append(Sheet("sites", "Sites", table, (), {"days": "job"}))
    return PageSection("study", "What was predicted", tuple(blocks))


def _words(material: Material) -> str:
    options = next(iter(material.predict.values())).setup["options"]
    periods = ", ".join(f"<b>{name}</b> {' to '.join(options[name])}" for name in ("train", "validation", "test"))
    first, *others = (html.escape(name) for name in options["names"])
    more = f", and {', '.join(others)} beside it" if others else ""
    return (
        f"<p>{_networks(options['network'])} predict <b>{first}</b>{more}, day by day, in windows of "
        f"{options['window']} days of which the first {options['warm_up']} do not count. Periods: {periods}; all "
        "windows lie inside their period, and everything is scaled by days of the training period. A factor is the "
        "weight of the losses of targets beside the first; with factor 0 a network is trained for the first one "
        "alone.</p>"
    )


def _sites(material: Material) -> tuple[pd.DataFrame, list[str]]:
    rows, medians = [], []
    for job in material.made.of("site"):
        series, options = open_series(job.folder), job.setup["options"]
        columns = [*options["inputs"], *(target["column"] for target in options["targets"])]
        medians.append(typical_values(series, columns, job.key["site"]))
        rows.append(
            {
                "site": job.key["site"],
                "days": len(series.days),
                "from": str(series.days[0]),
                "to": str(series.days[-1]),
                "days of the target": int((~np.isnan(series.targets[:, 0])).sum()),
                "notes": "; ".join(series.notes) or "none",
                "job": job.id,
            }
        )
    return pd.DataFrame(rows), unit_warnings(pd.DataFrame(medians))


def _networks(network: Mapping[str, Any]) -> str:
    if network["kind"] == "torch":
        return f"Networks <code>{html.escape(network['module'])}</code> (PyTorch)"
    return f"Networks of {network['hidden']} hidden units"

"""Influences of groups on the scores of all targets, as a job keeps them; see `cortax.learning.jackknife`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import fields
from pathlib import Path

import numpy as np

from cortax.errors import SearchError
from cortax.learning.jackknife import Influences
from cortax.store import build, load, save

__all__ = ["InfluenceRows", "open_influences", "save_influences"]

InfluenceRows = dict[tuple[str, str], Influences]


def save_influences(folder: str | Path, found: Mapping[str, tuple[Sequence[str], Influences]]) -> list[str]:
    """Write for each target its metrics and their influences; return the names of the files.

    Raises SearchError: there is no target to write.
    """
    if not found:
        raise SearchError("there is no target that has any of the metrics")
    rows = [[target, list(metrics)] for target, (metrics, _) in found.items()]
    arrays = {
        f"{field.name}-{place}": getattr(influences, field.name)
        for place, (_, influences) in enumerate(found.values())
        for field in fields(Influences)
    }
    return save(folder, {"influences.npz": arrays, "influences.json": {"rows": rows}})


def open_influences(folder: str | Path) -> InfluenceRows:
    """Read what `save_influences` wrote: by target and metric, with a first axis of length 1."""
    arrays, about = load(folder, "influences.npz", "influences.json")
    found: InfluenceRows = {}
    for place, (target, metrics) in enumerate(about["rows"]):
        whole = build(Influences, {field.name: arrays[f"{field.name}-{place}"] for field in fields(Influences)})
        for row, metric in enumerate(metrics):
            one = slice(row, row + 1)
            found[target, metric] = Influences(
                np.asarray(whole.values[one]), whole.influences[one], np.asarray(whole.scored[one])
            )
    return found

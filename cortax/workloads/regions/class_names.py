"""Names of the classes of targets: results hold numbers, and people read names."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from cortax.brain.data.sidecar import named_level

__all__ = ["class_names", "name_classes", "read_json"]

_COLUMNS = ("class", "predicted")
_ABOVE = "> "


def read_json(path: Path) -> dict[str, Any]:
    """Read an object from JSON; {} of a file that earlier versions did not write."""
    content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8")) if path.exists() else {}
    return content


def class_names(folder: Path) -> tuple[str, ...]:
    """Return the names of the classes of a target, in the order of their numbers; none of a regression.

    `folder`: of its `target` job.
    """
    about = read_json(folder / "report.json")
    classes = about.get("classes", ())
    levels = dict(zip(classes, about.get("labels", ()), strict=False))
    return tuple(named_level(value, levels) for value in classes)


def name_classes(table: pd.DataFrame, classes: Mapping[str, Sequence[str]]) -> pd.DataFrame:
    """Put names in the place of numbers of classes, in the columns `class` and `predicted` where there are any.

    `classes`: names by target. "> 1", above the threshold of a class, becomes "> NAME".
    """
    for column in {*_COLUMNS} & {*table}:
        pairs = zip(table["target"], table[column], strict=True)
        table = table.assign(**{column: [_name(value, classes.get(target, ())) for target, value in pairs]})
    return table


def _name(value: str, classes: Sequence[str]) -> str:
    above = _ABOVE if value.startswith(_ABOVE) else ""
    number = value.removeprefix(_ABOVE)
    return above + (classes[int(number)] if number and classes else number)

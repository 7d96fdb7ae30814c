"""Importance of all targets and folds: put together from cells or parts, averaged, as a table and on disk."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from cortax.errors import SearchError
from cortax.learning.arrays import Floats
from cortax.learning.importance.cells import KINDS, CellImportance
from cortax.learning.search.cells import Failure
from cortax.store import build, load, naming, pack, save, split, unpack

__all__ = [
    "Importance",
    "average",
    "collect_importance",
    "merge_importance",
    "open_importance",
    "open_table",
    "read_importance",
    "save_importance",
    "write_importance",
]


@dataclass(frozen=True, eq=False)
class Importance:
    """All targets and outer folds of one parcellation and pipeline, or of a part of it.

    Attributes
    ----------
    values : mapping of kind to float64 array of shape (n_targets, n_outer, n_regions)
        NaN where a cell failed or was not asked for. The kinds are those of `KINDS` that the models have.
    targets, columns : tuple of str
        Names of the targets, and of the regions (`map:region`, or the column of a table).
    failures : tuple of dict
        target (its name), outer, message.
    """

    values: Mapping[str, Floats]
    targets: tuple[str, ...]
    columns: tuple[str, ...]
    failures: tuple[Failure, ...]


def collect_importance(
    done: Mapping[tuple[int, int], CellImportance], targets: Sequence[str], columns: Sequence[str], n_outer: int
) -> Importance:
    """Put cells together, in whatever order they were worked on.

    Raises SearchError: every cell failed; the message is that of the first.
    """
    cells = sorted(done.items(), key=lambda item: item[0])
    failures = tuple({"target": targets[t], "outer": k, "message": c.failure} for (t, k), c in cells if c.failure)
    if failures and len(failures) == len(cells):
        raise SearchError(f"every cell failed; the first: {failures[0]['message']}")
    shape = len(targets), n_outer, len(columns)
    values = {kind: np.full(shape, np.nan) for kind in KINDS if any(kind in cell.values for _, cell in cells)}
    for key, cell in cells:
        for kind, found in cell.values.items():
            values[kind][key] = found
    return Importance(values, tuple(targets), tuple(columns), failures)


def merge_importance(parts: Sequence[Importance], take: Sequence[Sequence[str]], targets: Sequence[str]) -> Importance:
    """Put parts together that were made apart: of some targets each, or of one outer fold.

    `parts`: of the same regions and folds. `take`: which targets to take from each part. `targets`: what is asked for,
    in the order of the answer; a target without any part is NaN. Raises SearchError: the parts do not have the same
    regions, or two have the same cell.
    """
    columns, n_outer = parts[0].columns, next(iter(parts[0].values.values())).shape[1]
    if any(part.columns != columns for part in parts):
        raise SearchError(f"{len(parts)} parts cannot be put together: they are of different regions")
    kinds = [kind for kind in KINDS if any(kind in part.values for part in parts)]
    values = {kind: np.full((len(targets), n_outer, len(columns)), np.nan) for kind in kinds}
    failures: list[Failure] = []
    for part, wanted in zip(parts, take, strict=True):
        failures += [failure for failure in part.failures if failure["target"] in wanted]
        for kind, found in part.values.items():
            for name in wanted:
                row, place = found[part.targets.index(name)], values[kind][targets.index(name)]
                there = ~np.isnan(row).all(axis=1)
                if (~np.isnan(place[there])).any():
                    raise SearchError(f"target {name!r}: two parts have the same outer fold")
                place[there] = row[there]
    return Importance(values, tuple(targets), columns, tuple(failures))


def average(found: Importance) -> pd.DataFrame:
    """Average over outer folds.

    Returns
    -------
    DataFrame
        One row a target, kind and region: `target`, `kind`, `map`, `region`, `mean`; `sd`, the standard deviation
        over folds (ddof 1; NaN of one fold); `same_sign`, the share of folds whose sign is that of the mean (a fold
        with 0 has none); `n_folds`. The folds' training parts overlap, so `sd` over the root of `n_folds` is no
        standard error. Of a target without a fold that worked, `mean` is NaN.
    """
    names = [column.rpartition(":") if ":" not in column else column.partition(":") for column in found.columns]
    tables = []
    for target, name in enumerate(found.targets):
        for kind, values in found.values.items():
            folds = values[target][~np.isnan(values[target]).any(axis=1)]
            about = {"target": name, "kind": kind, "map": [m for m, _, _ in names], "region": [r for *_, r in names]}
            tables.append(pd.DataFrame(about | _statistics(folds, len(names))))
    return pd.concat(tables, ignore_index=True)


def _statistics(folds: Floats, n_regions: int) -> dict[str, Floats | int]:
    nothing = np.full(n_regions, np.nan)
    if not len(folds):
        return {"mean": nothing, "sd": nothing, "same_sign": nothing, "n_folds": 0}
    mean = folds.mean(axis=0)
    same = np.mean((np.sign(folds) == np.sign(mean)) & (folds != 0), axis=0)
    return {
        "mean": mean,
        "sd": folds.std(axis=0, ddof=1) if len(folds) > 1 else nothing,
        "same_sign": same,
        "n_folds": len(folds),
    }


ARRAYS, ABOUT, TABLE = "importance.npz", "importance.json", "importance.parquet"


def write_importance(cell: CellImportance) -> bytes:
    """Return the bytes of a cell."""
    return pack(cell.values, cell.failure)


def read_importance(content: bytes) -> CellImportance:
    """Return what `write_importance` wrote; ProjectError if it is not whole."""
    return CellImportance(*unpack(content))


def save_importance(folder: str | Path, found: Importance) -> list[str]:
    """Write all folds (`importance.npz`, `importance.json`) and their averages (`importance.parquet`).

    Returns
    -------
    list of str
        Names of the files.
    """
    _, about = split(found)
    return save(folder, {ARRAYS: about.pop("values"), ABOUT: about, TABLE: average(found)})


def open_importance(folder: str | Path) -> Importance:
    """Read what `save_importance` wrote."""
    values, about = load(folder, ARRAYS, ABOUT)
    return build(Importance, about, {"values": values})


def open_table(folder: str | Path) -> pd.DataFrame:
    """Read the averages that `save_importance` wrote, see `average`."""
    path = Path(folder) / TABLE
    with naming(path):
        return pd.read_parquet(path)

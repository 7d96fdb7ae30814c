"""Importance of all targets and folds: put together from cells or parts, averaged, as a table and on disk."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from cortax.errors import SearchError
from cortax.learning.arrays import Floats
from cortax.learning.classes import column_names
from cortax.store import build, load, naming, pack, save, split, unpack

if TYPE_CHECKING:
    from cortax.learning.search.cells import Failure

__all__ = [
    "KINDS",
    "CellImportance",
    "Importance",
    "average",
    "collect_importance",
    "merge_importance",
    "open_importance",
    "open_table",
    "read_importance",
    "save_importance",
    "strongest",
    "write_importance",
]

KINDS = ("coefficient", "standardised", "pattern", "permutation")


@dataclass(frozen=True, eq=False)
class CellImportance:
    """One target in one outer fold.

    Attributes
    ----------
    values : mapping of kind to float64 array of shape (n_regions,)
        `permutation` of every model, see `permutation`; `coefficient`, `standardised` and `pattern` of linear ones,
        see `linear_kinds`. These are of shape (n_columns, n_regions) where a target is ordinal or has more than two
        classes: a row for each "greater than class k", or for each class against the rest.
    failure : str
        Why there is nothing; empty where there is.
    """

    values: Mapping[str, Floats] = field(default_factory=dict)
    failure: str = ""


@dataclass(frozen=True, eq=False)
class Importance:
    """All targets and outer folds of one parcellation and pipeline, or of a part of it.

    Attributes
    ----------
    values : mapping of kind to float64 array of shape (n_targets, n_outer, n_regions)
        NaN where a cell failed or was not asked for, and where there are `class_values`. The kinds are those of `KINDS`
        that the models have.
    targets, columns : tuple of str
        Names of the targets, and of the regions (`map:region`, or the column of a table).
    failures : tuple of dict
        target (its name), outer, message.
    class_values : mapping of target (its name) to mapping of kind to float64 array (n_outer, n_columns, n_regions)
        Of linear models of ordinal targets and of more than two classes.
    ordinal : tuple of str
        Names of the targets among these whose columns are thresholds, and not classes.
    """

    values: Mapping[str, Floats]
    targets: tuple[str, ...]
    columns: tuple[str, ...]
    failures: tuple[Failure, ...]
    class_values: Mapping[str, Mapping[str, Floats]] = field(default_factory=dict)
    ordinal: tuple[str, ...] = ()


def collect_importance(
    done: Mapping[tuple[int, int], CellImportance],
    targets: Sequence[str],
    columns: Sequence[str],
    n_outer: int,
    *,
    ordinal: Sequence[str] = (),
) -> Importance:
    """Put cells together, in whatever order they were worked on.

    `ordinal`: names of the ordinal targets.

    Raises SearchError: every cell failed; the message is that of the first.
    """
    cells = sorted(done.items(), key=lambda item: item[0])
    failures = tuple({"target": targets[t], "outer": k, "message": c.failure} for (t, k), c in cells if c.failure)
    if failures and len(failures) == len(cells):
        raise SearchError(f"every cell failed; the first: {failures[0]['message']}")
    shape = len(targets), n_outer, len(columns)
    plain = {kind for _, cell in cells for kind, found in cell.values.items() if found.ndim == 1}
    values = {kind: np.full(shape, np.nan) for kind in KINDS if kind in plain}
    class_values: dict[str, dict[str, Floats]] = {}
    for (t, outer), cell in cells:
        for kind, found in cell.values.items():
            if found.ndim == 1:
                values[kind][t, outer] = found
            else:
                by_kind = class_values.setdefault(targets[t], {})
                by_kind.setdefault(kind, np.full((n_outer, *found.shape), np.nan))[outer] = found
    thresholds = tuple(name for name in ordinal if name in class_values)
    return Importance(values, tuple(targets), tuple(columns), failures, class_values, thresholds)


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
    class_values: dict[str, dict[str, Floats]] = {}
    ordinal: set[str] = set()
    for part, wanted in zip(parts, take, strict=True):
        failures += [failure for failure in part.failures if failure["target"] in wanted]
        ordinal |= {*part.ordinal} & {*wanted}
        for name in wanted:
            for kind, found in part.values.items():
                _fill(values[kind][targets.index(name)], found[part.targets.index(name)], name)
            for kind, found in part.class_values.get(name, {}).items():
                whole = class_values.setdefault(name, {}).setdefault(kind, np.full_like(found, np.nan))
                _fill(whole, found, name)
    return Importance(values, tuple(targets), columns, tuple(failures), class_values, tuple(sorted(ordinal)))


def _fill(whole: Floats, part: Floats, target: str) -> None:
    """Put the outer folds that a part has, along the first axis, in their places."""
    there = ~np.isnan(part).reshape(len(part), -1).all(axis=1)
    if (~np.isnan(whole[there])).any():
        raise SearchError(f"target {target!r}: two parts have the same outer fold")
    whole[there] = part[there]


def average(found: Importance) -> pd.DataFrame:
    """Average over outer folds.

    Returns
    -------
    DataFrame
        One row a target, kind and region: `target`, `kind`, `map`, `region`, `mean`; `sd`, the standard deviation
        over folds (ddof 1; NaN of one fold); `same_sign`, the share of folds whose sign is that of the mean (a fold
        with 0 has none); `n_folds`. The folds' training parts overlap, so `sd` over the root of `n_folds` is no
        standard error. Of a target without a fold that worked, `mean` is NaN. Where a target has `class_values` there
        is one column more, `class`, after `kind`: the number of the class against the rest or, of an ordinal target,
        "> NUMBER"; empty where a row is of no class.
    """
    names = [column.rpartition(":") if ":" not in column else column.partition(":") for column in found.columns]
    regions = {"map": [m for m, _, _ in names], "region": [r for *_, r in names]}
    tables = []
    for target, name in enumerate(found.targets):
        for kind in KINDS:
            about = {"target": name, "kind": kind}
            if kind in found.class_values.get(name, {}):
                columns = np.moveaxis(found.class_values[name][kind], 1, 0)
                for label, values in zip(_column_names(found, name, len(columns)), columns, strict=True):
                    tables.append(pd.DataFrame({**about, "class": label, **regions, **_statistics(values)}))
            elif kind in found.values:
                tables.append(pd.DataFrame({**about, **regions, **_statistics(found.values[kind][target])}))
    table = pd.concat(tables, ignore_index=True)
    if "class" not in table:
        return table
    first = ["target", "kind", "class"]
    return table.fillna({"class": ""})[[*first, *(name for name in table if name not in first)]]


def _column_names(found: Importance, target: str, n_columns: int) -> list[str]:
    task = "ordinal" if target in found.ordinal else "classification"
    return column_names(task, [str(number) for number in range(n_columns + (task == "ordinal"))])


def _statistics(values: Floats) -> dict[str, Floats | int]:
    """Of values of shape (n_outer, n_regions), over the folds that there are."""
    folds, n_regions = values[~np.isnan(values).any(axis=1)], values.shape[1]
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
CLASSES = "importance_classes.npz"


def write_importance(cell: CellImportance) -> bytes:
    """Return the bytes of a cell."""
    return pack(cell.values, cell.failure)


def read_importance(content: bytes) -> CellImportance:
    """Return what `write_importance` wrote; ProjectError if it is not whole."""
    return CellImportance(*unpack(content))


def save_importance(folder: str | Path, found: Importance) -> list[str]:
    """Write all folds (`importance.npz`, `importance.json`) and their averages (`importance.parquet`).

    `importance_classes.npz` is there where targets have `class_values`: as `KIND-TARGET`.

    Returns
    -------
    list of str
        Names of the files.
    """
    _, about = split(found)
    files = {ARRAYS: about.pop("values"), ABOUT: about, TABLE: average(found)}
    if by_target := about.pop("class_values"):
        files[CLASSES] = {f"{kind}-{name}": one for name, kinds in by_target.items() for kind, one in kinds.items()}
    else:
        del about["ordinal"]
    return save(folder, files)


def open_importance(folder: str | Path) -> Importance:
    """Read what `save_importance` wrote."""
    values, about = load(folder, ARRAYS, ABOUT)
    class_values: dict[str, dict[str, Floats]] = {}
    if (Path(folder) / CLASSES).exists():
        for key, found in load(folder, CLASSES)[0].items():
            kind, _, name = key.partition("-")
            class_values.setdefault(name, {})[kind] = found
    return build(Importance, about, {"values": values, "class_values": class_values})


def open_table(folder: str | Path) -> pd.DataFrame:
    """Read the averages that `save_importance` wrote, see `average`."""
    path = Path(folder) / TABLE
    with naming(path):
        return pd.read_parquet(path)


def strongest(table: pd.DataFrame, n_regions: int) -> pd.DataFrame:
    """Keep the regions whose mean importance is farthest from 0, of each of all that the other columns tell apart."""
    table = table.dropna(subset=["mean"])
    within = [name for name in ("parcellation", "pipeline", "target", "kind", "class", "map") if name in table]
    order = table["mean"].abs().sort_values(ascending=False, kind="stable").index
    return table.loc[order].groupby(within, sort=False).head(n_regions).sort_values(within, kind="stable")

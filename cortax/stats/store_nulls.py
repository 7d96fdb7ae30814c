"""Null distributions as values and on disk."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from cortax.errors import SearchError
from cortax.stats.nulls import CellNull, Permuted
from cortax.stats.permutations import n_distinct

__all__ = ["Nulls", "collect_nulls", "open_nulls", "read_null", "save_nulls", "write_null"]

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Nulls:
    """What permuted targets of one parcellation and pipeline score, on average over outer folds.

    Attributes
    ----------
    targets, tasks : tuples of str
    metrics : mapping of task to names of metrics
    numbers : int array of shape (n_permutations,)
        Which permutations.
    values : float64 array of shape (n_targets, n_permutations, n_metrics)
        Mean over the folds where the metric has a value; NaN where it has none.
    n_folds : int16 array of the shape of values
        Over how many folds.
    n_distinct : float64 array of shape (n_targets,)
        See `permutations.n_distinct`.
    exchange : str
    """

    targets: tuple[str, ...]
    tasks: tuple[str, ...]
    metrics: Mapping[str, Sequence[str]]
    numbers: Ints
    values: Floats
    n_folds: npt.NDArray[np.int16]
    n_distinct: Floats
    exchange: str


def collect_nulls(permuted: Permuted, done: Mapping[tuple[int, int], CellNull]) -> Nulls:
    """Put cells together, whoever did them and in whatever order.

    Raises
    ------
    SearchError
        Not a single permutation has a score; the message is that of the first failure.
    """
    problem = permuted.problem
    folds = sorted({outer for _, outer in done})
    scores = np.array([[done[place, outer].scores for place in range(len(permuted.numbers))] for outer in folds])
    if np.isnan(scores).all():
        why = next((cell.failure for _, cell in sorted(done.items(), key=lambda item: item[0]) if cell.failure), "")
        raise SearchError(f"no permutation could be scored; the first: {why or 'no metric has a value'}")
    there = ~np.isnan(scores)
    n_folds = there.sum(axis=0)
    total = np.where(there, scores, 0.0).sum(axis=0)
    values = np.divide(total, n_folds, out=np.full(total.shape, np.nan), where=n_folds > 0)
    distinct = [n_distinct(y, permuted.groups, exchange=permuted.exchange) for y in problem.targets.T]
    return Nulls(
        targets=problem.names,
        tasks=problem.tasks,
        metrics={task: list(names) for task, names in sorted(permuted.metrics.items())},
        numbers=np.array(permuted.numbers, dtype=np.int64),
        values=values.transpose(1, 0, 2),
        n_folds=n_folds.transpose(1, 0, 2).astype(np.int16),
        n_distinct=np.array(distinct),
        exchange=permuted.exchange,
    )


def save_nulls(folder: str | Path, nulls: Nulls) -> list[str]:
    """Write `nulls.npz` and `nulls.json` into a folder and return their names."""
    arrays = {name: getattr(nulls, name) for name in ("numbers", "values", "n_folds", "n_distinct")}
    np.savez(Path(folder) / "nulls.npz", **arrays)
    about = {name: getattr(nulls, name) for name in ("targets", "tasks", "metrics", "exchange")}
    (Path(folder) / "nulls.json").write_text(json.dumps(about, indent=1, sort_keys=True))
    return ["nulls.npz", "nulls.json"]


def open_nulls(folder: str | Path) -> Nulls:
    """Read what `save_nulls` wrote."""
    about = json.loads((Path(folder) / "nulls.json").read_text())
    with np.load(Path(folder) / "nulls.npz", allow_pickle=False) as stored:
        arrays = dict(stored)
    about["targets"], about["tasks"] = tuple(about["targets"]), tuple(about["tasks"])
    return Nulls(**about, **arrays)


def write_null(cell: CellNull) -> bytes:
    """Return the bytes of a cell."""
    out = io.BytesIO()
    np.lib.format.write_array(out, cell.scores, allow_pickle=False)
    return out.getvalue() + cell.failure.encode()


def read_null(content: bytes) -> CellNull:
    """Return what `write_null` wrote.

    Raises
    ------
    SearchError
        It wrote no such thing.
    """
    stream = io.BytesIO(content)
    try:
        scores = np.lib.format.read_array(stream, allow_pickle=False)
    except ValueError as error:
        raise SearchError(f"not the bytes of a permutation: {error}") from error
    return CellNull(scores, stream.read().decode())

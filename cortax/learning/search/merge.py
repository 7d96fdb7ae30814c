"""Putting evaluations together that were made apart: of some targets each, or of one outer fold."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np

from cortax.errors import SearchError
from cortax.learning.folds import Folds
from cortax.learning.search.evaluations import CellEvaluation, gather
from cortax.learning.search.store_evaluation import StoredEvaluation

__all__ = ["merge_evaluations"]


def merge_evaluations(
    parts: Sequence[StoredEvaluation], take: Sequence[Sequence[str]], targets: Sequence[str], folds: Folds
) -> StoredEvaluation:
    """Return what one evaluation of all these targets and folds would have been.

    Parameters
    ----------
    parts : sequence of StoredEvaluation
        Of the same regions and folds.
    take : sequence of sequence of str
        Which targets to take from each part; of others it may have what once went by the same name.
    targets : sequence of str
        What is asked for, in the order of the answer.
    folds : Folds

    Raises
    ------
    SearchError
        The parts do not have the same regions, or a cell is in none of them or in two.
    """
    columns = parts[0].columns
    if any(part.columns != columns for part in parts):
        raise SearchError(f"{len(parts)} evaluations cannot be put together: they are of different regions")
    cells: dict[tuple[str, int], list[CellEvaluation]] = {}
    for part, wanted in zip(parts, take, strict=True):
        for row, outer in np.ndindex(*part.found.chosen.shape):
            cell = part.found.cell(row, outer, folds) if part.targets[row] in wanted else None
            if cell is not None:
                cells.setdefault((part.targets[row], outer), []).append(cell)
    done = {}
    for (t, name), outer in itertools.product(enumerate(targets), range(folds.n_outer)):
        found = cells.get((name, outer), [])
        if len(found) != 1:
            raise SearchError(f"target {name!r}, outer fold {outer}: {len(found)} evaluations have it, one must")
        done[t, outer] = found[0]
    return StoredEvaluation(gather(done, len(targets), folds), tuple(targets), columns)

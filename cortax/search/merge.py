"""Putting evaluations together that were made apart: of some targets each, or of one outer fold."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from cortax.errors import SearchError
from cortax.folds import Folds
from cortax.search.evaluations import Evaluation
from cortax.search.store_evaluation import StoredEvaluation

__all__ = ["merge_evaluations"]

_Place = tuple[StoredEvaluation, int]


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
    places = _places(parts, take)
    held = {(name, k): places.get((name, k), []) for name in targets for k in range(folds.n_outer)}
    for (name, k), found in held.items():
        if len(found) != 1:
            raise SearchError(f"target {name!r}, outer fold {k}: {len(found)} evaluations have it, one must")
    whole = _empty(parts, len(targets), folds, len(columns))
    failures = []
    for t, name in enumerate(targets):
        for k in range(folds.n_outer):
            part, row = held[name, k][0]
            _copy(whole, t, part.found, row, k, folds)
            failures += [failure | {"target": t} for failure in part.found.failures if _of(failure, row, k)]
    return StoredEvaluation(Evaluation(**whole, failures=tuple(failures)), tuple(targets), columns)


def _of(failure: dict[str, Any], row: int, outer: int) -> bool:
    return bool(failure["target"] == row and failure["outer"] == outer)


def _places(parts: Sequence[StoredEvaluation], take: Sequence[Sequence[str]]) -> dict[tuple[str, int], list[_Place]]:
    """Where every cell is that was evaluated or failed; others of a part were not asked of it."""
    places: dict[tuple[str, int], list[_Place]] = {}
    for part, wanted in zip(parts, take, strict=True):
        for row, outer in _cells(part.found):
            if part.targets[row] in wanted:
                places.setdefault((part.targets[row], outer), []).append((part, row))
    return places


def _cells(found: Evaluation) -> Iterator[tuple[int, int]]:
    failed = {(failure["target"], failure["outer"]) for failure in found.failures}
    for row, outer in np.ndindex(*found.chosen.shape):
        if found.chosen[row, outer] >= 0 or (row, outer) in failed:
            yield row, outer


def _empty(parts: Sequence[StoredEvaluation], n_targets: int, folds: Folds, n_columns: int) -> dict[str, Any]:
    shape = (n_targets, folds.n_outer)
    predicted = (int(folds.repeat.max()) + 1, n_targets, folds.n_subjects)
    linear = [part.found.confound_coefficients for part in parts if part.found.confound_coefficients is not None]
    return {
        "predictions": np.full(predicted, np.nan),
        "labels": np.full(predicted, np.nan),
        "chosen": np.full(shape, -1, dtype=np.int64),
        "train_rows": np.zeros(shape, dtype=np.int64),
        "not_converged": np.zeros(shape, dtype=np.int64),
        "seconds": np.zeros(shape),
        "coefficients": np.full((*shape, n_columns), np.nan) if linear else None,
        "confound_coefficients": np.full((*shape, linear[0].shape[2]), np.nan) if linear else None,
        "intercepts": np.full(shape, np.nan) if linear else None,
    }


def _copy(whole: dict[str, Any], t: int, found: Evaluation, row: int, outer: int, folds: Folds) -> None:
    test, repeat = folds.test[outer], folds.repeat[outer]
    for name in ("predictions", "labels"):
        whole[name][repeat, t, test] = getattr(found, name)[repeat, row, test]
    for name in ("chosen", "train_rows", "not_converged", "seconds"):
        whole[name][t, outer] = getattr(found, name)[row, outer]
    if found.coefficients is not None:
        for name in ("coefficients", "confound_coefficients", "intercepts"):
            whole[name][t, outer] = getattr(found, name)[row, outer]

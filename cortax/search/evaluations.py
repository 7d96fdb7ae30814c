"""Evaluations as values: what refitted models predict out of fold, cell by cell."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from cortax.errors import SearchError
from cortax.folds import Folds
from cortax.search.cells import Failure, Floats, Ints
from cortax.search.pipelines import LinearModel

__all__ = ["CellEvaluation", "Evaluation", "collect_evaluations", "failed_cell"]


@dataclass(frozen=True, eq=False)
class CellEvaluation:
    """One target in one outer fold.

    Attributes
    ----------
    rows : int array of shape (n_test,)
        Subjects that are tested: those of the fold whose target is known.
    predictions : float64 array of shape (n_test,)
        The value, or the probability of class 1.
    labels : float64 array of shape (n_test,)
        The class, by the rule that the search scored: an SVM's is the sign of its decision, not whether
        its calibrated probability exceeds a half. NaN in regression.
    linear : LinearModel or None
    chosen : int
        Number of the configuration; -1 where there is none.
    train_rows : int
    not_converged : int
    seconds : float
    failure : str
        Why there is nothing else; empty where there is.
    """

    rows: Ints
    predictions: Floats
    labels: Floats
    linear: LinearModel | None
    chosen: int
    train_rows: int
    not_converged: int
    seconds: float
    failure: str = ""


@dataclass(frozen=True, eq=False)
class Evaluation:
    """All targets and outer folds.

    Attributes
    ----------
    predictions, labels : float64 arrays of shape (n_repeats, n_targets, n_subjects)
        See `CellEvaluation`. NaN where the target is, where a cell failed or was not asked for.
    chosen : int array of shape (n_targets, n_outer)
        Number of the configuration; -1 where there is none.
    coefficients : float64 array of shape (n_targets, n_outer, n_regions), or None
        Of a linear pipeline, per unit of the original regions. None if no cell is linear.
    confound_coefficients : float64 array of shape (n_targets, n_outer, n_confounds), or None
    intercepts : float64 array of shape (n_targets, n_outer), or None
        The decision (of a classifier the log odds) is intercept + regions @ coefficients + confounds @
        confound_coefficients, after missing values became training medians.
    train_rows, not_converged : int arrays of shape (n_targets, n_outer)
    seconds : float64 array of shape (n_targets, n_outer)
    failures : tuple of dict
        target (its number), outer, message.
    """

    predictions: Floats
    labels: Floats
    chosen: Ints
    coefficients: Floats | None
    confound_coefficients: Floats | None
    intercepts: Floats | None
    train_rows: Ints
    not_converged: Ints
    seconds: Floats
    failures: tuple[Failure, ...]


def failed_cell(message: str) -> CellEvaluation:
    """Return a cell that holds nothing but why."""
    empty = np.zeros(0)
    return CellEvaluation(np.zeros(0, dtype=np.int64), empty, empty, None, -1, 0, 0, 0.0, message)


def collect_evaluations(done: Mapping[tuple[int, int], CellEvaluation], n_targets: int, folds: Folds) -> Evaluation:
    """Put cells together, whoever evaluated them and in whatever order.

    Parameters
    ----------
    done : mapping of (target, outer fold) to CellEvaluation
    n_targets : int
    folds : Folds

    Raises
    ------
    SearchError
        Every cell failed; the message is that of the first.
    """
    cells = sorted(done.items(), key=lambda item: item[0])
    failures = tuple({"target": t, "outer": k, "message": c.failure} for (t, k), c in cells if c.failure)
    if failures and len(failures) == len(cells):
        raise SearchError(f"every cell failed; the first: {failures[0]['message']}")
    predictions = np.full((int(folds.repeat.max()) + 1, n_targets, folds.n_subjects), np.nan)
    labels = np.full(predictions.shape, np.nan)
    chosen = np.full((n_targets, folds.n_outer), -1, dtype=np.int64)
    train_rows, not_converged = np.zeros_like(chosen), np.zeros_like(chosen)
    seconds = np.zeros(chosen.shape)
    for (t, outer), cell in cells:
        predictions[folds.repeat[outer], t, cell.rows] = cell.predictions
        labels[folds.repeat[outer], t, cell.rows] = cell.labels
        chosen[t, outer], train_rows[t, outer] = cell.chosen, cell.train_rows
        not_converged[t, outer], seconds[t, outer] = cell.not_converged, cell.seconds
    models = {key: cell.linear for key, cell in cells if cell.linear is not None}
    coefficients, confound_coefficients, intercepts = _stack(chosen.shape, models)
    return Evaluation(
        predictions=predictions,
        labels=labels,
        chosen=chosen,
        coefficients=coefficients,
        confound_coefficients=confound_coefficients,
        intercepts=intercepts,
        train_rows=train_rows,
        not_converged=not_converged,
        seconds=seconds,
        failures=failures,
    )


def _stack(
    shape: tuple[int, ...], models: Mapping[tuple[int, int], LinearModel]
) -> tuple[Floats, Floats, Floats] | tuple[None, None, None]:
    """Coefficients of all cells, in the order of `Evaluation`."""
    if not models:
        return None, None, None
    first = next(iter(models.values()))
    coefficients = np.full((*shape, first.coefficients.size), np.nan)
    confounds = np.full((*shape, first.confound_coefficients.size), np.nan)
    intercepts = np.full(shape, np.nan)
    for key, model in models.items():
        coefficients[key], confounds[key] = model.coefficients, model.confound_coefficients
        intercepts[key] = model.intercept
    return coefficients, confounds, intercepts

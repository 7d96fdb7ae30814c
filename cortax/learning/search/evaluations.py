"""Evaluations as values: what refitted models predict out of fold, cell by cell."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np

from cortax.errors import SearchError
from cortax.learning.arrays import Floats, Ints
from cortax.learning.folds import Folds
from cortax.learning.search.cells import Failure
from cortax.learning.search.pipelines import LinearModel, stack_models
from cortax.store import build, pack, split, unpack

__all__ = ["CellEvaluation", "Evaluation", "collect_evaluations", "failed_cell", "gather"]


@dataclass(frozen=True, eq=False)
class CellEvaluation:
    """One target in one outer fold.

    Attributes
    ----------
    rows : int array of shape (n_test,)
        Subjects that are tested: those of the fold whose target is known.
    predictions : float64 array of shape (n_test,)
        The value, or the probability of class 1. Of more than two classes the probability of the label; of an ordinal
        target the expected number of the class.
    labels : float64 array of shape (n_test,)
        The class, by the rule that the search scored: an SVM's is the sign of its decision, not whether
        its calibrated probability exceeds a half. NaN in regression.
    linear : LinearModel or None
        Of ordinal targets and of more than two classes one of all columns, see `LinearModel`.
    chosen : int
        Number of the configuration; -1 where there is none.
    train_rows : int
    not_converged : int
    seconds : float
    failure : str
        Why there is nothing else; empty where there is.
    probabilities : float64 array of shape (n_test, n_classes), or None
        Of ordinal targets and of more than two classes.
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
    probabilities: Floats | None = None

    def to_bytes(self) -> bytes:
        """Return the evaluation as bytes, without pickles."""
        arrays, about = split(replace(self, linear=None))
        if self.linear is not None:
            coefficients, about["linear"] = split(self.linear)
            arrays |= coefficients
        return pack(arrays, about)

    @classmethod
    def from_bytes(cls, content: bytes) -> CellEvaluation:
        """Return what `to_bytes` wrote; ProjectError if it is not whole."""
        arrays, about = unpack(content)
        if about["linear"] is not None:
            about["linear"] = build(LinearModel, arrays, about["linear"])
        return build(cls, arrays, about)


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
        Of a linear pipeline, per unit of the original regions. NaN of ordinal targets and of more than two classes,
        which are in `class_models`; None if no other cell is linear.
    confound_coefficients : float64 array of shape (n_targets, n_outer, n_confounds), or None
    intercepts : float64 array of shape (n_targets, n_outer), or None
        The decision is intercept + regions @ coefficients + confounds @ confound_coefficients, after missing values
        became training medians and sites were harmonised. Of a classifier it is the log odds, unless it had to be
        calibrated.
    train_rows, not_converged : int arrays of shape (n_targets, n_outer)
    seconds : float64 array of shape (n_targets, n_outer)
    failures : tuple of dict
        target (its number), outer, message.
    probabilities : mapping of target (its number) to float64 array of shape (n_repeats, n_subjects, n_classes)
        Of ordinal targets and of more than two classes.
    class_models : mapping of target (its number) to LinearModel
        Of ordinal targets and of more than two classes, where their models are linear: intercepts of shape
        (n_outer, n_columns), coefficients (n_outer, n_columns, n_regions) and those of confounds. A column is a class
        against the rest or, of an ordinal target, "greater than class k". NaN where a cell failed.
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
    probabilities: Mapping[int, Floats] = field(default_factory=dict)
    class_models: Mapping[int, LinearModel] = field(default_factory=dict)

    def linear(self, target: int, outer: int) -> LinearModel | None:
        """Return the linear model of a cell; None if its pipeline is not linear. NaN where the cell failed."""
        if target in self.class_models:
            return _at(self.class_models[target], outer)
        if target in self.probabilities or self.coefficients is None:
            return None
        assert self.confound_coefficients is not None
        assert self.intercepts is not None
        at = target, outer
        return LinearModel(float(self.intercepts[at]), self.coefficients[at], self.confound_coefficients[at])

    def cell(self, target: int, outer: int, folds: Folds) -> CellEvaluation | None:
        """Return what was found of one target in one outer fold; None if it was not asked for."""
        at, repeat = (target, outer), folds.repeat[outer]
        for failure in self.failures:
            if (failure["target"], failure["outer"]) == at:
                return replace(failed_cell(failure["message"]), seconds=float(self.seconds[at]))
        if self.chosen[at] < 0:
            return None
        rows = np.flatnonzero(folds.test[outer])
        return CellEvaluation(
            rows,
            self.predictions[repeat, target, rows],
            self.labels[repeat, target, rows],
            self.linear(target, outer),
            int(self.chosen[at]),
            int(self.train_rows[at]),
            int(self.not_converged[at]),
            float(self.seconds[at]),
            probabilities=self.probabilities[target][repeat, rows] if target in self.probabilities else None,
        )


def failed_cell(message: str) -> CellEvaluation:
    """Return a failed cell, which holds nothing but its message."""
    empty = np.zeros(0)
    return CellEvaluation(np.zeros(0, dtype=np.int64), empty, empty, None, -1, 0, 0, 0.0, message)


def collect_evaluations(done: Mapping[tuple[int, int], CellEvaluation], n_targets: int, folds: Folds) -> Evaluation:
    """Put cells together by (target, outer fold), whoever evaluated them and in whatever order.

    Raises
    ------
    SearchError
        Every cell failed; the message is that of the first.
    """
    found = gather(done, n_targets, folds)
    if found.failures and len(found.failures) == len(done):
        raise SearchError(f"every cell failed; the first: {found.failures[0]['message']}")
    return found


def gather(done: Mapping[tuple[int, int], CellEvaluation], n_targets: int, folds: Folds) -> Evaluation:
    """Put cells together, all of which may have failed."""
    cells = sorted(done.items(), key=lambda item: item[0])
    failures = tuple({"target": t, "outer": k, "message": c.failure} for (t, k), c in cells if c.failure)
    predictions = np.full((int(folds.repeat.max()) + 1, n_targets, folds.n_subjects), np.nan)
    labels = np.full(predictions.shape, np.nan)
    chosen = np.full((n_targets, folds.n_outer), -1, dtype=np.int64)
    train_rows, not_converged = np.zeros_like(chosen), np.zeros_like(chosen)
    seconds = np.zeros(chosen.shape)
    probabilities: dict[int, Floats] = {}
    for (t, outer), cell in cells:
        if cell.probabilities is not None:
            empty = np.full((len(predictions), folds.n_subjects, cell.probabilities.shape[1]), np.nan)
            probabilities.setdefault(t, empty)[folds.repeat[outer], cell.rows] = cell.probabilities
        predictions[folds.repeat[outer], t, cell.rows] = cell.predictions
        labels[folds.repeat[outer], t, cell.rows] = cell.labels
        chosen[t, outer], train_rows[t, outer] = cell.chosen, cell.train_rows
        not_converged[t, outer], seconds[t, outer] = cell.not_converged, cell.seconds
    models = {key: cell.linear for key, cell in cells if cell.linear is not None and key[0] not in probabilities}
    coefs, of_confounds, intercepts = _stack(chosen.shape, models)
    by_class = {t: {k: cell.linear for (of, k), cell in cells if of == t and cell.linear} for t in probabilities}
    return Evaluation(
        predictions,
        labels,
        chosen,
        coefs,
        of_confounds,
        intercepts,
        train_rows,
        not_converged,
        seconds,
        failures,
        probabilities,
        {t: _stack_folds(found, folds.n_outer) for t, found in by_class.items() if found},
    )


def _at(models: LinearModel, place: int) -> LinearModel:
    """Return one of the models along the first axis."""
    return build(LinearModel, {name: values[place] for name, values in split(models)[0].items()})


def _stack_folds(found: Mapping[int, LinearModel], n_outer: int) -> LinearModel:
    """Return the models of outer folds as one, of a target of several columns."""
    like = split(next(iter(found.values())))[0]
    lacking = build(LinearModel, {name: np.full_like(values, np.nan) for name, values in like.items()})
    return stack_models([found.get(outer, lacking) for outer in range(n_outer)])


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

"""Refit of the chosen configurations on the outer training parts, and what they predict out of fold."""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from cortax.errors import SearchError
from cortax.folds import Folds, fold_parts
from cortax.search.choose import choose, complexity
from cortax.search.pipelines import (
    LinearModel,
    PipelineKind,
    calibrated,
    fit_counting,
    linear_model,
    make,
    make_back,
)
from cortax.search.reference import Configs, Failure, Floats, Ints, all_cells, check_input, columns
from cortax.search.spaces import content_seed

__all__ = [
    "CellEvaluation",
    "Evaluation",
    "collect_evaluations",
    "evaluate",
    "evaluate_cell",
    "evaluate_chosen",
]


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


def evaluate_cell(
    regions: npt.ArrayLike,
    y: npt.ArrayLike,
    folds: Folds,
    outer: int,
    *,
    kind: PipelineKind,
    task: str,
    config: Mapping[str, Any],
    number: int,
    target: str,
    confounds: npt.ArrayLike | None = None,
    seed: int = 0,
) -> CellEvaluation:
    """Fit one configuration on an outer training part and predict the test part.

    Parameters
    ----------
    regions, y, folds, outer, kind, task, target, confounds, seed
        As they were given to `search_cell`.
    config, number
        The chosen configuration, and its number in the list (part of the seed).

    Raises
    ------
    SearchError
        The fit failed; the message names target, fold and configuration.
    """
    check_input(regions, folds)
    X, n_confounds = columns(regions, confounds)
    values = np.asarray(y, dtype=np.float64)
    _, train, test, inner = next(itertools.islice(fold_parts(folds, values), outer, None))
    pipeline = make(
        kind,
        task,
        config,
        n_confounds=n_confounds,
        seed=content_seed(seed, kind.name, target, outer, number),
    )
    model: Any = pipeline
    if task == "classification" and kind.calibrates:
        model = calibrated(
            pipeline, [(np.searchsorted(train, fit), np.searchsorted(train, held_out)) for fit, held_out in inner]
        )
    start = time.perf_counter()
    try:
        y_train = values[train].astype(np.int64) if task == "classification" else values[train]
        not_converged = fit_counting(model, X[train], y_train)
        fitted = pipeline if model is pipeline else model.calibrated_classifiers_[0].estimator
        predictions, labels = _predict(model, fitted, X[test], task)
    except MemoryError:
        raise
    except Exception as error:
        raise SearchError(
            f"target {target!r}, outer fold {outer}, configuration {number} {dict(config)}: "
            f"{type(error).__name__}: {error}"
        ) from error
    seconds = time.perf_counter() - start
    return CellEvaluation(test, predictions, labels, linear_model(fitted), number, len(train), not_converged, seconds)


def _predict(model: Any, fitted: Any, X: Floats, task: str) -> tuple[Floats, Floats]:
    if task == "regression":
        values = np.asarray(model.predict(X), dtype=np.float64)
        return values, np.full(len(values), np.nan)
    labels = np.asarray(fitted.predict(X), dtype=np.float64)
    return np.asarray(model.predict_proba(X)[:, 1], dtype=np.float64), labels


def evaluate_chosen(
    regions: npt.ArrayLike,
    y: npt.ArrayLike,
    folds: Folds,
    outer: int,
    *,
    scores: npt.ArrayLike,
    kind: PipelineKind,
    task: str,
    configs: Configs,
    target: str,
    rule: str = "best",
    confounds: npt.ArrayLike | None = None,
    seed: int = 0,
) -> CellEvaluation:
    """Choose a configuration by its inner scores, then `evaluate_cell`.

    Parameters
    ----------
    scores : float array of shape (n_configs or more, n_inner)
        Of this cell, from the search; nothing else of it is needed.
    configs : sequence of mapping
        What was searched.
    rule : {"best", "one-standard-error"}
    regions, y, folds, outer, kind, task, target, confounds, seed
        See `evaluate_cell`.

    Raises
    ------
    SearchError
        An argument is not allowed. A cell whose search or refit failed is no error but has a `failure`.
    """
    check_input(regions, folds)
    inner_scores = np.asarray(scores, dtype=np.float64)[: len(configs)]
    if inner_scores.shape != (len(configs), folds.n_inner):
        expected = (len(configs), folds.n_inner)
        raise SearchError(f"target {target!r}: scores have shape {inner_scores.shape}, expected {expected}")
    if np.isnan(inner_scores.mean(axis=1)).all():
        return _failed(f"target {target!r}, outer fold {outer}: every configuration failed in the search")
    number = int(choose(inner_scores, rule=rule, ranks=complexity(configs)))
    # A wrong task or parameter is the caller's mistake and must not look like a failed fit.
    make_back(kind, task, configs[number], seed=seed)
    try:
        return evaluate_cell(
            regions,
            y,
            folds,
            outer,
            kind=kind,
            task=task,
            config=configs[number],
            number=number,
            target=target,
            confounds=confounds,
            seed=seed,
        )
    except SearchError as error:
        return _failed(str(error))


def _failed(message: str) -> CellEvaluation:
    empty = np.zeros(0)
    return CellEvaluation(np.zeros(0, dtype=np.int64), empty, empty, None, -1, 0, 0, 0.0, message)


def evaluate(
    regions: npt.ArrayLike,
    targets: npt.ArrayLike,
    folds: Folds,
    scores: npt.ArrayLike,
    *,
    kind: PipelineKind,
    configs_by_task: Mapping[str, Configs],
    tasks: Sequence[str],
    names: Sequence[str],
    rule: str = "best",
    confounds: npt.ArrayLike | None = None,
    seed: int = 0,
    cells: Iterable[tuple[int, int]] | None = None,
) -> Evaluation:
    """Choose, refit and predict, for all targets and outer folds, one after the other.

    Parameters
    ----------
    scores : float array of shape (n_targets, n_outer, n_configs, n_inner)
        From the search.
    rule : {"best", "one-standard-error"}
    regions, targets, folds, kind, configs_by_task, tasks, names, confounds, seed, cells
        As they were given to `search`.

    Raises
    ------
    SearchError
        See `evaluate_chosen` and `collect_evaluations`; or shapes disagree.
    """
    Y, S = np.asarray(targets, dtype=np.float64), np.asarray(scores, dtype=np.float64)
    expected = (len(names), folds.n_outer)
    if S.shape[:2] != expected or Y.shape != (folds.n_subjects, len(names)) or len(tasks) != len(names):
        raise SearchError(
            f"scores have shape {S.shape}, targets {Y.shape}; expected {expected} cells for {len(names)} names"
        )
    done = {
        (t, outer): evaluate_chosen(
            regions,
            Y[:, t],
            folds,
            outer,
            scores=S[t, outer],
            kind=kind,
            task=tasks[t],
            configs=configs_by_task[tasks[t]],
            target=names[t],
            rule=rule,
            confounds=confounds,
            seed=seed,
        )
        for t, outer in (all_cells(*expected) if cells is None else cells)
    }
    return collect_evaluations(done, len(names), folds)


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

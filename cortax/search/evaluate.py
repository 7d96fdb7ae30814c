"""Refit of the chosen configurations on the outer training parts, and what they predict out of fold."""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from cortax.errors import SearchError
from cortax.folds import Folds, fold_parts
from cortax.search.cells import Configs, Floats, all_cells, as_failure, check_input
from cortax.search.choose import choose, complexity
from cortax.search.evaluations import CellEvaluation, Evaluation, collect_evaluations, failed_cell
from cortax.search.pipelines import (
    PipelineKind,
    calibrated,
    fit_counting,
    linear_model,
    make,
    make_back,
)
from cortax.search.reference import columns
from cortax.search.spaces import content_seed

__all__ = ["choose_number", "evaluate", "evaluate_cell", "evaluate_chosen"]


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
    except Exception as error:
        as_failure(error)
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


def choose_number(scores: npt.ArrayLike, configs: Configs, n_inner: int, *, rule: str, target: str) -> int:
    """Return the number of the configuration that the rule chooses in a cell; -1 if all failed.

    Raises
    ------
    SearchError
        Scores are not of shape (n_configs or more, n_inner), or the rule is unknown.
    """
    inner_scores = np.asarray(scores, dtype=np.float64)[: len(configs)]
    if inner_scores.shape != (len(configs), n_inner):
        expected = (len(configs), n_inner)
        raise SearchError(f"target {target!r}: scores have shape {inner_scores.shape}, expected {expected}")
    if np.isnan(inner_scores.mean(axis=1)).all():
        return -1
    return int(choose(inner_scores, rule=rule, ranks=complexity(configs)))


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
    number = choose_number(scores, configs, folds.n_inner, rule=rule, target=target)
    if number < 0:
        return failed_cell(f"target {target!r}, outer fold {outer}: every configuration failed in the search")
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
        return failed_cell(str(error))


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

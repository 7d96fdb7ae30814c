"""Choice of configurations, and their refit on the outer training parts: what they predict out of fold."""

from __future__ import annotations

import copy
import itertools
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from scipy.special import expit
from sklearn.calibration import CalibratedClassifierCV
from sklearn.frozen import FrozenEstimator

from cortax.errors import SearchError
from cortax.learning.arrays import Floats
from cortax.learning.classes import binary_task, check_present, class_probabilities, one_prediction
from cortax.learning.folds import fold_parts
from cortax.learning.given import GivenDecisions
from cortax.learning.search.by_class import as_multiclass, combine, decides, linear_columns, make_columns
from cortax.learning.search.cells import Batch, Configs, Problem, as_failure
from cortax.learning.search.choose import choose_number
from cortax.learning.search.evaluations import CellEvaluation, failed_cell
from cortax.learning.search.own import keep_groups
from cortax.learning.search.pipelines import (
    LinearModel,
    PipelineKind,
    calibrated,
    fit_counting,
    linear_model,
    make,
    make_back,
    raw_model,
    stack_models,
)
from cortax.learning.search.reference import columns
from cortax.learning.search.solvers import find_solver, fit_seed
from cortax.learning.search.training import Fits, TrainingSet, training_sets

__all__ = ["choose_cells", "evaluate_batch", "evaluate_cell", "fit_sigmoid"]


def evaluate_batch(
    problem: Problem,
    batch: Batch,
    pipeline: PipelineKind,
    *,
    scores: Mapping[int, Floats],
    configs: Mapping[int, Configs],
    rule: str = "best",
) -> dict[tuple[int, int], CellEvaluation]:
    """Choose a configuration for each target, refit it on the outer training part, and predict the test part.

    Parameters
    ----------
    problem : Problem
        What was searched.
    batch : Batch
    pipeline : PipelineKind
        Of the problem's kind.
    scores : mapping of target to float64 array of shape (n_configs or more, n_inner)
        From the search.
    configs : mapping of target to configurations
        What the rows of the scores stand for.
    rule : {"best", "one-standard-error"}

    Returns
    -------
    dict of (target, outer fold) to CellEvaluation

    Raises
    ------
    SearchError
        An argument is not allowed. A cell whose search or refit failed is no error but has a `failure`.
    """
    task = problem.tasks[batch.targets[0]]
    solver = None if problem.plain else find_solver(problem.kind, task, [c for t in batch.targets for c in configs[t]])
    chosen, done = choose_cells(problem, batch, pipeline, scores=scores, configs=configs, rule=rule)
    if solver is None:
        for t, number in chosen.items():
            try:
                done[t] = evaluate_cell(problem, (t, batch.outer), pipeline, configs[t], number)
            except SearchError as error:
                done[t] = failed_cell(str(error))
        return {(t, batch.outer): cell for t, cell in sorted(done.items())}
    start = time.perf_counter()
    done |= _refit(problem, batch.outer, pipeline, solver.fit, chosen, configs)
    seconds = (time.perf_counter() - start) / len(batch.targets)
    return {(t, batch.outer): replace(cell, seconds=seconds) for t, cell in sorted(done.items())}


def choose_cells(
    problem: Problem,
    batch: Batch,
    pipeline: PipelineKind,
    *,
    scores: Mapping[int, Floats],
    configs: Mapping[int, Configs],
    rule: str,
) -> tuple[dict[int, int], dict[int, CellEvaluation]]:
    """Return the number of each target's configuration, and failed cells where all failed; see `evaluate_batch`."""
    chosen, failed = {}, {}
    for t in batch.targets:
        name, n_inner = problem.names[t], problem.folds.n_inner
        number = choose_number(scores[t], configs[t], n_inner, kind=pipeline, rule=rule, target=name)
        if number < 0:
            message = f"target {name!r}, outer fold {batch.outer}: every configuration failed in the search"
            failed[t] = failed_cell(message)
        else:
            # A wrong task or parameter is the caller's mistake and must not look like a failed fit.
            make_back(pipeline, problem.tasks[t], configs[t][number], seed=0)
            chosen[t] = number
    return chosen, failed


def evaluate_cell(
    problem: Problem, cell: tuple[int, int], kind: PipelineKind, configs: Configs, number: int
) -> CellEvaluation:
    """Fit one of a cell's configurations by scikit-learn on the outer training part, and predict the test part.

    The number of the configuration is part of the seed.

    Raises
    ------
    SearchError
        The fit failed; the message names target, fold and configuration.
    """
    target, outer = cell
    name, task, config = problem.names[target], problem.tasks[target], configs[number]
    X, n_confounds = columns(problem.regions, problem.confounds, problem.harmonise)
    values = problem.targets[:, target]
    _, train, test, inner = next(itertools.islice(fold_parts(problem.folds, values), outer, None))
    seed = fit_seed(problem, target, outer, number)
    pipeline = make(kind, task, config, n_confounds=n_confounds, harmonise=problem.harmonise, seed=seed)
    calibrates, model = task != "regression" and kind.calibrates, pipeline
    if calibrates:
        splits = [(np.searchsorted(train, fit), np.searchsorted(train, held_out)) for fit, held_out in inner]
        model = calibrated(pipeline, splits)
    start = time.perf_counter()
    try:
        y_train = values[train] if task == "regression" else values[train].astype(np.int64)
        if problem.is_by_class(target):
            check_present(y_train, problem.n_classes(target))
        keep_groups(pipeline, y_train, problem.groups_of(train), calibrates=calibrates)
        model = as_multiclass(model, kind, task, problem.n_classes(target))
        not_converged = fit_counting(model, X[train], y_train)
        fitted = _uncalibrated(model) if calibrates else model
        predicted = _predict(model, fitted, X[test], task, by_class=problem.is_by_class(target))
    except Exception as error:
        as_failure(error)
        raise SearchError(
            f"target {name!r}, outer fold {outer}, configuration {number} {dict(config)}: "
            f"{type(error).__name__}: {error}"
        ) from error
    seconds = time.perf_counter() - start
    linear = linear_columns(fitted) if problem.is_by_class(target) else linear_model(fitted)
    return CellEvaluation(
        test,
        predicted.predictions,
        predicted.labels,
        linear,
        number,
        len(train),
        not_converged,
        seconds,
        probabilities=predicted.probabilities,
    )


def _uncalibrated(model: Any) -> Any:
    """Return what a calibrated model decides by: labels are by the rule that the search scored."""
    if isinstance(model, CalibratedClassifierCV):
        return model.calibrated_classifiers_[0].estimator
    bare = copy.copy(model)
    bare.estimators_ = [_uncalibrated(each) for each in model.estimators_]
    return bare


@dataclass(frozen=True, eq=False)
class _Predicted:
    """Predictions of the test subjects of a cell, see `CellEvaluation`."""

    predictions: Floats
    labels: Floats
    probabilities: Floats | None = None


def _predict(model: Any, fitted: Any, X: Floats, task: str, *, by_class: bool) -> _Predicted:
    if task == "regression":
        values = np.asarray(model.predict(X), dtype=np.float64)
        return _Predicted(values, np.full(len(values), np.nan))
    labels = np.asarray(fitted.predict(X), dtype=np.float64)
    probabilities = np.asarray(model.predict_proba(X), dtype=np.float64)
    if not by_class:
        return _Predicted(np.asarray(probabilities[:, 1]), labels)
    return _Predicted(one_prediction(probabilities, labels, task), labels, probabilities)


def _refit(
    problem: Problem,
    outer: int,
    pipeline: PipelineKind,
    fit: Callable[..., Fits],
    chosen: Mapping[int, int],
    configs: Mapping[int, Configs],
) -> dict[int, CellEvaluation]:
    done: dict[int, CellEvaluation] = {}

    def fail(target: int, _: int, error: Exception) -> None:
        as_failure(error)
        what = f"configuration {chosen[target]} {dict(configs[target][chosen[target]])}"
        where = f"target {problem.names[target]!r}, outer fold {outer}"
        done[target] = failed_cell(f"{where}, {what}: {type(error).__name__}: {error}")

    def fitted(part: TrainingSet, target: int) -> Fits | None:
        number = chosen[target]
        seed = fit_seed(problem, target, outer, number)
        try:
            found = _fit_one(problem, part, target, fit, configs[target][number], seed)
        except Exception as unforeseen:
            fail(target, number, unforeseen)
            return None
        for *_, error in found.failures[:1]:
            fail(target, number, error)
        return None if found.failures else found

    test, calibrators = problem.folds.test[outer], {}
    tasks = {problem.tasks[t] for t in chosen}
    by_decision = tasks != {"classification"} or decides(pipeline, "classification")
    if pipeline.calibrates and tasks != {"regression"}:
        calibrators = _calibrators(problem, outer, list(chosen), fitted, fail)
    for part, group in training_sets(problem, [t for t in chosen if t not in done], ~test, test, fail):
        for target in group:
            found = fitted(part, target)
            if found is not None:
                number, calibrator = chosen[target], calibrators.get(target)
                if problem.is_by_class(target):
                    task = problem.tasks[target]
                    cell = _class_cell(task, part, found, calibrator, number, by_decision=by_decision)
                else:
                    cell = _cell(problem, part, target, found, calibrator, number)
                done[target] = cell
    return done


def _fit_one(
    problem: Problem, part: TrainingSet, target: int, fit: Callable[..., Fits], config: Mapping[str, Any], seed: int
) -> Fits:
    """Fit one configuration to all columns of one target."""
    Y, owners = make_columns(problem, part.train, [target])
    return fit(
        part,
        Y,
        [config],
        task=binary_task(problem.tasks[target]),
        seeds=np.full((len(owners), 1), seed),
        coefficients=True,
    )


# A fitted calibrator for each column, and how many of the fits behind them did not converge.
_Calibrator = tuple[list[CalibratedClassifierCV], int]


def _calibrators(
    problem: Problem,
    outer: int,
    targets: list[int],
    fitted: Callable[[TrainingSet, int], Fits | None],
    fail: Callable[[int, int, Exception], None],
) -> dict[int, _Calibrator]:
    """Fit a sigmoid to the decisions on every inner validation part, as `pipelines.calibrated` does."""
    decisions = {t: np.full((problem.n_columns(t), problem.folds.n_subjects), np.nan) for t in targets}
    not_converged = dict.fromkeys(targets, 0)
    failed: set[int] = set()

    def fail_once(target: int, number: int, error: Exception) -> None:
        failed.add(target)
        fail(target, number, error)

    for valid in problem.folds.valid[outer]:
        train = ~problem.folds.test[outer] & ~valid
        for part, group in training_sets(problem, targets, train, valid, fail_once):
            for target in group:
                found = fitted(part, target)
                if found is None:
                    failed.add(target)
                else:
                    decisions[target][:, part.valid] = found.decisions[:, 0]
                    not_converged[target] += int(found.not_converged[:, 0].sum())
    calibrators = {}
    for target in set(targets) - failed:
        rows = np.flatnonzero(~np.isnan(decisions[target]).any(axis=0))
        Y, _ = make_columns(problem, rows, [target])
        sigmoids = [fit_sigmoid(found[rows], y) for found, y in zip(decisions[target], Y.T, strict=True)]
        calibrators[target] = sigmoids, not_converged[target]
    return calibrators


def fit_sigmoid(decisions: Floats, y: Floats) -> CalibratedClassifierCV:
    """Fit a sigmoid to held-out decisions, both of shape (n_subjects,); it predicts from a column of decisions."""
    everyone = np.arange(len(y))
    model = CalibratedClassifierCV(
        FrozenEstimator(GivenDecisions()), method="sigmoid", cv=[(everyone, everyone)], ensemble=False
    )
    return model.fit(decisions[:, None], y.astype(np.int64))


def _cell(
    problem: Problem, part: TrainingSet, target: int, found: Fits, calibrator: _Calibrator | None, number: int
) -> CellEvaluation:
    decisions = found.decisions[0, 0]
    predictions, labels = decisions, np.full(len(decisions), np.nan)
    not_converged = int(found.not_converged[0, 0])
    if problem.tasks[target] == "classification":
        labels = (decisions > 0).astype(np.float64)
        if calibrator is None:
            predictions = expit(decisions)
        else:
            predictions = calibrator[0][0].predict_proba(decisions[:, None])[:, 1]
            not_converged += calibrator[1]
    models = _linear_models(part, found)
    linear = models[0] if models else None
    return CellEvaluation(part.valid, predictions, labels, linear, number, len(part.train), not_converged, 0.0)


def _linear_models(part: TrainingSet, found: Fits) -> list[LinearModel]:
    """Return the linear model of each column of the only configuration; none where the fits are not linear."""
    if found.coefficients is None or found.intercepts is None:
        return []
    front, columns = part.front, zip(found.coefficients[:, 0], found.intercepts[:, 0], strict=True)
    return [raw_model(coefs, float(b), front.center, front.scale, front.regressor) for coefs, b in columns]


def _class_cell(
    task: str,
    part: TrainingSet,
    found: Fits,
    calibrator: _Calibrator | None,
    number: int,
    *,
    by_decision: bool,
) -> CellEvaluation:
    """Put the columns of a target of several classes together."""
    decisions = found.decisions[:, 0]
    not_converged = int(found.not_converged[:, 0].sum())
    predicted = combine(found.decisions, task, odds=found.probabilities, by_decision=by_decision)
    labels = predicted.labels[0]
    if calibrator is None:
        columns = expit(decisions)
    else:
        sigmoids, more = calibrator
        columns = np.stack([s.predict_proba(d[:, None])[:, 1] for s, d in zip(sigmoids, decisions, strict=True)])
        not_converged += more
    probabilities, models = class_probabilities(columns, task), _linear_models(part, found)
    return CellEvaluation(
        part.valid,
        one_prediction(probabilities, labels, task),
        labels,
        stack_models(models) if models else None,
        number,
        len(part.train),
        not_converged,
        0.0,
        probabilities=probabilities,
    )

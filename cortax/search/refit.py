"""Choice and refit by the solver that searched: what the chosen models predict out of fold."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import replace

import numpy as np
import numpy.typing as npt
from scipy.special import expit
from sklearn.calibration import CalibratedClassifierCV
from sklearn.frozen import FrozenEstimator

from cortax.search.cells import Batch, Configs, Problem, as_failure
from cortax.search.evaluate import choose_number, evaluate_chosen
from cortax.search.evaluations import CellEvaluation, failed_cell
from cortax.search.pipelines import PipelineKind, make_back, raw_model
from cortax.search.scoring import SaidClasses
from cortax.search.solvers import find_solver, fit_seed
from cortax.search.training import Fits, TrainingSet, training_sets

__all__ = ["evaluate_batch", "fit_sigmoid"]

Floats = npt.NDArray[np.float64]


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
    if solver is None:
        return _evaluate_plainly(problem, batch, pipeline, scores, configs, rule)
    done: dict[int, CellEvaluation] = {}
    chosen: dict[int, int] = {}
    for t in batch.targets:
        name = problem.names[t]
        number = choose_number(scores[t], configs[t], problem.folds.n_inner, rule=rule, target=name)
        if number < 0:
            message = f"target {name!r}, outer fold {batch.outer}: every configuration failed in the search"
            done[t] = failed_cell(message)
        else:
            # A wrong parameter is the caller's mistake and must not look like a failed fit.
            make_back(pipeline, task, configs[t][number], seed=0)
            chosen[t] = number
    start = time.perf_counter()
    calibrates = task == "classification" and pipeline.calibrates
    done |= _refit(problem, batch.outer, solver.fit, chosen, configs, calibrates=calibrates)
    seconds = (time.perf_counter() - start) / len(batch.targets)
    return {(t, batch.outer): replace(cell, seconds=seconds) for t, cell in sorted(done.items())}


def _evaluate_plainly(
    problem: Problem,
    batch: Batch,
    pipeline: PipelineKind,
    scores: Mapping[int, Floats],
    configs: Mapping[int, Configs],
    rule: str,
) -> dict[tuple[int, int], CellEvaluation]:
    return {
        (t, batch.outer): evaluate_chosen(
            problem.regions,
            problem.targets[:, t],
            problem.folds,
            batch.outer,
            scores=scores[t],
            kind=pipeline,
            task=problem.tasks[t],
            configs=configs[t],
            target=problem.names[t],
            rule=rule,
            confounds=problem.confounds,
            seed=problem.seed,
        )
        for t in batch.targets
    }


def _refit(
    problem: Problem,
    outer: int,
    fit: Callable[..., Fits],
    chosen: Mapping[int, int],
    configs: Mapping[int, Configs],
    *,
    calibrates: bool,
) -> dict[int, CellEvaluation]:
    done: dict[int, CellEvaluation] = {}

    def fail(target: int, _: int, error: Exception) -> None:
        as_failure(error)
        what = f"configuration {chosen[target]} {dict(configs[target][chosen[target]])}"
        where = f"target {problem.names[target]!r}, outer fold {outer}"
        done[target] = failed_cell(f"{where}, {what}: {type(error).__name__}: {error}")

    def fitted(part: TrainingSet, target: int) -> Fits | None:
        number = chosen[target]
        try:
            found = fit(
                part,
                problem.targets[part.train, target][:, None],
                [configs[target][number]],
                task=problem.tasks[target],
                seeds=np.array([[fit_seed(problem, target, outer, number)]]),
                coefficients=True,
            )
        except Exception as unforeseen:
            fail(target, number, unforeseen)
            return None
        for *_, error in found.failures:
            fail(target, number, error)
        return None if found.failures else found

    test, calibrators = problem.folds.test[outer], {}
    if calibrates:
        calibrators = _calibrators(problem, outer, list(chosen), fitted, fail)
    for part, group in training_sets(problem, [t for t in chosen if t not in done], ~test, test, fail):
        for target in group:
            found = fitted(part, target)
            if found is not None:
                done[target] = _cell(problem, part, target, found, calibrators.get(target), chosen[target])
    return done


# A fitted calibrator, and how many of the fits behind it did not converge.
_Calibrator = tuple[CalibratedClassifierCV, int]


def _calibrators(
    problem: Problem,
    outer: int,
    targets: list[int],
    fitted: Callable[[TrainingSet, int], Fits | None],
    fail: Callable[[int, int, Exception], None],
) -> dict[int, _Calibrator]:
    """Fit a sigmoid to the decisions on every inner validation part, as `pipelines.calibrated` does."""
    decisions = {t: np.full(problem.folds.n_subjects, np.nan) for t in targets}
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
                    decisions[target][part.valid] = found.decisions[0, 0]
                    not_converged[target] += int(found.not_converged[0, 0])
    calibrators = {}
    for target in set(targets) - failed:
        rows = np.flatnonzero(~np.isnan(decisions[target]))
        sigmoid = fit_sigmoid(decisions[target][rows], problem.targets[rows, target])
        calibrators[target] = sigmoid, not_converged[target]
    return calibrators


def fit_sigmoid(decisions: Floats, y: Floats) -> CalibratedClassifierCV:
    """Fit a sigmoid to held-out decisions, both of shape (n_subjects,); it predicts from a column of decisions."""
    everyone = np.arange(len(y))
    model = CalibratedClassifierCV(
        FrozenEstimator(SaidClasses()), method="sigmoid", cv=[(everyone, everyone)], ensemble=False
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
            predictions = calibrator[0].predict_proba(decisions[:, None])[:, 1]
            not_converged += calibrator[1]
    linear = None
    if found.coefficients is not None and found.intercepts is not None:
        front = part.front
        intercept = float(found.intercepts[0, 0])
        linear = raw_model(found.coefficients[0, 0], intercept, front.center, front.scale, front.regressor)
    return CellEvaluation(part.valid, predictions, labels, linear, number, len(part.train), not_converged, 0.0)

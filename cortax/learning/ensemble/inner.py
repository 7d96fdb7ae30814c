"""What the chosen configurations predict within the outer training parts: what a stacked model is fitted on.

The fits are those that the search scored, made once more for the chosen configuration alone. None sees the outer test
part. The configuration was chosen by these very predictions, among others: within the training part they look a little
better than new ones would, which costs a stacked model some of its gain and makes no test score too good.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.special import expit

from cortax.errors import SearchError
from cortax.learning.arrays import Floats
from cortax.learning.search.cells import Batch, Configs, Problem, as_failure
from cortax.learning.search.evaluations import CellEvaluation, failed_cell
from cortax.learning.search.own import keep_groups
from cortax.learning.search.pipelines import PipelineKind, fit_counting, make_back
from cortax.learning.search.refit import choose_cells, fit_sigmoid
from cortax.learning.search.solvers import find_solver, fit_seed
from cortax.learning.search.training import TrainingSet, training_sets

__all__ = ["predict_inner"]


def predict_inner(
    problem: Problem,
    batch: Batch,
    pipeline: PipelineKind,
    *,
    scores: Mapping[int, Floats],
    configs: Mapping[int, Configs],
    rule: str = "best",
) -> dict[tuple[int, int], CellEvaluation]:
    """Choose a configuration for each target, and predict every inner validation part from its inner training part.

    Parameters
    ----------
    problem, batch, pipeline, scores, configs, rule
        As `evaluate_batch` takes them, so that the choice is the same.

    Returns
    -------
    dict of (target, outer fold) to CellEvaluation
        `rows` are the outer training subjects whose target is known. `predictions` are values, or probabilities of
        class 1: where the refit calibrates, by the refit's own sigmoid, which is fitted on these very decisions.
        `labels` are NaN.

    Raises
    ------
    SearchError
        An argument is not allowed, or a target is ordinal or of more than two classes. A cell of which any fit failed
        is no error but has a `failure`.
    """
    start = time.perf_counter()
    for target in batch.targets:
        if problem.is_by_class(target):
            raise SearchError(
                f"target {problem.names[target]!r}: inner predictions are of regressions and two classes only"
            )
    chosen, failed = choose_cells(problem, batch, pipeline, scores=scores, configs=configs, rule=rule)
    fitting = _Fitting(problem, batch, pipeline, configs, chosen)
    for valid in problem.folds.valid[batch.outer]:
        fitting.predict(~problem.folds.test[batch.outer] & ~valid, valid)
    cells = {t: failed.get(t) or fitting.cell(t) for t in batch.targets}
    seconds = (time.perf_counter() - start) / len(batch.targets)
    return {(t, batch.outer): replace(cell, seconds=seconds) for t, cell in cells.items()}


class _Fitting:
    """The chosen configurations of some targets in one outer fold, fitted on one inner part after the other."""

    def __init__(
        self,
        problem: Problem,
        batch: Batch,
        pipeline: PipelineKind,
        configs: Mapping[int, Configs],
        chosen: Mapping[int, int],
    ) -> None:
        self._problem, self._outer, self._pipeline = problem, batch.outer, pipeline
        self._configs, self._chosen = configs, chosen
        self._task = task = problem.tasks[batch.targets[0]]
        used = [config for found in configs.values() for config in found]
        self._solver = None if problem.plain else find_solver(problem.kind, task, used)
        self._calibrates = task == "classification" and pipeline.calibrates
        self._said = {t: np.full(problem.folds.n_subjects, np.nan) for t in chosen}
        self._not_converged = dict.fromkeys(chosen, 0)
        self._failures: dict[int, str] = {}

    def predict(self, train: npt.NDArray[np.bool_], valid: npt.NDArray[np.bool_]) -> None:
        wanted = [t for t in self._chosen if t not in self._failures]
        for part, group in training_sets(self._problem, wanted, train, valid, self._fail):
            for target in group:
                try:
                    said, not_converged = self._fit(part, target)
                    if not np.isfinite(said).all():
                        raise ValueError("a prediction is not finite")
                except Exception as error:
                    self._fail(target, -1, error)
                    continue
                self._said[target][part.valid] = said
                self._not_converged[target] += not_converged

    def _fit(self, part: TrainingSet, target: int) -> tuple[Floats, int]:
        """Values, or decisions where they are calibrated later, or probabilities."""
        number = self._chosen[target]
        config, y = self._configs[target][number], self._problem.targets[part.train, target]
        seed = fit_seed(self._problem, target, self._outer, number)
        if self._solver is None:
            return self._fit_plainly(part, y, config, seed)
        found = self._solver.fit(part, y[:, None], [config], task=self._task, seeds=np.array([[seed]]))
        for *_, error in found.failures:
            raise error
        decisions: Floats = found.decisions[0, 0]
        odds = self._task == "classification" and not self._calibrates
        return expit(decisions) if odds else decisions, int(found.not_converged[0, 0])

    def _fit_plainly(self, part: TrainingSet, y: Floats, config: Mapping[str, Any], seed: int) -> tuple[Floats, int]:
        back: Any = make_back(self._pipeline, self._task, config, seed=seed)
        keep_groups(back, y, self._problem.groups_of(part.train), calibrates=self._calibrates)
        if self._task == "regression":
            not_converged = fit_counting(back, part.X, y)
            return np.asarray(back.predict(part.X_valid), dtype=np.float64), not_converged
        not_converged = fit_counting(back, part.X, y.astype(np.int64))
        if self._calibrates:
            return np.asarray(back.decision_function(part.X_valid), dtype=np.float64), not_converged
        return np.asarray(back.predict_proba(part.X_valid)[:, 1], dtype=np.float64), not_converged

    def _fail(self, target: int, _: int, error: Exception) -> None:
        as_failure(error)
        number = self._chosen[target]
        what = f"configuration {number} {dict(self._configs[target][number])} on an inner training part"
        where = f"target {self._problem.names[target]!r}, outer fold {self._outer}"
        self._failures[target] = f"{where}, {what}: {type(error).__name__}: {error}"

    def cell(self, target: int) -> CellEvaluation:
        if target in self._failures:
            return failed_cell(self._failures[target])
        said, known = self._said[target], ~np.isnan(self._problem.targets[:, target])
        rows = np.flatnonzero(~self._problem.folds.test[self._outer] & known)
        predictions = said[rows]
        if self._calibrates:
            sigmoid = fit_sigmoid(predictions, self._problem.targets[rows, target])
            predictions = sigmoid.predict_proba(predictions[:, None])[:, 1]
        return CellEvaluation(
            rows=rows,
            predictions=predictions,
            labels=np.full(len(rows), np.nan),
            linear=None,
            chosen=self._chosen[target],
            train_rows=len(rows),
            not_converged=self._not_converged[target],
            seconds=0.0,
        )

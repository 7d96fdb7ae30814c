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

from cortax.learning.arrays import Floats, Ints
from cortax.learning.classes import binary_task, class_probabilities, expand
from cortax.learning.search.by_class import as_multiclass, make_columns
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
        class 1: where the refit calibrates, by the refit's own sigmoids, which are fitted on these very decisions. Of
        ordinal targets and of more than two classes they are NaN, and there are `probabilities`. `labels` are NaN.

    Raises
    ------
    SearchError
        An argument is not allowed. A cell of which any fit failed is no error but has a `failure`.
    """
    start = time.perf_counter()
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
        self._calibrates = task != "regression" and pipeline.calibrates
        # A row for each column of the target, or for each class where an estimator takes them all.
        self._said: dict[int, Floats] = {}
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
                empty = np.full((len(said), self._problem.folds.n_subjects), np.nan)
                self._said.setdefault(target, empty)[:, part.valid] = said
                self._not_converged[target] += not_converged

    def _fit(self, part: TrainingSet, target: int) -> tuple[Floats, int]:
        """Values, or decisions where they are calibrated later, or probabilities, of shape (n_columns, n_valid)."""
        number = self._chosen[target]
        config = self._configs[target][number]
        seed = fit_seed(self._problem, target, self._outer, number)
        Y, owners = make_columns(self._problem, part.train, [target])
        if self._solver is None:
            return self._fit_plainly(part, target, config, seed)
        seeds = np.full((len(owners), 1), seed)
        found = self._solver.fit(part, Y, [config], task=binary_task(self._task), seeds=seeds)
        for *_, error in found.failures:
            raise error
        decisions: Floats = found.decisions[:, 0]
        odds = self._task != "regression" and not self._calibrates
        return expit(decisions) if odds else decisions, int(found.not_converged[:, 0].sum())

    def _fit_plainly(self, part: TrainingSet, target: int, config: Mapping[str, Any], seed: int) -> tuple[Floats, int]:
        task, y = self._task, self._problem.targets[part.train, target]
        back: Any = make_back(self._pipeline, task, config, seed=seed)
        keep_groups(back, y, self._problem.groups_of(part.train), calibrates=self._calibrates)
        if task == "regression":
            not_converged = fit_counting(back, part.X, y)
            return np.asarray(back.predict(part.X_valid), dtype=np.float64)[None], not_converged
        model = as_multiclass(back, self._pipeline, task, self._problem.n_classes(target))
        not_converged = fit_counting(model, part.X, y.astype(np.int64))
        found = [self._of_classes(each, part.X_valid) for each in ([back] if model is back else model.estimators_)]
        takes_all = model is back and self._problem.is_by_class(target)
        said = found[0] if takes_all else np.stack([rows[-1] for rows in found])
        return np.asarray(said, dtype=np.float64), not_converged

    def _of_classes(self, fitted: Any, X: Floats) -> Any:
        """Decisions or probabilities by class; the last row is that of class 1 of two."""
        return np.atleast_2d((fitted.decision_function if self._calibrates else fitted.predict_proba)(X).T)

    def _calibrated(self, decisions: Floats, rows: Ints, target: int) -> Floats:
        """Probabilities by a sigmoid for each row of decisions."""
        y = self._problem.targets[rows, target]
        Y = y[None] if len(decisions) == 1 else expand(y, self._task, self._problem.n_classes(target)).T
        pairs = zip(decisions, Y, strict=True)
        return np.stack([fit_sigmoid(one, of).predict_proba(one[:, None])[:, 1] for one, of in pairs])

    def _fail(self, target: int, _: int, error: Exception) -> None:
        as_failure(error)
        number = self._chosen[target]
        what = f"configuration {number} {dict(self._configs[target][number])} on an inner training part"
        where = f"target {self._problem.names[target]!r}, outer fold {self._outer}"
        self._failures[target] = f"{where}, {what}: {type(error).__name__}: {error}"

    def cell(self, target: int) -> CellEvaluation:
        if target in self._failures:
            return failed_cell(self._failures[target])
        by_class, known = self._problem.is_by_class(target), ~np.isnan(self._problem.targets[:, target])
        rows = np.flatnonzero(~self._problem.folds.test[self._outer] & known)
        columns = self._said[target][:, rows]
        if self._calibrates:
            columns = self._calibrated(columns, rows, target)
        nothing = np.full(len(rows), np.nan)
        return CellEvaluation(
            rows=rows,
            predictions=nothing if by_class else columns[0],
            labels=nothing,
            probabilities=class_probabilities(columns, self._task) if by_class else None,
            linear=None,
            chosen=self._chosen[target],
            train_rows=len(rows),
            not_converged=self._not_converged[target],
            seconds=0.0,
        )

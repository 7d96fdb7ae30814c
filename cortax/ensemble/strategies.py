"""One prediction of many: by the member that did best in the search, by a vote, or by a model of the predictions.

An ensemble is made of all its members or not at all: where one lacks a target or a fold, the cell is a failure that
names it. No strategy fits a member anew, and none looks at the test part of an outer fold before it predicts it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.special import expit

from cortax.cohort import Targets
from cortax.ensemble.members import Member
from cortax.ensemble.meta import stack
from cortax.errors import SearchError, choices
from cortax.folds import Folds
from cortax.search.cells import SCORERS, as_failure
from cortax.search.evaluations import CellEvaluation, Evaluation, failed_cell
from cortax.search.pipelines import LinearModel

__all__ = ["STRATEGIES", "Ensemble", "ensemble_cell", "weights_table"]

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Ensemble:
    """What is made one prediction of, and how.

    Attributes
    ----------
    strategy : str
        A key of `STRATEGIES`.
    members : tuple of Member
    targets : Targets
    folds : Folds
        Those of the members.
    scorers : mapping of task to scikit-learn scorer
        By which the penalty of a stacked model is chosen.
    rule : {"best", "one-standard-error"}
        How it is chosen.
    """

    strategy: str
    members: tuple[Member, ...]
    targets: Targets
    folds: Folds
    scorers: Mapping[str, str] = field(default_factory=lambda: SCORERS)
    rule: str = "best"


@dataclass(frozen=True, eq=False)
class _Cell:
    """One target in one outer fold, and what the members predict of its test subjects: (n_test, n_members)."""

    target: int
    outer: int
    train: Ints
    test: Ints
    predictions: Floats
    labels: Floats


def ensemble_cell(ensemble: Ensemble, target: int, outer: int) -> CellEvaluation:
    """Make one prediction of those of all members, for one target in one outer fold.

    Parameters
    ----------
    ensemble : Ensemble
    target, outer : int

    Returns
    -------
    CellEvaluation
        `chosen` is the number of the member that did best (grid) or of the penalty (stacked), 0 for a vote. `linear`
        is the stacked model, per unit of the members' predictions. A cell that a member lacks has a `failure`.

    Raises
    ------
    SearchError
        The strategy is unknown.
    """
    if ensemble.strategy not in STRATEGIES:
        raise SearchError(f"strategy: {choices(ensemble.strategy, STRATEGIES)}")
    start = time.perf_counter()
    try:
        found = STRATEGIES[ensemble.strategy](ensemble, _cell(ensemble, target, outer))
    except SearchError as error:
        return failed_cell(str(error))
    except Exception as error:
        as_failure(error)
        where = f"target {ensemble.targets.names[target]!r}, outer fold {outer}"
        return failed_cell(f"{where}: {type(error).__name__}: {error}")
    return replace(found, seconds=time.perf_counter() - start)


def _cell(ensemble: Ensemble, target: int, outer: int) -> _Cell:
    folds, name = ensemble.folds, ensemble.targets.names[target]
    known = ~np.isnan(ensemble.targets.values[:, target])
    train, test = np.flatnonzero(known & ~folds.test[outer]), np.flatnonzero(known & folds.test[outer])
    said = [member.tested(name, outer, int(folds.repeat[outer]), test) for member in ensemble.members]
    predictions, labels = (np.column_stack(found) for found in zip(*said, strict=True))
    return _Cell(target, outer, train, test, predictions, labels)


def _grid(ensemble: Ensemble, cell: _Cell) -> CellEvaluation:
    """The member whose chosen configuration had the best mean inner score, the first of equals: its refit answers."""
    name = ensemble.targets.names[cell.target]
    best = int(np.argmax([member.inner_score(name, cell.outer) for member in ensemble.members]))
    return _answer(cell, cell.predictions[:, best], cell.labels[:, best], chosen=best)


def _voted(ensemble: Ensemble, cell: _Cell) -> CellEvaluation:
    """The mean of all predictions; the class is that of the mean probability, whatever the members' classes."""
    mean = cell.predictions.mean(axis=1)
    return _answer(cell, mean, _classes(ensemble, cell, mean > 0.5))


def _stacked(ensemble: Ensemble, cell: _Cell) -> CellEvaluation:
    """A model of the members' inner out-of-fold predictions, applied to what their refits predict."""
    name, task = ensemble.targets.names[cell.target], ensemble.targets.tasks[cell.target]
    train = np.column_stack([m.inner_predictions(name, cell.outer, cell.train) for m in ensemble.members])
    held_out = [valid[cell.train] for valid in ensemble.folds.valid[cell.outer]]
    found = stack(
        train,
        ensemble.targets.values[cell.train, cell.target],
        cell.predictions,
        [(np.flatnonzero(~valid), np.flatnonzero(valid)) for valid in held_out],
        task=task,
        scorer=ensemble.scorers[task],
        rule=ensemble.rule,
        target=name,
    )
    predictions = expit(found.decisions) if task == "classification" else found.decisions
    labels = _classes(ensemble, cell, found.decisions > 0)
    made = _answer(cell, predictions, labels, chosen=found.number, linear=found.linear)
    return replace(made, not_converged=found.not_converged)


STRATEGIES: dict[str, Callable[[Ensemble, _Cell], CellEvaluation]] = {
    "grid": _grid,
    "voted": _voted,
    "stacked": _stacked,
}


def _classes(ensemble: Ensemble, cell: _Cell, ones: npt.NDArray[np.bool_]) -> Floats:
    is_class = ensemble.targets.tasks[cell.target] == "classification"
    return ones.astype(np.float64) if is_class else np.full(len(ones), np.nan)


def _answer(
    cell: _Cell, predictions: Floats, labels: Floats, *, chosen: int = 0, linear: LinearModel | None = None
) -> CellEvaluation:
    return CellEvaluation(cell.test, predictions, labels, linear, chosen, len(cell.train), 0, 0.0)


def weights_table(found: Evaluation, strategy: str, *, targets: Sequence[str], members: Sequence[str]) -> pd.DataFrame:
    """Say how much each member counts in each cell.

    Returns
    -------
    DataFrame
        target, outer, member, weight: 1 for the member that answers (grid), 1 / n_members (voted), the coefficient per
        unit of its prediction (stacked; of classes, of the log odds per unit of probability). NaN where a cell failed.
    """
    weights = np.full((*found.chosen.shape, len(members)), np.nan)
    if strategy == "stacked" and found.coefficients is not None:
        weights = found.coefficients
    for t, outer in np.argwhere(found.chosen >= 0) if strategy != "stacked" else ():
        weights[t, outer] = 1 / len(members) if strategy == "voted" else 0.0
        if strategy == "grid":
            weights[t, outer, found.chosen[t, outer]] = 1.0
    index = pd.MultiIndex.from_product([targets, range(weights.shape[1]), members], names=["target", "outer", "member"])
    return pd.DataFrame({"weight": weights.ravel()}, index=index).reset_index()

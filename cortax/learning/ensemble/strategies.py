"""One prediction of many: by the member that did best in the search, by a vote, or by a model of the predictions.

An ensemble is made of all its members or not at all: where one lacks a target or a fold, the cell is a failure that
names it. No strategy fits a member anew, and none looks at the test part of an outer fold before it predicts it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Generic, TypeVar

import numpy as np
import numpy.typing as npt
import pandas as pd
from scipy.special import expit

from cortax.errors import SearchError, choices
from cortax.learning.arrays import Floats, Ints
from cortax.learning.classes import class_labels, column_names, one_prediction
from cortax.learning.cohort import Targets
from cortax.learning.ensemble.meta import stack
from cortax.learning.ensemble.store_inner import StoredInner
from cortax.learning.folds import Folds
from cortax.learning.search.by_class import combine
from cortax.learning.search.cells import SCORERS, as_failure
from cortax.learning.search.evaluations import CellEvaluation, Evaluation, failed_cell
from cortax.learning.search.pipelines import LinearModel
from cortax.learning.search.store import StoredSearch
from cortax.learning.search.store_evaluation import StoredEvaluation

__all__ = ["Ensemble", "EnsembleMember", "EnsemblePart", "ensemble_cell", "parts_by_member", "weights_table"]

Source = TypeVar("Source", StoredSearch, StoredInner)


@dataclass(frozen=True, eq=False)
class EnsemblePart(Generic[Source]):
    """What one job found of some targets and outer folds of a member.

    Attributes
    ----------
    source : StoredSearch or StoredInner
    targets : tuple of str
        Names of its targets, in its order.
    take : tuple of str
        For which of them it answers.
    fold : int or None
        The one outer fold that it has, or None for all.
    """

    source: Source
    targets: tuple[str, ...]
    take: tuple[str, ...]
    fold: int | None


@dataclass(frozen=True, eq=False)
class EnsembleMember:
    """One model of an ensemble.

    Attributes
    ----------
    name : str
        Parcellation and pipeline, such as `schaefer-400/ridge`.
    evaluation : StoredEvaluation
        Of all targets and outer folds.
    searched : tuple of EnsemblePart
        Its searches; only looked at where members compete.
    inner : tuple of EnsemblePart
        Its predictions within the outer training parts; only looked at where they are stacked.
    """

    name: str
    evaluation: StoredEvaluation
    searched: tuple[EnsemblePart[StoredSearch], ...] = ()
    inner: tuple[EnsemblePart[StoredInner], ...] = ()

    def tested(
        self, target: str, outer: int, repeat: int, rows: npt.NDArray[np.int64]
    ) -> tuple[Floats, Floats, Floats | None]:
        """Return predictions and labels of test subjects, of shape (n_rows,) each, and probabilities of classes.

        The latter, of shape (n_rows, n_classes), only of ordinal targets and of more than two classes.

        Raises SearchError: a prediction is missing; the message says why, where that is known.
        """
        place, found = self._place(target, outer), self.evaluation.found
        predictions, labels = found.predictions[repeat, place, rows], found.labels[repeat, place, rows]
        if np.isnan(predictions).any():
            told = [f["message"] for f in found.failures if (f["target"], f["outer"]) == (place, outer)]
            raise self._lacks(target, outer, "no prediction", told)
        by_class = found.probabilities.get(place)
        return predictions, labels, None if by_class is None else by_class[repeat, rows]

    def inner_score(self, target: str, outer: int) -> float:
        """Return the mean inner score of the chosen configuration.

        Raises SearchError: there is none.
        """
        chosen = self.evaluation.found.chosen[self._place(target, outer), outer]
        for part in _holding(self.searched, target, outer):
            scores = part.source.scores[part.targets.index(target), outer, chosen]
            if chosen >= 0 and not np.isnan(scores).any():
                return float(scores.mean())
        raise self._lacks(target, outer, "no inner score")

    def inner_predictions(self, target: str, outer: int, rows: npt.NDArray[np.int64]) -> Floats:
        """Return out-of-fold predictions of outer training subjects, of shape (n_rows,).

        Of ordinal targets and of more than two classes they are probabilities, of shape (n_rows, n_classes).

        Raises SearchError: one is missing.
        """
        told: Sequence[str] = []
        for part in _holding(self.inner, target, outer):
            found = part.source.of(part.targets.index(target), outer)[rows]
            if not np.isnan(found).any():
                return found
            told = part.source.why_not(part.targets.index(target), outer)
        raise self._lacks(target, outer, "no inner predictions", told)

    def _place(self, target: str, outer: int) -> int:
        if target not in self.evaluation.targets:
            raise self._lacks(target, outer, "no evaluation")
        return self.evaluation.targets.index(target)

    def _lacks(self, target: str, outer: int, what: str, why: Sequence[str] = ()) -> SearchError:
        reason = f" ({why[0]})" if why else ""
        return SearchError(f"target {target!r}, outer fold {outer}: {what} by the member {self.name}{reason}")


def _holding(parts: Sequence[EnsemblePart[Source]], target: str, outer: int) -> list[EnsemblePart[Source]]:
    return [part for part in parts if target in part.take and part.fold in (None, outer)]


def parts_by_member(
    sources: Sequence[Source], about: Sequence[Mapping[str, Any]], n_members: int
) -> list[tuple[EnsemblePart[Source], ...]]:
    """Sort what jobs found by the member that it is of.

    `about`: of each: the number of its `member`, its `targets`, which of them to `take`, its `fold`.
    """
    found: list[list[EnsemblePart[Source]]] = [[] for _ in range(n_members)]
    for source, one in zip(sources, about, strict=True):
        found[one["member"]].append(EnsemblePart(source, tuple(one["targets"]), tuple(one["take"]), one["fold"]))
    return [tuple(parts) for parts in found]


@dataclass(frozen=True, eq=False)
class Ensemble:
    """What is made one prediction of, and how.

    Attributes
    ----------
    strategy : str
        A key of `STRATEGIES`.
    folds : Folds
        Those of the members.
    scorers : mapping of task to scikit-learn scorer
        By which the penalty of a stacked model is chosen.
    rule : {"best", "one-standard-error"}
        How it is chosen.
    """

    strategy: str
    members: tuple[EnsembleMember, ...]
    targets: Targets
    folds: Folds
    scorers: Mapping[str, str] = field(default_factory=lambda: SCORERS)
    rule: str = "best"


@dataclass(frozen=True, eq=False)
class _Cell:
    """One target in one outer fold, and what the members predict of its test subjects: (n_test, n_members).

    Probabilities of classes, where there are any, are of shape (n_members, n_test, n_classes).
    """

    target: int
    outer: int
    train: Ints
    test: Ints
    predictions: Floats
    labels: Floats
    probabilities: Floats | None


def ensemble_cell(ensemble: Ensemble, target: int, outer: int) -> CellEvaluation:
    """Make one prediction of those of all members, for one target in one outer fold.

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
    predictions, labels = np.column_stack([one[0] for one in said]), np.column_stack([one[1] for one in said])
    by_class = [one[2] for one in said if one[2] is not None]
    return _Cell(target, outer, train, test, predictions, labels, np.array(by_class) if by_class else None)


def _grid(ensemble: Ensemble, cell: _Cell) -> CellEvaluation:
    """The member whose chosen configuration had the best mean inner score, the first of equals: its refit answers."""
    name = ensemble.targets.names[cell.target]
    best = int(np.argmax([member.inner_score(name, cell.outer) for member in ensemble.members]))
    made = _answer(cell, cell.predictions[:, best], cell.labels[:, best], chosen=best)
    return made if cell.probabilities is None else replace(made, probabilities=cell.probabilities[best])


def _voted(ensemble: Ensemble, cell: _Cell) -> CellEvaluation:
    """The mean of all predictions; the class is that of the mean probability, whatever the members' classes.

    Of several classes the most probable one; of an ordinal target the number of thresholds that it is above with a
    probability of more than a half.
    """
    if cell.probabilities is not None:
        task, by_class = ensemble.targets.tasks[cell.target], cell.probabilities.mean(axis=0)
        columns = by_class.T
        if task == "ordinal":
            columns = np.cumsum(columns[:0:-1], axis=0)[::-1] - 0.5
        labels = class_labels(columns, task)
        return replace(_answer(cell, one_prediction(by_class, labels, task), labels), probabilities=by_class)
    mean = cell.predictions.mean(axis=1)
    return _answer(cell, mean, _classes(ensemble, cell, mean > 0.5))


def _stacked(ensemble: Ensemble, cell: _Cell) -> CellEvaluation:
    """A model of the members' inner out-of-fold predictions, applied to what their refits predict."""
    name, task = ensemble.targets.names[cell.target], ensemble.targets.tasks[cell.target]
    train = np.stack([m.inner_predictions(name, cell.outer, cell.train) for m in ensemble.members], axis=1)
    by_class = cell.probabilities is not None
    held_out = [valid[cell.train] for valid in ensemble.folds.valid[cell.outer]]
    found = stack(
        train,
        ensemble.targets.values[cell.train, cell.target],
        cell.predictions if cell.probabilities is None else np.moveaxis(cell.probabilities, 0, 1),
        [(np.flatnonzero(~valid), np.flatnonzero(valid)) for valid in held_out],
        task=task,
        scorer=ensemble.scorers[task],
        rule=ensemble.rule,
        target=name,
    )
    probabilities = None
    if by_class:
        said = combine(found.decisions[:, None], task, odds=True, by_decision=True)
        assert said.probabilities is not None
        probabilities, labels = said.probabilities[0], said.labels[0]
        predictions = one_prediction(probabilities, labels, task)
    else:
        (decisions,) = found.decisions
        predictions = expit(decisions) if task == "classification" else decisions
        labels = _classes(ensemble, cell, decisions > 0)
    made = _answer(cell, predictions, labels, chosen=found.number, linear=found.linear)
    return replace(made, not_converged=found.not_converged, probabilities=probabilities)


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


def weights_table(found: Evaluation, strategy: str, *, targets: Targets, members: Sequence[str]) -> pd.DataFrame:
    """Say how much each member counts in each cell.

    Returns
    -------
    DataFrame
        target, outer, member, weight: 1 for the member that answers (grid), 1 / n_members (voted), the coefficient per
        unit of its prediction (stacked; of classes, of the log odds per unit of probability). NaN where a cell failed.
        Of ordinal targets and of more than two classes a stacked model has more: a row for each `class`, by its number
        against the rest or, of an ordinal target, as "> NUMBER", and each class whose probability is `predicted` by the
        member. These two columns are there where such a target is, and empty where a weight is of no class.
    """
    weights = np.full((*found.chosen.shape, len(members)), np.nan)
    if strategy == "stacked" and found.coefficients is not None:
        weights = found.coefficients
    for t, outer in np.argwhere(found.chosen >= 0) if strategy != "stacked" else ():
        weights[t, outer] = 1 / len(members) if strategy == "voted" else 0.0
        if strategy == "grid":
            weights[t, outer, found.chosen[t, outer]] = 1.0
    tables = []
    for t, name in enumerate(targets.names):
        axes: dict[str, Sequence[Any]] = {"outer": range(weights.shape[1]), "member": members}
        values = weights[t]
        if t in found.class_models:
            values = found.class_models[t].coefficients
            classes = [str(number) for number in range(values.shape[-1] // len(members))]
            axes = {"outer": axes["outer"], "class": column_names(targets.tasks[t], classes), "member": members}
            axes["predicted"] = classes
        index = pd.MultiIndex.from_product([[name], *axes.values()], names=["target", *axes])
        tables.append(pd.DataFrame({"weight": values.ravel()}, index=index).reset_index())
    table = pd.concat(tables, ignore_index=True)
    more = [name for name in ("class", "predicted") if name in table]
    return table.fillna(dict.fromkeys(more, ""))[["target", "outer", "member", *more, "weight"]]

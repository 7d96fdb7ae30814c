"""The model that a stacked ensemble puts on top: ridge, or L2 logistic regression, of its members' predictions.

Of several classes there is a logistic regression for each class against the rest, of an ordinal target for each
threshold: of all members' probabilities of all classes, and all with the same penalty.

Stacking: Wolpert (1992), Neural Networks 5; with a ridge on top: Breiman (1996), Machine Learning 24; of probabilities
of classes: Ting & Witten (1999), Journal of Artificial Intelligence Research 10.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from sklearn.preprocessing import StandardScaler

from cortax.errors import SearchError
from cortax.learning.arrays import Floats, Ints
from cortax.learning.classes import binary_task, check_present, expand
from cortax.learning.search import logistic, ridge
from cortax.learning.search.by_class import combine
from cortax.learning.search.choose import choose_number
from cortax.learning.search.front import Front
from cortax.learning.search.pipelines import PIPELINES, LinearModel, raw_model, stack_models
from cortax.learning.search.scoring import score_classes, score_decisions
from cortax.learning.search.training import Fits, TrainingSet

__all__ = ["META", "Stacked", "stack"]


# The most regularised first: of equals, as where no class is ever predicted, the first is chosen.
_PENALTIES = [float(10.0**power) for power in np.arange(6.0, -2.5, -0.5)]
# Far tighter than a search needs, at a few steps more: so the answer does not depend on the solver.
_TOL = 1e-10

META: dict[str, tuple[dict[str, Any], ...]] = {
    "regression": tuple({"alpha": penalty} for penalty in _PENALTIES),
    "classification": tuple(
        {"C": 1 / penalty, "class_weight": weight, "tol": _TOL}
        for weight in (None, "balanced")
        for penalty in _PENALTIES
    ),
}
_FIT = {"regression": ridge.fit, "classification": logistic.fit}


@dataclass(frozen=True, eq=False)
class Stacked:
    """A fitted model of members' predictions.

    Attributes
    ----------
    decisions : float64 array of shape (n_columns, n_test)
        Predicted values; of classifiers the log odds of class 1, or of each column of several classes.
    number : int
        Of the chosen penalty, in `META`.
    linear : LinearModel
        Per unit of the members' predictions, or of their probabilities: of all classes of the first member, and so on.
    """

    decisions: Floats
    number: int
    linear: LinearModel
    not_converged: int


def stack(
    train: Floats,
    y: Floats,
    test: Floats,
    inner: Sequence[tuple[Ints, Ints]],
    *,
    task: str,
    scorer: str,
    rule: str = "best",
    target: str = "",
) -> Stacked:
    """Search the penalty on the inner folds, refit on all training subjects, and predict the test subjects.

    Members' predictions are standardised by mean and standard deviation of the subjects that are fitted on.

    Parameters
    ----------
    train : float64 array of shape (n_train, n_members) or (n_train, n_members, n_classes)
        Predictions of training subjects by models that were not fitted on them; of ordinal targets and of more than two
        classes probabilities.
    y : float64 array of shape (n_train,)
    test : float64 array of shape (n_test, n_members) or (n_test, n_members, n_classes)
        Predictions of test subjects by models that were fitted on all training subjects.
    inner : sequence of (fitted, held out)
        Positions in y. Groups that they keep whole stay so.
    task : {"regression", "classification", "ordinal"}
    scorer : str
        See `check_scorer`.
    rule : {"best", "one-standard-error"}
    target : str
        For messages.

    Raises
    ------
    SearchError
        No penalty could be fitted and scored on all inner folds, or the refit failed.
    """
    configs, n_classes = META[binary_task(task)], train.shape[2] if train.ndim == 3 else 0
    train, test = train.reshape(len(train), -1), test.reshape(len(test), -1)
    scores = np.full((len(configs), len(inner)), np.nan)
    errors: list[Exception] = []
    for place, (fitted, held_out) in enumerate(inner):
        try:
            Y = _columns(y[fitted], task, n_classes)
        except ValueError as error:
            errors.append(error)
            continue
        found = _fit(train[fitted], Y, train[held_out], task, configs)[0]
        errors += [error for *_, error in found.failures]
        scores[:, place], unscored = _score(scorer, task, n_classes, y[held_out], found)
        errors += [error for _, error in unscored]
    number = choose_number(scores, configs, len(inner), kind=PIPELINES["ridge"], rule=rule, target=target)
    if number < 0:
        raise SearchError(f"target {target!r}: every stacked model failed{_first(errors)}")
    found, part = _fit(train, _columns(y, task, n_classes), test, task, [configs[number]])
    if found.failures or found.coefficients is None or found.intercepts is None:
        raise SearchError(f"target {target!r}: the stacked model failed{_first([e for *_, e in found.failures])}")
    front, fitted_columns = part.front, zip(found.coefficients[:, 0], found.intercepts[:, 0], strict=True)
    models = [raw_model(coefs, float(b), front.center, front.scale, None) for coefs, b in fitted_columns]
    linear = stack_models(models) if n_classes else models[0]
    return Stacked(found.decisions[:, 0], number, linear, int(found.not_converged[:, 0].sum()))


def _columns(y: Floats, task: str, n_classes: int) -> Floats:
    if not n_classes:
        return y[:, None]
    check_present(y, n_classes)
    return expand(y, task, n_classes)


def _score(
    scorer: str, task: str, n_classes: int, y: Floats, found: Fits
) -> tuple[Floats, list[tuple[int, Exception]]]:
    if not n_classes:
        return score_decisions(scorer, task, y, found.decisions[0], probabilities=found.probabilities)
    return score_classes(scorer, task, n_classes, y, combine(found.decisions, task, odds=True, by_decision=True))


def _first(errors: Sequence[Exception]) -> str:
    return f"; the first: {type(errors[0]).__name__}: {errors[0]}" if errors else ""


def _fit(
    train: Floats, Y: Floats, test: Floats, task: str, configs: Sequence[dict[str, Any]]
) -> tuple[Fits, TrainingSet]:
    """Fit every configuration to standardised predictions, for each column of Y."""
    scaler = StandardScaler().fit(train)
    front = Front(None, scaler.mean_, scaler.scale_)
    rows = np.arange(len(train)), np.arange(len(test))
    part = TrainingSet.of((front, scaler.transform(train), scaler.transform(test)), *rows)
    seeds = np.zeros((Y.shape[1], len(configs)), dtype=np.int64)  # nothing is random
    task = binary_task(task)
    return _FIT[task](part, Y, configs, task=task, seeds=seeds, coefficients=True), part

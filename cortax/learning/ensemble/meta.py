"""The model that a stacked ensemble puts on top: ridge, or L2 logistic regression, of its members' predictions.

Stacking: Wolpert (1992), Neural Networks 5; with a ridge on top: Breiman (1996), Machine Learning 24.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from sklearn.preprocessing import StandardScaler

from cortax.errors import SearchError
from cortax.learning.arrays import Floats, Ints
from cortax.learning.search import logistic, ridge
from cortax.learning.search.choose import choose_number
from cortax.learning.search.front import Front
from cortax.learning.search.pipelines import PIPELINES, LinearModel, raw_model
from cortax.learning.search.scoring import score_decisions
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
    decisions : float64 array of shape (n_test,)
        Predicted values; of classifiers the log odds of class 1.
    number : int
        Of the chosen penalty, in `META`.
    linear : LinearModel
        Per unit of the members' predictions.
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
    train : float64 array of shape (n_train, n_members)
        Predictions of training subjects by models that were not fitted on them.
    y : float64 array of shape (n_train,)
    test : float64 array of shape (n_test, n_members)
        Predictions of test subjects by models that were fitted on all training subjects.
    inner : sequence of (fitted, held out)
        Positions in y. Groups that they keep whole stay so.
    task : {"regression", "classification"}
    scorer : str
        One of scikit-learn's.
    rule : {"best", "one-standard-error"}
    target : str
        For messages.

    Raises
    ------
    SearchError
        No penalty could be fitted and scored on all inner folds, or the refit failed.
    """
    configs = META[task]
    scores = np.full((len(configs), len(inner)), np.nan)
    errors: list[Exception] = []
    for place, (fitted, held_out) in enumerate(inner):
        found = _fit(train[fitted], y[fitted], train[held_out], task, configs)[0]
        errors += [error for *_, error in found.failures]
        scores[:, place], unscored = score_decisions(
            scorer, task, y[held_out], found.decisions[0], probabilities=found.probabilities
        )
        errors += [error for _, error in unscored]
    number = choose_number(scores, configs, len(inner), kind=PIPELINES["ridge"], rule=rule, target=target)
    if number < 0:
        raise SearchError(f"target {target!r}: every stacked model failed{_first(errors)}")
    found, part = _fit(train, y, test, task, [configs[number]])
    if found.failures or found.coefficients is None or found.intercepts is None:
        raise SearchError(f"target {target!r}: the stacked model failed{_first([e for *_, e in found.failures])}")
    intercept, front = float(found.intercepts[0, 0]), part.front
    linear = raw_model(found.coefficients[0, 0], intercept, front.center, front.scale, None)
    return Stacked(found.decisions[0, 0], number, linear, int(found.not_converged[0, 0]))


def _first(errors: Sequence[Exception]) -> str:
    return f"; the first: {type(errors[0]).__name__}: {errors[0]}" if errors else ""


def _fit(
    train: Floats, y: Floats, test: Floats, task: str, configs: Sequence[dict[str, Any]]
) -> tuple[Fits, TrainingSet]:
    """Fit every configuration to standardised columns."""
    scaler = StandardScaler().fit(train)
    front = Front(None, scaler.mean_, scaler.scale_)
    rows = np.arange(len(train)), np.arange(len(test))
    part = TrainingSet.of((front, scaler.transform(train), scaler.transform(test)), *rows)
    seeds = np.zeros((1, len(configs)), dtype=np.int64)  # nothing is random
    return _FIT[task](part, y[:, None], configs, task=task, seeds=seeds, coefficients=True), part

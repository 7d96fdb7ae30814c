"""Choice of a configuration from its inner scores."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from cortax.errors import SearchError, choices
from cortax.learning.arrays import Ints
from cortax.learning.search.cells import Configs
from cortax.learning.search.pipelines import PipelineKind

__all__ = ["RULES", "check_rule", "choose", "choose_number", "complexity"]

RULES = ("best", "one-standard-error")


def check_rule(rule: str, kind: PipelineKind, n_configs: int) -> None:
    """Raise a SearchError unless the rule is known, and can be followed among configurations of the kind."""
    if rule not in RULES:
        raise SearchError(f"rule: {choices(rule, RULES)}")
    if rule != "best" and n_configs > 1 and kind.complexity is None:
        raise SearchError(
            f"pipeline {kind.name!r}: {rule!r} takes the simplest of configurations that are about as good, and which "
            "of its configurations are simpler is not known; use 'best', or one configuration"
        )


def complexity(kind: PipelineKind, configs: Configs) -> Ints:
    """Rank configurations from the simplest one, 0, upwards, as their kind declares it. Equal ones share a rank.

    What is simpler: of ridge a larger `alpha` or smaller `C`; of elastic the same, then a larger `l1_ratio`; of svm a
    smaller `C`, then `gamma`, then `percentile`; of lgbm fewer leaves in all (`n_estimators * num_leaves`).

    Returns
    -------
    int array of shape (n_configs,)

    Raises
    ------
    SearchError
        The kind has no such order, and there are several configurations.
    """
    check_rule("one-standard-error", kind, len(configs))
    if kind.complexity is None:
        return np.zeros(len(configs), dtype=np.int64)
    keys = [kind.complexity(config) for config in configs]
    order = {key: rank for rank, key in enumerate(sorted(set(keys)))}
    return np.array([order[key] for key in keys], dtype=np.int64)


def choose(scores: npt.ArrayLike, *, rule: str = "best", ranks: npt.ArrayLike | None = None) -> int:
    """Choose a configuration by the mean of its inner scores.

    Parameters
    ----------
    scores : float array of shape (n_configs, n_inner)
        Greater is better. A configuration with a NaN has failed somewhere and is never chosen.
    rule : {"best", "one-standard-error"}
        The best mean, the first of equals; or the simplest configuration whose mean is within one
        standard error (of the best one's inner scores) of the best, and of equals the better, then the first.
    ranks : array of shape (n_configs,), optional
        From `complexity`; needed by "one-standard-error".

    Raises
    ------
    SearchError
        Every configuration failed, or an argument is not allowed.
    """
    values = np.asarray(scores, dtype=np.float64)
    if rule not in RULES:
        raise SearchError(f"rule: {choices(rule, RULES)}")
    if values.ndim != 2 or not values.size:
        raise SearchError(f"scores must be of shape (n_configs, n_inner); got {values.shape}")
    means = values.mean(axis=1)
    if np.isnan(means).all():
        raise SearchError("every configuration failed")
    best = int(np.nanargmax(means))
    if rule == "best":
        return best
    order = np.asarray(ranks if ranks is not None else [], dtype=np.float64)
    if order.shape != means.shape or values.shape[1] < 2:
        raise SearchError(
            f"one-standard-error needs a rank for each of {len(means)} configurations and at least "
            f"2 inner folds; got {order.size} and {values.shape[1]}"
        )
    error = values[best].std(ddof=1) / math.sqrt(values.shape[1])
    near = np.flatnonzero(means >= means[best] - error)
    return int(min(near, key=lambda number: (order[number], -means[number], number)))


def choose_number(
    scores: npt.ArrayLike, configs: Configs, n_inner: int, *, kind: PipelineKind, rule: str, target: str
) -> int:
    """Return the number of the configuration that the rule chooses in a cell; -1 if all failed.

    Raises
    ------
    SearchError
        Scores are not of shape (n_configs or more, n_inner), or the rule is unknown or not for this kind.
    """
    inner_scores = np.asarray(scores, dtype=np.float64)[: len(configs)]
    if inner_scores.shape != (len(configs), n_inner):
        expected = (len(configs), n_inner)
        raise SearchError(f"target {target!r}: scores have shape {inner_scores.shape}, expected {expected}")
    if np.isnan(inner_scores.mean(axis=1)).all():
        return -1
    ranks = None if rule == "best" else complexity(kind, configs)
    return choose(inner_scores, rule=rule, ranks=ranks)

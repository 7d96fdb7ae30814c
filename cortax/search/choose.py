"""Choice of a configuration from its inner scores."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from cortax.errors import SearchError, choices

__all__ = ["RULES", "choose", "complexity"]

RULES = ("best", "one-standard-error")


def complexity(configs: Sequence[Mapping[str, Any]]) -> npt.NDArray[np.int64]:
    """Rank configurations from the most regularised one, 0, upwards.

    Compared in this order, as far as configurations have them: larger `alpha`, smaller `C`, fewer leaves in
    all (`n_estimators * num_leaves`), larger `l1_ratio`, smaller `gamma`, smaller `percentile`. Equal ones
    share a rank.

    Returns
    -------
    int array of shape (n_configs,)
    """
    keys = [_looseness(config) for config in configs]
    order = {key: rank for rank, key in enumerate(sorted(set(keys)))}
    return np.array([order[key] for key in keys], dtype=np.int64)


def _looseness(config: Mapping[str, Any]) -> tuple[float, ...]:
    leaves = config.get("n_estimators", 1) * config.get("num_leaves", 1)
    return (
        -_number(config.get("alpha", math.inf)),
        _number(config.get("C", 0.0)),
        _number(leaves),
        -_number(config.get("l1_ratio", 1.0)),
        _number(config.get("gamma", 0.0)),
        _number(config.get("percentile", 0.0)),
    )


def _number(value: Any) -> float:
    # `gamma = "scale"` is one value among equals.
    return float(value) if isinstance(value, int | float) else 0.0


def choose(
    scores: npt.ArrayLike,
    *,
    rule: str = "best",
    ranks: npt.ArrayLike | None = None,
    names: Sequence[str] | None = None,
) -> npt.NDArray[np.int64]:
    """Choose a configuration by the mean of its inner scores.

    Parameters
    ----------
    scores : float array of shape (..., n_configs, n_inner)
        Greater is better. A configuration with a NaN has failed somewhere and is never chosen.
    rule : {"best", "one-standard-error"}
        The best mean, the first of equals; or the most regularised configuration whose mean is within one
        standard error (of the best one's inner scores) of the best, and of equals the better, then the first.
    ranks : array of shape (n_configs,), optional
        From `complexity`; needed by "one-standard-error".
    names : sequence of str, optional
        Names of the first axis (targets), for messages.

    Returns
    -------
    int array of shape (...)

    Raises
    ------
    SearchError
        Every configuration failed in a cell (the message names its target and outer fold), or an argument
        is not allowed.
    """
    values = np.asarray(scores, dtype=np.float64)
    if rule not in RULES:
        raise SearchError(f"rule: {choices(rule, RULES)}")
    if values.ndim < 2 or not values.shape[-2] or not values.shape[-1]:
        raise SearchError(f"scores must be of shape (..., n_configs, n_inner); got {values.shape}")
    if rule == "best":
        order = np.zeros(values.shape[-2])
    else:
        order = np.asarray(ranks if ranks is not None else [], dtype=np.float64)
        if order.shape != values.shape[-2:-1] or values.shape[-1] < 2:
            raise SearchError(
                f"one-standard-error needs a rank for each of {values.shape[-2]} configurations and at least "
                f"2 inner folds; got {order.size} and {values.shape[-1]}"
            )
    chosen = np.empty(values.shape[:-2], dtype=np.int64)
    for cell in np.ndindex(chosen.shape):
        means = values[cell].mean(axis=-1)
        if np.isnan(means).all():
            raise SearchError(f"{_where(cell, names)}: every configuration failed")
        chosen[cell] = _choose_one(values[cell], means, rule, order)
    return chosen


def _choose_one(
    scores: npt.NDArray[np.float64],
    means: npt.NDArray[np.float64],
    rule: str,
    ranks: npt.NDArray[np.float64],
) -> int:
    best = int(np.nanargmax(means))
    if rule == "best":
        return best
    error = scores[best].std(ddof=1) / math.sqrt(scores.shape[1])
    near = np.flatnonzero(means >= means[best] - error)
    return int(min(near, key=lambda number: (ranks[number], -means[number], number)))


def _where(cell: tuple[int, ...], names: Sequence[str] | None) -> str:
    if not cell:
        return "search"
    target = repr(names[cell[0]]) if names is not None else str(cell[0])
    return f"target {target}" + "".join(f", outer fold {fold}" for fold in cell[1:])

"""LightGBM: many configurations of several targets on one training set, bit by bit those of scikit-learn's loop."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from cortax.learning.arrays import Floats
from cortax.learning.search.cells import Batch, CellSearch, Configs, Problem, as_failure
from cortax.learning.search.spaces import EXTRAS, SPACES
from cortax.learning.search.training import Fits, TrainingSet
from cortax.learning.search.trees.boosting import bin_ahead, forest, recipe
from cortax.learning.search.trees.lgbm_race import search_cell

__all__ = ["TOGETHER", "fit", "search", "unable"]

# Targets share the bins, which are a hundredth of the work: small batches are worth more.
TOGETHER = 1


def unable(task: str, configs: Sequence[Mapping[str, Any]]) -> str:
    """See `registry`. Parameters that `spaces` does not list may belong to the bins, which configurations share."""
    known = {*SPACES["lgbm", task], *EXTRAS["lgbm"]}
    unknown = sorted({name for config in configs for name in config} - known)
    return f"parameters that may change the bins: {', '.join(unknown)}" if unknown else ""


def fit(part: TrainingSet, Y: Floats, configs: Configs, *, task: str, seeds: npt.ArrayLike, **_: Any) -> Fits:
    """Fit every configuration of every target; see `registry`. Everything converges; iterations count trees."""
    numbers = np.asarray(seeds)
    decisions = np.full((*numbers.shape, len(part.X_valid)), np.nan)
    n_trees = np.zeros(numbers.shape, dtype=np.int64)
    failures: list[tuple[int, int, Exception]] = []
    recipes = [[recipe(task, config, seed=int(s)) for config, s in zip(configs, row, strict=True)] for row in numbers]
    bin_ahead(part, recipes[0])
    for target, number in np.ndindex(*numbers.shape):
        try:
            decisions[target, number], n_trees[target, number] = forest(part, Y[:, target], recipes[target][number])
        except Exception as error:
            failures.append((target, number, as_failure(error)))
    zeros = np.zeros(numbers.shape, dtype=np.int64)
    return Fits(decisions, zeros, n_trees, task == "classification", failures=tuple(failures))


def search(problem: Problem, batch: Batch) -> dict[tuple[int, int], CellSearch]:
    """Search the targets of a batch by the problem's strategy, see `lgbm_race`."""
    return {(target, batch.outer): search_cell(problem, target, batch.outer) for target in batch.targets}

"""Problems as arrays and JSON, for processes that cannot share them with the one that made them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from cortax.folds import Folds
from cortax.search.cells import Batch, Problem

__all__ = ["read_batches", "read_problem", "write_batches", "write_problem"]

_Arrays = Mapping[str, npt.NDArray[Any]]


def write_problem(problem: Problem) -> tuple[dict[str, npt.NDArray[Any]], dict[str, Any]]:
    """Return the arrays of a problem by name, and everything else as JSON values."""
    folds = problem.folds
    arrays = {
        "regions": problem.regions,
        "targets": problem.targets,
        "test": folds.test,
        "valid": folds.valid,
        "repeat": folds.repeat,
    }
    if problem.confounds is not None:
        arrays["confounds"] = problem.confounds
    about = {
        "tasks": list(problem.tasks),
        "names": list(problem.names),
        "kind": problem.kind,
        "configs": {task: [dict(config) for config in configs] for task, configs in problem.configs.items()},
        "scorers": dict(problem.scorers),
        "seed": problem.seed,
        "strategy": dict(problem.strategy),
        "plain": problem.plain,
    }
    return arrays, about


def read_problem(arrays: _Arrays, about: Mapping[str, Any]) -> Problem:
    """Return the problem that `write_problem` wrote; its arrays are these, which may be read-only.

    Raises
    ------
    SearchError
        See `Problem`.
    """
    # Plain arrays of the same memory: not everything takes numpy's class of mapped ones.
    plain = {name: np.asarray(values) for name, values in arrays.items()}
    told = {name: about[name] for name in ("kind", "configs", "scorers", "seed", "strategy", "plain")}
    return Problem(
        regions=plain["regions"],
        targets=plain["targets"],
        folds=Folds(plain["test"], plain["valid"], plain["repeat"]),
        confounds=plain.get("confounds"),
        tasks=tuple(about["tasks"]),
        names=tuple(about["names"]),
        **told,
    )


def write_batches(batches: Sequence[Batch]) -> list[list[Any]]:
    """Return batches as JSON values."""
    return [[batch.outer, list(batch.targets)] for batch in batches]


def read_batches(content: Sequence[Sequence[Any]]) -> list[Batch]:
    """Return the batches that `write_batches` wrote."""
    return [Batch(outer, tuple(targets)) for outer, targets in content]

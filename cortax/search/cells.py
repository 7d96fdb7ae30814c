"""Searches as values: what is asked for, and what is found, cell by cell.

A cell is one target in one outer fold; a batch is cells of one outer fold that share work.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from cortax.errors import SearchError
from cortax.folds import Folds

__all__ = [
    "SCORERS",
    "Batch",
    "CellSearch",
    "Config",
    "Configs",
    "Failure",
    "Problem",
    "SearchResult",
    "all_cells",
    "as_failure",
    "check_input",
    "collect",
]

SCORERS = {"regression": "explained_variance", "classification": "matthews_corrcoef"}

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Config = Mapping[str, Any]
Configs = Sequence[Config]
Failure = dict[str, Any]


@dataclass(frozen=True, eq=False)
class Problem:
    """One parcellation and one pipeline: everything that a search of it may look at.

    Attributes
    ----------
    regions : float array of shape (n_subjects, n_regions)
        NaN becomes the median of the training part.
    targets : float64 array of shape (n_subjects, n_targets)
        NaN leaves a subject out of that target; classes are 0 and 1.
    tasks, names : tuples of str, of length n_targets
        A task is "regression" or "classification".
    folds : Folds
    kind : str
        Name of the pipeline's kind; part of every seed.
    configs : mapping of task to sequence of configurations
    scorers : mapping of task to scikit-learn scorer
    confounds : float64 array of shape (n_subjects, n_confounds), or None
        Regressed out of the regions, on training rows.
    seed : int
    strategy : mapping
        How to search, of kinds that know more ways than one.
    plain : bool
        Whether only scikit-learn itself may fit.

    Raises
    ------
    SearchError
        Shapes disagree, a task has no configuration or scorer, or a class is not 0 or 1.
    """

    regions: npt.NDArray[Any]
    targets: Floats
    tasks: tuple[str, ...]
    names: tuple[str, ...]
    folds: Folds
    kind: str
    configs: Mapping[str, Configs]
    scorers: Mapping[str, str] = field(default_factory=lambda: SCORERS)
    confounds: Floats | None = None
    seed: int = 0
    strategy: Mapping[str, Any] = field(default_factory=dict)
    plain: bool = False

    def __post_init__(self) -> None:
        n = self.folds.n_subjects
        check_input(self.regions, self.folds)
        if self.targets.shape != (n, len(self.names)) or len(self.tasks) != len(self.names):
            raise SearchError(
                f"targets have shape {self.targets.shape}, {len(self.names)} names and {len(self.tasks)} tasks; "
                f"the folds are of {n} subjects"
            )
        if self.confounds is not None and (self.confounds.ndim != 2 or len(self.confounds) != n):
            raise SearchError(f"confounds must be of shape ({n}, n_confounds); got {self.confounds.shape}")
        for task in self.tasks:
            if not self.configs.get(task):
                raise SearchError(f"there is no configuration for task {task!r}")
            if task not in self.scorers:
                raise SearchError(f"there is no scorer for task {task!r}; got {dict(self.scorers)}")
        for target, (name, task) in enumerate(zip(self.names, self.tasks, strict=True)):
            found = np.unique(self.targets[~np.isnan(self.targets[:, target]), target])
            if task == "classification" and not np.isin(found, (0, 1)).all():
                raise SearchError(f"target {name!r}: classes must be 0 and 1; got {found[:5].tolist()}")


@dataclass(frozen=True)
class Batch:
    """Cells of one outer fold whose targets share a task: what one worker does at a time."""

    outer: int
    targets: tuple[int, ...]


@dataclass(frozen=True, eq=False)
class CellSearch:
    """Search of one target in one outer fold.

    Attributes
    ----------
    scores : float64 array of shape (n_configs, n_inner)
        NaN where the fit or its score failed, or was not worth making (a race).
    not_converged : int array of shape (n_configs, n_inner)
        Fits that stopped before they converged. Their scores count.
    seconds : float
        Work that cells share is divided evenly among them.
    failures : tuple of dict
        target, outer, inner, config (-1: the front end, so all of them), kind (of exception), message.
    configs : tuple of configurations, or None
        What this cell's rows of scores stand for, where it is not the configurations of the problem.
    """

    scores: Floats
    not_converged: Ints
    seconds: float
    failures: tuple[Failure, ...]
    configs: tuple[Config, ...] | None = None


@dataclass(frozen=True, eq=False)
class SearchResult:
    """Search of many cells.

    Attributes
    ----------
    scores : float64 array of shape (n_targets, n_outer, n_configs, n_inner)
        NaN where a fit failed, in cells that were not asked for, and beyond a task's own configurations
        where the other task has more.
    seconds : float64 array of shape (n_targets, n_outer)
    not_converged : int array of the shape of scores
    failures : tuple of dict
        See `CellSearch`; by target, outer fold, inner fold and configuration.
    configs : mapping of (target, outer) to configurations
        Of the cells that have their own.
    """

    scores: Floats
    seconds: Floats
    not_converged: Ints
    failures: tuple[Failure, ...]
    configs: Mapping[tuple[int, int], tuple[Config, ...]] = field(default_factory=dict)


def as_failure(error: Exception) -> Exception:
    """Return the error, which becomes a failure; or raise it as a MemoryError if it is one, in whatever words.

    Memory is the runner's business: it tries such a cell again with more. `bad_alloc` is how C++ says it; compiled code
    that could not even make its exception leaves a SystemError, which no data can cause.
    """
    if isinstance(error, (MemoryError, SystemError)) or "bad_alloc" in str(error):
        raise MemoryError(str(error)) from error
    return error


def check_input(regions: npt.ArrayLike, folds: Folds) -> None:
    """Raise a SearchError unless regions are a matrix of the subjects of the folds."""
    shape = np.shape(regions)
    if len(shape) != 2 or shape[0] != folds.n_subjects or not shape[1]:
        raise SearchError(f"regions have shape {shape}; the folds are of {folds.n_subjects} subjects")


def all_cells(n_targets: int, n_outer: int) -> list[tuple[int, int]]:
    """Return every (target, outer fold)."""
    return list(itertools.product(range(n_targets), range(n_outer)))


def collect(
    done: Mapping[tuple[int, int], CellSearch],
    n_targets: int,
    folds: Folds,
    configs_by_task: Mapping[str, Configs],
) -> SearchResult:
    """Put cells together, whoever searched them and in whatever order.

    Parameters
    ----------
    done : mapping of (target, outer fold) to CellSearch
    n_targets : int
    folds : Folds
    configs_by_task : mapping of task to configurations

    Raises
    ------
    SearchError
        Not a single fit succeeded; the message is that of the first failure.
    """
    n_configs = max(len(configs) for configs in configs_by_task.values())
    scores = np.full((n_targets, folds.n_outer, n_configs, folds.n_inner), np.nan)
    not_converged = np.zeros(scores.shape, dtype=np.int64)
    seconds = np.zeros(scores.shape[:2])
    failures: list[Failure] = []
    own = {}
    for key, cell in sorted(done.items(), key=lambda item: item[0]):
        scores[key][: len(cell.scores)] = cell.scores
        not_converged[key][: len(cell.scores)] = cell.not_converged
        seconds[key] = cell.seconds
        failures += cell.failures
        if cell.configs is not None:
            own[key] = cell.configs
    if failures and np.isnan(scores).all():
        first = failures[0]
        raise SearchError(
            f"every fit failed; the first: target {first['target']!r}, outer fold {first['outer']}, "
            f"inner fold {first['inner']}, configuration {first['config']}: {first['kind']}: {first['message']}"
        )
    return SearchResult(scores, seconds, not_converged, tuple(failures), own)

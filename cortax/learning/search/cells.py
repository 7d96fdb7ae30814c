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
from cortax.learning.arrays import Floats, Ints
from cortax.learning.classes import check_codes, count_classes, is_by_class
from cortax.learning.combat import Harmonisation
from cortax.learning.folds import Folds
from cortax.store import build, pack, split, unpack

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
    "collect",
    "failure_of",
]

SCORERS = {"regression": "explained_variance", "classification": "matthews_corrcoef", "ordinal": "cohen_kappa"}

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
        NaN leaves a subject out of that target; classes are 0, 1, 2, ...
    tasks, names : tuples of str, of length n_targets
        A task is "regression", "classification" or "ordinal".
    folds : Folds
    kind : str
        Name of the pipeline's kind; part of every seed.
    configs : mapping of task to sequence of configurations
    scorers : mapping of task to scikit-learn scorer
    confounds : float64 array of shape (n_subjects, n_confounds), or None
        Regressed out of the regions, on training rows.
    harmonise : Harmonisation, or None
        The effects of its sites are removed first, see `ComBat`, fitted on training rows.
    group_codes : int array of shape (n_subjects,), or None
        What estimators that split training rows themselves must not divide, see `keep_groups`.
    seed : int
    strategy : mapping
        How to search, of kinds that know more ways than one.
    plain : bool
        Whether only scikit-learn itself may fit.

    Raises
    ------
    SearchError
        Shapes disagree, a task has no configuration or scorer, or classes are not 0, 1, 2, ... without a gap.
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
    harmonise: Harmonisation | None = None
    group_codes: Ints | None = None

    def __post_init__(self) -> None:
        n = self.folds.n_subjects
        shape = np.shape(self.regions)
        if len(shape) != 2 or shape[0] != n or not shape[1]:
            raise SearchError(f"regions have shape {shape}; the folds are of {n} subjects")
        if self.targets.shape != (n, len(self.names)) or len(self.tasks) != len(self.names):
            raise SearchError(
                f"targets have shape {self.targets.shape}, {len(self.names)} names and {len(self.tasks)} tasks; "
                f"the folds are of {n} subjects"
            )
        if self.confounds is not None and (self.confounds.ndim != 2 or len(self.confounds) != n):
            raise SearchError(f"confounds must be of shape ({n}, n_confounds); got {self.confounds.shape}")
        if self.harmonise is not None and len(self.harmonise.site_columns) != n:
            raise SearchError(
                f"there are {len(self.harmonise.site_columns)} subjects with a site; the folds are of {n}"
            )
        for task in self.tasks:
            if not self.configs.get(task):
                raise SearchError(f"there is no configuration for task {task!r}")
            if task not in self.scorers:
                raise SearchError(f"there is no scorer for task {task!r}; got {dict(self.scorers)}")
        for target, (name, task) in enumerate(zip(self.names, self.tasks, strict=True)):
            if task != "regression" and (wrong := check_codes(self.targets[:, target])):
                raise SearchError(f"target {name!r}: {wrong}")

    def n_classes(self, target: int) -> int:
        """Return how many classes a target has; 0 of a regression."""
        return count_classes(self.tasks[target], self.targets[:, target])

    def is_by_class(self, target: int) -> bool:
        """Whether a target is ordinal, or of more than two classes: fitted as several binary columns."""
        return is_by_class(self.tasks[target], self.n_classes(target))

    def n_columns(self, target: int) -> int:
        """Return as how many columns a target is fitted."""
        if not self.is_by_class(target):
            return 1
        return self.n_classes(target) - (self.tasks[target] == "ordinal")

    def groups_of(self, rows: Ints) -> Ints | None:
        """Return the groups of some rows, or None."""
        return None if self.group_codes is None else self.group_codes[rows]

    def pack(self) -> tuple[dict[str, npt.NDArray[Any]], dict[str, Any]]:
        """Return the arrays of the problem by name, and everything else as JSON values: for other processes."""
        arrays, about = split(self)
        folds, _ = split(about.pop("folds"))
        harmonise = about.pop("harmonise")
        sites, about["harmonise"] = split(harmonise) if harmonise is not None else ({}, None)
        return arrays | folds | sites, about

    @classmethod
    def unpack(cls, arrays: Mapping[str, npt.NDArray[Any]], about: Mapping[str, Any]) -> Problem:
        """Return the problem that was packed; its arrays are these, which may be read-only."""
        # Plain arrays of the same memory: not everything takes numpy's class of mapped ones.
        plain = {name: np.asarray(values) for name, values in arrays.items()}
        harmonise = about["harmonise"] and build(Harmonisation, about["harmonise"], plain)
        return build(cls, about, plain, {"folds": build(Folds, plain), "harmonise": harmonise})


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

    def to_bytes(self) -> bytes:
        """Return the search as bytes, without pickles."""
        return pack(*split(self))

    @classmethod
    def from_bytes(cls, content: bytes) -> CellSearch:
        """Return what `to_bytes` wrote; ProjectError if it is not whole."""
        return build(cls, *unpack(content))


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


def failure_of(problem: Problem, target: int, outer: int, inner: int, number: int, error: Exception) -> Failure:
    """Return the failure of a configuration, see `CellSearch`; or raise what `as_failure` raises."""
    as_failure(error)
    where = {"target": problem.names[target], "outer": outer, "inner": inner}
    return where | {"config": number, "kind": type(error).__name__, "message": str(error)}


def all_cells(n_targets: int, n_outer: int) -> list[tuple[int, int]]:
    """Return every (target, outer fold)."""
    return list(itertools.product(range(n_targets), range(n_outer)))


def collect(
    done: Mapping[tuple[int, int], CellSearch], n_targets: int, folds: Folds, configs_by_task: Mapping[str, Configs]
) -> SearchResult:
    """Put cells together by (target, outer fold), whoever searched them and in whatever order.

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

"""The search as the obvious scikit-learn loop: what every faster solver is compared with."""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from sklearn.metrics import get_scorer, get_scorer_names

from cortax.errors import SearchError, choices
from cortax.folds import Folds, fold_parts
from cortax.search.pipelines import PipelineKind, fit_counting, make_back, make_front
from cortax.search.spaces import content_seed

__all__ = [
    "SCORERS",
    "CellSearch",
    "SearchResult",
    "all_cells",
    "check_input",
    "check_scorer",
    "collect",
    "columns",
    "search",
    "search_cell",
]

SCORERS = {"regression": "explained_variance", "classification": "matthews_corrcoef"}

Floats = npt.NDArray[np.float64]
Ints = npt.NDArray[np.int64]
Configs = Sequence[Mapping[str, Any]]
Failure = dict[str, Any]


@dataclass(frozen=True, eq=False)
class CellSearch:
    """Search of one target in one outer fold.

    Attributes
    ----------
    scores : float64 array of shape (n_configs, n_inner)
        NaN where the fit or its score failed.
    not_converged : int array of shape (n_configs, n_inner)
        Fits that stopped before they converged. Their scores count.
    seconds : float
    failures : tuple of dict
        target, outer, inner, config (-1: the front end, so all of them), kind (of exception), message.
    """

    scores: Floats
    not_converged: Ints
    seconds: float
    failures: tuple[Failure, ...]


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
    """

    scores: Floats
    seconds: Floats
    not_converged: Ints
    failures: tuple[Failure, ...]


def columns(regions: npt.ArrayLike, confounds: npt.ArrayLike | None) -> tuple[Floats, int]:
    """Return [regions | confounds] as float64, and the number of confounds."""
    X = np.asarray(regions, dtype=np.float64)
    if confounds is None:
        return X, 0
    C = np.asarray(confounds, dtype=np.float64)
    if C.ndim != 2 or len(C) != len(X):
        raise SearchError(f"confounds must be of shape ({len(X)}, n_confounds); got {C.shape}")
    return np.hstack([X, C]), C.shape[1]


def check_input(regions: npt.ArrayLike, folds: Folds) -> None:
    """Raise a SearchError unless regions are a matrix of the subjects of the folds."""
    shape = np.shape(regions)
    if len(shape) != 2 or shape[0] != folds.n_subjects or not shape[1]:
        raise SearchError(f"regions have shape {shape}; the folds are of {folds.n_subjects} subjects")


def search_cell(
    regions: npt.ArrayLike,
    y: npt.ArrayLike,
    folds: Folds,
    outer: int,
    *,
    kind: PipelineKind,
    task: str,
    configs: Configs,
    target: str,
    scorer: str | None = None,
    confounds: npt.ArrayLike | None = None,
    seed: int = 0,
) -> CellSearch:
    """Score every configuration on the inner folds of one outer training part.

    The result depends on the arguments alone: seeds are made of (seed, kind, target, outer fold,
    configuration), so cells may run in any order and on any worker.

    Parameters
    ----------
    regions : array of shape (n_subjects, n_regions), float
        NaN becomes the median of the training part.
    y : array of shape (n_subjects,), float
        NaN leaves a subject out; classes are 0 and 1.
    folds : Folds
    outer : int
    kind : PipelineKind
    task : {"regression", "classification"}
    configs : sequence of mapping
    target : str
        Name of the target, for seeds and messages.
    scorer : str, optional
        One of scikit-learn's; by default that of `SCORERS`.
    confounds : array of shape (n_subjects, n_confounds), optional
        Regressed out of the regions, on training rows.
    seed : int

    Raises
    ------
    SearchError
        Shapes disagree, the scorer is unknown, or the pipeline does not take the task or a parameter. A
        fit that fails is no error but a NaN and a failure.
    """
    check_input(regions, folds)
    score = check_scorer(scorer or SCORERS.get(task, ""), task)
    X, n_confounds = columns(regions, confounds)
    values = np.asarray(y, dtype=np.float64)
    _, _, _, inner = next(itertools.islice(fold_parts(folds, values), outer, None))
    scores = np.full((len(configs), len(inner)), np.nan)
    not_converged = np.zeros(scores.shape, dtype=np.int64)
    failures: list[Failure] = []
    # Unknown parameters are the user's mistake, found before any time is spent.
    for config in configs:
        make_back(kind, task, config, seed=0)
    start = time.perf_counter()
    for i, (train, valid) in enumerate(inner):
        where = {"target": target, "outer": outer, "inner": i}
        y_train, y_valid = (_typed(values[rows], task) for rows in (train, valid))
        try:
            front = make_front(n_confounds)
            X_train, X_valid = front.fit_transform(X[train]), front.transform(X[valid])
        except Exception as error:
            failures.append(where | _failure(-1, error))
            continue
        for number, config in enumerate(configs):
            back = make_back(kind, task, config, seed=content_seed(seed, kind.name, target, outer, number))
            try:
                not_converged[number, i] = fit_counting(back, X_train, y_train)
                scores[number, i] = _finite(score(back, X_valid, y_valid))
            except Exception as error:
                failures.append(where | _failure(number, error))
    return CellSearch(scores, not_converged, time.perf_counter() - start, tuple(failures))


def check_scorer(name: str, task: str) -> Any:
    """Return the scorer of that name, a function (estimator, X, y), or raise a SearchError."""
    if name not in get_scorer_names():
        raise SearchError(f"scorer of {task!r}: {choices(name, get_scorer_names())}")
    return get_scorer(name)


def _typed(y: Floats, task: str) -> npt.NDArray[Any]:
    return y.astype(np.int64) if task == "classification" else y


def _finite(score: float) -> float:
    if not np.isfinite(score):
        raise ValueError(f"the score is {score}")
    return score


def _failure(number: int, error: Exception) -> Failure:
    # Memory is the runner's business: it tries such a cell again with more.
    if isinstance(error, MemoryError):
        raise error
    return {"config": number, "kind": type(error).__name__, "message": str(error)}


def all_cells(n_targets: int, n_outer: int) -> list[tuple[int, int]]:
    """Return every (target, outer fold)."""
    return list(itertools.product(range(n_targets), range(n_outer)))


def search(
    regions: npt.ArrayLike,
    targets: npt.ArrayLike,
    folds: Folds,
    *,
    kind: PipelineKind,
    configs_by_task: Mapping[str, Configs],
    tasks: Sequence[str],
    names: Sequence[str],
    scorers: Mapping[str, str] = SCORERS,
    confounds: npt.ArrayLike | None = None,
    seed: int = 0,
    cells: Iterable[tuple[int, int]] | None = None,
) -> SearchResult:
    """Search all targets and outer folds, one cell after the other.

    Parameters
    ----------
    regions, folds, kind, confounds, seed
        See `search_cell`.
    targets : array of shape (n_subjects, n_targets), float
    configs_by_task : mapping of task to configurations
    tasks, names : sequence of str, of length n_targets
    scorers : mapping of task to scikit-learn scorer
    cells : iterable of (target, outer fold), optional
        What to do; all by default. The order does not matter.

    Raises
    ------
    SearchError
        See `search_cell` and `collect`; or shapes disagree.
    """
    Y = np.asarray(targets, dtype=np.float64)
    if Y.shape != (folds.n_subjects, len(names)) or len(tasks) != len(names):
        raise SearchError(
            f"targets have shape {Y.shape}, {len(names)} names and {len(tasks)} tasks; "
            f"the folds are of {folds.n_subjects} subjects"
        )
    for task in tasks:
        if not configs_by_task.get(task):
            raise SearchError(f"configs_by_task has no configuration for task {task!r}")
    done = {
        (t, outer): search_cell(
            regions,
            Y[:, t],
            folds,
            outer,
            kind=kind,
            task=tasks[t],
            configs=configs_by_task[tasks[t]],
            target=names[t],
            scorer=scorers.get(tasks[t]),
            confounds=confounds,
            seed=seed,
        )
        for t, outer in (all_cells(len(names), folds.n_outer) if cells is None else cells)
    }
    return collect(done, len(names), folds, configs_by_task)


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
    for key, cell in sorted(done.items(), key=lambda item: item[0]):
        scores[key][: len(cell.scores)] = cell.scores
        not_converged[key][: len(cell.scores)] = cell.not_converged
        seconds[key] = cell.seconds
        failures += cell.failures
    if failures and np.isnan(scores).all():
        first = failures[0]
        raise SearchError(
            f"every fit failed; the first: target {first['target']!r}, outer fold {first['outer']}, "
            f"inner fold {first['inner']}, configuration {first['config']}: {first['kind']}: {first['message']}"
        )
    return SearchResult(scores, seconds, not_converged, tuple(failures))

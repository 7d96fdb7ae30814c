"""The search as the obvious scikit-learn loop: what every faster solver is compared with."""

from __future__ import annotations

import itertools
import time
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from cortax.errors import SearchError
from cortax.folds import Folds, fold_parts
from cortax.search.cells import (
    SCORERS,
    CellSearch,
    Configs,
    Failure,
    SearchResult,
    all_cells,
    as_failure,
    check_input,
    collect,
)
from cortax.search.pipelines import PipelineKind, fit_counting, make_back, make_front
from cortax.search.scoring import check_scorer
from cortax.search.spaces import content_seed

__all__ = ["columns", "search", "search_cell"]

Floats = npt.NDArray[np.float64]


def columns(regions: npt.ArrayLike, confounds: npt.ArrayLike | None) -> tuple[Floats, int]:
    """Return [regions | confounds] as float64, and the number of confounds."""
    X = np.asarray(regions, dtype=np.float64)
    if confounds is None:
        return X, 0
    C = np.asarray(confounds, dtype=np.float64)
    if C.ndim != 2 or len(C) != len(X):
        raise SearchError(f"confounds must be of shape ({len(X)}, n_confounds); got {C.shape}")
    return np.hstack([X, C]), C.shape[1]


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


def _typed(y: Floats, task: str) -> npt.NDArray[Any]:
    return y.astype(np.int64) if task == "classification" else y


def _finite(score: float) -> float:
    if not np.isfinite(score):
        raise ValueError(f"the score is {score}")
    return score


def _failure(number: int, error: Exception) -> Failure:
    as_failure(error)
    return {"config": number, "kind": type(error).__name__, "message": str(error)}


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

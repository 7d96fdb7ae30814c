"""The search as the obvious scikit-learn loop: what every faster solver is compared with."""

from __future__ import annotations

import itertools
import time
from typing import Any

import numpy as np
import numpy.typing as npt

from cortax.errors import SearchError
from cortax.learning.arrays import Floats
from cortax.learning.classes import check_present
from cortax.learning.combat import Harmonisation
from cortax.learning.folds import fold_parts
from cortax.learning.search.by_class import as_multiclass
from cortax.learning.search.cells import CellSearch, Failure, Problem, failure_of
from cortax.learning.search.own import keep_groups
from cortax.learning.search.pipelines import PipelineKind, fit_counting, make_back, make_front
from cortax.learning.search.scoring import check_scorer
from cortax.learning.search.spaces import content_seed

__all__ = ["columns", "search_cell"]


def columns(
    regions: npt.ArrayLike, confounds: npt.ArrayLike | None, harmonise: Harmonisation | None = None
) -> tuple[Floats, int]:
    """Return [regions | confounds | site_columns] as float64, and the number of confounds."""
    X = np.asarray(regions, dtype=np.float64)
    sites = [] if harmonise is None else [harmonise.site_columns]
    if confounds is None:
        return np.hstack([X, *sites]) if sites else X, 0
    C = np.asarray(confounds, dtype=np.float64)
    if C.ndim != 2 or len(C) != len(X):
        raise SearchError(f"confounds must be of shape ({len(X)}, n_confounds); got {C.shape}")
    return np.hstack([X, C, *sites]), C.shape[1]


def search_cell(problem: Problem, cell: tuple[int, int], kind: PipelineKind) -> CellSearch:
    """Score every configuration on the inner folds of one outer training part.

    The result depends on the arguments alone: seeds are made of (seed, kind, target, outer fold,
    configuration), so cells may run in any order and on any worker.

    Parameters
    ----------
    problem : Problem
        Its strategy is not looked at.
    cell : (target, outer fold)
    kind : PipelineKind

    Raises
    ------
    SearchError
        The scorer is unknown, or the pipeline does not take the task or a parameter. A fit that fails is no error but
        a NaN and a failure.
    """
    target, outer = cell
    name, task = problem.names[target], problem.tasks[target]
    configs, n_classes = problem.configs[task], problem.n_classes(target)
    score = check_scorer(problem.scorers[task], task, n_classes, probabilities=not kind.calibrates)
    X, n_confounds = columns(problem.regions, problem.confounds, problem.harmonise)
    values = problem.targets[:, target]
    _, _, _, inner = next(itertools.islice(fold_parts(problem.folds, values), outer, None))
    scores = np.full((len(configs), len(inner)), np.nan)
    not_converged = np.zeros(scores.shape, dtype=np.int64)
    failures: list[Failure] = []
    calibrates = task != "regression" and kind.calibrates
    # Unknown parameters are the user's mistake, found before any time is spent.
    for config in configs:
        make_back(kind, task, config, seed=0)
    start = time.perf_counter()
    for i, (train, valid) in enumerate(inner):
        y_train, y_valid = (_typed(values[rows], task) for rows in (train, valid))
        try:
            if problem.is_by_class(target):
                check_present(y_train, n_classes)
            front = make_front(n_confounds, problem.harmonise)
            X_train, X_valid = front.fit_transform(X[train]), front.transform(X[valid])
        except Exception as error:
            failures.append(failure_of(problem, target, outer, i, -1, error))
            continue
        for number, config in enumerate(configs):
            binary = make_back(kind, task, config, seed=content_seed(problem.seed, kind.name, name, outer, number))
            try:
                keep_groups(binary, y_train, problem.groups_of(train), calibrates=calibrates)
                back = as_multiclass(binary, kind, task, n_classes)
                not_converged[number, i] = fit_counting(back, X_train, y_train)
                found = score(back, X_valid, y_valid)
                if not np.isfinite(found):
                    raise ValueError(f"the score is {found}")
                scores[number, i] = found
            except Exception as error:
                failures.append(failure_of(problem, target, outer, i, number, error))
    return CellSearch(scores, not_converged, time.perf_counter() - start, tuple(failures))


def _typed(y: Floats, task: str) -> npt.NDArray[Any]:
    return y if task == "regression" else y.astype(np.int64)

"""Machine code of the searches, ahead of them."""

from __future__ import annotations

import numpy as np

from cortax.learning.folds import make_folds
from cortax.learning.search.cells import Problem
from cortax.learning.search.pipelines import pipeline_kind
from cortax.learning.search.registry import TASKS
from cortax.learning.search.solvers import warm_up
from cortax.learning.search.spaces import sample_configs

__all__ = ["compile_elastic", "compile_ridge", "compile_svm"]

_N_CONFIGS = 8


def compile_ridge() -> None:
    """See `Workload`."""
    _compile("ridge")


def compile_elastic() -> None:
    """See `Workload`."""
    _compile("elastic")


def compile_svm() -> None:
    """See `Workload`."""
    _compile("svm")


def _compile(kind: str) -> None:
    rng = np.random.default_rng(0)
    values = rng.normal(size=(20, len(TASKS)))
    problem = Problem(
        rng.normal(size=(20, 4)),
        np.where([task == "regression" for task in TASKS], values, values > 0).astype(np.float64),
        TASKS,
        TASKS,
        make_folds(np.arange(20), n_outer=2, n_inner=2, seed=0),
        kind,
        {task: sample_configs(kind, task, _N_CONFIGS, seed=0) for task in TASKS},
    )
    warm_up(problem, pipeline_kind(kind, {}, name=kind), _N_CONFIGS)

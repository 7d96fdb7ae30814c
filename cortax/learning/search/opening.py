"""A problem from the folders of the jobs that hold its parts."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from cortax.learning.cohort import Cohort, open_cohort, open_targets, rows_of
from cortax.learning.folds import open_folds
from cortax.learning.regions import open_regions
from cortax.learning.search.cells import Configs, Problem
from cortax.learning.search.spaces import search_space

__all__ = ["Opened", "open_problem", "search_strategy"]

PLAIN = {"racing": False, "sampler": "random", "staged": False}


@dataclass(frozen=True, eq=False)
class Opened:
    """A problem, who is studied, and the names of the columns of the regions."""

    problem: Problem
    cohort: Cohort
    columns: tuple[str, ...]


def open_problem(
    split: str | Path,
    regions: str | Path,
    targets: Sequence[str | Path],
    configs: Callable[[str], Configs],
    **how: Any,
) -> Opened:
    """Put a problem together.

    Parameters
    ----------
    split, regions : path
        Folders of the jobs that made them.
    targets : sequence of path
        Folders of the jobs that read one target each.
    configs : callable
        Gives the configurations of a task.
    **how
        kind, seed, plain, scorers and strategy, see `Problem`.

    Raises
    ------
    CortaxError
        A folder does not hold what it should, or subjects of the split have no regions.
    """
    cohort, values = open_cohort(split), open_regions(regions)
    found = open_targets(targets, cohort)
    problem = Problem(
        regions=values.values[rows_of(cohort, values.subjects, f"job {Path(regions).name}")],
        targets=found.values,
        tasks=found.tasks,
        names=found.names,
        folds=open_folds(split),
        configs={task: configs(task) for task in sorted(set(found.tasks))},
        confounds=cohort.confounds,
        harmonise=cohort.harmonise,
        # Others never split their training rows.
        group_codes=np.unique(cohort.groups, return_inverse=True)[1] if how.get("kind") == "sklearn" else None,
        **how,
    )
    return Opened(problem, cohort, values.columns)


def search_strategy(kind: str, strategy: Mapping[str, Any], space: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return a study's strategy and space as solvers take them; nothing for every configuration on every inner fold."""
    if strategy in ({}, PLAIN):
        return {}
    return {**strategy, "space": {task: search_space(kind, task, space) for task in ("classification", "regression")}}

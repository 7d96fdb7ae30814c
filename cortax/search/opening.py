"""A problem from the folders of the jobs that hold its parts."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cortax.cohort import Cohort, open_cohort, open_targets, rows_of
from cortax.data.regions import open_regions
from cortax.folds import open_folds
from cortax.search.cells import SCORERS, Configs, Problem
from cortax.search.spaces import search_space

__all__ = ["Opened", "open_problem"]

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
    *,
    kind: str,
    seed: int,
    plain: bool,
    scorers: Mapping[str, str] = SCORERS,
    strategy: Mapping[str, Any] | None = None,
    space: Mapping[str, Any] | None = None,
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
    kind, seed, plain, scorers
        See `Problem`.
    strategy, space : mapping, optional
        As a study asks for a search: how, and over which values.

    Raises
    ------
    CortaxError
        A folder does not hold what it should, or subjects of the split have no regions.
    """
    cohort, values = open_cohort(split), open_regions(regions)
    found = open_targets(targets, cohort)
    tasks = sorted(set(found.tasks))
    problem = Problem(
        regions=values.values[rows_of(cohort, values.subjects, f"job {Path(regions).name}")],
        targets=found.values,
        tasks=found.tasks,
        names=found.names,
        folds=open_folds(split),
        kind=kind,
        configs={task: configs(task) for task in tasks},
        scorers=dict(scorers),
        confounds=cohort.confounds,
        seed=seed,
        strategy=_strategy(kind, tasks, strategy or {}, space or {}),
        plain=plain,
    )
    return Opened(problem, cohort, values.columns)


def _strategy(
    kind: str, tasks: Sequence[str], strategy: Mapping[str, Any], space: Mapping[str, Any]
) -> Mapping[str, Any]:
    """What a solver is told of a strategy; nothing of one that is every configuration on every inner fold."""
    if strategy in ({}, PLAIN):
        return {}
    return {**strategy, "space": {task: search_space(kind, task, space) for task in tasks}}

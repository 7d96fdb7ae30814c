"""The order in which jobs are asked for: each after those that it needs, whatever the order of the plan."""

from __future__ import annotations

import heapq
from collections.abc import Callable, Sequence
from graphlib import CycleError, TopologicalSorter

from cortax.errors import ProjectError
from cortax.workflow.plan.jobspec import JobSpec

__all__ = ["build_order"]


def build_order(specs: Sequence[JobSpec], seconds: Callable[[JobSpec], float]) -> list[JobSpec]:
    """Order jobs so that each comes after those that it needs.

    Among the jobs that could be next, those of the method that the plan names first come first, because people read a
    build step by step; then the one that takes longest, which fails early if it fails.

    Parameters
    ----------
    specs : sequence of JobSpec
        The jobs of a plan, in any order.
    seconds : callable
        Gives the seconds that a job is expected to take.

    Raises
    ------
    ProjectError
        Two jobs have one name, a job needs one that the plan does not have, or jobs need each other. No study can
        cause that: it is a fault of the plan.
    """
    by_name = {spec.name: spec for spec in specs}
    if len(by_name) < len(specs):
        twice = sorted({spec.name for spec in specs if by_name[spec.name] is not spec})
        raise ProjectError(f"the plan has two jobs of one name: {twice}")
    for spec in specs:
        if unknown := sorted(spec.needs - by_name.keys()):
            raise ProjectError(f"job {spec.name!r} needs {unknown}, which the plan does not have")
    sorter = TopologicalSorter({spec.name: spec.needs for spec in specs})
    try:
        sorter.prepare()
    except CycleError as error:
        raise ProjectError(f"jobs need each other: {' -> '.join(error.args[1])}") from error
    step = {method: number for number, method in enumerate(dict.fromkeys(spec.method for spec in specs))}
    place = {spec.name: number for number, spec in enumerate(specs)}
    ready: list[tuple[int, float, int]] = []
    ordered: list[JobSpec] = []
    while sorter.is_active():
        for name in sorter.get_ready():
            spec = by_name[name]
            # What is not measured by its work takes about as long as its neighbours: those keep the plan's order.
            heapq.heappush(ready, (step[spec.method], -seconds(spec) if spec.work else 0.0, place[name]))
        spec = specs[heapq.heappop(ready)[2]]
        ordered.append(spec)
        sorter.done(spec.name)
    return ordered

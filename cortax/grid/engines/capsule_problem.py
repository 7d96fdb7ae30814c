"""What all jobs that have cells share as capsules: the problem, its batches and its pipeline."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from cortax.grid.engines.capsule import Capsule
from cortax.provenance.closure import check_class_code, class_code
from cortax.search.cells import Batch, Problem
from cortax.search.pipelines import PipelineKind, pipeline_kind
from cortax.search.solvers import solver_modules
from cortax.search.store_problem import read_batches, read_problem, write_batches, write_problem

__all__ = ["Work", "pack_problem", "unpack_problem"]

Work = Callable[[int], list[bytes]]


def pack_problem(
    problem: Problem, batches: Sequence[Batch], estimators: Mapping[str, str]
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return the arrays of a capsule, and the rest of it as JSON values."""
    arrays, about = write_problem(problem)
    classes = [*estimators.values(), *([] if problem.plain else solver_modules(problem.kind))]
    about |= {"batches": write_batches(batches), "estimators": dict(estimators)}
    return arrays, {**about, "classes": classes, "code": class_code(classes)}


def unpack_problem(capsule: Capsule) -> tuple[Problem, list[Batch], PipelineKind]:
    """Return what `pack_problem` was given; the code of its classes must be what it was.

    Raises
    ------
    ProjectError
        It is not.
    """
    about = capsule.about
    check_class_code(about["classes"], about["code"])
    problem = read_problem(capsule.arrays, about)
    return problem, read_batches(about["batches"]), pipeline_kind(problem.kind, about["estimators"], name=problem.kind)

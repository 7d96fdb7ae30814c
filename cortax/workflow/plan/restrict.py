"""Narrowing a plan or a build to some values of the axes that its jobs differ by."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from cortax.errors import StudyError, choices
from cortax.study.patterns import Patterns
from cortax.workflow.plan.jobspec import JobSpec

__all__ = ["RESTRICT", "Restriction", "parse_restriction", "restrict"]

# The environment variable by which `cortax build` tells its build script.
RESTRICT = "CORTAX_RESTRICT"

Restriction = Mapping[str, Sequence[str]]


def parse_restriction(text: str) -> dict[str, list[str]]:
    """Read `axis=pattern,axis=pattern`; several patterns of one axis are alternatives.

    Raises
    ------
    StudyError
        A part has no `=`.

    >>> parse_restriction("pipeline=elastic,pipeline=ridge,parcellation=schaefer*")
    {'pipeline': ['elastic', 'ridge'], 'parcellation': ['schaefer*']}
    """
    patterns: dict[str, list[str]] = {}
    for part in filter(None, (part.strip() for part in text.split(","))):
        axis, equals, pattern = part.partition("=")
        if not equals or not pattern:
            raise StudyError(f"--restrict {part!r}: must look like key=pattern, such as parcellation=schaefer*")
        patterns.setdefault(axis, []).append(pattern)
    return patterns


def restrict(
    specs: Sequence[JobSpec], patterns: Restriction, *, axes: Collection[str], narrowed: Collection[str]
) -> list[JobSpec]:
    """Keep the jobs of the narrowed methods that meet all patterns, and what they need.

    What is computed together stays together: a job is kept if one of its values on an axis meets a pattern, or if it
    is of all of them. Jobs that collect are left out: what is left of them would take the place of the whole.

    Parameters
    ----------
    specs : sequence of JobSpec
        All jobs of a study.
    patterns : mapping of axis to patterns
        See `parse_restriction`. Nothing means no restriction.
    axes, narrowed
        Of the study's `Workload`.

    Raises
    ------
    StudyError
        There is no such axis, or a pattern meets no job; the message says what there is.
    """
    for axis in patterns:
        if axis not in axes:
            raise StudyError(f"--restrict {axis}={patterns[axis][0]}: {choices(axis, axes)}")
    if not patterns:
        return list(specs)
    candidates = [spec for spec in specs if spec.method in narrowed]
    _check(candidates, patterns)
    kept = {spec.name for spec in candidates if all(_meets(spec, axis, patterns[axis]) for axis in patterns)}
    if not kept:
        raise StudyError(f"--restrict: no job meets all of {dict(patterns)}")
    by_name = {spec.name: spec for spec in specs}
    todo = list(kept)
    while todo:
        new = by_name[todo.pop()].needs - kept
        kept |= new
        todo += new
    return [spec for spec in specs if spec.name in kept]


def _meets(spec: JobSpec, axis: str, patterns: Sequence[str]) -> bool:
    values = spec.values(axis)
    return not values or any(map(Patterns(tuple(patterns)).matches, values))


def _check(candidates: Sequence[JobSpec], patterns: Restriction) -> None:
    for axis, wanted in patterns.items():
        known = sorted({value for spec in candidates for value in spec.values(axis)})
        for pattern in Patterns(tuple(wanted)).unmatched(known):
            hint = choices(pattern, known) if known else f"no job is of one {axis}: they are of all together"
            raise StudyError(f"--restrict {axis}={pattern}: {hint}")

"""Narrowing a plan or a build to some pipelines, parcellations, targets or folds."""

from __future__ import annotations

import fnmatch
from collections.abc import Mapping, Sequence

from cortax.errors import StudyError, choices
from cortax.grid.planning.jobspec import JobSpec

__all__ = ["RESTRICT", "parse_restriction", "restrict"]

KEYS = ("pipeline", "parcellation", "target", "fold")
# The environment variable by which `cortax build` tells its build script.
RESTRICT = "CORTAX_RESTRICT"

Patterns = Mapping[str, Sequence[str]]


def parse_restriction(text: str) -> dict[str, list[str]]:
    """Read `key=pattern,key=pattern`; several patterns of one key are alternatives.

    Raises
    ------
    StudyError
        A part has no `=`, or its key is not one of pipeline, parcellation, target and fold.

    >>> parse_restriction("pipeline=elastic,pipeline=ridge,parcellation=schaefer*")
    {'pipeline': ['elastic', 'ridge'], 'parcellation': ['schaefer*']}
    """
    found: dict[str, list[str]] = {}
    for part in filter(None, (part.strip() for part in text.split(","))):
        key, equals, pattern = part.partition("=")
        if not equals or not pattern:
            raise StudyError(f"--restrict {part!r}: must look like key=pattern, such as parcellation=schaefer*")
        if key not in KEYS:
            raise StudyError(f"--restrict {part!r}: {choices(key, KEYS)}")
        found.setdefault(key, []).append(pattern)
    return found


def restrict(specs: Sequence[JobSpec], patterns: Patterns) -> list[JobSpec]:
    """Keep the searches and evaluations (of a network: regressions) that meet all patterns, and what they need.

    Targets that are searched together stay together, and so do folds but where each has a job of its own. `scores` and
    other jobs that collect are left out: what is left of them would take the place of the whole.

    Parameters
    ----------
    specs : sequence of JobSpec
        All jobs of a study, each after those that it needs.
    patterns : mapping of key to patterns
        See `parse_restriction`. Nothing means no restriction.

    Raises
    ------
    StudyError
        A pattern meets no job; the message says what there is.
    """
    if not patterns:
        return list(specs)
    models = [spec for spec in specs if spec.method in ("tune", "evaluate", "regress")]
    _check(models, patterns)
    kept = {spec.name for spec in models if all(_meets(spec, key, patterns[key]) for key in patterns)}
    if not kept:
        raise StudyError(f"--restrict: no job meets all of {dict(patterns)}")
    for spec in reversed(specs):
        if spec.name in kept:
            kept |= spec.needs
    return [spec for spec in specs if spec.name in kept]


def _values(spec: JobSpec, key: str) -> list[str]:
    if key == "target":
        return list(spec.about["targets"])
    value = spec.about.get(key)
    return [] if value is None else [str(value)]


def _meets(spec: JobSpec, key: str, patterns: Sequence[str]) -> bool:
    values = _values(spec, key)
    # A job of all folds has those that are asked for.
    whole = key == "fold" and not values
    return whole or any(fnmatch.fnmatchcase(value, pattern) for value in values for pattern in patterns)


def _check(models: Sequence[JobSpec], patterns: Patterns) -> None:
    for key, asked in patterns.items():
        known = sorted({value for spec in models for value in _values(spec, key)})
        for pattern in asked:
            if not fnmatch.filter(known, pattern):
                none = "no job is of one fold; see [grid] of the study" if key == "fold" else "the study has none"
                hint = choices(pattern, known) if known else none
                raise StudyError(f"--restrict {key}={pattern}: {hint}")

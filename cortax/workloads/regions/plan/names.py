"""What the jobs of a study of brain regions are called: made of their keys, for people."""

from __future__ import annotations

from collections.abc import Mapping

__all__ = ["FOLD", "evaluation_name", "job_name"]

FOLD = "fold"


def job_name(step: str, key: Mapping[str, str]) -> str:
    """Return the name of a job of a step: the step, the values of its key, and the fold after an `@`.

    >>> job_name("tune", {"parcellation": "schaefer-100", "pipeline": "ridge", "fold": "2"})
    'tune/schaefer-100/ridge@2'
    """
    name = "/".join([step, *(value for axis, value in key.items() if axis != FOLD)])
    return f"{name}@{key[FOLD]}" if FOLD in key else name


def evaluation_name(key: Mapping[str, str]) -> str:
    """Return what an evaluation is called in options and messages: parcellation/pipeline."""
    return f"{key['parcellation']}/{key['pipeline']}"

"""The errors that cortax raises on purpose, and the pieces of their messages.

A message says what was wrong, where, what was allowed and what was found.
Everything here is imported by every method job: keep it small and stable.
"""

from __future__ import annotations

import difflib
from collections.abc import Iterable

__all__ = [
    "AtlasError",
    "CortaxError",
    "FoldError",
    "InputError",
    "ProjectError",
    "SearchError",
    "StudyError",
    "choices",
]


class CortaxError(Exception):
    """Root of all errors raised on purpose; anything else is a bug."""


class StudyError(CortaxError):
    """A study file asks for something that does not exist or makes no sense."""


class InputError(CortaxError):
    """A data file is missing, unreadable or holds something else than it should."""


class AtlasError(CortaxError):
    """A parcellation cannot be read, generated or applied to these maps."""


class FoldError(CortaxError):
    """The subjects cannot be split as asked."""


class SearchError(CortaxError):
    """A pipeline cannot be searched, fitted or scored."""


class ProjectError(CortaxError):
    """The Exax project, its server or its stored results are not as they should be."""


def choices(found: str, allowed: Iterable[str]) -> str:
    """Say what is allowed and which of it is nearest to `found`.

    >>> choices("rigde", ["elastic", "ridge"])
    "got 'rigde', must be one of ['elastic', 'ridge']; did you mean 'ridge'?"
    """
    names = sorted(allowed)
    near = difflib.get_close_matches(found, names, n=1, cutoff=0.5)
    hint = f"; did you mean {near[0]!r}?" if near else ""
    return f"got {found!r}, must be one of {names}{hint}"

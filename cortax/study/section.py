"""What the studies of every workload share: sections that refuse unknown keys, and the keys at the top of a file."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, TypeVar, cast

from pydantic import BaseModel, ConfigDict, Field

__all__ = ["Name", "PageOptions", "Section", "Study", "expand_paths", "relative_paths"]

T = TypeVar("T")

_VARIABLE = re.compile(r"\$(\w+|\{[^{}]*\})")

Name = Annotated[str, Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$")]


def expand_paths(value: T) -> T:
    """Replace `~` at the beginning of a path, and `$NAME` and `${NAME}` in it, as shells do.

    Parameters
    ----------
    value : str, or lists and dicts with texts

    Raises
    ------
    ValueError
        A variable is not defined: its name is in the message.
    """
    return cast(T, _each_text(value, _expanded))


def relative_paths(value: T, root: Path) -> T:
    """Make absolute paths that lie in the project relative to it: it may be moved.

    Parameters
    ----------
    value : str, or lists and dicts with texts
        Text that is no absolute path stays.
    root : Path
        The project.
    """
    return cast(T, _each_text(value, lambda text: _relative(text, root)))


def _each_text(value: Any, change: Callable[[str], str]) -> Any:
    if isinstance(value, str):
        return change(value)
    if isinstance(value, dict):
        return {key: _each_text(inner, change) for key, inner in value.items()}
    return [_each_text(inner, change) for inner in value] if isinstance(value, list) else value


def _expanded(text: str) -> str:
    def variable(found: re.Match[str]) -> str:
        name = found[1].strip("{}")
        if name not in os.environ:
            raise ValueError(f"{text!r}: the environment variable {name!r} is not defined")
        return os.environ[name]

    return os.path.expanduser(_VARIABLE.sub(variable, text))


def _relative(text: str, root: Path) -> str:
    if not os.path.isabs(text):
        return text
    found = next((top for top in (root, root.resolve()) if Path(text).is_relative_to(top)), None)
    return text if found is None else os.path.relpath(text, found)


class Section(BaseModel):
    """A table of the study file: unknown keys are errors, and nothing changes once it is read."""

    model_config = ConfigDict(extra="forbid", frozen=True)


class PageOptions(Section):
    """The page of HTML that a build writes."""

    enabled: bool = True


class Study(Section):
    """A whole study; a workload adds its own sections.

    Attributes
    ----------
    name : str
        The file's own name, and what users look results up by.
    kind : str
        The workload.
    title : str
        Of its page.
    simulated : bool
        Whether the data are; then the page and the tables say so.
    seed : int
        From which all randomness follows.
    """

    name: Name
    kind: str
    title: str
    simulated: bool = False
    seed: int = Field(default=0, ge=0)

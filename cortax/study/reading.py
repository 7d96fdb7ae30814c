"""Reading a study file, and saying of every wrong key what would be right."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from cortax.errors import StudyError, choices
from cortax.study.section import Study

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

__all__ = ["parse_study", "read_toml", "validate"]

M = TypeVar("M", bound=BaseModel)
S = TypeVar("S", bound=Study)


def read_toml(path: Path) -> dict[str, Any]:
    """Read a TOML file.

    Raises
    ------
    StudyError
        It is missing or not TOML; the message names the file.
    """
    try:
        # Editors of Windows put a byte order mark before the first key.
        return tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise StudyError(f"{path}: cannot be read ({error.strerror})") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise StudyError(f"{path}: not valid TOML: {error}") from error


def parse_study(path: Path, content: dict[str, Any], model: type[S]) -> S:
    """Validate the content of a study file.

    Raises
    ------
    StudyError
        A key is unknown, missing or has a value that is not allowed. The message names the file and each key, what was
        allowed and what was found.
    """
    study = validate(str(path), content, model)
    if study.name != path.stem:
        raise StudyError(f"{path}: name = {study.name!r} must be the file's own name, {path.stem!r}")
    return study


def validate(where: str, content: dict[str, Any], model: type[M]) -> M:
    """Validate keys and values.

    Raises
    ------
    StudyError
        See `parse_study`; the message begins with `where`.
    """
    try:
        return model.model_validate(content)
    except ValidationError as error:
        lines = [_explain(dict(detail), model) for detail in error.errors()]
        raise StudyError(f"{where}: " + "\n  ".join(lines)) from error


def _explain(detail: dict[str, Any], study: type[BaseModel]) -> str:
    where = ".".join(str(part) for part in detail["loc"]) or "study"
    if detail["type"] == "extra_forbidden":
        return f"{where}: unknown key; {choices(str(detail['loc'][-1]), _keys(study, detail['loc'][:-1]))}"
    if detail["type"] == "missing":
        return f"{where}: missing"
    message = str(detail["msg"]).removeprefix("Value error, ")
    found = "" if detail["type"] == "value_error" else f"; got {detail['input']!r}"
    return f"{where}: {message}{found}"


def _keys(model: type[BaseModel], path: tuple[str | int, ...]) -> list[str]:
    """Keys that are allowed at a place of the study file."""
    for part in path:
        field = model.model_fields.get(str(part))
        if field is not None:
            model = _model_in(field.annotation) or model
    return list(model.model_fields)


def _model_in(annotation: Any) -> type[BaseModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    for argument in getattr(annotation, "__args__", ()):
        if found := _model_in(argument):
            return found
    return None

"""Reading a study file, and saying of every wrong key what would be right."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ValidationError

from cortax.errors import StudyError, choices
from cortax.study.network import NetworkStudy
from cortax.study.network_scaling import NetworkScaling
from cortax.study.study import Study

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

__all__ = ["AnyStudy", "read_any_study", "read_study"]

AnyStudy = Study | NetworkStudy | NetworkScaling

# By what `kind` says in the file; a study of images and tables says nothing.
_KINDS: dict[str | None, type[AnyStudy]] = {
    None: Study,
    "network": NetworkStudy,
    "network-scaling": NetworkScaling,
}


def read_any_study(path: str | Path) -> AnyStudy:
    """Read and validate a study file of any kind.

    Parameters
    ----------
    path : path
        A TOML file.

    Raises
    ------
    StudyError
        It is missing or not TOML, or a key is unknown, missing or has a value that is not allowed. The
        message names the file and each key, what was allowed and what was found.
    """
    path = Path(path)
    content = _read(path)
    kind = content.get("kind")
    if kind not in _KINDS:
        raise StudyError(
            f"{path}: kind: {choices(str(kind), filter(None, _KINDS))}; a study of images or tables says none"
        )
    model = _KINDS[kind]
    try:
        study = model.model_validate(content)
    except ValidationError as error:
        lines = [_explain(dict(detail), model) for detail in error.errors()]
        raise StudyError(f"{path}: " + "\n  ".join(lines)) from error
    if study.name != path.stem:
        raise StudyError(f"{path}: name = {study.name!r} must be the file's own name, {path.stem!r}")
    return study


def read_study(path: str | Path) -> Study:
    """Read and validate the file of a study of images or tables.

    Parameters
    ----------
    path : path
        A TOML file.

    Raises
    ------
    StudyError
        See `read_any_study`; or it is a study of another kind.
    """
    study = read_any_study(path)
    if not isinstance(study, Study):
        raise StudyError(f"{path}: kind = {study.kind!r}: this is for studies of images or tables, which say no kind")
    return study


def _read(path: Path) -> dict[str, Any]:
    try:
        with open(path, "rb") as file:
            return tomllib.load(file)
    except OSError as error:
        raise StudyError(f"{path}: cannot be read ({error.strerror})") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise StudyError(f"{path}: not valid TOML: {error}") from error


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

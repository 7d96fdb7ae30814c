"""What the pages of the reference take from the code: keys, settings, commands, the face; see mkdocs.yml.

A line such as `<!-- study-section: splits -->` in a page is replaced by a table. The meaning of each key of a study is
in `study_keys.toml`; names, types and defaults are the models'. A key that only one of the two has is an error.
"""

from __future__ import annotations

import json
import re
import sys
import types
import typing
from collections.abc import Callable, Iterator
from datetime import date
from pathlib import Path
from typing import Any

import typer.main
from pydantic import BaseModel
from pydantic.fields import FieldInfo

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from cortax.brain.parcellation.specs import KINDS
from cortax.cli.app import add_workload_commands, app
from cortax.learning.scores import CLASS_NUMBER, METRICS
from cortax.learning.search.spaces import EXTRAS, SPACES
from cortax.notebook import NAMES
from cortax.study.patterns import Patterns
from cortax.workflow.work.settings import Settings
from cortax.workloads.bench.study import BenchStudy
from cortax.workloads.decoding.study import DecodingStudy
from cortax.workloads.diffusion.study import DiffusionStudy
from cortax.workloads.network.study import NetworkStudy
from cortax.workloads.regions.study.study import RegionsStudy
from cortax.workloads.sequences.study import SequencesStudy

MEANINGS = Path(__file__).with_name("study_keys.toml")
_DIRECTIVE = re.compile(r"^<!-- ([a-z-]+)(?:: (\S+))? -->$", re.M)


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Replace every directive by what it stands for."""
    return _DIRECTIVE.sub(lambda found: DIRECTIVES[found[1]](found[2]), markdown)


def study_models() -> dict[str, type[BaseModel]]:
    """Return the model of every section by its place: "evaluate.metrics"; "" is a study, "network" one of genes."""
    found: dict[str, type[BaseModel]] = {}

    def visit(place: str, model: type[BaseModel]) -> None:
        found[place] = model
        for key, field in model.model_fields.items():
            if inner := _model_in(field.annotation):
                visit(f"{place}.{key}".lstrip("."), inner)

    visit("", RegionsStudy)
    visit("network", NetworkStudy)
    visit("decoding", DecodingStudy)
    visit("diffusion", DiffusionStudy)
    visit("sequences", SequencesStudy)
    visit("bench", BenchStudy)
    return found


def meanings() -> dict[str, dict[str, str]]:
    """Return what each key of each section means, and fail where keys and models differ."""
    said = tomllib.loads(MEANINGS.read_text())
    said[""] = said.pop("study")
    models = {**study_models(), "settings": Settings}
    if others := sorted(set(said) - set(models)):
        raise ValueError(f"{MEANINGS}: no such sections: {others}")
    for place, model in models.items():
        there, told = set(_fields(place, model)), set(said.get(place, {}))
        if there != told:
            raise ValueError(
                f"{MEANINGS}: [{place}]: missing {sorted(there - told)}, no such key {sorted(told - there)}"
            )
    return said


def _fields(place: str, model: type[BaseModel]) -> dict[str, FieldInfo]:
    # A build adds these two to the settings; nobody sets them.
    hidden = {"engine", "build"} if place == "settings" else set()
    return {key: field for key, field in model.model_fields.items() if key not in hidden}


def _study_section(place: str | None) -> str:
    where = place or ""
    model, said = Settings if where == "settings" else study_models()[where], meanings()[where]
    rows = [
        (f"`{key}`", _type(field.annotation), _default(field), said[key])
        for key, field in _fields(where, model).items()
    ]
    return _table(("key", "type", "default", "says"), rows)


def _model_in(annotation: Any) -> type[BaseModel] | None:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next(filter(None, map(_model_in, typing.get_args(annotation))), None)


def _type(annotation: Any) -> str:
    """Name a type as somebody who writes TOML would."""
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is typing.Annotated:
        return _type(arguments[0])
    if origin is typing.Literal:
        return " or ".join(f"`{json.dumps(value)}`" for value in arguments)
    if origin in (typing.Union, types.UnionType):
        return " or ".join(_type(one) for one in arguments if one is not type(None))
    if origin is list:
        return f"list of {_type(arguments[0])}"
    if origin is dict:
        inner = _type(arguments[1])
        return "sections by name" if inner in ("section", "table of anything") else f"table of {inner}"
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return "section"
    if annotation is Patterns:
        return "list of text"
    names = {str: "text", int: "whole number", float: "number", bool: "true or false", Any: "anything", date: "date"}
    return names[annotation]


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return "**required**"
    if isinstance(field.default, BaseModel):
        return "its defaults"
    # Of which there is one, which depends on the machine.
    if field.default_factory is not None:
        return "of the machine"
    default = list(field.default.texts) if isinstance(field.default, Patterns) else field.default
    return "" if default in (None, {}) else f"`{json.dumps(default)}`"


def _parcellation_kinds(_: str | None) -> str:
    rows = [(f"`{name}`", _code(kind.required), _code(kind.optional)) for name, kind in KINDS.items()]
    return _table(("kind", "required", "optional"), rows)


def _spaces(_: str | None) -> str:
    rows = [
        (f"`{kind}`", task, f"`{parameter}`", _range(spec))
        for (kind, task), space in SPACES.items()
        for parameter, spec in space.items()
    ]
    extras = [(f"`{kind}`", "either", _code(names), "set by a study only") for kind, names in EXTRAS.items()]
    return _table(("kind", "task", "parameter", "values"), [*rows, *extras])


def _range(spec: Any) -> str:
    if isinstance(spec, list):
        return "one of " + ", ".join(f"`{json.dumps(value)}`" for value in spec)
    kind = "whole numbers, " * spec.get("integer", False) + "log-uniform, " * spec.get("log", False)
    zero = f", 0 in {spec['zero']:.0%} of the draws" if "zero" in spec else ""
    return f"{kind}{spec['low']:g} to {spec['high']:g}{zero}"


def _metrics(_: str | None) -> str:
    rows = [
        (
            *(
                f"`{metric.name}`",
                ", ".join(metric.tasks),
                metric.needs,
                "greater" if metric.greater_is_better else "smaller",
            ),
            *(metric.units or "none", "must be given" if metric.rope is None else f"{metric.rope:g}"),
        )
        for metric in (*METRICS.values(), CLASS_NUMBER)
    ]
    return _table(("metric", "tasks", "of the", "better is", "units", "rope"), rows)


def _commands(_: str | None) -> str:
    add_workload_commands(app)
    group: Any = typer.main.get_command(app)
    return "\n\n".join("\n\n".join(_command(name, command)) for name, command in sorted(group.commands.items()))


def _command(name: str, command: Any) -> Iterator[str]:
    given = [parameter for parameter in command.params if parameter.param_type_name == "argument"]
    words = " ".join(f"{one.name.upper()}{'...' * (one.nargs == -1)}" for one in given)
    yield f"## cortax {name}"
    yield command.help
    yield f"Usage: `{' '.join(f'cortax {name} [OPTIONS] {words}'.split())}`"
    rows = [(_parameter(one), getattr(one, "help", "") or "", _given(one)) for one in command.params]
    if rows:
        yield _table(("parameter", "is", "default"), rows)


def _parameter(parameter: Any) -> str:
    return _code([parameter.name.upper()] if parameter.param_type_name == "argument" else parameter.opts)


def _given(parameter: Any) -> str:
    if parameter.required:
        return "**required**"
    return "" if parameter.default in (None, False, "") or callable(parameter.default) else f"`{parameter.default}`"


def _face(_: str | None) -> str:
    """All names that `import cortax` offers, as mkdocstrings wants them."""
    options = "    options:\n      show_root_heading: false\n      show_root_toc_entry: false"
    return "\n\n".join(f"## cortax.{name}\n\n::: {module}.{name}\n{options}" for name, module in NAMES.items())


def _code(names: Any) -> str:
    return ", ".join(f"`{name}`" for name in names)


def _table(head: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    lines = [head, ("---",) * len(head), *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)


DIRECTIVES: dict[str, Callable[[str | None], str]] = {
    "commands": _commands,
    "face": _face,
    "metrics": _metrics,
    "parcellation-kinds": _parcellation_kinds,
    "spaces": _spaces,
    "study-section": _study_section,
}

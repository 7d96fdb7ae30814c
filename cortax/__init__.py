"""Parcellations x pipelines x targets x folds on one server, as an incremental Exax build."""

import importlib
from typing import Any

# First of all modules: it remembers how the project's files looked before any of them was loaded.
from cortax.provenance import closure as _closure  # noqa: F401

# What `import cortax` offers a notebook is named in `cortax.notebook` and imported when it is first used. This file is
# part of every job's key: an import statement here, or a list of names, would rebuild everything whenever it changed.
_NOTEBOOK = "cortax.notebook"


def __getattr__(name: str) -> Any:
    return importlib.import_module(_NOTEBOOK).get(name)


def __dir__() -> list[str]:
    return sorted({*globals(), *importlib.import_module(_NOTEBOOK).NAMES})

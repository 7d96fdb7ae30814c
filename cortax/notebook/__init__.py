"""What `import cortax` offers a notebook: a few functions, in memory, without Exax. No method imports any of it."""

from __future__ import annotations

import importlib
from typing import Any

__all__ = ["NAMES", "get"]

NAMES = {
    "simulate": "cortax.notebook.brain",
    "load_maps": "cortax.notebook.brain",
    "load_atlas": "cortax.notebook.brain",
    "parcellate": "cortax.notebook.brain",
    "read_phenotypes": "cortax.notebook.people",
    "make_folds": "cortax.notebook.people",
    "search": "cortax.notebook.models",
    "check_pipeline": "cortax.learning.leakage.checks",
    "read_study": "cortax.workflow.workload",
    "results": "cortax.notebook.built",
}


def get(name: str) -> Any:
    """Import one of `NAMES`.

    Raises
    ------
    AttributeError
        It is none of them.
    """
    if name not in NAMES:
        raise AttributeError(f"module 'cortax' has no attribute {name!r}; for notebooks it has {list(NAMES)}")
    return getattr(importlib.import_module(NAMES[name]), name)

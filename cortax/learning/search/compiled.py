"""Machine code that is never older than its source.

numba keeps compiled functions on disk and looks only at the file of the function itself: edit a function that it
calls, in another file, and the old code runs on. So each module's machine code has a folder of its own, named
by the digest of everything that the module can reach, versions of packages included.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numba
from numba import config

from cortax.provenance.closure import edited, home, manifest_text

__all__ = ["compiled", "compiled_folder"]


def compiled_folder(module: str) -> Path:
    """Return the folder of a module's machine code."""
    digest = hashlib.sha256(manifest_text(module).encode()).hexdigest()
    return home() / "numba" / f"{module.rpartition('.')[2]}-{digest[:16]}"


def _folder_for(module: str) -> str:
    """Return the folder, made; or nothing, where machine code cannot or must not be kept.

    Source that was edited after this process began may not be the source of what is compiled here, and numba would
    quietly use another folder than one that it cannot write to.
    """
    if edited(module):
        return ""
    folder = compiled_folder(module)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError:
        return ""
    return str(folder) if os.access(folder, os.W_OK) else ""


def compiled(module: str) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Return a decorator that compiles a function of a module and keeps the machine code.

    Parameters
    ----------
    module : str
        The `__name__` of the module of the function. A compiled function may call compiled functions of
        modules that it imports.

    Examples
    --------
    >>> @compiled(__name__)  # doctest: +SKIP
    ... def double(x):
    ...     return 2 * x
    """
    folder = _folder_for(module)

    def decorate(function: Callable[..., Any]) -> Callable[..., Any]:
        # Read when a function is decorated, and never again.
        before = config.CACHE_DIR  # type: ignore[attr-defined]
        config.CACHE_DIR = folder or before  # type: ignore[attr-defined]
        try:
            # One thread, and exact arithmetic: the same bits on every run.
            made: Callable[..., Any] = numba.njit(cache=bool(folder), nogil=True, error_model="numpy")(function)
        finally:
            config.CACHE_DIR = before  # type: ignore[attr-defined]
        return made

    return decorate

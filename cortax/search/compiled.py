"""Machine code that is never older than its source.

numba keeps compiled functions on disk and looks only at the file of the function itself: edit a function that it
calls, in another file, and the old code runs on. So each module's machine code has a folder of its own, named
by the digest of everything that the module can reach, versions of packages included.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numba
from numba import config

from cortax.provenance.closure import manifest_text

__all__ = ["compiled", "compiled_folder"]

_ROOT = Path(__file__).resolve().parents[2]


def compiled_folder(module: str) -> Path:
    """Return the folder of a module's machine code."""
    digest = hashlib.sha256(manifest_text(module).encode()).hexdigest()
    return _ROOT / ".cortax" / "numba" / f"{module.rpartition('.')[2]}-{digest[:16]}"


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
    folder = str(compiled_folder(module))

    def decorate(function: Callable[..., Any]) -> Callable[..., Any]:
        # Read when a function is decorated, and never again.
        before = config.CACHE_DIR  # type: ignore[attr-defined]
        config.CACHE_DIR = folder  # type: ignore[attr-defined]
        try:
            # One thread, and exact arithmetic: the same bits on every run.
            made: Callable[..., Any] = numba.njit(cache=True, nogil=True, error_model="numpy")(function)
        finally:
            config.CACHE_DIR = before  # type: ignore[attr-defined]
        return made

    return decorate

"""Machine code that is never older than its source, and that all projects of a user share.

numba keeps compiled functions on disk and looks only at the file of the function itself: edit a function that it
calls, in another file, and the old code runs on. So each module's machine code has a folder of its own, named
by the digest of everything that the module can reach, versions of packages included; where the sources lie has no part
in it. A second project, and a second checkout, compile nothing that is the same there.
"""

from __future__ import annotations

import fcntl
import functools
import hashlib
import os
import pickle
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import numba
from numba import config
from numba.core.caching import CompileResultCacheImpl, FunctionCache, UserProvidedCacheLocator
from numba.core.registry import cpu_target

from cortax.provenance.closure import edited, home, manifest_text, user_cache

__all__ = ["compiled", "compiled_folder"]

# Folders are marked as used this often: `cortax gc` removes what nobody has used for long.
_DAY = 86_400.0
# What a pickle that was cut may raise.
_CUT = (AttributeError, EOFError, ImportError, IndexError, ValueError, pickle.UnpicklingError)


class _Locator(UserProvidedCacheLocator):
    """Has numba look into the folder that it is given, whatever the path and the comments of the source."""

    @classmethod
    def get_suitable_cache_subpath(cls, _: str) -> str:
        return ""

    def get_source_stamp(self) -> str:
        return ""


class _CacheImpl(CompileResultCacheImpl):
    _locator_classes: list[type[object]] = [_Locator]  # noqa: RUF012


class _Cache(FunctionCache):
    """numba's, for many processes at once: two that save at the same time would mix up code of different types."""

    _impl_class = _CacheImpl

    def load_overload(self, sig: Any, target_context: Any) -> Any:
        try:
            return super().load_overload(sig, target_context)
        except Exception:  # a file that was cut: it is compiled anew, and written
            return None

    def save_overload(self, sig: Any, data: Any) -> None:
        # A full disk, or one that knows no locks: what was compiled works all the same.
        with suppress(OSError), open(os.path.join(self.cache_path, ".lock"), "a") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            try:
                super().save_overload(sig, data)
            except _CUT:  # the list of what there is
                self.flush()
                super().save_overload(sig, data)


def compiled_folder(module: str, parent: Path | None = None) -> Path:
    """Return the folder of a module's machine code, in the user's cache unless another place is named."""
    digest = hashlib.sha256(manifest_text(module).encode()).hexdigest()
    return (parent or user_cache()) / "numba" / f"{module.rpartition('.')[2]}-{digest[:16]}"


def _folder_for(module: str) -> str:
    """Return the folder, made; or nothing, where machine code cannot or must not be kept.

    Source that was edited after this process began may not be the source of what is compiled here, and numba would
    quietly use another folder than one that it cannot write to.
    """
    if edited(module):
        return ""
    for parent in dict.fromkeys((user_cache(), home())):
        folder = compiled_folder(module, parent)
        with suppress(OSError):
            folder.mkdir(parents=True, exist_ok=True)
            if os.access(folder, os.W_OK):
                if time.time() - folder.stat().st_mtime > _DAY:
                    os.utime(folder)
                return str(folder)
    return ""


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
            made: Any = numba.njit(nogil=True, error_model="numpy")(function)
            if folder:
                made._cache = _Cache(function)
        finally:
            config.CACHE_DIR = before  # type: ignore[attr-defined]
        found: Callable[..., Any] = made
        return found

    return decorate


@functools.cache
def _load_registries() -> None:
    """Have numba load what it knows of Python and numpy: half a second, which every forked worker would take anew."""
    cpu_target.typing_context.refresh()
    cpu_target.target_context.refresh()


os.register_at_fork(before=_load_registries)

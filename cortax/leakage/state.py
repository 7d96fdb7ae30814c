"""What an object holds: every array, number and text that can be reached from it."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from sklearn.base import BaseEstimator

__all__ = ["differences", "holdings", "referenced"]

_DEEPEST = 12
_ROUNDING = 1e-9
_Leaf = npt.NDArray[Any] | str | bytes


def holdings(
    obj: Any, path: str = "", seen: dict[int, Any] | None = None, depth: int = 0
) -> Iterator[tuple[str, _Leaf]]:
    """Yield where in an object, and what, every array, number and text is that it holds.

    Attributes are followed, and what objects without any would be pickled as (trees of scikit-learn). Modules,
    classes and functions are not.
    """
    seen = {} if seen is None else seen
    leaf = _leaf(obj)
    if leaf is not None:
        yield path, leaf
        return
    if depth > _DEEPEST or id(obj) in seen or obj is None or inspect.isroutine(obj) or inspect.isclass(obj):
        return
    seen[id(obj)] = obj  # kept, so that no other object gets its number
    for name, part in _parts(obj):
        yield from holdings(part, f"{path}.{name}" if path else name, seen, depth + 1)


def _leaf(obj: Any) -> _Leaf | None:
    if isinstance(obj, str | bytes):
        return obj
    if isinstance(obj, pd.DataFrame | pd.Series | pd.Index):
        return np.asarray(obj)
    if isinstance(obj, np.ndarray) and obj.dtype != object:
        return obj
    return np.asarray(obj) if isinstance(obj, bool | int | float | complex | np.generic) else None


def _parts(obj: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(obj, Mapping):
        yield from ((str(key), value) for key, value in obj.items())
    elif isinstance(obj, list | tuple | set | frozenset | np.ndarray):
        yield from ((str(number), value) for number, value in enumerate(obj))
    elif inspect.ismodule(obj):
        return
    elif hasattr(obj, "model_to_string"):
        yield "model", obj.model_to_string()  # LightGBM's own state is out of reach
    elif hasattr(obj, "__dict__"):
        yield from vars(obj).items()
    else:
        yield from ((f"state{number}", part) for number, part in enumerate(_reduced(obj)))


def _reduced(obj: Any) -> tuple[Any, ...]:
    try:
        reduced = obj.__reduce_ex__(2)
    except Exception:
        return ()  # whatever refuses to be pickled
    return tuple(reduced[1:]) if isinstance(reduced, tuple) else ()


def referenced(estimator: Any) -> Iterator[tuple[str, Any]]:
    """Yield what the methods of an estimator's own classes, and of its parts, refer to beside their arguments.

    Class attributes, the variables of their modules and of enclosing functions that they name. Classes of installed
    packages of numerical code are left out.
    """
    parts = [estimator, *getattr(estimator, "get_params", dict)().values()]
    steps = [step for part in parts if isinstance(part, list) for _, step, *_ in part if not isinstance(step, str)]
    for cls in {type(part) for part in [*parts, *steps] if isinstance(part, BaseEstimator) or hasattr(part, "fit")}:
        if cls.__module__.partition(".")[0] in ("sklearn", "lightgbm", "cortax"):
            continue
        for name, value in vars(cls).items():
            if inspect.isfunction(value):
                yield from _named(cls, value)
            elif not name.startswith("__"):
                yield f"{cls.__name__}.{name}", value


def _named(cls: type, function: Any) -> Iterator[tuple[str, Any]]:
    variables = vars(sys.modules[cls.__module__])
    for name in function.__code__.co_names:
        if name in variables:
            yield f"the variable {name!r} of {cls.__module__}", variables[name]
    for name, cell in zip(function.__code__.co_freevars, function.__closure__ or (), strict=True):
        yield f"the variable {name!r} around {cls.__name__}.{function.__name__}", cell.cell_contents


def differences(first: Mapping[str, _Leaf], second: Mapping[str, _Leaf]) -> list[str]:
    """Return where two objects hold different things, but for rounding; NaN is itself."""
    return [
        path
        for path in dict.fromkeys([*first, *second])
        if path not in first or path not in second or not _equal(first[path], second[path])
    ]


def _equal(a: _Leaf, b: _Leaf) -> bool:
    if not (isinstance(a, np.ndarray) and isinstance(b, np.ndarray)):
        return type(a) is type(b) and bool(a == b)
    if a.dtype != b.dtype or a.shape != b.shape:
        return False
    if a.dtype.names:  # by field: between fields may be bytes that nobody wrote
        return all(_equal(a[name], b[name]) for name in a.dtype.names)
    if a.dtype.kind not in "fc":
        return bool(np.array_equal(a, b))
    atol = _ROUNDING * float(np.max(np.abs(a), initial=0.0, where=np.isfinite(a)))
    return bool(np.allclose(a, b, rtol=_ROUNDING, atol=atol, equal_nan=True))

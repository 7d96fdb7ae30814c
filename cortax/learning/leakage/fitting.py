"""Whether what a pipeline fits depends on rows that it was not given to fit on."""

from __future__ import annotations

import copy
import inspect
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
from sklearn.base import BaseEstimator, clone
from sklearn.model_selection import GroupKFold

from cortax.errors import SearchError
from cortax.learning.arrays import Floats
from cortax.learning.leakage.duplicates import LeakFinding

__all__ = ["check_fit"]

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


Mask = npt.NDArray[np.bool_]

# How many of the places where a difference was found a message names.
_SHOWN = 5


@dataclass(frozen=True, eq=False)
class _Fitted:
    state: dict[str, Any]
    predictions: npt.NDArray[Any]
    estimator: Any


def check_fit(
    pipeline: Any, X: Floats, y: npt.NDArray[Any], groups: npt.ArrayLike | None = None, *, test: Mask | None = None
) -> list[LeakFinding]:
    """Fit with other values in the test rows, and compare everything that was fitted.

    Parameters
    ----------
    pipeline : estimator, or function (X, y) -> estimator
        Any that follows scikit-learn's rules; it is cloned, and what is random gets a seed. A function makes it of
        the whole data, as a script does that prepares something before it splits.
    X : float array of shape (n_subjects, n_features)
        The values of test rows are exchanged in place, so that whoever looks at this very array is seen to, and are
        put back before this returns. Where it cannot be written, less is found.
    y : array of shape (n_subjects,)
        Likewise.
    groups : array of shape (n_subjects,), optional
        Never divided by the split that is made here.
    test : bool array of shape (n_subjects,), optional
        The rows that are held out; by default those of one part of five.

    Returns
    -------
    list of LeakFinding
        Fitted attributes, or predictions of training rows, changed with the test rows, or after the test rows had been
        predicted; or the pipeline, or a variable that its own classes name, holds test rows. Empty if nothing leaks.

    Raises
    ------
    SearchError
        Shapes disagree, or nothing is held out or trained on.
    """
    X, y = np.asarray(X), np.asarray(y)
    held_out = _held_out(X, groups) if test is None else np.asarray(test, dtype=np.bool_)
    if np.ndim(X) != 2 or not len(X) == len(y) == len(held_out):
        raise SearchError(f"X {np.shape(X)}, y {np.shape(y)} and test {held_out.shape} are not of the same subjects")
    if not held_out.any() or held_out.all():
        raise SearchError(f"{held_out.sum()} of {len(held_out)} rows are held out; some must be, and some not")
    make = _maker(pipeline)
    # Both are fitted before either predicts: some keep what they predict.
    fitted = [_fit(make, X, y, ~held_out) for _ in range(2)]
    first, again = (_responding(*each, X[~held_out]) for each in fitted)
    if not _alike(first.predictions, again.predictions):
        return [
            LeakFinding("fit", "two fits on the same rows predict differently: what is random needs a random_state")
        ]
    steady = set(first.state) - set(differences(first.state, again.state))
    found = _held(first.estimator, X, y, held_out, make(X, y))
    _respond(again.estimator, X[held_out])
    seen = _responding(*_fit(make, X, y, ~held_out), X[~held_out])
    if kept := _changed(again, seen, steady, "once it had predicted the test rows"):
        return found + kept  # nor will two fits be the same from here on
    with _altered(X, y, held_out) as (other_X, other_y):
        other = _responding(*_fit(make, other_X, other_y, ~held_out), X[~held_out])
    return found + _changed(seen, other, steady, "with the values of the test rows")


def _held_out(X: Floats, groups: npt.ArrayLike | None) -> Mask:
    kept = np.arange(len(X)) if groups is None else np.asarray(groups)
    n_splits = min(5, len(np.unique(kept)))
    if n_splits < 2:
        raise SearchError("one group cannot be split into rows to fit on and rows to test")
    test: Mask = np.zeros(len(X), dtype=np.bool_)
    test[next(GroupKFold(n_splits).split(X, groups=kept))[1]] = True
    return test


def _maker(pipeline: Any) -> Callable[[Floats, Any], Any]:
    if hasattr(pipeline, "fit"):
        return lambda X, y: _seeded(clone(pipeline))  # noqa: ARG005
    if not callable(pipeline):
        raise SearchError(f"{type(pipeline).__name__} is neither an estimator nor a function that makes one")
    return lambda X, y: _seeded(pipeline(X, y))


def _seeded(estimator: Any) -> Any:
    unset = {
        name: 0
        for name, value in estimator.get_params(deep=True).items()
        if name.rpartition("__")[2] == "random_state" and value is None
    }
    return estimator.set_params(**unset)


def _fit(make: Callable[[Floats, Any], Any], X: Floats, y: npt.NDArray[Any], train: Mask) -> tuple[Any, dict[str, Any]]:
    estimator = make(X, y)
    estimator.fit(X[train], y[train])
    # A copy: a list that grows must not do so here.
    return estimator, copy.deepcopy(dict(holdings(estimator)))


def _responding(estimator: Any, state: dict[str, Any], X: Floats) -> _Fitted:
    return _Fitted(state, _respond(estimator, X), estimator)


def _respond(estimator: Any, X: Floats) -> npt.NDArray[Any]:
    for name in ("predict_proba", "decision_function", "predict", "transform"):
        if hasattr(estimator, name):
            return np.asarray(getattr(estimator, name)(X))
    return np.zeros(0)


def _alike(a: npt.NDArray[Any], b: npt.NDArray[Any]) -> bool:
    if a.dtype.kind not in "fc":
        return bool(np.array_equal(a, b))
    return a.shape == b.shape and bool(np.allclose(a, b, rtol=_ROUNDING, atol=_ROUNDING, equal_nan=True))


def _changed(before: _Fitted, after: _Fitted, steady: set[str], when: str) -> list[LeakFinding]:
    """Compare two fits on the same training rows; what changes from fit to fit anyway says nothing."""
    moved = [path for path in differences(before.state, after.state) if path in steady or path not in before.state]
    found = []
    if moved:
        more = f" and {len(moved) - _SHOWN} more" if len(moved) > _SHOWN else ""
        found.append(LeakFinding("fit", f"what is fitted changed {when}: {', '.join(moved[:_SHOWN])}{more}"))
    if not _alike(before.predictions, after.predictions):
        found.append(LeakFinding("fit", f"the predictions of training rows changed {when}"))
    return found


@contextmanager
def _altered(X: Floats, y: npt.NDArray[Any], test: Mask) -> Iterator[tuple[Floats, npt.NDArray[Any]]]:
    """Other values, of another scale, in the test rows; in place where that can be."""
    rng = np.random.default_rng(0)
    kept_X, kept_y = X[test].copy(), y[test].copy()
    other_X, other_y = (values if values.flags.writeable else values.copy() for values in (X, y))
    try:
        other_X[test] = rng.normal(50.0, 1000.0, size=kept_X.shape)
        other_y[test] = _other_targets(kept_y, y, rng)
        yield other_X, other_y
    finally:
        other_X[test], other_y[test] = kept_X, kept_y


def _other_targets(kept: npt.NDArray[Any], y: npt.NDArray[Any], rng: np.random.Generator) -> npt.NDArray[Any]:
    classes = np.unique(y)
    if y.dtype.kind == "f" and len(classes) > 2:
        return rng.normal(100.0, 1e4, size=len(kept))
    # Each another class than its own, as far as there are any.
    places = np.searchsorted(classes, kept) + rng.integers(1, max(len(classes), 2), size=len(kept))
    return np.asarray(classes[places % len(classes)])


def _held(fitted: Any, X: Floats, y: npt.NDArray[Any], test: Mask, unfitted: Any) -> list[LeakFinding]:
    """Look for test rows among everything that the pipeline holds or names."""
    rows = set(_rows(X[test])) - set(_rows(X[~test]))
    places = [
        *(("before it is fitted", path, leaf) for path, leaf in holdings(unfitted)),
        *(("after it was fitted", path, leaf) for path, leaf in holdings(fitted)),
        *(
            ("where its classes look", path, leaf)
            for name, value in referenced(unfitted)
            for path, leaf in holdings(value, name)
        ),
    ]
    found: dict[str, LeakFinding] = {}
    for when, path, leaf in places:
        if path not in found and isinstance(leaf, np.ndarray) and _holds(leaf, X, y, test, rows):
            found[path] = LeakFinding("fit", f"holds values of test rows {when}: {path}")
    return list(found.values())


def _holds(leaf: npt.NDArray[Any], X: Floats, y: npt.NDArray[Any], test: Mask, rows: set[bytes]) -> bool:
    if leaf.dtype.kind not in "fiu":
        return False
    if leaf.ndim == 2 and leaf.shape[1] == X.shape[1] and X.shape[1] > 1:
        return bool(rows & set(_rows(leaf)))
    varied = leaf.shape == y.shape and len(np.unique(y[test])) > 1
    return bool(varied and y.dtype.kind in "fiu" and np.array_equal(leaf[test], y[test]))


def _rows(X: npt.NDArray[Any]) -> list[bytes]:
    single = np.ascontiguousarray(np.asarray(X, dtype=np.float32) + np.float32(0))  # no -0
    return [row.tobytes() for row in single]

"""What is searched: the space of each pipeline, and the configurations drawn from it.

A space maps a parameter to where its values come from, in the form that a study file has it:

- `{low = 1e-3, high = 1e3, log = true}`: uniform between two numbers, or uniform in the logarithm;
  `integer = true` draws whole numbers, both ends included; `zero = 0.5` draws 0 that often;
- a list: each of its items is as likely;
- anything else: a constant.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Mapping, Sequence
from typing import Any

from scipy import stats

from cortax.errors import SearchError, choices
from cortax.learning.classes import binary_task

__all__ = ["EXTRAS", "SPACES", "content_seed", "sample_configs", "search_space"]

Space = dict[str, Any]
Config = dict[str, Any]

_WEIGHT = {"class_weight": [None, "balanced"]}
_STRENGTH = {"low": 1e-5, "high": 1e5, "log": True}
_SVM = {
    "percentile": {"low": 50, "high": 99, "integer": True},
    "C": {"low": 1e-4, "high": 1e4, "log": True},
    "gamma": {"low": 1e-6, "high": 1.0, "log": True},
}
_LGBM = {
    "boosting": ["gbdt", "dart", "goss"],
    "n_estimators": {"low": 3, "high": 500, "integer": True},
    "num_leaves": {"low": 6, "high": 80, "integer": True},
    "min_child_samples": {"low": 10, "high": 500, "integer": True},
    "min_child_weight": {"low": 1e-5, "high": 1e4, "log": True},
    "subsample": {"low": 0.3, "high": 0.95},
    "colsample_bytree": {"low": 0.3, "high": 0.95},
    "reg_alpha": {"low": 1e-5, "high": 1.0, "log": True, "zero": 0.5},
    "reg_lambda": {"low": 1e-5, "high": 1.0, "log": True, "zero": 0.5},
}

SPACES: dict[tuple[str, str], Space] = {
    ("ridge", "regression"): {"alpha": {"low": 1e-3, "high": 1e6, "log": True}},
    ("ridge", "classification"): {"C": {"low": 1e-6, "high": 1e3, "log": True}, **_WEIGHT},
    ("elastic", "regression"): {"alpha": _STRENGTH, "l1_ratio": {"low": 0.01, "high": 1.0}},
    ("elastic", "classification"): {"C": _STRENGTH, "l1_ratio": {"low": 0.01, "high": 1.0}, **_WEIGHT},
    ("svm", "regression"): _SVM,
    ("svm", "classification"): {**_SVM, **_WEIGHT},
    ("lgbm", "regression"): _LGBM,
    ("lgbm", "classification"): {**_LGBM, **_WEIGHT},
}

# Parameters that the default space leaves at the estimator's default, and that a study may set.
EXTRAS: dict[str, tuple[str, ...]] = {
    "ridge": ("tol", "max_iter"),
    "elastic": ("tol", "max_iter"),
    "svm": ("tol", "max_iter", "epsilon"),
    "lgbm": ("learning_rate", "max_depth", "max_bin", "min_split_gain"),
}

_KEYS = ("high", "integer", "log", "low", "zero")


def content_seed(*parts: str | float) -> int:
    """Return a seed in [0, 2**31) that depends on what is seeded and on nothing else.

    >>> content_seed(0, "ridge", "age") == content_seed(0, "ridge", "age")
    True
    """
    digest = hashlib.sha256(json.dumps(parts).encode()).digest()
    return int.from_bytes(digest[:4], "big") >> 1


def search_space(kind: str, task: str, space: Mapping[str, Any] | None = None) -> Space:
    """Return the space of a pipeline: the default one with a study's own entries in their places.

    Parameters
    ----------
    kind : str
        A key of `SPACES`, or "sklearn", whose space is the study's alone.
    task : {"regression", "classification", "ordinal"}
        An ordinal target is searched as a classification: its thresholds are.
    space : mapping, optional
        Parameter to specification (see the module). May also set a parameter in `EXTRAS`. An entry that
        only the other task has (`alpha` beside `C`) is allowed and left out.

    Raises
    ------
    SearchError
        Unknown kind, task or parameter, or a specification that makes no sense; the message names it.
    """
    if task not in ("regression", "classification", "ordinal"):
        raise SearchError(f"task: {choices(task, ['classification', 'ordinal', 'regression'])}")
    task = binary_task(task)
    own = dict(space or {})
    for parameter, spec in own.items():
        _check_spec(spec, f"space of {kind!r}, parameter {parameter!r}")
    if kind == "sklearn":
        return own
    if (kind, task) not in SPACES:
        raise SearchError(f"kind: {choices(kind, [*{k for k, _ in SPACES}, 'sklearn'])}")
    default, extras = SPACES[kind, task], EXTRAS[kind]
    known = {*extras, *(p for (k, _), space in SPACES.items() if k == kind for p in space)}
    for parameter in own:
        # Nobody else would say so: LightGBM takes any name and is silent about it.
        if parameter not in known:
            raise SearchError(f"space of {kind!r}: {choices(parameter, known)}")
    return default | {p: s for p, s in own.items() if p in default or p in extras}


def _check_spec(spec: Any, where: str) -> None:
    if isinstance(spec, Mapping):
        _check_range(spec, where)
    elif isinstance(spec, Sequence) and not isinstance(spec, str):
        if not spec:
            raise SearchError(f"{where}: the list of choices is empty")
    elif not (spec is None or isinstance(spec, str | int | float)):
        raise SearchError(f"{where}: must be a range, a list of choices or a constant; got {spec!r}")


def _check_range(spec: Mapping[str, Any], where: str) -> None:
    for key in spec:
        if key not in _KEYS:
            raise SearchError(f"{where}: key {choices(str(key), _KEYS)}")
    for key in ("low", "high"):
        number = spec.get(key)
        if isinstance(number, bool) or not isinstance(number, int | float) or not math.isfinite(number):
            raise SearchError(f"{where}: {key} must be a finite number; got {number!r}")
        if spec.get("integer") and number != int(number):
            raise SearchError(f"{where}: integer = true needs a whole {key}; got {number!r}")
    for key in ("log", "integer"):
        if not isinstance(spec.get(key, False), bool):
            raise SearchError(f"{where}: {key} must be true or false; got {spec[key]!r}")
    if spec.get("log") and spec.get("integer"):
        raise SearchError(f"{where}: log and integer exclude each other")
    if not spec["low"] < spec["high"] or (spec.get("log") and spec["low"] <= 0):
        rule = "0 < low < high" if spec.get("log") else "low < high"
        raise SearchError(f"{where}: must have {rule}; got low = {spec['low']}, high = {spec['high']}")
    zero = spec.get("zero", 0.0)
    if isinstance(zero, bool) or not isinstance(zero, int | float) or not 0 <= zero < 1:
        raise SearchError(f"{where}: zero must be a probability below 1; got {zero!r}")


def sample_configs(
    kind: str, task: str, n_configs: int, *, seed: int, space: Mapping[str, Any] | None = None
) -> list[Config]:
    """Draw configurations at random.

    Parameters
    ----------
    kind, task, space
        See `search_space`.
    n_configs : int
        Growing it keeps the first ones as they are.
    seed : int
        Every value has a seed of its own, made of (kind, task, seed, number of the configuration,
        parameter): setting one parameter leaves the draws of the others as they are.

    Returns
    -------
    list of dict
        Parameter to number, str, bool or None: JSON holds it exactly. Duplicates are kept.

    Raises
    ------
    SearchError
        See `search_space`; or `n_configs` is less than 1.
    """
    if n_configs < 1:
        raise SearchError(f"n_configs of {kind!r} must be at least 1; got {n_configs}")
    specs = sorted(search_space(kind, task, space).items())
    task = binary_task(task)
    return [
        {p: _draw(spec, content_seed(kind, task, seed, number, p)) for p, spec in specs} for number in range(n_configs)
    ]


def _draw(spec: Any, seed: int) -> Any:
    if isinstance(spec, Mapping):
        low, high = spec["low"], spec["high"]
        if spec.get("zero", 0.0) and stats.uniform.rvs(random_state=seed) < spec["zero"]:
            return 0.0
        # Another stream than that of the zero, on which the value must not depend.
        state = content_seed("value", seed)
        if spec.get("integer"):
            return int(stats.randint.rvs(int(low), int(high) + 1, random_state=state))
        if spec.get("log"):
            return float(stats.loguniform.rvs(low, high, random_state=state))
        return float(stats.uniform.rvs(low, high - low, random_state=state))
    if isinstance(spec, Sequence) and not isinstance(spec, str):
        return spec[int(stats.randint.rvs(0, len(spec), random_state=seed))]
    return spec

"""Estimators that a study names: classes, functions that return one, and steps that are put together.

What splits its training rows itself (`LassoCV`, `GridSearchCV`, stacks) is given folds that keep groups together.
"""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np
import numpy.typing as npt
from sklearn.base import clone, is_classifier, is_regressor
from sklearn.compose import ColumnTransformer, TransformedTargetRegressor
from sklearn.ensemble import VotingClassifier, VotingRegressor
from sklearn.feature_selection import RFE, SelectFromModel
from sklearn.model_selection import (
    GroupKFold,
    GroupShuffleSplit,
    KFold,
    LeaveOneGroupOut,
    LeavePGroupsOut,
    StratifiedGroupKFold,
    StratifiedKFold,
)
from sklearn.pipeline import FeatureUnion, Pipeline, make_pipeline

from cortax.errors import SearchError, choices
from cortax.learning.search.registry import TASKS

__all__ = ["keep_groups", "own_estimators"]

Config = Mapping[str, Any]

# By such splitters groups stay together; these others are replaced by one that keeps them so.
_KEEP = (GroupKFold, GroupShuffleSplit, LeaveOneGroupOut, LeavePGroupsOut, StratifiedGroupKFold)
_REPLACED = (KFold, StratifiedKFold)
# What hands all of its training rows, in their order, to the estimators in it.
_WHOLE = (
    ColumnTransformer,
    FeatureUnion,
    Pipeline,
    RFE,
    SelectFromModel,
    TransformedTargetRegressor,
    VotingClassifier,
    VotingRegressor,
)


def own_estimators(estimators: Mapping[str, Any], where: str) -> dict[str, Callable[[Config, int], Any]]:
    """Return for each task what makes an estimator of a configuration and a seed.

    Parameters
    ----------
    estimators : mapping
        By task the "module:Class", or a function without parameters that returns an estimator. `steps`: classes (or
        functions) that come before it, each "module:Class" or a mapping of `estimator`, `name` and `parameters`; where
        no task is named, the last of them is the estimator of the task that it is for. Parameters of steps are called
        as scikit-learn does, `pca__n_components`.
    where : str
        Begin of messages.

    Raises
    ------
    SearchError
        Something cannot be imported or made, or is no estimator; or a task is unknown.
    """
    for name in estimators:
        if name not in (*TASKS, "steps"):
            raise SearchError(f"{where}: {choices(name, TASKS)}")
    steps = [_step(step, f"{where}, steps") for step in estimators.get("steps", ())]
    last: dict[str, Callable[[], Any] | None] = {}
    for task in TASKS:
        if task in estimators:
            last[task] = _load(estimators[task], f"{where}, {task}")
    if not last:
        made = _compose(steps, None)
        last |= {task: None for task, fits in zip(TASKS, (is_regressor, is_classifier), strict=True) if fits(made)}
        if not last:
            name = type(steps[-1][1]()).__name__
            raise SearchError(f"{where}, steps: the last, {name}, is neither a regressor nor a classifier")
    return {task: partial(_configured, partial(_compose, steps, make)) for task, make in last.items()}


_Step = tuple[str, Callable[[], Any]]


def _step(step: str | Mapping[str, Any], where: str) -> _Step:
    """Return the name of a step, which may be empty, and what makes it."""
    if isinstance(step, str):
        return "", _load(step, where)
    make, parameters = _load(step["estimator"], where), dict(step.get("parameters") or {})
    named = f"{where}, {step['estimator']!r}"
    if parameters:
        _checked(make(), parameters, named)
    return step.get("name") or "", lambda: make().set_params(**parameters)


def _load(target: str, where: str) -> Callable[[], Any]:
    module, _, attribute = target.partition(":")
    try:
        found = getattr(importlib.import_module(module), attribute)
    except (ImportError, AttributeError, ValueError) as error:
        raise SearchError(f"{where}: {target!r} is not 'module:Class' that can be imported: {error}") from error
    refused = f"{where}: {target!r} is not a scikit-learn estimator class, nor a function that returns an estimator"
    if inspect.isclass(found):
        if not _is_estimator(found):
            raise SearchError(refused)
        return partial(_made, found, f"{where}: {target!r}")
    try:
        made = found()
    except Exception as error:
        raise SearchError(f"{refused}: {type(error).__name__}: {error}") from error
    if inspect.isclass(made) or not _is_estimator(made):
        raise SearchError(f"{refused}: it returned {made!r}")
    # A copy: it may return the same one each time.
    return lambda: clone(found())


def _is_estimator(found: Any) -> bool:
    return all(hasattr(found, name) for name in ("fit", "get_params", "set_params"))


def _made(kind: Callable[[], Any], where: str) -> Any:
    try:
        return kind()
    except TypeError as error:
        raise SearchError(
            f"{where}: cannot be made without parameters: {error}. Name a function that returns it with them"
        ) from error


def _compose(steps: Sequence[_Step], last: Callable[[], Any] | None) -> Any:
    """Return the estimator, after its steps where there are any."""
    if not steps:
        return last() if last is not None else None
    made = [make() for _, make in steps] + ([] if last is None else [last()])
    names = [name for name, _ in make_pipeline(*made).steps]
    given = [name for name, _ in steps]
    called = [own or name for own, name in zip([*given, ""], names, strict=False)]
    if len(set(called)) < len(called):
        raise SearchError(f"steps: names must differ; got {called}")
    return Pipeline(list(zip(called, made, strict=True)))


def _checked(made: Any, parameters: Config, where: str) -> dict[str, Any]:
    accepted: dict[str, Any] = made.get_params(deep=True)
    for key in parameters:
        if key not in accepted:
            raise SearchError(f"{where}: parameter {choices(key, accepted)}")
    return accepted


def _configured(make: Callable[[], Any], config: Config, seed: int) -> Any:
    """Make an estimator of a configuration; what is random in it gets the seed, and nothing takes more than a core."""
    made = make()
    accepted = _checked(made, config, type(made).__name__)
    fixed: dict[str, Any] = {}
    for key, value in accepted.items():
        own, parameter = "__" not in key, key.rpartition("__")[2]
        if parameter == "random_state" and (own or value is None):
            fixed[key] = seed
        elif parameter == "n_jobs":
            fixed[key] = 1
    # A parameter may be an estimator, whose own parameters are then others.
    made.set_params(**config)
    now = made.get_params(deep=True)
    return made.set_params(**{key: value for key, value in fixed.items() if key in now and key not in config})


def keep_groups(model: Any, y: npt.NDArray[Any], groups: npt.NDArray[Any] | None, *, calibrates: bool = False) -> None:
    """Give an estimator that splits its training rows itself folds that keep groups together; in place.

    It is known by a parameter `cv`, its own or of a step. A number becomes so many folds (None: 5), and so do `KFold`
    and `StratifiedKFold`; splitters of groups make their own. Where each row is its own group, nothing is changed.

    Parameters
    ----------
    model : estimator
        Whose `fit` will be given the rows of y.
    y : array of shape (n_train,)
    groups : array of shape (n_train,), or None
    calibrates : bool
        Whether it will be fitted on parts of these rows as well.

    Raises
    ------
    SearchError
        The rows that would be split are not all of these in their order, or it is not known how.
    """
    if groups is None or len(np.unique(groups)) == len(groups):
        return
    parameters: dict[str, Any] = model.get_params(deep=True)
    # A step may be called so, too.
    names = [name for name, value in parameters.items() if name.split("__")[-1] == "cv" and not _is_estimator(value)]
    owners = [name.removesuffix("cv").removesuffix("__") for name in names]
    folds = {}
    for owner in owners:
        place = f"{owner}__cv".removeprefix("__")
        what = f"{type(parameters[owner] if owner else model).__name__} ({place})"
        if calibrates:
            raise SearchError(
                f"{what} splits training rows itself and gives no probabilities, so that it would be fitted on parts "
                "of them; groups cannot be kept together there. Use a classifier with predict_proba"
            )
        _check_rows(model, parameters, owner, what)
        folds[place] = _group_folds(parameters[place], y, groups, what, stratified=is_classifier(model))
    model.set_params(**folds)


def _check_rows(model: Any, parameters: Config, owner: str, what: str) -> None:
    """Make sure that an estimator in a model is given all rows, in their order."""
    path = owner.split("__")
    for depth in range(len(path)) if owner else ():
        outer = parameters["__".join(path[:depth])] if depth else model
        if not isinstance(outer, _WHOLE):
            raise SearchError(
                f"{what} splits training rows itself inside {type(outer).__name__}, which gives it some of them; "
                "groups cannot be kept together there. Take one that does not, and search its parameter by `space`"
            )


def _group_folds(
    cv: Any, y: npt.NDArray[Any], groups: npt.NDArray[Any], what: str, *, stratified: bool
) -> list[tuple[npt.NDArray[Any], npt.NDArray[Any]]]:
    if isinstance(cv, _KEEP):
        return list(cv.split(y, y, groups))
    if isinstance(cv, _REPLACED):
        cv = cv.get_n_splits()
    if not (cv is None or (isinstance(cv, int) and not isinstance(cv, bool))):
        raise SearchError(
            f"{what}: cv = {cv!r} does not keep groups together; must be a number of folds, KFold, StratifiedKFold or "
            "a splitter of groups such as GroupKFold"
        )
    n_splits = min(5 if cv is None else cv, len(np.unique(groups)))
    if n_splits < 2:
        raise SearchError(f"{what}: {len(np.unique(groups))} groups in {n_splits} folds; at least 2 are needed")
    splitter = StratifiedGroupKFold(n_splits) if stratified else GroupKFold(n_splits)
    return list(splitter.split(y, y, groups))

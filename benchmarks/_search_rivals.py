"""Rivals of `bench_search.py` within scikit-learn: the naive loop, and the best that its parts allow.

A rival yields jobs: (numbers of configurations, targets, function). The function makes those fits; its run is
what is timed. It returns them as `Fit`s, or a function that does so, where that takes work that a search does not do.
"""

from __future__ import annotations

import functools
import time
from typing import Any, NamedTuple

import numpy as np
from sklearn.base import clone
from sklearn.linear_model import ElasticNet, LogisticRegression, Ridge
from sklearn.metrics import get_scorer
from sklearn.metrics.pairwise import rbf_kernel
from sklearn.svm import SVC, SVR

from cortax.learning.search.pipelines import fit_counting, make, make_back, make_front
from cortax.learning.search.solvers import fit_seed

LINEAR = ("ridge", "elastic")


class Fit(NamedTuple):
    number: int
    target: int
    decisions: np.ndarray
    linear: tuple[np.ndarray, float] | None = None  # coefficients, intercept
    not_converged: int = 0


class Part(NamedTuple):
    """The rows of one target in the first inner fold, their front end applied, and what it took."""

    X: np.ndarray
    X_valid: np.ndarray
    y: np.ndarray
    y_valid: np.ndarray
    shared: dict[str, Any]
    seconds: float


def spread(order):
    """Return what is in an order so that every beginning is spread over all of it (bit reversal)."""
    n_bits = max(1, (len(order) - 1).bit_length())
    reverse = [int(f"{i:0{n_bits}b}"[::-1], 2) for i in range(2**n_bits)]
    return [int(order[i]) for i in reverse if i < len(order)]


def typed(case, target, rows):
    y = case.problem.targets[rows, target]
    return y.astype(np.int64) if case.task == "classification" else y


class Parts:
    """Parts by target; made once where all targets share them."""

    def __init__(self, case, X):
        self.case, self.X, self.at = case, X, 0
        self.last = _make_part(case, X, 0)
        sharing = len(case.problem.names) if case.alike else 1
        # Of each of the fits that may share it.
        self.seconds = self.last.seconds / len(case.configs) / sharing

    def __call__(self, target):
        if target != self.at and not self.case.alike:
            self.last, self.at = _make_part(self.case, self.X, target), target
        train, valid = self.case.rows(target)
        return self.last._replace(y=typed(self.case, target, train), y_valid=typed(self.case, target, valid))


def _make_part(case, X, target):
    train, valid = case.rows(target)
    start, shared = time.process_time(), {}
    front = make_front()
    X_train, X_valid = front.fit_transform(X[train]), front.transform(X[valid])
    if (case.problem.kind, case.task) == ("elastic", "regression"):
        # Centred, or scikit-learn refuses the Gram matrix and makes its own.
        shared["mean"] = X_train.mean(axis=0)
        shared["X"] = np.asfortranarray(X_train - shared["mean"])
        shared["gram"] = shared["X"].T @ shared["X"] if len(train) > X.shape[1] else False
    seconds = time.process_time() - start
    return Part(X_train, X_valid, typed(case, target, train), typed(case, target, valid), shared, seconds)


def pairs(case):
    """Yield (configuration, target) in the order in which they are timed: every configuration once."""
    for step, number in enumerate(spread(case.order)):
        yield number, step % len(case.problem.names)


def decide(case, model, X):
    """Predicted values, or decisions of a classifier."""
    if case.task == "regression":
        return model.predict(X)
    return model.predict(X, raw_score=True) if case.problem.kind == "lgbm" else model.decision_function(X)


def naive(case, X):
    """Yield the whole pipeline for one configuration and target at a time, as RandomizedSearchCV fits it."""
    score = get_scorer(case.problem.scorers[case.task])
    for number, target in pairs(case):
        pipeline = make(case.pipeline, case.task, case.configs[number], seed=fit_seed(case.problem, target, 0, number))
        yield [number], [target], functools.partial(_naive_fit, case, X, pipeline, score, number, target)


def _naive_fit(case, X, pipeline, score, number, target):
    train, valid = case.rows(target)
    model = clone(pipeline)
    missed = fit_counting(model, X[train], typed(case, target, train))
    score(model, X[valid], typed(case, target, valid))
    linear = None
    if case.problem.kind in LINEAR:
        linear = np.ravel(model[-1].coef_), float(np.ravel(model[-1].intercept_)[0])
    return lambda: [Fit(number, target, decide(case, model, X[valid]), linear, missed)]


def best(case, parts, stride):
    """Yield the fastest way within scikit-learn: one front end, warm starts, a Gram matrix or kernel.

    Parameters
    ----------
    case : Case
    parts : Parts
    stride : int
        Paths are of every so many configurations.
    """
    kind, targets = case.problem.kind, range(len(case.problem.names))
    if kind == "ridge" and case.task == "regression":
        for number, target in pairs(case):
            together = list(targets) if case.alike else [target]
            yield [number], together, functools.partial(_many_ridge, case, parts(target), number, together)
    elif kind in LINEAR:
        path = [int(i) for i in case.order[stride // 2 :: stride]]
        for target in targets[:2]:
            yield path, [target], functools.partial(_path, case, parts(target), path, target)
    elif kind == "svm":
        for number, target in pairs(case):
            yield [number], [target], functools.partial(kernel_svm, case, parts(target), number, target)


def _many_ridge(case, part, number, targets):
    train, _ = case.rows(targets[0])
    model = Ridge(**case.configs[number]).fit(part.X, case.problem.targets[np.ix_(train, targets)])
    predicted = model.predict(part.X_valid).reshape(len(part.X_valid), -1)
    return [Fit(number, t, predicted[:, i]) for i, t in enumerate(targets)]


def _path(case, part, numbers, target):
    """Fit the configurations of one target, every fit from the one before."""
    n_train, n_regions = part.X.shape
    regression, made = case.task == "regression", []
    if regression:
        fixed = {"precompute": part.shared["gram"], "fit_intercept": False}
        models: dict[Any, Any] = {None: ElasticNet(**fixed, warm_start=True)}
        X, y, mean, middle = part.shared["X"], part.y - part.y.mean(), part.shared["mean"], part.y.mean()
    else:
        solver = "saga" if case.problem.kind == "elastic" else "newton-cholesky" if n_train > n_regions else "lbfgs"
        fixed = {"solver": solver, "max_iter": 1000 if case.problem.kind == "ridge" else 100}
        models = {weight: LogisticRegression(**fixed, warm_start=True) for weight in (None, "balanced")}
        X, y = part.X, part.y
    for number in numbers:
        config = case.configs[number]
        model = models[config.get("class_weight")].set_params(**config)
        missed = fit_counting(model, X, y)
        coef = np.ravel(model.coef_).copy()
        intercept = float(middle - mean @ coef if regression else model.intercept_[0])
        made.append(Fit(number, target, part.X_valid @ coef + intercept, (coef, intercept), missed))
    return made


def kernel_svm(case, part, number, target, **change):
    """Fit on a kernel that is one matrix product, the features selected beforehand."""
    config = dict(case.configs[number])
    select = make_back(case.pipeline, case.task, config, seed=0)[:-1]
    X = select.fit_transform(part.X, part.y)
    gamma = config.pop("gamma")
    config.pop("percentile")
    model = (SVR if case.task == "regression" else SVC)(kernel="precomputed", **config, **change)
    missed = fit_counting(model, rbf_kernel(X, gamma=gamma), part.y)
    K = rbf_kernel(select.transform(part.X_valid), X, gamma=gamma)
    return [Fit(number, target, decide(case, model, K), None, missed)]

"""Rivals of `bench_search.py` from other packages, if they are installed (`requirements-peers.txt`).

Each is given the front end for free, as cortax's and scikit-learn's best are, and its own default tolerance.
"""

from __future__ import annotations

import functools
import importlib
import importlib.util
import warnings

import numpy as np
from _search_rivals import Fit, decide, pairs
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import PredefinedSplit
from sklearn.utils.class_weight import compute_sample_weight

from cortax.learning.search.pipelines import fit_counting, make_back

APPLY = {
    ("ridge", "regression"): ("himalaya", "sklearnex"),
    ("ridge", "classification"): ("glum", "sklearnex"),
    ("elastic", "regression"): ("celer", "skglm", "adelie", "glum"),
    ("elastic", "classification"): ("skglm", "adelie", "glum"),
    ("svm", "regression"): ("sklearnex",),
    ("svm", "classification"): ("sklearnex",),
}
SKLEARNEX = {"SVC": "svm", "SVR": "svm", "Ridge": "linear_model", "LogisticRegression": "linear_model"}


def peers(case):
    """Return the names of the packages that can do a case, installed or not."""
    return APPLY.get((case.problem.kind, case.task), ())


def installed(name):
    return importlib.util.find_spec(name) is not None


def peer(name, case, parts, stride):
    """Yield the jobs of a package. What it compiles at its first call is compiled before."""
    if name == "himalaya":
        targets = list(range(len(case.problem.names))) if case.alike else [0]
        yield list(case.order[::stride]), targets, functools.partial(_himalaya, case, parts(0), stride, targets)
        return
    fit = {"sklearnex": _sklearnex}.get(name, functools.partial(_linear, name))
    part = parts(0)
    small = {name: getattr(part, name)[:300, :20].copy() for name in ("X", "X_valid")}
    for number in case.order[[0, len(case.order) // 2, -1]]:
        fit(case, part._replace(**small, y=part.y[:300]), int(number), 0)
    for number, target in pairs(case):
        if name == "skglm" and case.configs[number].get("class_weight"):
            continue  # it has no weights
        yield [number], [target], functools.partial(fit, case, parts(target), number, target)


def _himalaya(case, part, stride, targets):
    """All targets and alphas at once, scored on the validation rows; its scores are not compared."""
    from himalaya.kernel_ridge import solve_multiple_kernel_ridge_random_search
    from himalaya.ridge import solve_group_ridge_random_search

    train, valid = case.rows(0)
    X, Y = np.vstack([part.X, part.X_valid]), case.problem.targets[np.ix_(np.r_[train, valid], targets)]
    X, Y = X - part.X.mean(axis=0), Y - Y[: len(train)].mean(axis=0)
    alphas = np.sort([case.configs[i]["alpha"] for i in case.order[::stride]])
    cv = PredefinedSplit(np.repeat([-1, 0], [len(train), len(valid)]))
    shared = {"n_iter": np.ones((1, 1)), "alphas": alphas, "cv": cv, "progress_bar": False, "return_weights": False}
    if len(train) > X.shape[1]:
        solve_group_ridge_random_search([X], Y, **shared, warn=False)
    else:
        solve_multiple_kernel_ridge_random_search((X @ X.T)[None], Y, **(shared | {"return_weights": None}))
    return []


def _sklearnex(case, part, number, target):
    pipeline = make_back(case.pipeline, case.task, case.configs[number], seed=0)
    estimator = pipeline[-1]
    name = type(estimator).__name__
    faster = getattr(importlib.import_module(f"sklearnex.{SKLEARNEX[name]}"), name)
    pipeline.steps[-1] = ("estimate", faster(**estimator.get_params()))
    missed = fit_counting(pipeline, part.X, part.y)
    return [Fit(number, target, decide(case, pipeline, part.X_valid), None, missed)]


def _linear(name, case, part, number, target):
    config, n_train = case.configs[number], len(part.y)
    weights = compute_sample_weight(config.get("class_weight"), part.y)
    ratio = config.get("l1_ratio", 0.0)
    # Those packages divide the loss by the sum of the weights.
    alpha = config["alpha"] if case.task == "regression" else 1 / (config["C"] * weights.sum())
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        coef, intercept = _SOLVE[name](case.task, part, alpha, ratio, weights * (n_train / weights.sum()))
    missed = sum(issubclass(w.category, ConvergenceWarning) for w in caught)
    coef, intercept = np.ravel(coef), float(np.ravel(intercept)[0])
    return [Fit(number, target, part.X_valid @ coef + intercept, (coef, intercept), missed)]


def _celer(task, part, alpha, ratio, weights):  # noqa: ARG001
    import celer

    model = celer.ElasticNet(alpha=alpha, l1_ratio=ratio).fit(part.X, part.y)
    return model.coef_, model.intercept_


def _skglm(task, part, alpha, ratio, weights):  # noqa: ARG001
    import skglm

    kind = skglm.ElasticNet if task == "regression" else skglm.SparseLogisticRegression
    model = kind(alpha=alpha, l1_ratio=ratio).fit(part.X, part.y)
    return model.coef_, model.intercept_


def _adelie(task, part, alpha, ratio, weights):
    import adelie

    weights = weights / weights.sum()
    family = adelie.glm.gaussian if task == "regression" else adelie.glm.binomial
    state = adelie.grpnet(
        X=np.asfortranarray(part.X),
        glm=family(y=part.y.astype(np.float64), weights=weights),
        alpha=ratio,
        lmda_path=[alpha],
        early_exit=False,
        progress_bar=False,
    )
    return state.betas.toarray()[-1], state.intercepts[-1]


def _glum(task, part, alpha, ratio, weights):
    from glum import GeneralizedLinearRegressor

    family = "normal" if task == "regression" else "binomial"
    model = GeneralizedLinearRegressor(alpha=alpha, l1_ratio=ratio, family=family)
    model.fit(part.X, part.y, sample_weight=weights)
    return model.coef_, model.intercept_


_SOLVE = {"celer": _celer, "skglm": _skglm, "adelie": _adelie, "glum": _glum}

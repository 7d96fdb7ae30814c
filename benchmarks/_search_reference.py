"""Tight references of `bench_search.py`, by scikit-learn alone, and how far a linear model is from its optimum."""

from __future__ import annotations

import time

import numpy as np
from _search_rivals import Fit, kernel_svm
from scipy.special import expit, xlogy
from sklearn.linear_model import ElasticNet, LogisticRegression
from sklearn.utils.class_weight import compute_sample_weight

from cortax.learning.search.pipelines import fit_counting

# Libsvm cannot be interrupted otherwise: what has not converged by then is no reference.
SVM_ITERATIONS = 2_000_000
CLOSED = 1e-8  # relative duality gap of a linear reference


def naive_is_exact(case):
    """Whether scikit-learn solves directly, or what it does is the definition of the model."""
    return case.problem.kind == "lgbm" or (case.problem.kind == "ridge" and case.task == "regression")


def reference(case, part, number, target, budget):
    """Fit tightly; None where about `budget` CPU seconds are not enough to be sure of the optimum."""
    if case.problem.kind == "svm":
        fit = kernel_svm(case, part, number, target, tol=1e-6, max_iter=SVM_ITERATIONS)[0]
        return None if fit.not_converged else fit
    config = case.configs[number]
    if case.task == "regression":
        linear = _elastic(config, part.X, part.y, budget)
    elif "l1_ratio" in config:
        linear = _elastic_logistic(config, part.X, part.y, budget)
    else:
        solver = "newton-cholesky" if part.X.shape[1] <= 2000 else "lbfgs"
        model = LogisticRegression(**(config | {"tol": 1e-10, "max_iter": 20_000}), solver=solver)
        fit_counting(model, part.X, part.y)
        linear = model.coef_[0], float(model.intercept_[0])
    if not excess(case, part, number, linear) < CLOSED:
        return None
    return Fit(number, target, part.X_valid @ linear[0] + linear[1], linear)


def _elastic(config, X, y, budget, weights=None, start=None):
    """Elastic net in short runs until its duality gap is closed or time is up."""
    weights = np.ones(len(y)) if weights is None else weights / weights.mean()
    centre, middle, root = np.average(X, axis=0, weights=weights), np.average(y, weights=weights), np.sqrt(weights)
    Z = np.asfortranarray((X - centre) * root[:, None])
    gram = Z.T @ Z if Z.shape[0] > Z.shape[1] else False
    model = ElasticNet(**config, fit_intercept=False, precompute=gram, warm_start=True, tol=1e-13, max_iter=200)
    if start is not None:
        model.coef_ = start.copy()
    begin = time.process_time()
    while fit_counting(model, Z, (y - middle) * root) and time.process_time() - begin < budget:
        pass
    return model.coef_.copy(), float(middle - centre @ model.coef_)


def _elastic_logistic(config, X, y, budget):
    """Newton's method with step halving, each step an elastic net."""
    s, begin = _weights(config, y), time.process_time()
    coef, intercept = np.zeros(X.shape[1]), 0.0
    lowest = _logistic_value(config, X, y, coef, intercept)
    while time.process_time() - begin < budget:
        odds = X @ coef + intercept
        chance = expit(odds)
        h = np.maximum(s * chance * (1 - chance), 1e-12 * s)
        step = {"alpha": 1 / h.sum(), "l1_ratio": config["l1_ratio"]}
        new, shift = _elastic(step, X, odds + s * (y - chance) / h, budget / 5, h, coef)
        for _ in range(20):
            value = _logistic_value(config, X, y, new, shift)
            if value < lowest:
                break
            new, shift = (new + coef) / 2, (shift + intercept) / 2
        if not value < lowest:
            break
        gained, lowest = lowest - value, value
        coef, intercept = new, shift
        if gained < 1e-14 * lowest:
            break
    return coef, intercept


def _weights(config, y):
    return config["C"] * compute_sample_weight(config.get("class_weight"), y)


def _logistic_value(config, X, y, coef, intercept):
    l1 = config.get("l1_ratio", 0.0)
    loss = _weights(config, y) @ np.logaddexp(0, (1 - 2 * y) * (X @ coef + intercept))
    return loss + l1 * np.abs(coef).sum() + (1 - l1) / 2 * coef @ coef


def excess(case, part, number, linear, truth=None):
    """Return how far the objective may be above its minimum, over that of the empty model.

    The minimum is not below the duality bound, of this model or of the one that is known to be better.
    """
    measure, config = (_elastic_bounds if case.task == "regression" else _logistic_bounds), case.configs[number]
    value, bound, null = measure(config, part, *linear)
    if truth is not None:
        bound = max(bound, measure(config, part, *truth)[1])
    return float((value - bound) / null)


def _elastic_bounds(config, part, coef, intercept):
    """Objective, lower bound of its minimum, objective of the empty model."""
    l1, l2 = config["alpha"] * config["l1_ratio"], config["alpha"] * (1 - config["l1_ratio"])
    n, y = len(part.y), part.y - part.y.mean()
    rest = part.y - part.X @ coef - intercept
    value = rest @ rest / (2 * n) + l1 * np.abs(coef).sum() + l2 / 2 * coef @ coef
    rest -= rest.mean()
    slopes = np.abs(part.X.T @ rest) / n
    bounds = [
        c * (y @ rest) / n - c * c * (rest @ rest) / (2 * n) - _slack(c * slopes, l1, l2) for c in _scales(slopes, l1)
    ]
    return value, max(bounds), y @ y / (2 * n)


def _logistic_bounds(config, part, coef, intercept):
    l1, sign, s = config.get("l1_ratio", 0.0), 2 * part.y - 1, _weights(config, part.y)
    share = expit(-sign * (part.X @ coef + intercept))
    # The free intercept: both classes must pull alike.
    up, down = (s * share)[sign > 0].sum(), (s * share)[sign < 0].sum()
    share[sign > 0] *= min(1.0, down / up)
    share[sign < 0] *= min(1.0, up / down)
    slopes = np.abs(part.X.T @ (sign * s * share))
    bounds = [s @ _entropy(c * share) - _slack(c * slopes, l1, 1 - l1) for c in _scales(slopes, l1)]
    null = s.sum() * _entropy(s[sign > 0].sum() / s.sum())
    return _logistic_value(config, part.X, part.y, coef, intercept), max(bounds), null


def _entropy(share):
    return -xlogy(share, share) - xlogy(1 - share, 1 - share)


def _scales(slopes, l1):
    """Shrinking the dual point makes it feasible without l2; with l2 it is feasible anyway."""
    return (1.0, min(1.0, l1 / max(slopes.max(), 1e-300))) if l1 else (1.0,)


def _slack(slopes, l1, l2):
    over = np.maximum(slopes - l1, 0.0)
    return over @ over / (2 * l2) if l2 else (0.0 if over.max() <= 1e-12 * l1 else np.inf)

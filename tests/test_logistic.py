"""Logistic regression: scikit-learn's optimum for every configuration, class weight and shape of data."""

import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import minimize
from sklearn.linear_model import LogisticRegression

from cortax.folds import make_folds
from cortax.search import logistic, logistic_path, reference, solvers
from cortax.search.cells import Problem
from cortax.search.front import fit_front
from cortax.search.pipelines import PIPELINES, make_back
from cortax.search.spaces import sample_configs
from cortax.search.training import TrainingSet

TIGHT = {"tol": 1e-9}


def a_part(n_train, n_regions, *, n_valid=31, seed=0, spoil=None, dtype=np.float64):
    rng = np.random.default_rng(seed)
    n_factors = max(1, n_regions // 3)
    regions = rng.normal(size=(n_train + n_valid, n_factors)) @ rng.normal(size=(n_factors, n_regions))
    regions = (regions + rng.normal(size=regions.shape) + rng.normal(size=n_regions)).astype(dtype)
    if spoil is not None:
        spoil(regions)
    train, valid = np.arange(n_train), np.arange(n_train, n_train + n_valid)
    front, X, X_valid = fit_front(regions, None, train, valid)
    return TrainingSet(X, X_valid, train, valid, front)


def classes(part, n_targets, seed=1, share=0.4, strength=1.0):
    rng = np.random.default_rng(seed)
    signal = part.X @ rng.normal(size=(part.X.shape[1], n_targets)) / np.sqrt(part.X.shape[1])
    latent = strength * signal / (signal.std(axis=0) + 1e-9) + rng.logistic(size=signal.shape)
    Y = 1.0 * (latent > np.quantile(latent, 1 - share, axis=0))
    Y[:2] = [[0], [1]]
    return Y


def fitted(part, Y, configs, **more):
    seeds = np.zeros((Y.shape[1], len(configs)), dtype=int)
    return logistic.fit(part, Y, configs, task="classification", seeds=seeds, **more)


def objective(part, y, config, coef, intercept):
    odds = part.X @ coef + intercept
    share = y.mean()
    weights = np.where(y > 0, 0.5 / share, 0.5 / (1 - share)) if config.get("class_weight") else np.ones(len(y))
    l1_ratio = config.get("l1_ratio", 0.0)
    loss = config["C"] * weights @ np.logaddexp(0, np.where(y > 0, -odds, odds))
    return loss + (1 - l1_ratio) / 2 * coef @ coef + l1_ratio * np.abs(coef).sum()


def saga(part, y, config, max_iter=20_000):
    model = make_back(PIPELINES["elastic"], "classification", config | {"tol": 1e-10, "max_iter": max_iter}, seed=0)
    return model.named_steps["estimate"].fit(part.X, y)

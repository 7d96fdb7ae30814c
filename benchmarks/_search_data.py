"""Data of `bench_search.py`: simulated regions and targets, and one outer fold of a nested search of them."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from cortax.learning.folds import Folds, make_folds
from cortax.learning.search.cells import Problem
from cortax.learning.search.pipelines import PIPELINES, PipelineKind
from cortax.learning.search.spaces import sample_configs

N_LATENT = 40
N_CONFIGS = 60  # of a search in the space


@dataclass(frozen=True, eq=False)
class Case:
    """One pipeline and task on one shape of data.

    Attributes
    ----------
    problem : Problem
        One outer fold, with as many of its inner folds as are measured.
    outer_folds : Folds
        The same outer fold with all inner folds: what a refit may use.
    order : int array of shape (n_configs,)
        Numbers of the configurations, the cheap ones first as a rule.
    alike : bool
        Whether all targets are known for the same subjects.
    """

    problem: Problem
    pipeline: PipelineKind
    task: str
    outer_folds: Folds
    order: np.ndarray

    @property
    def alike(self):
        return not np.isnan(self.problem.targets).any()

    @property
    def configs(self):
        return self.problem.configs[self.task]

    def rows(self, target):
        """Row numbers to fit on and to predict, of one target in the first inner fold."""
        folds, known = self.problem.folds, ~np.isnan(self.problem.targets[:, target])
        valid = folds.valid[0, 0]
        return np.flatnonzero(known & ~folds.test[0] & ~valid), np.flatnonzero(known & valid)


def make_case(kind, task, n_subjects, n_regions, *, n_targets, n_configs, n_inner=1, own_rows=False, seed=0):
    """Make a case; the same arguments give the same numbers."""
    rng = np.random.default_rng([seed, n_subjects, n_regions])
    X = smooth_regions(rng, n_subjects, n_regions)
    Y = weak_targets(rng, X, n_targets, task)
    if own_rows:
        Y[rng.random(Y.shape) < 0.02] = np.nan
    whole = make_folds(np.arange(n_subjects) // 2, n_outer=5, n_inner=3, seed=seed)
    outer = Folds(whole.test[:1], whole.valid[:1], whole.repeat[:1])
    configs = thin(kind, sample_configs(kind, task, N_CONFIGS, seed=seed), n_configs)
    problem = Problem(
        regions=X,
        targets=Y,
        tasks=(task,) * n_targets,
        names=tuple(f"target{t}" for t in range(n_targets)),
        folds=replace(outer, valid=outer.valid[:, :n_inner]),
        kind=kind,
        configs={task: configs},
        seed=seed,
    )
    order = np.argsort([_effort(kind, config) for config in configs], kind="stable")
    return Case(problem, PIPELINES[kind], task, outer, order)


def smooth_regions(rng, n_subjects, n_regions):
    """Correlated columns, float32: broad bumps along the cortex that subjects have more or less of, and noise."""
    place = np.linspace(0, 1, n_regions)
    centres, widths = rng.random((N_LATENT, 1)), rng.uniform(0.02, 0.2, (N_LATENT, 1))
    bumps = np.exp(-(((place - centres) / widths) ** 2) / 2) * rng.choice([-1, 1], (N_LATENT, 1))
    latent = rng.normal(size=(n_subjects, N_LATENT))
    X = np.empty((n_subjects, n_regions), dtype=np.float32)
    for start in range(0, n_subjects, 1000):
        noise = rng.normal(size=(len(X[start : start + 1000]), n_regions + 2))
        # Neighbouring regions share noise, as neighbouring parcels do.
        smooth = noise[:, 1:-1] + 0.5 * (noise[:, :-2] + noise[:, 2:])
        X[start : start + 1000] = latent[start : start + 1000] @ bumps + 0.7 * smooth
    return X


def weak_targets(rng, X, n_targets, task):
    """Targets that the regions explain 2 to 20 % of; classes have a prevalence of 10 to 50 %."""
    weights = rng.normal(size=(X.shape[1], n_targets)) * (rng.random((X.shape[1], n_targets)) < 0.2)
    signal = X @ weights.astype(np.float32)
    signal = (signal - signal.mean(axis=0)) / (signal.std(axis=0) + 1e-9)
    explained = np.linspace(0.02, 0.2, n_targets) if n_targets > 1 else np.array([0.1])
    Y = np.sqrt(explained) * signal + np.sqrt(1 - explained) * rng.normal(size=signal.shape)
    if task == "classification":
        prevalence = rng.permutation(np.linspace(0.1, 0.5, n_targets)) if n_targets > 1 else np.array([0.3])
        return np.column_stack([y > np.quantile(y, 1 - part) for y, part in zip(Y.T, prevalence, strict=True)]) * 1.0
    return Y.astype(np.float64)


def thin(kind, configs, n_configs):
    """Take so many of the configurations, evenly from the cheap to the dear ones."""
    order = sorted(range(len(configs)), key=lambda i: _effort(kind, configs[i]))
    kept = sorted(order[int((i + 0.5) * len(order) / n_configs)] for i in range(n_configs))
    return [configs[i] for i in kept]


def _effort(kind, config):
    """What the time of a fit mostly depends on."""
    if kind == "lgbm":
        return config["n_estimators"] * config["num_leaves"]
    return config["C"] if "C" in config else -config["alpha"] * config.get("l1_ratio", 1.0)

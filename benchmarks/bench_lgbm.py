"""LightGBM's searches: CPU time and outer test score of every option against the plain scikit-learn loop.

    OMP_NUM_THREADS=1 python benchmarks/bench_lgbm.py [--quick] [--regions 40 400] [--targets 20] [--task regression]

Simulated targets of R2 .02 to .3, half of it not linear, of 1,600 subjects in an outer training part with 3 inner
folds; the outer test part has 8,000, so that searches are told apart. All options search a target in turn, in one
process, then the chosen configuration is fitted on the outer training part and scored on the test part. "naive" is
`reference.search_cell`; every ratio is of the first option's CPU seconds, by default those of the naive loop with 60
configurations, to the option's.
"""

from __future__ import annotations

import argparse
import time

import numpy as np

from cortax.folds import Folds
from cortax.search import boosting, lgbm, solvers
from cortax.search.cells import Batch, Problem
from cortax.search.choose import choose
from cortax.search.pipelines import PIPELINES
from cortax.search.scoring import score_decisions
from cortax.search.spaces import sample_configs, search_space
from cortax.search.training import training_sets

N_TRAIN, N_TEST = 1600, 8000
KIND = PIPELINES["lgbm"]
STAGED, RACING, TPE, BINS = {"staged": True}, {"racing": True}, {"sampler": "tpe"}, {"max_bin": 63}
# Name -> (number of configurations, strategy); None is the plain loop.
OPTIONS = {
    "naive, 60": (60, None),
    "shared bins, 60": (60, {}),
    "naive, 15": (15, None),
    "63 bins, 60": (60, BINS),
    "racing, 60": (60, RACING),
    "staged, 60": (60, STAGED),
    "staged, 15": (15, STAGED),
    "staged racing, 60": (60, STAGED | RACING),
    "staged racing, 30": (30, STAGED | RACING),
    "staged racing, 15": (15, STAGED | RACING),
    "staged racing tpe, 30": (30, STAGED | RACING | TPE),
    "staged racing tpe, 15": (15, STAGED | RACING | TPE),
    "staged racing 63 bins, 60": (60, STAGED | RACING | BINS),
    "staged racing 63 bins, 30": (30, STAGED | RACING | BINS),
    "staged racing 63 bins tpe, 30": (30, STAGED | RACING | BINS | TPE),
}
QUICK = ("naive, 60", "shared bins, 60", "staged racing, 60", "staged racing, 15", "staged racing 63 bins, 30")


def simulate(n_targets, n_regions, task, seed=0):
    """Regions with a few common factors; targets of rising R2 from a few regions, their squares and products."""
    rng = np.random.default_rng(seed)
    n = N_TRAIN + N_TEST
    X = rng.normal(size=(n, 10)) @ rng.normal(size=(10, n_regions)) * 0.3 + rng.normal(size=(n, n_regions))
    Y = np.empty((n, n_targets))
    for t, r2 in enumerate(np.linspace(0.02, 0.3, n_targets)):
        linear = X @ rng.normal(size=n_regions)
        few = X[:, rng.choice(n_regions, 6)]
        curved = few[:, 0] * few[:, 1] + few[:, 2] ** 2 + np.abs(few[:, 3]) + 2 * (few[:, 4] > 1) + few[:, 5]
        signal = linear / linear.std() + curved / curved.std()
        Y[:, t] = signal / signal.std() * np.sqrt(r2) + rng.normal(size=n) * np.sqrt(1 - r2)
    return X, Y if task == "regression" else (Y > 0).astype(float)


def folds(seed=0):
    inner = np.random.default_rng(seed).permutation(np.arange(N_TRAIN) % 3)
    test = np.zeros((1, N_TRAIN + N_TEST), dtype=bool)
    test[0, N_TRAIN:] = True
    valid = np.zeros((1, 3, N_TRAIN + N_TEST), dtype=bool)
    for fold in range(3):
        valid[0, fold, :N_TRAIN] = inner == fold
    return Folds(test, valid, np.zeros(1, dtype=int))


def run(X, Y, target, task, n_configs, strategy):
    """Return CPU seconds of the search, and the outer test score of what it chose."""
    strategy = strategy and {**strategy, "space": {task: search_space("lgbm", task)}}
    names = tuple(f"target {t}" for t in range(Y.shape[1]))
    configs = sample_configs("lgbm", task, n_configs, seed=0)
    problem = Problem(X, Y, (task,) * len(names), names, folds(), "lgbm", {task: configs}, strategy=strategy or {})
    batch = Batch(0, (target,))
    search = solvers.search_plainly if strategy is None else solvers.search_batch
    start = time.process_time()
    cell = search(problem, batch, KIND)[target, 0]
    seconds = time.process_time() - start
    number = int(choose(cell.scores))
    config = (cell.configs or configs)[number]
    train = ~problem.folds.test[0]
    ((part, _),) = training_sets(problem, [target], train, ~train, lambda *_: None)
    made = boosting.recipe(task, config, seed=solvers.fit_seed(problem, target, 0, number))
    decisions, _ = boosting.forest(part, Y[part.train, target], made)
    truth = Y[part.valid, target]
    score = score_decisions(problem.scorers[task], task, truth, decisions[None], probabilities=task != "regression")
    return seconds, float(score[0][0])


def table(n_regions, n_targets, task, options):
    for name in ("regression", "classification"):
        solvers.SOLVERS.setdefault(("lgbm", name), lgbm.__name__)
    X, Y = simulate(n_targets, n_regions, task)
    seconds, scores = np.zeros((2, len(options), n_targets))
    for target in range(n_targets):
        for row, name in enumerate(options):
            seconds[row, target], scores[row, target] = run(X, Y, target, task, *OPTIONS[name])
        pairs = zip(seconds[:, target], scores[:, target], strict=True)
        print(f"target {target}:", *(f"{s:.2f}s {score:.4f}" for s, score in pairs))
    print(f"\n{task}, {n_regions} regions, {n_targets} targets; ratio to and difference from {options[0]!r}")
    print(f"{'':<32}{'CPU s a cell':>12}{'ratio':>8}{'test score':>12}{'difference':>12}{'s.e.':>8}{'worst':>8}")
    for row, name in enumerate(options):
        gap = scores[row] - scores[0]
        error = gap.std(ddof=1) / np.sqrt(n_targets)
        ratio = seconds[0].sum() / seconds[row].sum()
        line = f"{name:<32}{seconds[row].mean():12.2f}{ratio:8.1f}{scores[row].mean():12.4f}{gap.mean():+12.4f}"
        print(f"{line}{error:8.4f}{gap.min():+8.3f}")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="4 targets of 40 regions, 5 options")
    parser.add_argument("--regions", type=int, nargs="+", default=[40, 400])
    parser.add_argument("--targets", type=int, default=20)
    parser.add_argument("--task", choices=("regression", "classification"), nargs="+", default=["regression"])
    parser.add_argument("--options", nargs="+", choices=list(OPTIONS), default=list(OPTIONS), metavar="NAME")
    given = parser.parse_args()
    options = QUICK if given.quick else given.options
    for task in given.task:
        for n_regions in [40] if given.quick else given.regions:
            table(n_regions, 4 if given.quick else given.targets, task, options)


if __name__ == "__main__":
    main()

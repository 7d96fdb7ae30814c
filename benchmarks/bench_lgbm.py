"""LightGBM's searches: CPU time and outer test score of every option against the plain scikit-learn loop.

    OMP_NUM_THREADS=1 python benchmarks/bench_lgbm.py --quick
    OMP_NUM_THREADS=1 python benchmarks/bench_lgbm.py [--regions 40 400] [--targets 20] [--seed 0] \
        [--task regression] [--scorer NAME] [--options NAME ...] [--naive 2]

Simulated targets of R2 .02 to .3, half of it not linear, of 1,600 subjects in an outer training part with 3 inner
folds; the outer test part has 8,000, so that searches are told apart. Every target has its own draw of configurations
(fewer are the first of its 60). All options search a target in turn, in one process; then the chosen configuration
is fitted on the outer training part and scored on the test part. Differences are to "plain", 60 configurations of
the default space on shared bins, which finds what the naive loop does. The naive loop itself, `reference.search_cell`,
is run for `--naive` of the targets only, spread over them: how much dearer it is there than "plain" is what ratios are
multiplied with.

The whole of it, with the default arguments, is about 2 hours of CPU; "plain" and two options of 20 targets are 5
minutes with 40 regions and 25 with 400.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import replace

import numpy as np

from cortax.learning.folds import Folds
from cortax.learning.search import solvers
from cortax.learning.search.cells import SCORERS, Batch, Problem
from cortax.learning.search.choose import choose
from cortax.learning.search.pipelines import PIPELINES
from cortax.learning.search.scoring import score_decisions
from cortax.learning.search.spaces import sample_configs, search_space
from cortax.learning.search.training import training_sets
from cortax.learning.search.trees import boosting

N_TRAIN, N_TEST = 1600, 8000
KIND = PIPELINES["lgbm"]
STAGED, RACING, BINS = {"staged": True}, {"racing": True}, {"max_bin": 63}
ALL, NO_DART = {}, {"boosting": ["gbdt", "goss"]}
# Another space: what dart is good for, weaker trees, for less.
RATES = NO_DART | {"learning_rate": {"low": 0.01, "high": 0.1, "log": True}}
# Name -> (number of configurations, entries of the space, strategy); the first is what others are compared with.
OPTIONS = {
    "plain, 60": (60, ALL, {}),
    "plain, 20": (20, ALL, {}),
    "63 bins, 60": (60, ALL, BINS),
    "racing, 60": (60, ALL, RACING),
    "staged, 20": (20, ALL, STAGED),
    "staged racing, 60": (60, ALL, STAGED | RACING),
    "staged racing, 20": (20, ALL, STAGED | RACING),
    "staged racing 63 bins, 60": (60, ALL, STAGED | RACING | BINS),
    "staged racing 63 bins, 30": (30, ALL, STAGED | RACING | BINS),
    "staged racing 63 bins, 20": (20, ALL, STAGED | RACING | BINS),
    "staged racing 63 bins, 15": (15, ALL, STAGED | RACING | BINS),
    "staged racing 63 bins no dart, 20": (20, NO_DART, STAGED | RACING | BINS),
    "staged racing 63 bins rates, 20": (20, RATES, STAGED | RACING | BINS),
    "staged racing 63 bins rates, 12": (12, RATES, STAGED | RACING | BINS),
}
PLAIN = next(iter(OPTIONS))
QUICK = (PLAIN, "staged racing 63 bins, 20", "staged racing 63 bins rates, 20", "staged racing 63 bins rates, 12")


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


def problem_of(X, Y, target, task, scorer, seed, option):
    n_configs, own, strategy = option
    if strategy:
        strategy = {**strategy, "space": {task: search_space("lgbm", task, own)}}
    names = tuple(f"target {t}" for t in range(Y.shape[1]))
    configs = {task: sample_configs("lgbm", task, n_configs, seed=1000 * seed + target, space=own)}
    tasks, scorers = (task,) * len(names), {**SCORERS, task: scorer}
    return Problem(X, Y, tasks, names, folds(seed), "lgbm", configs, scorers=scorers, strategy=strategy)


def run(problem, target):
    """Return CPU seconds of the search, and what it chose: number and configuration."""
    start = time.process_time()
    cell = solvers.search_batch(problem, Batch(0, (target,)), KIND)[target, 0]
    seconds = time.process_time() - start
    number = int(choose(cell.scores))
    return seconds, number, (cell.configs or problem.configs[problem.tasks[target]])[number]


def test_score(problem, target, number, config):
    """Fit on the outer training part and score on the test part."""
    task, train = problem.tasks[target], ~problem.folds.test[0]
    ((part, _),) = training_sets(problem, [target], train, ~train, lambda *_: None)
    made = boosting.recipe(task, config, seed=solvers.fit_seed(problem, target, 0, number))
    decisions, _ = boosting.forest(part, problem.targets[part.train, target], made)
    truth, scorer = problem.targets[part.valid, target], problem.scorers[task]
    return float(score_decisions(scorer, task, truth, decisions[None], probabilities=task != "regression")[0][0])


def table(n_regions, n_targets, task, given, options):
    X, Y = simulate(n_targets, n_regions, task, given.seed)
    scorer = given.scorer or SCORERS[task]
    naive_on = set(np.linspace(0, n_targets - 1, given.naive + 2).astype(int)[1:-1].tolist())
    seconds, scores = np.zeros((2, len(options), n_targets))
    naive = {}
    for target in range(n_targets):
        for row, name in enumerate(options):
            problem = problem_of(X, Y, target, task, scorer, given.seed, OPTIONS[name])
            seconds[row, target], *chosen = run(problem, target)
            scores[row, target] = test_score(problem, target, *chosen)
            if name == PLAIN and target in naive_on:
                naive[target], *same = run(replace(problem, plain=True), target)
                print(f"target {target}, naive: {naive[target]:.2f}s, the choice of 'plain': {same == chosen}")
        pairs = zip(seconds[:, target], scores[:, target], strict=True)
        print(f"target {target}:", *(f"{s:.2f}s {score:.4f}" for s, score in pairs), flush=True)
    dearer = sum(naive.values()) / seconds[0, list(naive)].sum() if naive else 1.0
    print(f"\n{task}, {scorer}, {n_regions} regions, {n_targets} targets of seed {given.seed}")
    print(f"naive: {dearer * seconds[0].mean():.2f} CPU s a cell, {dearer:.2f} of {PLAIN!r} on targets {list(naive)}")
    print(f"{'':<36}{'CPU s a cell':>12}{'ratio':>8}{'test score':>12}{'difference':>12}{'s.e.':>8}{'worst':>8}")
    for row, name in enumerate(options):
        gap = scores[row] - scores[0]
        error = gap.std(ddof=1) / np.sqrt(n_targets)
        ratio = dearer * seconds[0].sum() / seconds[row].sum()
        line = f"{name:<36}{seconds[row].mean():12.2f}{ratio:8.1f}{scores[row].mean():12.4f}{gap.mean():+12.4f}"
        print(f"{line}{error:8.4f}{gap.min():+8.3f}", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="4 targets of 40 regions, 4 options; a minute of CPU")
    parser.add_argument("--regions", type=int, nargs="+", default=[40, 400])
    parser.add_argument("--targets", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--naive", type=int, default=2, help="targets that the naive loop is timed on")
    parser.add_argument("--task", choices=("regression", "classification"), nargs="+", default=["regression"])
    parser.add_argument("--scorer", help="scikit-learn's, of a single task; by default that of the search")
    parser.add_argument("--options", nargs="+", choices=list(OPTIONS), default=list(OPTIONS), metavar="NAME")
    given = parser.parse_args()
    if given.quick:
        given.regions, given.targets, given.options, given.naive = [40], 4, QUICK, 2
    options = dict.fromkeys([PLAIN, *given.options])
    for task in given.task:
        for n_regions in given.regions:
            table(n_regions, given.targets, task, given, list(options))


if __name__ == "__main__":
    main()

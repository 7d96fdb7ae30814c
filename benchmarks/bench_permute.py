"""Permutation tests: what a thousand cost against scikit-learn's, that both find the same, and how often they err.

python benchmarks/bench_permute.py speed [parcellation [n_permutations [n_of_scikit_learn]]]
python benchmarks/bench_permute.py level [n_targets [n_permutations]]

`speed` needs the demonstration's data (`cortax data`); one process on one core, CPU seconds. scikit-learn's
`permutation_test_score` has the nested pipeline as its estimator, a grid search of the same configurations on the same
folds, and is given cortax's first permutations; its time for all is extrapolated from these. `level` tests targets of
noise, whose families are alike or not in regions and targets, by permutation of families, within families, and of
single subjects as if there were no families.
"""

from __future__ import annotations

import sys
import time
import warnings
from dataclasses import replace
from pathlib import Path

import _one_thread  # noqa: F401 - before numpy
import numpy as np
from _permute_data import Given, Nested, demo, noise
from sklearn.model_selection import permutation_test_score

from cortax.learning.search.pipelines import PIPELINES
from cortax.learning.search.solvers import search, warm_up
from cortax.learning.stats.nulls import Nulls, Permuted, collect_nulls, null_scores, plan_permutations
from cortax.learning.stats.permutation_tests import p_values
from cortax.learning.stats.permutations import permuted_rows

METRICS = {"regression": ["r2", "pearson_r"], "classification": ["roc_auc"]}


def nulls_of(problem, groups, exchange, n) -> Nulls:
    permuted = Permuted(problem, groups, exchange, range(n), METRICS)
    done = {}
    for batch in plan_permutations(permuted):
        done |= null_scores(permuted, batch, PIPELINES["ridge"])
    return collect_nulls(permuted, done)


def by_scikit_learn(problem, groups, target, n) -> tuple[float, np.ndarray, float, float]:
    """Score, null distribution, p and CPU seconds of one target."""
    y = problem.targets[:, target]
    known = np.flatnonzero(~np.isnan(y))
    place = np.full(len(y), -1)
    place[known] = np.arange(len(known))
    rows = permuted_rows(groups, ~np.isnan(y), range(n), exchange="whole-groups", seed=problem.seed)
    started = time.process_time()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        score, drawn, p = permutation_test_score(
            Nested(problem, target),
            np.column_stack([known, problem.regions[known], problem.confounds[known]]).astype(np.float64),
            y[known],
            cv=[(place[known[~test[known]]], place[known[test[known]]]) for test in problem.folds.test],
            scoring=METRICS[problem.tasks[target]][0],
            n_permutations=n,
            random_state=Given(place[rows[:, known]]),
        )
    return score, drawn, p, time.process_time() - started


def speed(parcellation="lausanne-68", n="1000", n_peer="20") -> None:
    problem, groups = demo(Path.cwd(), parcellation)
    warm_up(problem, PIPELINES["ridge"])
    started = time.process_time()
    search(problem, PIPELINES["ridge"])
    once = time.process_time() - started
    parts = {}
    for task in sorted(set(problem.tasks)):
        some = [t for t, found in enumerate(problem.tasks) if found == task]
        started = time.process_time()
        parts[task] = (
            some,
            nulls_of(_only(problem, some), groups, "whole-groups", int(n)),
            time.process_time() - started,
        )
    print(
        f"{len(problem.regions)} subjects, {problem.regions.shape[1]} columns, {len(problem.names)} targets; ", end=""
    )
    print(f"one search of all of them takes {once:.2f} s")
    print("| target | task | permutations | cortax, s | scikit-learn, s | ratio | largest difference | p, first ones |")
    print("| --- | --- | ---: | ---: | ---: | ---: | ---: | --- |")
    total = np.zeros(2)
    for task, (some, nulls, seconds) in parts.items():
        for row, target in enumerate(some):
            score, drawn, p, peer = by_scikit_learn(problem, groups, target, int(n_peer))
            peer *= (int(n) + 1) / (int(n_peer) + 1)
            own = nulls.values[row, : int(n_peer), 0]
            p_own = p_values([score], own[None])[0][0]
            gap = np.abs(own - drawn).max()
            cost = seconds / len(some)
            total += cost, peer
            print(f"| {problem.names[target]} | {task} | {n} | {cost:.1f} | {peer:.0f} | {peer / cost:.0f} ", end="")
            print(f"| {gap:.1e} | {p_own:.3f}, {p:.3f} |", flush=True)
    print(f"| all | | {n} | {total[0]:.1f} | {total[1]:.0f} | {total[1] / total[0]:.0f} | | |")


def _only(problem, some):
    names, tasks = (tuple(values[t] for t in some) for values in (problem.names, problem.tasks))
    return replace(problem, targets=problem.targets[:, some], names=names, tasks=tasks)


def level(n_targets="500", n="39") -> None:
    """So few permutations hold the level as exactly as many do: 2 of 40 are 5 %."""
    print(f"{n_targets} targets of noise, {n} permutations each")
    print("| alike within families | permuted | p <= .05 of r2 | of Pearson's r |")
    print("| ---: | --- | ---: | ---: |")
    for share, ways in ((0.8, ("single subjects", "whole-groups", "within-groups")), (0.0, ("whole-groups",))):
        problem, groups = noise(int(n_targets), n_families=50, size=3, share=share, seed=5)
        observed = _observed(problem, groups)
        for way in ways:
            who = np.arange(len(groups)).astype(str) if way == "single subjects" else groups
            exchange = "whole-groups" if way == "single subjects" else way
            nulls = nulls_of(problem, who, exchange, int(n)).values
            rejected = [np.mean(p_values(observed[:, m], nulls[:, :, m])[0] <= 0.05) for m in range(2)]
            print(f"| {share:.0%} | {way} | {rejected[0]:.1%} | {rejected[1]:.1%} |", flush=True)


def _observed(problem, groups) -> np.ndarray:
    """Mean over folds of the targets as they are: the permutation that moves nobody."""
    alone = np.char.add("only-", np.arange(len(groups)).astype(str))
    still = nulls_of(problem, alone, "within-groups", 1)
    return still.values[:, 0]


if __name__ == "__main__":
    {"speed": speed, "level": level}[sys.argv[1]](*sys.argv[2:])

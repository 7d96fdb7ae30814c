"""Several classes and ordinal targets: CPU time of the fast solvers against scikit-learn's loop, in one run.

    python benchmarks/bench_multiclass.py [--classes 4] [--subjects 600] [--regions 100] [--configs 10]
        [--kind NAME ...] [--seed 0]

Simulated targets of equally large classes: one whose classes have a direction of the regions each, and an ordered one.
Both sides search the same configurations on the inner folds of one outer fold. The loop is `reference.search_cell`:
`sklearn.multiclass.OneVsRestClassifier`, or Frank and Hall's thresholds, around the pipeline, with scikit-learn's
default tolerances. Scores differ by what these leave: the solvers go on to a tighter optimum.
"""

from __future__ import annotations

import argparse
import time

import _one_thread  # noqa: F401  (before numpy)
import numpy as np

from cortax.learning.folds import make_folds
from cortax.learning.search import solvers
from cortax.learning.search.cells import Batch, Problem
from cortax.learning.search.pipelines import PIPELINES
from cortax.learning.search.reference import search_cell
from cortax.learning.search.spaces import sample_configs

TASKS = ("classification", "ordinal")


def simulate(n_subjects, n_regions, n_classes, seed):
    """Regions with a few common factors, and two targets: classes, and ordered classes."""
    rng = np.random.default_rng(seed)
    X = rng.normal(size=(n_subjects, 10)) @ rng.normal(size=(10, n_regions)) * 0.3
    X += rng.normal(size=X.shape)
    scores = X @ rng.normal(size=(n_regions, n_classes)) / np.sqrt(n_regions)
    classes = (scores + rng.normal(size=scores.shape)).argmax(axis=1)
    signal = scores[:, 0] + rng.normal(size=n_subjects)
    ordered = np.digitize(signal, np.quantile(signal, np.arange(1, n_classes) / n_classes))
    return X, np.column_stack([classes, ordered]).astype(float)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, value in (("classes", 4), ("subjects", 600), ("regions", 100), ("configs", 10), ("seed", 0)):
        parser.add_argument(f"--{name}", type=int, default=value)
    parser.add_argument("--kind", nargs="+", choices=sorted(PIPELINES), default=sorted(PIPELINES))
    asked = parser.parse_args()
    X, Y = simulate(asked.subjects, asked.regions, asked.classes, asked.seed)
    folds = make_folds(np.arange(asked.subjects), n_outer=2, n_inner=3, seed=asked.seed)
    fits = asked.configs * folds.n_inner
    print(f"{asked.subjects} subjects, {asked.regions} regions, {asked.classes} classes, {fits} fits of each side")
    print(f"{'pipeline':<9}{'task':<16}{'loop s':>9}{'solver s':>10}{'ratio':>8}{'median |d score|':>18}")
    for kind in asked.kind:
        configs = {task: sample_configs(kind, task, asked.configs, seed=asked.seed) for task in TASKS}
        problem = Problem(X, Y, TASKS, TASKS, folds, kind, configs, seed=asked.seed)
        solvers.warm_up(problem, PIPELINES[kind])
        for target, task in enumerate(TASKS):
            start = time.process_time()
            fast = solvers.search_batch(problem, Batch(0, (target,)), PIPELINES[kind])[target, 0]
            middle = time.process_time()
            slow = search_cell(problem, (target, 0), PIPELINES[kind])
            ours, theirs = middle - start, time.process_time() - middle
            apart = np.nanmedian(np.abs(fast.scores - slow.scores))
            print(f"{kind:<9}{task:<16}{theirs:>9.2f}{ours:>10.2f}{theirs / ours:>8.1f}{apart:>18.4f}", flush=True)


if __name__ == "__main__":
    main()

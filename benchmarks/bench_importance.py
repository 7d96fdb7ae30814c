"""Permutation importance of all regions for one target in one outer fold, against scikit-learn's loop, in one run.

    python benchmarks/bench_importance.py [--subjects N] [--regions P] [--repeats R] [--columns C] [--kinds ...]

The loop is what `sklearn.inspection.permutation_importance` does (permute a column of the test rows, score the
pipeline), on the same permutations; it is timed on the first C columns and extrapolated to all. The fit is in neither.
"""

import argparse
import time

import _one_thread  # noqa: F401  (first: one thread a process)
import numpy as np

from cortax.learning.folds import make_folds
from cortax.learning.importance.models import refitted_model
from cortax.learning.importance.permutation import decisions_score, make_orders, make_part, parts_of, score_decreases
from cortax.learning.search.cells import SCORERS, Problem
from cortax.learning.search.pipelines import PIPELINES, make
from cortax.learning.search.reference import columns
from cortax.learning.search.scoring import check_scorer
from cortax.learning.search.solvers import fit_seed

CONFIGS = {
    ("ridge", "regression"): {"alpha": 100.0},
    ("ridge", "classification"): {"C": 0.01},
    ("svm", "regression"): {"C": 1.0, "gamma": "scale", "percentile": 80},
    ("svm", "classification"): {"C": 1.0, "gamma": "scale", "percentile": 80},
    ("lgbm", "regression"): {"n_estimators": 100, "num_leaves": 31},
    ("lgbm", "classification"): {"n_estimators": 100, "num_leaves": 31},
}


def data(n, p):
    rng = np.random.default_rng(0)
    X = rng.normal(size=(n, 30)) @ rng.normal(size=(30, p)) + 2 * rng.normal(size=(n, p))
    return X, X[:, :20].mean(axis=1) + rng.normal(size=n), rng.normal(size=(n, 2))


def loop(problem, pipeline, target, rows, orders, n_columns):
    """Return decreases of the first columns, and seconds a column."""
    task, (train, test) = problem.tasks[target], rows
    X, n_confounds = columns(problem.regions, problem.confounds)
    kind = np.int64 if task == "classification" else np.float64
    y = problem.targets[:, target].astype(kind)
    seed = fit_seed(problem, target, 0, 0)
    model = make(pipeline, task, problem.configs[task][0], n_confounds=n_confounds, seed=seed).fit(X[train], y[train])
    score = check_scorer(problem.scorers[task], task)
    started = time.perf_counter()
    baseline, found = score(model, X[test], y[test]), np.zeros((n_columns, len(orders)))
    for column in range(n_columns):
        for repeat, order in enumerate(orders):
            moved = X[test].copy()
            moved[:, column] = moved[order, column]
            found[column, repeat] = baseline - score(model, moved, y[test])
    return found, (time.perf_counter() - started) / n_columns


def ours(problem, pipeline, target, rows, orders):
    task, (train, test) = problem.tasks[target], rows
    part = make_part(problem, train, test)
    model = refitted_model(problem, part, pipeline, target, 0, 0, problem.configs[task][0])
    score = decisions_score(
        problem.scorers[task], task, problem.targets[test, target], probabilities=model.probabilities
    )
    started = time.perf_counter()
    found = score_decreases(part, orders, model.used, model.decide, score)
    return found, time.perf_counter() - started


def main():
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    for name, default in (("subjects", 2000), ("regions", 400), ("repeats", 5), ("columns", 5)):
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--kinds", nargs="+", choices=["ridge", "svm", "lgbm"], default=["ridge", "svm", "lgbm"])
    asked = parser.parse_args()
    X, y, confounds = data(asked.subjects, asked.regions)
    folds = make_folds(np.arange(asked.subjects), n_outer=5, n_inner=3, seed=0)
    print("| pipeline | scikit-learn's loop, s | here, s | ratio | largest difference |\n|---|---|---|---|---|")
    for kind in asked.kinds:
        for number, task in enumerate(("regression", "classification")):
            values = np.column_stack([y, y > np.median(y)]).astype(float)[:, [number]]
            configs = {task: [CONFIGS[kind, task]]}
            problem = Problem(X, values, (task,), ("y",), folds, kind, configs, SCORERS, confounds)
            ((_, train, test),) = parts_of(problem, [0], 0)
            orders = make_orders(asked.repeats, len(test), 0)
            theirs, each = loop(problem, PIPELINES[kind], 0, (train, test), orders, asked.columns)
            found, seconds = ours(problem, PIPELINES[kind], 0, (train, test), orders)
            whole, worst = each * asked.regions, np.abs(found[: asked.columns] - theirs).max()
            print(f"| {kind}, {task} | {whole:.1f} | {seconds:.3f} | {whole / seconds:.0f} | {worst:.1g} |", flush=True)


if __name__ == "__main__":
    main()

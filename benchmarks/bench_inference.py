"""Do the tests reject, and the intervals cover, as often as they say? And how long do comparisons take?

    python benchmarks/bench_inference.py [--draws N] [--families N ...] [--part tests|intervals|seconds ...]

SIMULATED: families of three that are alike, linear effects, folds that never divide a family. Every figure is over as
many draws of a whole study (300 unless said otherwise), so a true 5 % is found between 2.5 and 7.5 %, 95 % of the
time.

- tests: two models that are as good as each other (their regions are alike, and matter as much), compared by grouped
  cross-validation of 66 families: how often 5 % tests tell them apart, and, of one split, how often 0 is outside of the
  interval, as it has no p; and how many of all draws, taken for one table, are left after adjusting (R2).
- intervals: how often they hold the expected score of the procedure at this number of people, which is the mean of the
  score over all draws (least squares, 10 regions), where regions say nothing and where they are 30 % of it. Of
  R2 also the R2 of the fitted models in the population, which is higher than what small folds show.
- seconds: CPU seconds of 220 models against one of them, 45 targets, two metrics, one split, and 400 groups.
"""

from __future__ import annotations

import argparse
import time

import _one_thread  # noqa: F401
import numpy as np
import pandas as pd

from cortax.learning.intervals import interval, limits_of_difference
from cortax.learning.jackknife import Influences, group_influences, paired_variance, score_variance
from cortax.learning.out_of_fold import out_of_fold
from cortax.learning.scores import get_metric, metric_limits
from cortax.learning.stats.compared import compare_models
from cortax.learning.stats.comparisons import adjust, paired_test
from cortax.learning.stats.models import Asked, ComparedModel

SIZE, ALIKE, SIGNAL, N_FOLDS = 3, 0.5, 0.3, 5
REGRESSION, CLASSES = ("mean_squared_error", "r2", "pearson_r"), ("roc_auc", "balanced_accuracy", "matthews_corrcoef")


def least_squares(X, y, test):
    design = np.column_stack([np.ones(len(X)), X])
    known = design[~test]
    return design[test] @ np.linalg.solve(known.T @ known, known.T @ y[~test])


def ridge(X, y, test):
    known, mean = X[~test] - X[~test].mean(axis=0), y[~test].mean()
    weights = np.linalg.solve(known.T @ known + X.shape[1] * np.eye(X.shape[1]), known.T @ (y[~test] - mean))
    return mean + (X[test] - X[~test].mean(axis=0)) @ weights


def neighbour(X, y, test):
    distances = (X[test] ** 2).sum(axis=1)[:, None] + (X[~test] ** 2).sum(axis=1) - 2 * X[test] @ X[~test].T
    return y[~test][distances.argmin(axis=1)]


def stump(X, y, test):
    """The best of all splits of one feature at its median."""
    above = np.median(X[~test], axis=0) < X
    inside, known = above[~test].astype(float), y[~test]
    n_above = inside.sum(axis=0)
    means = np.stack([known @ (1 - inside) / (len(known) - n_above), known @ inside / n_above])
    best = (means**2 * np.stack([len(known) - n_above, n_above])).sum(axis=0).argmax()
    return means[above[test, best].astype(int), best]


LEARNERS = {"least squares, 10 regions": (least_squares, 10), "least squares, 90 regions": (least_squares, 90)}
LEARNERS |= {"ridge, 90 regions": (ridge, 90), "one split, 10 regions": (stump, 10)}
LEARNERS |= {"nearest neighbour, 10 regions": (neighbour, 10)}


def family_draws(rng, n_families, n_columns):
    shared, own = rng.normal(size=(n_families, n_columns)), rng.normal(size=(n_families * SIZE, n_columns))
    return np.sqrt(ALIKE) * np.repeat(shared, SIZE, axis=0) + np.sqrt(1 - ALIKE) * own


def study(rng, n_families, n_regions, signal):
    """Regions of two parcellations that matter as much, and a target of variance 1."""
    one, two, noise = (family_draws(rng, n_families, n) for n in (n_regions, n_regions, 1))
    effect = np.sqrt(signal / (2 * n_regions))
    return one, two, effect * (one + two).sum(axis=1) + np.sqrt(1 - signal) * noise[:, 0]


def grouped_folds(rng, n_families, n_repeats):
    folds = [np.repeat(rng.permutation(n_families) % N_FOLDS, SIZE) for _ in range(n_repeats)]
    return np.array([fold == k for fold in folds for k in range(N_FOLDS)])


def cross_validate(X, y, tests, learner):
    predicted = np.empty((len(tests) // N_FOLDS, len(y)))
    for fold, test in enumerate(tests):
        predicted[fold // N_FOLDS, test] = learner(X, y, test)
    return predicted


def influences_of(predicted, y, tests, names, task):
    """Influences by some metrics; classes are told apart by least squares."""
    groups = np.arange(len(y)) // SIZE
    label = None if task == "regression" else (predicted > 0.5).astype(float)
    given = out_of_fold(predicted if label is None else np.clip(predicted, 0, 1), y, tests, groups, label=label)
    return group_influences(given, [get_metric(name, task) for name in names], groups)


def compared(seed, learner, n_regions, n_repeats, signal):
    """p, or of one split 0 or 1 by whether 0 is outside of the interval, by each metric."""
    rng = np.random.default_rng(seed)
    one, two, y = study(rng, 66, n_regions, signal)
    tests, found = grouped_folds(rng, 66, n_repeats), []
    a, b = (influences_of(cross_validate(X, y, tests, learner), y, tests, REGRESSION, "regression") for X in (one, two))
    variances = paired_variance(a.influences - b.influences, len(tests))
    for name, difference, variance in zip(REGRESSION, a.values - b.values, variances, strict=True):
        limits = limits_of_difference(metric_limits(name))
        low, high = interval(difference, variance, 65, limits)
        p = paired_test(difference, variance, 66, limits, one_split=n_repeats == 1).p
        found.append(float(low <= 0 <= high) if n_repeats == 1 else float(p))
    return found


def bench_tests(draws):
    print(f"\nTests: share of {draws} null comparisons (198 subjects, 66 families) that 5 % tests reject\n")
    print("| models | signal | folds | squared error | R2 | Pearson's r | discoveries of all, BH | BY | Holm |")
    print("| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: | ---: |")
    for name, (learner, n_regions) in LEARNERS.items():
        for signal, n_repeats in ((SIGNAL, 1), (SIGNAL, 2), (SIGNAL, 5), (0.0, 5)):
            found = np.array([compared(seed, learner, n_regions, n_repeats, signal) for seed in range(draws)])
            rates = [f"{rate:.1%}" for rate in (found <= 0.05).mean(axis=0)]
            left = [(adjust(found[:, 1], ["all"] * draws, which) <= 0.05).sum() for which in ("bh", "by", "holm")]
            left = ["interval"] + [""] * 2 if n_repeats == 1 else left
            print(f"| {name} | {signal:g} | 5 x {n_repeats} | {' | '.join([*rates, *map(str, left)])} |", flush=True)


def scored(seed, n_families, n_repeats, signal, task):
    """Value, variance and limits by each metric; and the R2 of the fitted models in the population."""
    rng = np.random.default_rng(seed)
    X, y = family_draws(rng, n_families, 10), family_draws(rng, n_families, 1)[:, 0]
    effect = np.sqrt(signal / 10)
    y = effect * X.sum(axis=1) + np.sqrt(1 - signal) * y
    tests = grouped_folds(rng, n_families, n_repeats)
    y = y if task == "regression" else (y > 0).astype(float)
    names = REGRESSION[1:] if task == "regression" else CLASSES
    found = influences_of(cross_validate(X, y, tests, least_squares), y, tests, names, task)
    truths = []
    for test in tests if task == "regression" else ():
        design = np.column_stack([np.ones((~test).sum()), X[~test]])
        weights = np.linalg.solve(design.T @ design, design.T @ y[~test])
        # Regions are independent and of variance 1: the error of a linear model is known.
        truths.append(1 - (weights[0] ** 2 + ((weights[1:] - effect) ** 2).sum() + 1 - signal))
    return names, found.values, score_variance(found.influences, len(tests)), np.mean(truths or [np.nan])


def bench_intervals(draws, families):
    print(f"\nIntervals: share of {draws} draws in which a 95 % interval covers (least squares, 10 regions)\n")
    print("| families | signal | folds | metric | expected score | covered | too high | too low | R2 of the models |")
    print("| ---: | ---: | ---: | --- | ---: | ---: | ---: | ---: | ---: |")
    for n_families in families:
        for signal in (0.0, SIGNAL):
            for n_repeats in (1, 5):
                for task in ("regression", "classification"):
                    _covered(draws, n_families, n_repeats, signal, task)


def _covered(draws, n_families, n_repeats, signal, task):
    found = [scored(seed, n_families, n_repeats, signal, task) for seed in range(draws)]
    truth = np.mean([each[3] for each in found])
    for place, name in enumerate(found[0][0]):
        values = np.array([each[1][place] for each in found])
        variances = np.array([each[2][place] for each in found])
        low, high = interval(values, variances, np.full(draws, n_families - 1), metric_limits(name)).T
        expected = values.mean()
        rates = [np.mean((low <= expected) & (expected <= high)), np.mean(low > expected), np.mean(high < expected)]
        cells = [n_families, f"{signal:g}", f"5 x {n_repeats}", name, f"{expected:.3f}", *(f"{r:.1%}" for r in rates)]
        cells.append(f"{np.mean((low <= truth) & (truth <= high)):.1%}" if name == "r2" else "")
        print(f"| {' | '.join(map(str, cells))} |", flush=True)


def bench_seconds(n_models=220, n_targets=45, n_groups=400):
    rng = np.random.default_rng(0)
    rows = [(f"t{t:02d}", metric) for t in range(n_targets) for metric in ("r2", "mean_squared_error")]
    scored = np.ones((1, 5), dtype=bool)
    models = []
    for number in range(n_models):
        values = rng.normal(size=(len(rows), 5))
        table = pd.DataFrame([(*row, str(k)) for row in rows for k in range(5)], columns=["target", "metric", "fold"])
        found = {
            row: Influences(mean[None], rng.normal(size=(1, 1, n_groups)), scored)
            for row, mean in zip(rows, values.mean(axis=1), strict=True)
        }
        models.append(
            ComparedModel(f"p{number:03d}", "elastic", table.assign(value=values.ravel()), lambda found=found: found)
        )
    print(f"\nSeconds: {n_models} models, one the reference, {n_targets} targets, 2 metrics\n")
    started = time.process_time()
    table = compare_models(models, Asked("reference", ("p000",)))
    print(f"{len(table)} rows in {time.process_time() - started:.1f} s", flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--draws", type=int, default=300)
    parser.add_argument("--families", type=int, nargs="*", default=[50, 100, 300])
    parser.add_argument("--part", nargs="*", choices=["tests", "intervals", "seconds"])
    asked = parser.parse_args()
    parts = {
        "tests": lambda: bench_tests(asked.draws),
        "intervals": lambda: bench_intervals(asked.draws, asked.families),
    }
    for part in asked.part or [*parts, "seconds"]:
        parts.get(part, bench_seconds)()

"""Do the tests reject, and the intervals cover, as often as they say? And how long do comparisons take?

    python benchmarks/bench_inference.py [--draws N] [--families N ...] [--part tests|intervals|seconds ...]

SIMULATED: families of three that are alike, linear effects, and learners of which the truth is known. Every figure is
over as many draws of a whole study (500 unless said otherwise), so a true 5 % is found between 3 and 7 % (95 % of the
time, of 500 draws).

- tests: two models that are as good as each other (their regions are alike, and matter as much), compared by grouped
  cross-validation: how often 5 % tests tell them apart, by the plain t-test and by the corrected one; and how many of
  all draws, taken for one table, are left after adjusting.
- intervals: of a score, and of the difference of two, from resamples of families and, wrongly, of subjects. What is
  covered is the score that these fitted models have in the population ("models"), fitted on other subjects or, as
  cross-validation does, on the other folds; or what the procedure scores on average over training sets ("procedure"),
  for which these intervals are not made.
- seconds: CPU seconds of 220 models against one of them, 45 targets, two metrics, with 1,000 resamples each and 1,000
  families.
"""

from __future__ import annotations

import argparse
import itertools
import time

import _one_thread  # noqa: F401
import numpy as np
import pandas as pd

from cortax.learning.predictions import out_of_fold
from cortax.learning.scores import get_metric
from cortax.learning.stats.bootstrap import (
    Resampled,
    ResampledRows,
    basic_interval,
    bca_interval,
    group_strata,
    percentile_interval,
    resample_scores,
)
from cortax.learning.stats.compared import compare_models
from cortax.learning.stats.comparisons import adjust, corrected_t
from cortax.learning.stats.models import Asked, ComparedModel

SIZE, ALIKE, SIGNAL = 3, 0.5, 0.3


def least_squares(X, y, test):
    design = np.column_stack([np.ones(len(X)), X])
    known = design[~test]
    weights = np.linalg.solve(known.T @ known, known.T @ y[~test])
    return design[test] @ weights, weights


def neighbour(X, y, test):
    distances = (X[test] ** 2).sum(axis=1)[:, None] + (X[~test] ** 2).sum(axis=1) - 2 * X[test] @ X[~test].T
    return y[~test][distances.argmin(axis=1)], None


def stump(X, y, test):
    """The best of all splits of one feature at its median."""
    above = np.median(X[~test], axis=0) < X
    inside, known = above[~test].astype(float), y[~test]
    n_above = inside.sum(axis=0)
    means = np.stack([known @ (1 - inside) / (len(known) - n_above), known @ inside / n_above])
    best = (means**2 * np.stack([len(known) - n_above, n_above])).sum(axis=0).argmax()
    return means[above[test, best].astype(int), best], None


LEARNERS = {"least squares, 10 regions": (least_squares, 10), "least squares, 90 regions": (least_squares, 90)}
LEARNERS |= {"one split, 10 regions": (stump, 10), "nearest neighbour, 10 regions": (neighbour, 10)}


def family_draws(rng, n_families, n_columns):
    shared, own = rng.normal(size=(n_families, n_columns)), rng.normal(size=(n_families * SIZE, n_columns))
    return np.sqrt(ALIKE) * np.repeat(shared, SIZE, axis=0) + np.sqrt(1 - ALIKE) * own


def study(rng, n_families, n_regions):
    """Regions of two parcellations that matter as much, and a target of variance 1."""
    one, two, noise = (family_draws(rng, n_families, n) for n in (n_regions, n_regions, 1))
    effect = np.sqrt(SIGNAL / (2 * n_regions))
    return one, two, effect * (one + two).sum(axis=1) + np.sqrt(1 - SIGNAL) * noise[:, 0], effect


def grouped_folds(rng, n_families, n_repeats):
    folds = [np.repeat(rng.permutation(n_families) % 5, SIZE) for _ in range(n_repeats)]
    return np.array([fold == k for fold in folds for k in range(5)])


def r2(y, predicted):
    return 1 - ((y - predicted) ** 2).sum() / ((y - y.mean()) ** 2).sum()


def null_differences(seed, learner, n_regions, n_repeats):
    rng = np.random.default_rng(seed)
    one, two, y, _ = study(rng, 66, n_regions)
    tests = grouped_folds(rng, 66, n_repeats)
    return [r2(y[test], learner(one, y, test)[0]) - r2(y[test], learner(two, y, test)[0]) for test in tests]


def bench_tests(draws):
    print(f"\nTests: share of {draws} null comparisons (198 subjects, 66 families) that 5 % tests reject\n")
    print("| models | folds | plain t | corrected t | discoveries of all, plain, BH | corrected, BH | BY | Holm |")
    print("| --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |")
    for name, (learner, n_regions) in LEARNERS.items():
        for n_repeats in (1, 5):
            found = np.array([null_differences(seed, learner, n_regions, n_repeats) for seed in range(draws)])
            plain, corrected = corrected_t(found, 0.0).p, corrected_t(found, 0.25).p
            rates = [f"{np.mean(p <= 0.05):.1%}" for p in (plain, corrected)]
            left = [(adjust(plain, ["all"] * draws, "bh") <= 0.05).sum()]
            left += [(adjust(corrected, ["all"] * draws, which) <= 0.05).sum() for which in ("bh", "by", "holm")]
            print(f"| {name} | 5 x {n_repeats} | {' | '.join([*rates, *map(str, left)])} |", flush=True)


def scored(rng, n_families, n_regions, outside):
    """Predictions of both models, folds, and what the models of the folds would score in the population, on average.

    Models are cross-validated, or, `outside`, fitted once on as many other families.
    """
    one, two, y, effect = study(rng, n_families, n_regions)
    tests, predictions, truths = grouped_folds(rng, n_families, 1), np.empty((2, len(y))), np.empty((2, 5))
    others = study(rng, n_families, n_regions)
    nobody = np.zeros(len(y), dtype=bool)
    for which, X in enumerate((one, two)):
        elsewhere = least_squares(others[which], others[2], nobody)[1]
        for fold, test in enumerate(tests):
            weights = elsewhere if outside else least_squares(X, y, test)[1]
            predictions[which, test] = weights[0] + X[test] @ weights[1:]
            # Regions are independent and of variance 1: the error of a linear model is known.
            rest = SIGNAL / 2 + 1 - SIGNAL
            truths[which, fold] = 1 - (weights[0] ** 2 + ((weights[1:] - effect) ** 2).sum() + rest)
    return y, tests, predictions, truths.mean(axis=1)


def minus(one, two):
    parts = (getattr(one, name) - getattr(two, name) for name in ("values", "resampled", "jackknife"))
    return Resampled(*parts, one.scored)


def intervals_of(y, tests, predictions, size, seed):
    """Bounds of the first model's score and of the difference, by each interval; BCa of families alone."""
    groups = np.arange(len(y)) // size
    metric, strata = [get_metric("r2", "regression")], group_strata(groups, tests.argmax(axis=0))
    options = {"n_bootstrap": 500, "seed": seed, "jackknife": size > 1}
    found = [resample_scores(out_of_fold(p, y, tests, groups), metric, groups, **options) for p in predictions]
    bounds = {}
    for what, each in (("score", found[0]), ("difference", minus(*found))):
        bounds[what, "basic"] = basic_interval(each.values, each.resampled)[0]
        bounds[what, "percentile"] = percentile_interval(each.resampled)[0]
        if size > 1:
            bounds[what, "BCa"] = bca_interval(each.values, each.resampled, each.jackknife, strata)[0]
    return bounds


def bench_intervals(draws, families):
    print(
        f"\nIntervals: share of {draws} draws in which a 95 % interval of R2 covers the truth (5 folds, 10 regions)\n"
    )
    print("| models fitted | families | resampled | of | interval | covers models | procedure |")
    print("| --- | ---: | --- | --- | --- | ---: | ---: |")
    for outside, n_families in itertools.product((True, False), families):
        bounds, truths = {}, []
        for seed in range(draws):
            y, tests, predictions, truth = scored(np.random.default_rng(seed), n_families, 10, outside)
            truths.append([truth[0], truth[0] - truth[1]])
            for resampled, size in [("families", SIZE), ("subjects", 1)][: 2 if n_families == families[0] else 1]:
                for key, found in intervals_of(y, tests, predictions, size, seed).items():
                    bounds.setdefault((resampled, *key), []).append(found)
        true = dict(zip(("score", "difference"), np.array(truths).T, strict=True))
        for (resampled, what, interval), found in bounds.items():
            low, high = np.array(found).T
            expected = true[what].mean() if what == "score" else 0.0
            covered = [f"{np.mean((low <= value) & (value <= high)):.1%}" for value in (true[what], expected)]
            where = "on others" if outside else "in folds"
            cells = [where, n_families, resampled, what, interval, covered[0], "" if outside else covered[1]]
            print(f"| {' | '.join(map(str, cells))} |", flush=True)


def bench_seconds(n_models=220, n_targets=45, n_bootstrap=1000):
    rng = np.random.default_rng(0)
    rows = [(f"t{t:02d}", metric) for t in range(n_targets) for metric in ("r2", "mean_squared_error")]
    strata, scored = np.arange(1000) % 5, np.ones((len(rows), 5), dtype=bool)
    models = []
    for number in range(n_models):
        values = rng.normal(size=(len(rows), 5))
        table = pd.DataFrame([(*row, str(k)) for row in rows for k in range(5)], columns=["target", "metric", "fold"])
        resampled = rng.normal(size=(len(rows), n_bootstrap))
        left_out = rng.normal(size=(len(rows), len(strata)))
        stored = ResampledRows(tuple(rows), Resampled(values.mean(1), resampled, left_out, scored), strata)
        models.append(
            ComparedModel(f"p{number:03d}", "elastic", table.assign(value=values.ravel()), lambda s=stored: s)
        )
    bare = [ComparedModel(model.parcellation, model.pipeline, model.scores) for model in models]
    ratios = {f"t{t:02d}": 0.25 for t in range(n_targets)}
    print(f"\nSeconds: {n_models} models, one the reference, {n_targets} targets, 2 metrics\n")
    print("| intervals | rows | seconds |\n| --- | ---: | ---: |")
    for interval in ("", "basic", "bca"):
        started = time.process_time()
        table = compare_models(models if interval else bare, ratios, Asked("reference", ("p000",), interval=interval))
        print(f"| {interval or 'none'} | {len(table)} | {time.process_time() - started:.1f} |", flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--draws", type=int, default=500)
    parser.add_argument("--families", type=int, nargs="*", default=[100, 300])
    parser.add_argument("--part", nargs="*", choices=["tests", "intervals", "seconds"])
    asked = parser.parse_args()
    parts = {
        "tests": lambda: bench_tests(asked.draws),
        "intervals": lambda: bench_intervals(asked.draws, asked.families),
    }
    for part in asked.part or [*parts, "seconds"]:
        parts.get(part, bench_seconds)()

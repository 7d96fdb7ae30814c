"""Decoding at the published shape against MNE and scikit-learn; what a change costs; how often noise is found.

`speed`: one simulated subject of 31 channels, 42 frequencies x 5 points and three classes; fits, maps, permutations and
wavelets, each beside the loop that a user would write with MNE and scikit-learn, on some of the bins (`--bins`). Every
vote is compared. `changes`: a group of `--subjects` through the library, subject by subject: CPU seconds of the first
run, and of another smoothing, another metric and one subject more. `level`: how often tests of noise reject at 5 %;
`signs`: the same of flipped signs alone, for more nulls, without decoders.
"""

import argparse
import time
from collections import Counter

import numpy as np
from sklearn.feature_selection import SelectFpr, f_classif
from sklearn.model_selection import GridSearchCV, PredefinedSplit
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import LinearSVC
from threadpoolctl import threadpool_limits

from cortax.store import unpack
from cortax.workloads.decoding.bins import DecoderOptions, fit_bin
from cortax.workloads.decoding.described import Described
from cortax.workloads.decoding.features import FeatureOptions, make_transform
from cortax.workloads.decoding.folds import class_codes, trial_folds
from cortax.workloads.decoding.generalising import GeneraliseTask
from cortax.workloads.decoding.inference import group_test, subject_test
from cortax.workloads.decoding.linear import warm_up
from cortax.workloads.decoding.scoring import NullOptions, subject_maps
from cortax.workloads.decoding.simulate import CLASSES, GroupShape, simulate_phase
from cortax.workloads.decoding.store import Votes

PENALTIES = (1e-4, 3e-4, 1e-3, 3e-3, 1e-2)
SVM = DecoderOptions("svm", PENALTIES, 0.05, "accuracy", False, None, 0)
PUBLISHED = GroupShape(n_trials=150, n_channels=31, rate=256.0, start=-0.5, end=1.5)
POWER = FeatureOptions("morlet", 20, (-0.2, 1.2), 5, tuple(float(f) for f in range(4, 46)), 3.0)


def print_table(names, rows):
    """Print a Markdown table."""
    print("| " + " | ".join(names) + " |")
    print("|" + " --- |" + " ---: |" * (len(names) - 1))
    for row in rows:
        print("| " + " | ".join(row) + " |", flush=True)


def cpu(function):
    """What a function returns, and the CPU seconds that it takes."""
    start = time.process_time()
    found = function()
    return found, time.process_time() - start


def features_of(phase, options):
    transform = make_transform(options, times=phase["times"], rate=PUBLISHED.rate, where="features")
    return np.stack([transform(trial.astype(np.float64)) for trial in phase["data"]], axis=1), transform


def generalise(fits, trained, tested, labels, other, folds):
    """Votes of all bins on all bins of a phase; in the one trained in, of the fold that tests a trial."""
    y, classes = class_codes(labels)
    arrays = [np.array([getattr(fit, name) for fit in fits]) for name in ("weights", "intercepts", "chosen")]
    task = GeneraliseTask(arrays[0], arrays[1], tested, trained, y, arrays[2], folds, SVM, tested is trained)
    parts = [unpack(task.do(bin_)[0][16:])[0] for bin_ in range(len(fits))]
    about = Described(tuple(other), (), ("E",), ("x",), 1, tuple(range(len(tested))))
    votes, decisions = (np.array([part[name] for part in parts]) for name in ("votes", "decisions"))
    return Votes(votes, decisions, 1 if task.same else folds.n_outer, tuple(classes), about)


def speed(n_bins):
    import mne

    phases = {name: simulate_phase(PUBLISHED, "sub-01", name) for name in ("encoding", "retrieval")}
    rows = []
    (trained, transform), own = cpu(lambda: features_of(phases["encoding"], POWER))
    tested, _ = features_of(phases["retrieval"], POWER)
    data = phases["encoding"]["data"].astype(np.float64)
    power, other = cpu(
        lambda: mne.time_frequency.tfr_array_morlet(
            data, PUBLISHED.rate, list(POWER.frequencies), n_cycles=3.0, zero_mean=True, output="power", verbose="error"
        )
    )
    chosen = power[:, :, :, transform.layout.samples].transpose(3, 0, 1, 2, 4).reshape(trained.shape)
    rows.append(("Morlet power, one phase", own, other, f"{np.abs(trained / chosen - 1).max():.0e} apart"))
    del power, chosen
    labels = phases["encoding"]["labels"]
    y, _ = class_codes(labels)
    folds = trial_folds(tuple(labels), (), n_outer=10, n_inner=3, seed=0, subject="sub-01")
    warm_up("svm")
    places = np.linspace(0, len(trained) - 1, n_bins).astype(int)
    some, some_tested = trained[places], tested[places]
    fits, own = cpu(lambda: [fit_bin(X.astype(np.float64), y, folds, SVM) for X in some])
    models, other = cpu(lambda: [fit_by_scikit_learn(X.astype(np.float64), y, folds) for X in some])
    same = np.mean([
        SVM.configs[c] == m.best_params_["linearsvc__C"]
        for fit, of_bin in zip(fits, models, strict=True)
        for c, m in zip(fit.chosen, of_bin, strict=True)
    ])  # fmt: skip
    rows.append((f"nested search, {n_bins} bins x 10 folds", own, other, f"{same:.1%} of C equal"))
    votes, own = cpu(lambda: generalise(fits, some, some_tested, labels, phases["retrieval"]["labels"], folds))
    predicted, other = cpu(
        lambda: [[[m.predict(X.astype(np.float64)) for m in of_bin] for X in some_tested] for of_bin in models]
    )
    counts = (np.array(predicted)[..., None] == np.arange(3)).sum(axis=2)
    rows.append((f"map, {n_bins} x {n_bins} bins", own, other, f"{np.mean(counts == votes.votes):.2%} of votes equal"))
    y_test, _ = class_codes(phases["retrieval"]["labels"])
    options = NullOptions("accuracy", 0.0, 500, "within-groups", 0)
    _, own = cpu(lambda: subject_maps(votes, y_test, options, "sub-01"))
    shuffled = np.random.default_rng(0).permutation(y_test)
    _, once = cpu(lambda: [[[m.score(X.astype(np.float64), shuffled) for m in b] for X in some_tested] for b in models])
    rows.append(("500 permutations of labels", own, 500 * once, "theirs: 500 x one re-scoring"))
    shown = [(name, f"{a:.3f}", f"{b:.2f}", f"{b / a:.0f}", note) for name, a, b, note in rows]
    print_table(("work", "cortax, CPU s", "MNE + scikit-learn, CPU s", "ratio", "agreement"), shown)


def first_of_the_best(results):
    """The first of means that differ by rounding alone: by default the order of their summands decides."""
    means = results["mean_test_score"]
    return int(np.flatnonzero(means >= means.max() - 1e-12)[0])


def fit_by_scikit_learn(X, y, folds):
    """The obvious loop: a grid search over a pipeline in each outer fold, at a tolerance at which votes are settled."""
    found = []
    for test, valid in zip(folds.test, folds.valid, strict=True):
        place = valid.argmax(axis=0)[~test]
        svm = LinearSVC(loss="hinge", tol=1e-6, max_iter=200_000, random_state=0)
        pipe = make_pipeline(SelectFpr(f_classif, alpha=0.05), StandardScaler(), svm)
        grid = {"linearsvc__C": list(PENALTIES)}
        search = GridSearchCV(pipe, grid, cv=PredefinedSplit(place), refit=first_of_the_best)
        found.append(search.fit(X[~test], y[~test]))
    return found


def subject_votes(subject):
    """Everything of one subject: features of both phases, decoders, votes; votes, labels and CPU seconds of each."""
    phases = {name: simulate_phase(PUBLISHED, subject, name) for name in ("encoding", "retrieval")}
    simulated = time.process_time()
    made = {name: features_of(phase, POWER)[0] for name, phase in phases.items()}
    there = time.process_time()
    labels = tuple(phases["encoding"]["labels"])
    folds = trial_folds(labels, (), n_outer=10, n_inner=3, seed=0, subject=subject)
    y, _ = class_codes(labels)
    fits = [fit_bin(X.astype(np.float64), y, folds, SVM) for X in made["encoding"]]
    fitted = time.process_time()
    other = tuple(phases["retrieval"]["labels"])
    votes = generalise(fits, made["encoding"], made["retrieval"], labels, other, folds)
    end = time.process_time()
    return votes, class_codes(other)[0], np.array([there - simulated, fitted - there, end - fitted])


def tests_of(votes, options):
    maps = {name: subject_maps(found, y, options, name) for name, (found, y) in votes.items()}
    observed = {"power/svm": np.array([one.observed for one in maps.values()])}
    permuted = {"power/svm": np.array([one.permuted for one in maps.values()])}
    return group_test(observed, permuted, nulls=["labels", "signs"], alpha=0.05, n_draws=10_000, seed=0)


def changes(n_subjects):
    warm_up("svm")
    subjects = [f"sub-{number:02d}" for number in range(1, n_subjects + 1)]
    votes, parts = {}, []
    for subject in subjects:
        found, y, seconds = subject_votes(subject)
        votes[subject] = found, y
        parts.append(seconds)
    options = NullOptions("balanced_accuracy", 1.0, 500, "within-groups", 0)
    tests_of(dict(list(votes.items())[:3]), options)  # compiled
    test, last = cpu(lambda: tests_of(votes, options))
    _, smoothing = cpu(lambda: tests_of(votes, NullOptions("balanced_accuracy", 2.0, 500, "within-groups", 0)))
    _, metric = cpu(lambda: tests_of(votes, NullOptions("roc_auc", 1.0, 500, "within-groups", 0)))
    total = np.sum(parts, axis=0)
    print(f"{n_subjects} subjects: features {total[0]:.1f}, decoders {total[1]:.1f}, votes {total[2]:.1f} CPU s")
    rows = [
        ("first run", f"{total.sum() + last:.1f}"),
        ("another smoothing", f"{smoothing:.1f}"),
        ("another metric (area under ROC)", f"{metric:.1f}"),
        ("one subject more", f"{np.mean(parts, axis=0).sum() + last:.1f}"),
    ]
    print_table(("after", "CPU s"), rows)
    names = ", ".join(f"{null} {float(found['power/svm'].p.min()):.2g}" for null, found in test.tests.items())
    print(f"p of the largest t: {names}")
    wanted = total.sum() + last < 300, max(smoothing, metric) < 5
    print("first run under 5 CPU minutes: " + ("met" if wanted[0] else "not met"))
    print("last steps under 5 s: " + ("met" if wanted[1] else "not met"))


def level(n_studies, first=0, n_classes=3, n_trials=24, n_subjects=8):
    """Noise: subjects with nothing to find, decoded and tested at 5 %, in another phase and in the one trained in.

    Scores of few trials have few values, so that a test whose p counts every tie against what was observed rejects
    less often than it may; with ties broken at random, by the same nulls, an exact test rejects at 5 %.
    """
    warm_up("svm")
    shape = GroupShape(n_trials=n_trials * 3 // n_classes, n_channels=4, rate=20.0, strength=0.0)
    statistics = NullOptions("balanced_accuracy", 0.0, 100, "within-groups", 0)
    rejected = Counter()
    for study in range(first, first + n_studies):
        of_subjects = [_noise_votes(shape, n_classes, study, number) for number in range(n_subjects)]
        random = np.random.default_rng([study, 1])
        for phase in of_subjects[0]:
            maps = [subject_maps(*votes[phase], statistics, f"{study}-{n}") for n, votes in enumerate(of_subjects)]
            for test, p in _p_values(maps, study, random).items():
                rejected[phase, test] += np.array(p) <= 0.05
    error = 2 * np.sqrt(0.05 * 0.95 / n_studies)
    rows = [
        (f"{phase}, {test}", *(f"{n / n_studies:.1%}" for n in counts)) for (phase, test), counts in rejected.items()
    ]
    print_table(
        (f"phase and test, {n_studies} nulls, +- {error:.1%}", "rejected at 5 %", "ties broken at random"), rows
    )


def signs(n_studies, n_subjects=8):
    """Scores without decoders, binomial around chance: what few values and their skew do to flipped signs."""
    rows = []
    for n_classes in (2, 3):
        for n_trials in (24, 96, 384):
            random, rejected = np.random.default_rng(0), np.zeros(2)
            for study in range(n_studies):
                maps = random.binomial(n_trials, 1 / n_classes, (n_subjects, 3, 3)) / n_trials - 1 / n_classes
                test = group_test({"a": maps}, {}, nulls=["signs"], alpha=0.05, n_draws=1, seed=study)
                found = test.tests["signs"]["a"]
                rejected += np.array([found.p.min(), _broken(found.largest, test.t["a"].max(), 0, random)]) <= 0.05
            rows.append((f"1 / {n_classes}", str(n_trials), *(f"{n / n_studies:.1%}" for n in rejected)))
    error = 2 * np.sqrt(0.05 * 0.95 / n_studies)
    print_table(
        (f"chance, {n_studies} nulls, +- {error:.1%}", "trials", "rejected at 5 %", "ties broken at random"), rows
    )


def _p_values(maps, seed, random):
    """p of every test of a phase, and p with ties broken at random."""
    observed, permuted = np.array([m.observed for m in maps]), np.array([m.permuted for m in maps])
    nulls = ["labels", "signs"]
    test = group_test({"a": observed}, {"a": permuted}, nulls=nulls, alpha=0.05, n_draws=400, seed=seed)
    one = subject_test({"a": observed[0]}, {"a": permuted[0]})["a"]
    found = {null: (test.tests[null]["a"], test.t["a"].max(), null == "labels") for null in nulls}
    found["one subject"] = (one, observed[0].max(), True)
    p = {name: (of.p.min(), _broken(of.largest, peak, added, random)) for name, (of, peak, added) in found.items()}
    return p | {f"clusters by {null}": (test.tests[null]["a"].cluster_p.min(initial=1.0),) * 2 for null in nulls}


def _broken(null, value, added, random):
    """p where those of the null that are equal to the observed value are put before or after it at random."""
    equal = np.isclose(null, value, rtol=1e-9, atol=0)
    ties = equal.sum() + added  # all flips have the observed one among them
    return ((null > value)[~equal].sum() + random.uniform() * ties) / (len(null) + added)


def _noise_votes(shape, n_classes, study, number):
    """Votes and labels of somebody in whom there is nothing to find, in both phases."""
    subject = f"study-{study}-sub-{number}"
    phases = {name: simulate_phase(shape, subject, name) for name in ("encoding", "retrieval")}
    for phase in phases.values():
        kept = np.isin(phase["labels"], CLASSES[:n_classes])
        phase |= {"data": phase["data"][kept], "labels": phase["labels"][kept]}
    options = FeatureOptions("amplitude", 3, None, 2)
    search = DecoderOptions("svm", (1e-2,), None, "accuracy", False, None, 0)
    transform = make_transform(options, times=phases["encoding"]["times"], rate=shape.rate, where="features")
    made = {name: np.stack([transform(t.astype(np.float64)) for t in p["data"]], axis=1) for name, p in phases.items()}
    labels = {name: tuple(phase["labels"]) for name, phase in phases.items()}
    y, _ = class_codes(labels["encoding"])
    folds = trial_folds(labels["encoding"], (), n_outer=4, n_inner=2, seed=study, subject=subject)
    fits = [fit_bin(X.astype(np.float64), y, folds, search) for X in made["encoding"]]
    return {
        called: (
            generalise(fits, made["encoding"], made[name], labels["encoding"], labels[name], folds),
            class_codes(labels[name])[0],
        )
        for called, name in (("another phase", "retrieval"), ("the phase trained in", "encoding"))
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("part", choices=("speed", "changes", "level", "signs"))
    parser.add_argument("--bins", type=int, default=5)
    parser.add_argument("--subjects", type=int, default=18)
    parser.add_argument("--studies", type=int, default=500)
    parser.add_argument("--classes", type=int, choices=(2, 3), default=3)
    parser.add_argument("--trials", type=int, default=24, help="of each phase of noise")
    parser.add_argument("--first", type=int, default=0, help="number of the first study of noise")
    parser.add_argument("--threads", type=int, default=1, help="of BLAS, for both")
    asked = parser.parse_args()
    parts = {
        "speed": lambda: speed(asked.bins),
        "changes": lambda: changes(asked.subjects),
        "level": lambda: level(asked.studies, asked.first, asked.classes, asked.trials),
        "signs": lambda: signs(asked.studies),
    }
    with threadpool_limits(asked.threads):
        parts[asked.part]()


if __name__ == "__main__":
    main()

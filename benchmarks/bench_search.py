"""The search against scikit-learn and its peers: CPU seconds a fit, and whether they agree, all in one run.

    python benchmarks/bench_search.py --quick
    python benchmarks/bench_search.py --json FILE [--n N ...] [--p P ...] [--pipeline NAME ...] [--task TASK ...]
    python benchmarks/bench_search.py --json FILE --markdown

A case is one pipeline, task and shape of simulated data (correlated regions, weak targets), in the first inner fold
of 5 x 3: at 9,400 subjects 5,013 to train on and 2,507 to predict. A fit is one configuration of one target. Timed,
in turns, on one core:

- naive: what RandomizedSearchCV does, the whole pipeline for every fit. Of the space's 60 configurations as many as
  --cap allows are timed, evenly spread from cheap to dear ones; "+-" is the standard error of their mean.
- best: what a patient user gets out of scikit-learn (one front end a fold; ridge: all targets at once; elastic:
  a Gram matrix and warm starts; logistic: warm starts, newton-cholesky for l2; svm: a kernel matrix; lgbm: nothing).
- peers (with --peers): other packages, see requirements-peers.txt.
- cortax: `solvers.search_batch` over all configurations and targets, front end and scores included.

Differences are of the validation score (explained variance, ROC AUC) from a tight reference by scikit-learn (svm:
tolerance 1e-6; elastic and logistic: duality gap below 1e-8; "tight" is what it takes): the largest and the median
over some of the fits that were timed naively, as many as were reached. Ridge regression and LightGBM need none.
The excess is how much higher the objective is than the greatest bound of its minimum (by duality, of the reference,
cortax's model or the model itself), over that of the empty model; cortax's is of its refit. Where the naive fits are
not tight, ratios are not at equal results: they favour naive. A case that is in FILE is not measured again.
"""

from __future__ import annotations

import argparse
import datetime
import itertools
import json
import os
import time
from pathlib import Path

import _one_thread  # noqa: F401  (before numpy)
import numpy as np
from _search_data import N_CONFIGS, make_case
from _search_peers import installed, peer, peers
from _search_race import LEAST, Rival, fit_alone, race, refits, searches, warm
from _search_reference import excess, naive_is_exact, reference
from _search_rivals import LINEAR, Parts, best, naive
from _search_table import print_table
from threadpoolctl import threadpool_info

from cortax.learning.search.scoring import score_decisions
from cortax.learning.search.solvers import find_solver

TASKS = ("regression", "classification")
COMPARED = {"regression": "explained_variance", "classification": "roc_auc"}
N_TARGETS = {"ridge": 45, "elastic": 9, "svm": 6, "lgbm": 2}
FEW_TARGETS = {"ridge": 45, "elastic": 4, "svm": 2, "lgbm": 1}


def measure(case, options):
    """Measure one case and return what is written of it."""
    kind, notes, X = case.problem.kind, {}, case.problem.regions.astype(np.float64)
    rivals = {"naive": Rival(case, naive(case, X))}
    for _ in range(LEAST):
        rivals["naive"].advance()
    dear = rivals["naive"].estimate()[0]
    # Paths cannot stop half-way: those that would take longer than the others get fewer configurations.
    stride = int(np.clip(np.ceil(dear * len(case.configs) / options.cap), 1, len(case.configs) // 5 or 1))
    parts = Parts(case, X)
    if kind != "lgbm":
        rivals["best"] = Rival(case, best(case, parts, stride), shared=parts.seconds, least=1)
    for name in peers(case) if options.peers else ():
        if installed(name):
            rivals[name] = Rival(case, peer(name, case, parts, stride), shared=parts.seconds)
    if find_solver(kind, case.task, case.configs) is not None:
        rivals["cortax"] = Rival(case, searches(case, notes, options.repeats), least=1)
    race(list(rivals.values()), options.cap)
    timed = rivals["naive"].fits
    checked = to_check(case, timed, options.check)
    truth, tight = (timed, None) if naive_is_exact(case) else references(case, parts, checked, options.cap)
    record = describe(case, options) | {"n_references": len(truth), "tight": tight}
    record["missing"] = [name for name in peers(case) if options.peers and not installed(name)]
    for name, rival in rivals.items():
        record[name] = timing(rival) | differences(case, rival, truth, name)
    if kind in LINEAR and not naive_is_exact(case):
        ours = dict(zip(checked, fit_alone(case, checked), strict=True)) if "cortax" in rivals else {}
        known = ours | {key: fit.linear for key, fit in truth.items()}
        for name, rival in rivals.items():
            models = {key: rival.fits[key].linear for key in checked if key in rival.fits and name != "cortax"}
            record[name] |= excesses(case, parts, ours if name == "cortax" else models, known)
    cells = notes.pop("cells", None)
    if cells:
        record["cortax"] |= notes
        record["refit"] = refits(case, X, cells, options.cap / 2 if dear <= options.cap else 0.0)
    return record


def describe(case, options):
    problem = case.problem
    train, valid = case.rows(0)
    return {
        "pipeline": problem.kind,
        "task": case.task,
        "n": len(problem.regions),
        "p": problem.regions.shape[1],
        "n_train": len(train),
        "n_valid": len(valid),
        "n_targets": len(problem.names),
        "n_configs": len(case.configs),
        "n_inner": problem.folds.n_inner,
        "own_rows": options.own_rows,
        "peers": options.peers,
        "cap": options.cap,
        "load": os.getloadavg()[0],
        "when": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
    }


def to_check(case, timed, n_checked):
    """Choose some of the fits that were timed, from the cheapest to the dearest."""
    rank = {int(number): i for i, number in enumerate(case.order)}
    keys = sorted(timed, key=lambda key: rank[key[0]])
    return [keys[i] for i in sorted(set(np.linspace(0, len(keys) - 1, n_checked).astype(int)))]


def references(case, parts, keys, cap):
    """Return tight fits as far as they are reached, and the CPU seconds that these took on average."""
    truth, start, seconds = {}, time.process_time(), []
    for number, target in keys:
        part, begin = parts(target), time.process_time()
        if begin - start > cap:
            break
        fit = reference(case, part, number, target, cap / 2)
        if fit is not None:
            truth[number, target] = fit
            seconds.append(time.process_time() - begin)
    return truth, float(np.mean(seconds)) if seconds else None


def timing(rival):
    seconds, error = rival.estimate()
    missed = sum(fit.not_converged > 0 for fit in rival.fits.values())
    return {"seconds": seconds, "error": error, "n_timed": len(rival.timed), "not_converged": missed}


def differences(case, rival, truth, name):
    """How far the validation scores are from the truth."""
    both = [key for key in truth if key in rival.fits]
    if not both or (name == "naive" and naive_is_exact(case)):
        return {}
    found = [abs(compared(case, truth[key]) - compared(case, rival.fits[key])) for key in both]
    return {"difference": float(np.max(found)), "median_difference": float(np.median(found))}


def excesses(case, parts, models, known):
    """How far the objectives of models are above their minimum, or may be; `known` are the best there are."""
    found = [
        excess(case, parts(target), number, model, known.get((number, target)))
        for (number, target), model in models.items()
        if model is not None
    ]
    return {"excess": max(found), "median_excess": float(np.median(found))} if found else {}


def compared(case, fit):
    _, valid = case.rows(fit.target)
    y = case.problem.targets[valid, fit.target]
    return float(score_decisions(COMPARED[case.task], case.task, y, fit.decisions[None])[0][0])


def check_threads():
    for pool in threadpool_info():
        if pool["num_threads"] != 1:
            raise SystemExit(f"{pool['internal_api']} ({pool['filepath']}) uses {pool['num_threads']} threads, not 1")


def wanted(options):
    """Yield the cases that are asked for, small ones first."""
    for p, n, kind, task in itertools.product(options.p, options.n, options.pipeline, options.task):
        yield {
            "pipeline": kind,
            "task": task,
            "n": n,
            "p": p,
            "n_targets": options.targets or (FEW_TARGETS if options.quick else N_TARGETS)[kind],
            "n_configs": options.configs or (12 if options.quick or (kind == "lgbm" and n * p > 4e6) else N_CONFIGS),
            "n_inner": options.inner,
            "own_rows": options.own_rows,
            "peers": options.peers,
        }


def load_records(path):
    return [json.loads(line) for line in path.read_text().splitlines()] if path and path.exists() else []


def parse():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="small cases, few configurations: under 3 minutes")
    parser.add_argument("--n", type=int, nargs="+", help="subjects (default: 2000 9400)")
    parser.add_argument("--p", type=int, nargs="+", help="regions (default: 40 400 1600 6000)")
    parser.add_argument("--pipeline", nargs="+", choices=list(N_TARGETS), default=list(N_TARGETS))
    parser.add_argument("--task", nargs="+", choices=TASKS, default=TASKS)
    parser.add_argument("--configs", type=int, help="of the space's 60 (default: 60, or 12 of lgbm in big cases)")
    parser.add_argument("--targets", type=int, help=f"targets that share rows (default: {N_TARGETS})")
    parser.add_argument("--inner", type=int, default=1, choices=(1, 2, 3), help="inner folds that cortax searches")
    parser.add_argument("--own-rows", action="store_true", help="every target lacks 2 %% of the subjects, its own")
    parser.add_argument("--peers", action="store_true", help="other packages too, where installed")
    parser.add_argument("--cap", type=float, help="CPU seconds a rival and case, no less than one fit (default: 20)")
    parser.add_argument("--repeats", type=int, default=5, help="searches by cortax within the cap, at most")
    parser.add_argument("--check", type=int, help="fits compared with a tight reference (default: 12)")
    parser.add_argument("--json", type=Path, help="append results to this file; leave out what it has")
    parser.add_argument("--markdown", action="store_true", help="print the table of the JSON file and measure nothing")
    options = parser.parse_args()
    for name, quick, usual in (
        ("n", [2000], [2000, 9400]),
        ("p", [40, 400], [40, 400, 1600, 6000]),
        ("cap", 1.5, 20.0),
        ("check", 4, 12),
    ):
        if getattr(options, name) is None:
            setattr(options, name, quick if options.quick else usual)
    return options


def main():
    options = parse()
    records = load_records(options.json)
    if options.markdown:
        print_table(records)
        return
    check_threads()
    measured, warmed = [], set()
    for asked in wanted(options):
        if any(asked.items() <= record.items() and "cortax" in record for record in records):
            continue
        kind, task = asked["pipeline"], asked["task"]
        if (kind, task) not in warmed:
            warm(kind, task)
            warmed.add((kind, task))
        how = {name: asked[name] for name in ("n_targets", "n_configs", "n_inner", "own_rows")}
        case = make_case(kind, task, asked["n"], asked["p"], **how)
        measured.append(measure(case, options))
        check_threads()
        print_table(measured[-1:], header=len(measured) == 1)
        if options.json:
            with options.json.open("a") as file:
                file.write(json.dumps(measured[-1]) + "\n")


if __name__ == "__main__":
    main()

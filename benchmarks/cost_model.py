"""CPU hours of a whole study, naive and by cortax, from what `bench_search.py` measured.

    python benchmarks/cost_model.py [FILE] [--n-subjects N] [--sizes FILE|P ...] [--regression T] [...]

Reads the JSON lines of the benchmark (default: benchmarks/search_costs.jsonl) and takes the seconds of a fit, and of a
refit, of every pipeline and task in two ways:

- a power law a * N^b * p^c by least squares of logarithms, its residuals shown;
- straight lines between the measured cases on logarithmic scales, which meets every case.

Both go on beyond what was measured, as far as the study does: the share of the CPU hours that lies there is shown.
Then it multiplies out. Without arguments that is the base experiment: 9,432 subjects, 220 parcellations with 4
columns a parcel, 22 continuous and 23 binary targets, 5 outer and 3 inner folds, 60 configurations. Not counted:
loading, parcellating, starting workers, waiting for the last one.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

import numpy as np

from cortax.learning.search.solvers import find_solver

COSTS = Path(__file__).with_name("search_costs.jsonl")
WAYS = ("naive", "cortax")
TASKS = ("regression", "classification")
REFIT = {"svm": 4}  # how many fits the refit of a classifier takes, calibration included; of others 1


def base_sizes():
    """Parcels of the 220 parcellations: the random ones as they were, of the others what is known of them.

    Of the 82 existing ones only the range is: they are spread evenly over the logarithm of it.
    """
    random = [*range(10, 101, 10), 150, *range(200, 1001, 100), 1500, *range(2000, 6001, 1000)]
    icosahedral, freesurfer = [42, 162, 362, 642, 1002, 2562], [68, 148]
    return np.concatenate([np.geomspace(7, 998, 82), np.repeat(random, 5), icosahedral, freesurfer])


def collect(records, own_rows):
    """Return {(pipeline, task, way, what): array of (n, p, seconds)}; what is "fit" or "refit"."""
    found = {}
    for r in records:
        if r["own_rows"] != own_rows or "cortax" not in r:
            continue
        for way in WAYS:
            costs = {"fit": r[way]["seconds"]} | ({"refit": r["refit"][way]} if way in r["refit"] else {})
            for what, seconds in costs.items():
                # The last measurement of a case counts.
                found.setdefault((r["pipeline"], r["task"], way, what), {})[r["n"], r["p"]] = seconds
    return {key: np.array([(*at, seconds) for at, seconds in sorted(cases.items())]) for key, cases in found.items()}


class PowerLaw:
    """a * N^b * p^c; an exponent is taken to be 1 where only one value was measured."""

    def __init__(self, cases):
        logs = np.log(cases)
        free = [i for i in (0, 1) if np.ptp(logs[:, i])]
        rest = logs[:, 2] - logs[:, [i for i in (0, 1) if i not in free]].sum(axis=1)
        solved = np.linalg.lstsq(np.column_stack([np.ones(len(logs)), logs[:, free]]), rest, rcond=None)[0]
        self.assumed = [("N", "p")[i] for i in (0, 1) if i not in free]
        self.scale, self.exponents = solved[0], np.ones(2)
        self.exponents[free] = solved[1:]
        self.residuals = logs[:, 2] - np.log(self(cases[:, 0], cases[:, 1]))

    def __call__(self, n, p):
        return np.exp(self.scale + self.exponents[0] * np.log(n) + self.exponents[1] * np.log(p))


class Lines:
    """Straight lines between measured cases on logarithmic scales, the last ones prolonged."""

    def __init__(self, cases):
        self.rows = {n: np.log(cases[cases[:, 0] == n][:, 1:]) for n in sorted(set(cases[:, 0]))}

    def __call__(self, n, p):
        at = np.array([_line(np.log(p), *row.T) for row in self.rows.values()])
        measured = np.log(list(self.rows))
        if len(measured) == 1:
            return np.exp(at[0] + np.log(n) - measured[0])
        return np.exp([_line(np.log([n]), measured, column)[0] for column in at.T])


def _line(x, at, values):
    if len(at) == 1:
        return values[0] + x - at[0]
    piece = np.clip(np.searchsorted(at, x) - 1, 0, len(at) - 2)
    slope = np.diff(values) / np.diff(at)
    return values[piece] + slope[piece] * (x - at[piece])


def fit_models(found, make):
    return {key: make(cases) for key, cases in found.items()}


def study_hours(models, kind, task, way, study):
    """CPU hours of the searches and refits of one pipeline and task, of each parcellation."""
    n_cells = study.outer * getattr(study, task)
    seconds = models[kind, task, way, "fit"](study.n_subjects, study.columns) * study.configs * study.inner
    refit = models.get((kind, task, way, "refit"))
    if refit is None:
        # As many fits on half as many rows again, if time goes with the rows.
        n_fits = REFIT.get(kind, 1) if task == "classification" else 1
        again = models[kind, task, way, "fit"](study.n_subjects, study.columns) * 1.5 * n_fits
    else:
        again = refit(study.n_subjects, study.columns)
    return (seconds + again) * n_cells / 3600


def print_laws(found):
    print("| pipeline | task | what | cases | a | exponent of N | exponent of p | typical error | worst |")
    print("| --- | --- | --- | ---: | ---: | ---: | ---: | ---: | ---: |")
    for (kind, task, way, what), cases in sorted(found.items()):
        law = PowerLaw(cases)
        powers = [
            f"{e:.2f}" + (" (assumed)" if n in law.assumed else "") for n, e in zip("Np", law.exponents, strict=True)
        ]
        typical, worst = (np.exp(f(np.abs(law.residuals))) for f in (lambda r: np.sqrt(np.mean(r**2)), np.max))
        print(
            f"| {kind} | {task} | {way} {what} | {len(cases)} | {np.exp(law.scale):.1e} | {powers[0]} | {powers[1]} "
            f"| x{typical:.2f} | x{worst:.2f} |"
        )


def targets_together(kind, task, n_targets):
    """How many targets one worker searches at a time."""
    solver = find_solver(kind, task, [])
    return min(getattr(solver, "TOGETHER", 1) or n_targets, n_targets)


def print_study(found, study):
    laws, lines = fit_models(found, PowerLaw), fit_models(found, Lines)
    columns = ", ".join(f"{way} ({how})" for how in ("power law", "lines") for way in WAYS).split(", ")
    print(f"| pipeline | task | {' | '.join(columns)} | ratio | of it extrapolated | longest batch, h |")
    print("| --- | --- |" + " ---: |" * 7)
    totals, longest = np.zeros(4), 0.0
    for kind in study.pipelines:
        for task in TASKS:
            if not getattr(study, task):
                continue
            if (kind, task, "cortax", "fit") not in found:
                raise SystemExit(f"no measurement of {kind}, {task}, with cortax; run bench_search.py for it")
            hours = [study_hours(models, kind, task, way, study) for models in (laws, lines) for way in WAYS]
            sums = np.array([h.sum() for h in hours])
            totals += sums
            n_targets = getattr(study, task)
            batch = hours[3].max() / study.outer * targets_together(kind, task, n_targets) / n_targets
            beyond = study.columns > found[kind, task, "cortax", "fit"][:, 1].max()
            longest = max(longest, batch)
            print(
                f"| {kind} | {task} | {' | '.join(f'{s:,.1f}' for s in sums)} | {sums[2] / sums[3]:.0f} "
                f"| {hours[3][beyond].sum() / sums[3]:.0%} | {batch:.2f} |"
            )
    print(f"| all | | {' | '.join(f'{s:,.1f}' for s in totals)} | {totals[2] / totals[3]:.0f} | | {longest:.2f} |")
    for how, hours in (("power law", totals[1]), ("lines", totals[3])):
        wall = max(hours / study.cores, longest)
        print(f"\nOn {study.cores} cores, all of them busy: {wall:,.1f} h ({wall / 24:.1f} days) by cortax, {how}.")


def parse():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("file", nargs="?", type=Path, default=COSTS, help="JSON lines of bench_search.py")
    parser.add_argument("--n-subjects", type=int, default=9432)
    parser.add_argument("--sizes", nargs="+", help="parcels of every parcellation, or a file of them")
    parser.add_argument("--maps", type=int, default=4, help="columns a parcel")
    parser.add_argument("--regression", type=int, default=22, help="continuous targets")
    parser.add_argument("--classification", type=int, default=23, help="binary targets")
    parser.add_argument("--outer", type=int, default=5, help="outer folds, over all repeats")
    parser.add_argument("--inner", type=int, default=3)
    parser.add_argument("--configs", type=int, default=60)
    parser.add_argument("--pipelines", nargs="+", default=["elastic", "svm", "lgbm"])
    parser.add_argument("--own-rows", action="store_true", help="use the cases in which every target has its own rows")
    parser.add_argument("--cores", type=int, default=32)
    study = parser.parse_args()
    sizes = study.sizes
    if sizes and not sizes[0].replace(".", "", 1).isdigit():
        sizes = Path(sizes[0]).read_text().split()
    study.columns = study.maps * (base_sizes() if sizes is None else np.array(sizes, dtype=float))
    return study


def main():
    study = parse()
    if not study.file.exists():
        raise SystemExit(f"{study.file} is not there; make it with bench_search.py --json {study.file}")
    found = collect(map(json.loads, study.file.read_text().splitlines()), study.own_rows)
    if not found:
        raise SystemExit(f"{study.file} has no case that cortax was measured in")
    print_laws(found)
    n, columns = len(study.columns), study.columns
    print(
        f"\nCPU hours of {n} parcellations of {columns.min():.0f} to {columns.max():.0f} columns, {study.n_subjects} "
        f"subjects, {study.regression} + {study.classification} targets, {study.outer} x {study.inner} folds, "
        f"{study.configs} configurations. What lies beyond the widest case that was measured is extrapolated.\n"
    )
    print_study(found, study)


if __name__ == "__main__":
    main()

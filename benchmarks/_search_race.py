"""Turns of the rivals of `bench_search.py`, and cortax as one of them."""

from __future__ import annotations

import statistics
import time
from dataclasses import replace
from unittest import mock

import numpy as np
from _search_data import make_case
from _search_rivals import Fit

from cortax.learning.search.cells import Batch
from cortax.learning.search.refit import evaluate_batch, evaluate_cell
from cortax.learning.search.solvers import find_solver, fit_seed, plan_batches, search_batch
from cortax.learning.search.training import training_sets

LEAST = 3  # fits of a rival that are timed whatever they cost


class Rival:
    """Runs jobs one by one and keeps their CPU seconds and what they found."""

    def __init__(self, case, jobs, *, shared=0.0, least=LEAST):
        self.case, self.jobs, self.shared, self.least = case, iter(jobs), shared, least
        self.used, self.timed, self.fits, self.exhausted = 0.0, [], {}, False

    def advance(self):
        job = next(self.jobs, None)
        if job is None:
            self.exhausted = True
            return
        numbers, targets, run = job
        start = time.process_time()
        found = run()
        seconds = time.process_time() - start
        self.used += seconds
        self.timed.append((list(map(int, numbers)), len(targets), seconds))
        for fit in found() if callable(found) else found:
            self.fits[fit.number, fit.target] = fit

    def finished(self, cap):
        return self.exhausted or (self.used >= cap and len(self.timed) >= self.least)

    def estimate(self):
        """Mean seconds a fit, each configuration counted as the nearest one timed, and its standard error."""
        rank = {int(number): i for i, number in enumerate(self.case.order)}
        found = {}
        for numbers, n_targets, seconds in self.timed:
            for number in numbers:
                found.setdefault(rank[number], []).append(seconds / len(numbers) / n_targets)
        if not found:
            return float("nan"), float("nan")
        places = np.array(sorted(found))
        values = np.array([statistics.median(found[place]) for place in places])
        nearest = np.abs(np.arange(len(rank))[:, None] - places).argmin(axis=1)
        k = len(values)
        # Of a systematic sample: from differences of neighbours, so that the trend along the space is no error.
        error = np.sqrt(np.sum(np.diff(values) ** 2) / (2 * k * (k - 1))) if k > 1 else float("nan")
        return self.shared + float(values[nearest].mean()), float(error)


def race(rivals, cap):
    """Let them take turns: who has used the least goes next."""
    while waiting := [rival for rival in rivals if not rival.finished(cap)]:
        min(waiting, key=lambda rival: rival.used).advance()


def searches(case, notes, times):
    """Yield the search of all batches by cortax, some times over; note what it says of itself."""
    problem, configs = case.problem, case.configs
    solver = find_solver(problem.kind, case.task, configs)
    first_seed = {fit_seed(problem, t, 0, 0): t for t in range(len(problem.names))}
    inner = problem.folds.valid[0, 0]

    def run():
        seen, cells, fit = [], {}, solver.fit

        def recording(part, Y, configs, *, seeds, **rest):
            found = fit(part, Y, configs, seeds=seeds, **rest)
            targets = [first_seed[int(seed)] for seed in seeds[:, 0]]
            seen.append((targets, found, bool(inner[part.valid[0]])))
            return found

        with mock.patch.object(solver, "fit", recording):
            for batch in plan_batches(problem):
                cells |= search_batch(problem, batch, case.pipeline)
        notes["cells"] = cells
        notes["not_converged"] = int(sum(np.sum(cell.not_converged > 0) for cell in cells.values()))
        notes["failures"] = sum(len(cell.failures) for cell in cells.values())
        notes["iterations"] = float(np.mean(np.concatenate([found.iterations.ravel() for _, found, _ in seen])))
        return lambda: [
            Fit(i, target, decisions)
            for targets, found, first in seen
            if first
            for target, many in zip(targets, found.decisions, strict=True)
            for i, decisions in enumerate(many)
        ]

    for _ in range(times):
        # A fit is that of one inner fold, however many are searched.
        yield range(len(configs)), range(len(problem.names) * problem.folds.n_inner), run


def fit_alone(case, pairs):
    """Yield coefficients and intercept of fits by cortax, one by one as a refit asks for them."""
    solver, problem, part = find_solver(case.problem.kind, case.task, case.configs), case.problem, None
    for number, target in pairs:
        if part is None or not case.alike:
            train, valid = (np.isin(np.arange(len(problem.regions)), rows) for rows in case.rows(target))
            part, _ = next(training_sets(problem, [target], train, valid, print))
        seeds, y = np.array([[fit_seed(problem, target, 0, number)]]), problem.targets[part.train, target][:, None]
        found = solver.fit(part, y, [case.configs[number]], task=case.task, seeds=seeds, coefficients=True)
        yield found.coefficients[0, 0], float(found.intercepts[0, 0])


def refits(case, X, cells, cap):
    """CPU seconds of the refit and test predictions of a target in an outer fold, by cortax and naively.

    Of all targets by cortax; naively of the first, and of as many more as the cap allows, none if it is 0.
    """
    problem = replace(case.problem, folds=case.outer_folds)
    targets, n_inner = tuple(range(len(problem.names))), problem.folds.n_inner
    scores = {t: np.repeat(cells[t, 0].scores[:, :1], n_inner, axis=1) for t in targets}
    configs = dict.fromkeys(targets, case.configs)
    start = time.process_time()
    made = evaluate_batch(problem, Batch(0, targets), case.pipeline, scores=scores, configs=configs)
    ours = (time.process_time() - start) / len(targets)
    start, done = time.process_time(), 0
    while done < len(targets) and time.process_time() - start < cap:
        _refit_naively(case, problem, X, done, made[done, 0].chosen)
        done += 1
    return {"cortax": ours} | ({"naive": (time.process_time() - start) / done, "n_timed": done} if done else {})


def _refit_naively(case, problem, X, target, number):
    evaluate_cell(replace(problem, regions=X), (target, 0), case.pipeline, case.configs, number)


def warm(kind, task):
    """Have everything compiled and imported, for more rows than columns and for fewer."""
    for p in (10, 200):
        case, notes = make_case(kind, task, 200, p, n_targets=2, n_configs=4), {}
        if find_solver(kind, task, case.configs) is not None:
            for _, _, run in searches(case, notes, 1):
                run()
            refits(case, case.problem.regions.astype(np.float64), notes["cells"], 0.0)

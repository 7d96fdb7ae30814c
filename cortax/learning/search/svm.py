"""Support vector machines with an RBF kernel: distances that all configurations of a target share.

Configurations are taken in the order of how many columns they keep, so that distances change by few columns from one
to the next, and a machine starts from the solution of the most similar one. Both change the way to the solution, not
the solution: it is libsvm's within `tol`, which bounds the violation of the optimality conditions as libsvm's does.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from cortax.learning.arrays import Bools, Floats, Singles
from cortax.learning.search.cells import Configs
from cortax.learning.search.kernel.distances import Distances, move, no_distances
from cortax.learning.search.kernel.rbf import decide, kernel_space, make_kernel
from cortax.learning.search.kernel.smo import Machine, Solution, rounded, solve
from cortax.learning.search.pipelines import PIPELINES, fit_counting, make_back
from cortax.learning.search.registry import Allowed, refusal
from cortax.learning.search.selection import selectors, varying
from cortax.learning.search.training import Fits, TrainingSet

__all__ = ["TOGETHER", "fit", "unable"]

# So many targets share the distances over all columns, which have their price.
TOGETHER: int | None = 8

# Steps after which a machine without `max_iter` is given up.
_MOST_STEPS = 10_000_000

# Larger values are left to scikit-learn: their squares would overflow single precision.
_LARGEST = 1e15

# What a ratio of gammas counts beside one of C * gamma, when a similar machine is looked for.
_GAMMA_COUNTS = 0.3

# Sums that differ by no more than this part of them are equal but for rounding.
_ROUNDING = 1e-10

_ALLOWED: Allowed = {
    "percentile": lambda value: isinstance(value, int | float) and 0 <= value <= 100,
    "C": lambda value: isinstance(value, int | float) and 1 / _LARGEST < value < _LARGEST,
    "gamma": lambda value: value in ("scale", "auto") or (isinstance(value, int | float) and 0 < value < math.inf),
    "epsilon": lambda value: isinstance(value, int | float) and 0 <= value < math.inf,
    "tol": lambda value: isinstance(value, int | float) and 0 < value < math.inf,
    "max_iter": lambda value: isinstance(value, int) and value >= -1,
}
_OF_CLASSES: Allowed = {"class_weight": lambda value: value is None or value == "balanced"}


def unable(task: str, configs: Configs) -> str:
    """See `registry`."""
    if task not in ("regression", "classification"):
        return f"unknown task {task!r}"
    return refusal(configs, _ALLOWED if task == "regression" else _ALLOWED | _OF_CLASSES)


@dataclass(frozen=True, eq=False)
class _Work:
    """What fits on one training set share; `space` is for the kernel of one after the other."""

    part: TrainingSet
    task: str
    varied: Bools
    means: Floats
    variances: Floats
    space: Singles


@dataclass(frozen=True, eq=False)
class _Solved:
    """A solution that others may start from."""

    C: float
    gamma: float
    machine: Machine
    coefficients: Floats


def fit(part: TrainingSet, Y: Floats, configs: Configs, *, task: str, **_: Any) -> Fits:
    """Fit every configuration to every target, as `SVR` and `SVC` do on the columns that `SelectPercentile` keeps.

    See `registry`. `max_iter` bounds the number of steps, of which there may be more or fewer than libsvm makes. What
    cannot be fitted (a single class, no column left) fails in scikit-learn's words. Memory, beyond training set and
    result, with n = n_train: 4 n (2 n + n_valid) bytes, 4 n (n + n_valid) more where the distances over all columns
    are kept, 6 n**2 in passing, and some tens of megabytes.
    """
    space = kernel_space(len(part.train))
    work = _Work(part, task, varying(part.X), part.X.mean(axis=0), part.X.var(axis=0), space)
    masks = _masks(work, Y, configs)
    shape = Y.shape[1], len(configs)
    decisions = np.full((*shape, len(part.valid)), np.nan)
    not_converged, iterations = np.zeros(shape, np.int64), np.zeros(shape, np.int64)
    failures: list[tuple[int, int, Exception]] = []
    falls = _falls(work, masks)
    for t, kept in enumerate(masks):
        able = [number for number, mask in enumerate(kept) if mask.any() and _sound(Y[:, t], task)]
        able.sort(key=lambda number: int(kept[number].sum()), reverse=falls)
        for number, (solution, decided) in _fit_target(work, Y[:, t], configs, kept, able, falls).items():
            decisions[t, number] = decided
            not_converged[t, number], iterations[t, number] = not solution.converged, solution.n_steps
        for number in sorted(set(range(len(configs))) - set(able)):
            try:
                decisions[t, number], not_converged[t, number] = _fit_plainly(part, Y[:, t], configs[number], task)
            except MemoryError:
                raise
            except Exception as error:
                failures.append((t, number, error))
    return Fits(decisions, not_converged, iterations, failures=tuple(failures))


def _masks(work: _Work, Y: Floats, configs: Configs) -> list[list[Bools]]:
    """Return which columns are kept, by target and configuration."""
    nothing = np.zeros_like(work.varied)
    if not work.varied.any():
        return [[nothing] * len(configs)] * Y.shape[1]
    masks = []
    for selector in selectors(work.part.X[:, work.varied], Y, work.task):
        by_percentile = {}
        for percentile in {config.get("percentile", 100) for config in configs}:
            by_percentile[percentile] = nothing.copy()
            by_percentile[percentile][work.varied] = selector.keep(percentile)
        masks.append([by_percentile[config.get("percentile", 100)] for config in configs])
    return masks


def _sound(y: Floats, task: str) -> bool:
    return bool(np.abs(y).max() < _LARGEST and (task == "regression" or 0 < y.sum() < len(y)))


def _fit_plainly(part: TrainingSet, y: Floats, config: Mapping[str, Any], task: str) -> tuple[Floats, int]:
    """Leave to scikit-learn what is odd, and most likely fails."""
    back = make_back(PIPELINES["svm"], task, config, seed=0)
    not_converged = fit_counting(back, part.X, y if task == "regression" else y.astype(np.int64))
    decide_by = back.predict if task == "regression" else back.decision_function
    return np.asarray(decide_by(part.X_valid)), not_converged


def _falls(work: _Work, masks: Sequence[Sequence[Bools]]) -> bool:
    """Whether to start from all columns and take away, which pays where several targets share the start."""
    counts = [[int(mask.sum()) for mask in kept] for kept in masks]
    moved, n_varied = work.part.shared.get("svm.moved", 0), int(work.varied.sum())
    price = 0 if "svm.full" in work.part.shared else max(0, n_varied - moved)
    rising, falling = sum(max(kept) for kept in counts), price + sum(n_varied - min(kept) for kept in counts)
    work.part.shared["svm.moved"] = moved + min(rising, falling)
    return falling < rising


def _first_distances(work: _Work, falls: bool) -> Distances:
    if not falls:
        return no_distances(work.part)
    full: Distances = work.part.once("svm.full", lambda: _all_distances(work))
    return full.copy()


def _all_distances(work: _Work) -> Distances:
    made = no_distances(work.part)
    move(work.part, made, work.varied)
    return made


def _fit_target(
    work: _Work, y: Floats, configs: Configs, kept: Sequence[Bools], numbers: Sequence[int], falls: bool
) -> dict[int, tuple[Solution, Floats]]:
    """Fit some configurations, in their order; return solutions and decisions."""
    found: dict[int, tuple[Solution, Floats]] = {}
    if not numbers:
        return found
    distances, solved = _first_distances(work, falls), list[_Solved]()
    for number in numbers:
        config, mask = configs[number], kept[number]
        move(work.part, distances, mask)
        gamma, C = _gamma(work, config.get("gamma", "scale"), mask), float(config.get("C", 1.0))
        machine = _machine(y, C, config, work.task)
        solution = _solve(work, distances, machine, gamma, config, _start(solved, C, gamma, machine))
        solved.append(_Solved(C, gamma, machine, solution.coefficients))
        decided = decide(distances.values, gamma, solution.coefficients, solution.intercept)
        found[number] = solution, decided if work.task == "regression" else -decided
    return found


def _solve(
    work: _Work, distances: Distances, machine: Machine, gamma: float, config: Mapping[str, Any], start: Floats
) -> Solution:
    """Solve from a start.

    Where both classes weigh the same and all coefficients end at their bounds, any of many intercepts is right, and
    libsvm's is that of the coefficient that rounding leaves off its bound, on its way from zeros. So that way is taken.
    """
    limit = config.get("max_iter", -1)
    how: dict[str, Any] = {"tol": config.get("tol", 1e-3), "max_iter": _MOST_STEPS if limit < 0 else limit}
    kernel = make_kernel(distances.values, gamma, work.space)
    even = machine.epsilon == 0 and abs(machine.high.sum() + machine.low.sum()) <= _ROUNDING * machine.high.sum()
    solution = solve(machine, kernel, start, **how, rounds=not even)
    b = rounded(solution.coefficients, machine.low, machine.high)
    if even and start.any() and ((b == machine.low) | (b == machine.high)).all():
        solution = solve(machine, kernel, np.zeros(len(b)), **how, rounds=False)
    return solution


def _gamma(work: _Work, gamma: float | str, mask: Bools) -> float:
    if not isinstance(gamma, str):
        return float(gamma)
    # The variance of all numbers together, from those of the columns.
    spread = float(work.variances[mask].mean() + work.means[mask].var()) if gamma == "scale" else 1.0
    return 1.0 / (int(mask.sum()) * spread) if spread else 1.0


def _machine(y: Floats, C: float, config: Mapping[str, Any], task: str) -> Machine:
    if task == "regression":
        bounds = np.full(len(y), C)
        return Machine(y, -bounds, bounds, float(config.get("epsilon", 0.1)))
    ones = y == 1
    bounds = np.full(len(y), C)
    if config.get("class_weight") == "balanced":
        bounds *= len(y) / (2 * np.where(ones, ones.sum(), (~ones).sum()))
    # libsvm has class 0 above 0; to take the same way, so has the machine.
    return Machine(np.where(ones, -1.0, 1.0), np.where(ones, -bounds, 0.0), np.where(ones, 0.0, bounds), 0.0)


def _start(solved: Sequence[_Solved], C: float, gamma: float, machine: Machine) -> Floats:
    """Return coefficients to start from: those of the most similar machine, in the same place between their bounds.

    Where gamma is small the kernel is close to linear, and C * gamma is what matters.
    """
    if not solved:
        return np.zeros(len(machine.target))

    def unlike(other: _Solved) -> float:
        return abs(math.log(C * gamma / (other.C * other.gamma))) + _GAMMA_COUNTS * abs(math.log(gamma / other.gamma))

    nearest = min(solved, key=unlike)
    ratio = (machine.high - machine.low) / (nearest.machine.high - nearest.machine.low)
    b = rounded(nearest.coefficients * ratio, machine.low, machine.high)
    more, less = b[b > 0].sum(), -b[b < 0].sum()
    if more > less * (1 + _ROUNDING):
        b[b > 0] *= less / more
    elif less > more * (1 + _ROUNDING):
        b[b < 0] *= more / less
    return b

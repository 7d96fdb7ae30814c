"""How much longer a search takes when the effects of sites are removed in every fold.

python benchmarks/bench_harmonise.py [n_subjects] [n_regions]
"""

import sys
import time
from dataclasses import replace

import _one_thread  # noqa: F401  (first: one thread a process)
import numpy as np

from cortax.learning.combat import Harmonisation
from cortax.learning.folds import make_folds
from cortax.learning.search import solvers
from cortax.learning.search.cells import Problem
from cortax.learning.search.front import fit_front
from cortax.learning.search.pipelines import PIPELINES
from cortax.learning.search.spaces import sample_configs

N_TARGETS, N_SITES, N_COVARIATES = 10, 8, 2


def problem_of(kind: str, n: int, p: int, *, missing: float) -> Problem:
    """Targets that all have the same subjects, or of whom each lacks a share of its own."""
    rng = np.random.default_rng(0)
    X, Y = rng.normal(size=(n, p)), rng.normal(size=(n, N_TARGETS))
    Y += X[:, :1]
    Y[rng.random(Y.shape) < missing] = np.nan
    sites = rng.integers(N_SITES, size=n)
    harmonise = Harmonisation.of(sites, rng.normal(size=(n, N_COVARIATES)), ["age", "sex"], "error")
    return Problem(
        X + sites[:, None],
        Y,
        ("regression",) * N_TARGETS,
        tuple(f"y{t}" for t in range(N_TARGETS)),
        make_folds(np.arange(n), n_outer=3, n_inner=3, seed=0),
        kind,
        {"regression": sample_configs(kind, "regression", 20, seed=0)},
        confounds=rng.normal(size=(n, 2)),
        harmonise=harmonise,
    )


def seconds(function, *arguments) -> float:
    """The less of two times."""
    took = []
    for _ in range(2):
        start = time.perf_counter()
        function(*arguments)
        took.append(time.perf_counter() - start)
    return min(took)


def main() -> None:
    """Print a line for each case."""
    n, p = (int(text) for text in (*sys.argv[1:], *("1000", "400")[len(sys.argv) - 1 :]))
    print(f"{n} subjects, {p} regions, {N_TARGETS} targets, {N_SITES} sites, {N_COVARIATES} preserved covariates")
    one = problem_of("ridge", n, p, missing=0.0)
    half = np.arange(n) < n // 2
    rows = np.flatnonzero(half), np.flatnonzero(~half)
    with_sites = seconds(fit_front, one.regions, one.confounds, *rows, one.harmonise)
    without = seconds(fit_front, one.regions, one.confounds, *rows)
    print(f"front end        without {without:.3f} s  with {with_sites:.3f} s  ratio {with_sites / without:.2f}")
    for kind, what, missing in (
        ("ridge", "same subjects", 0.0),
        ("ridge", "others missing", 0.05),
        ("elastic", "same subjects", 0.0),
    ):
        problem = problem_of(kind, n, p, missing=missing)
        solvers.warm_up(problem, PIPELINES[kind])
        without = seconds(solvers.search, replace(problem, harmonise=None), PIPELINES[kind])
        with_sites = seconds(solvers.search, problem, PIPELINES[kind])
        ratio = with_sites / without
        print(f"{kind:8}{what:15} without {without:.2f} s  with {with_sites:.2f} s  ratio {ratio:.2f}")


if __name__ == "__main__":
    main()

"""Ridge regression: one factorisation per training set for all penalties and all targets.

With at least as many rows as columns the Gram matrix is factorised, else the kernel of the rows: into a
tridiagonal matrix or its eigenvectors, which serve every penalty, or by Cholesky for a single one. All are direct:
there is nothing to converge, so a configuration's `tol` and `max_iter` are accepted and change nothing.
"""

from __future__ import annotations

import contextlib
import math
from typing import Any

import numpy as np
from scipy import linalg
from scipy.linalg import lapack

from cortax.learning.arrays import Floats
from cortax.learning.search.cells import Configs
from cortax.learning.search.registry import Allowed, refusal
from cortax.learning.search.training import Fits, TrainingSet

__all__ = ["TOGETHER", "fit", "unable"]

# Targets share everything: all of them make one batch.
TOGETHER: int | None = None

# A factorisation for every penalty costs about as much as this many Cholesky factorisations.
_CHOLESKYS = 8

# With more solutions than so many times m, an eigendecomposition pays: it is slow to make and quick to use.
_MANY = 3

# How much larger than the median a column's sum of squares may be.
_LARGE = 1e5

# Numbers in the solutions that are held at a time: 128 MiB.
_BLOCK = 2**24

_NOT_FINITE = "Input y contains NaN or infinity."

_ALLOWED: Allowed = {
    "alpha": lambda value: isinstance(value, int | float) and 0 < value < math.inf,
    "tol": lambda value: isinstance(value, int | float) and 0 <= value < math.inf,
    "max_iter": lambda value: value is None or (isinstance(value, int) and value >= 1),
}


def unable(task: str, configs: Configs) -> str:
    """See `registry`: without a penalty, the answer for columns that depend on each other is a matter of rounding."""
    return refusal(configs, _ALLOWED) if task == "regression" else f"only regression, not {task!r}"


def fit(part: TrainingSet, Y: Floats, configs: Configs, *, coefficients: bool = False, **_: Any) -> Fits:
    """Fit every penalty to every target, as scikit-learn's `Ridge` does; see `registry`.

    A target with NaN or infinity fails, alone; where the training set overflows, every fit does. Memory, beyond
    training set and result, with m = min(n_train, n_regions): five matrices of (m, m), one of (n_valid, m), 256 MiB.
    """
    alphas = np.array([float(config.get("alpha", 1.0)) for config in configs])
    shape = Y.shape[1], len(alphas)
    decisions = np.empty((*shape, len(part.valid)))
    weights = np.full((*shape, part.n_regions), np.nan) if coefficients else None
    finite = np.asarray(np.isfinite(Y).all(axis=0))
    errors: dict[int, Exception] = dict.fromkeys(map(int, np.flatnonzero(~finite)), ValueError(_NOT_FINITE))
    good, means = np.flatnonzero(finite), np.full(Y.shape[1], np.nan)
    means[good] = Y[:, good].mean(axis=0)
    size = max(1, _BLOCK // (len(alphas) * min(len(part.train), part.n_regions)))
    for start in range(0, len(good), size):
        some = good[start : start + size]
        try:
            solutions = _solve(part, Y[:, some], alphas)
        except (np.linalg.LinAlgError, ValueError) as error:
            errors |= dict.fromkeys(map(int, some), error)
            continue
        predicted, found = _predict(part, solutions, coefficients=coefficients)
        predicted += means[some, None, None]
        decisions[some] = predicted
        if weights is not None:
            weights[some] = found
    decisions[list(errors)] = np.nan
    intercepts = None if weights is None else means[:, None] - weights @ part.means
    failures = tuple((t, number, error) for t, error in sorted(errors.items()) for number in range(len(alphas)))
    counts = np.zeros((2, *shape), dtype=np.int64)
    return Fits(decisions, counts[0], counts[1], False, weights, intercepts, failures)


def _tall(part: TrainingSet) -> bool:
    return len(part.train) >= part.n_regions


def _solve(part: TrainingSet, Y: Floats, alphas: Floats) -> Floats:
    """Solve (S + alpha I) b = r, S the Gram matrix or the kernel; of shape (n_targets, n_alphas, m)."""
    square = part.gram if _tall(part) else part.once("ridge.kernel", lambda: _kernel(part))
    right = part.cross(Y) if _tall(part) else Y - Y.mean(axis=0)
    known, n_solutions = part.shared, len(alphas) * right.shape[1]
    if _tall(part) and _graded(square):
        with contextlib.suppress(np.linalg.LinAlgError):
            return np.stack([_cholesky(square, alpha, right) for alpha in alphas], axis=1)
    if "ridge.eigen" in known or n_solutions > _MANY * len(right) or alphas.min() < _rounding(square):
        return _by_eigen(part, square, right, alphas)
    known["ridge.penalties"] = known.get("ridge.penalties", 0) + len(alphas)
    if "ridge.tridiagonal" not in known and known["ridge.penalties"] <= _CHOLESKYS:
        return np.stack([_cholesky(square, alpha, right) for alpha in alphas], axis=1)
    return _by_tridiagonal(part.once("ridge.tridiagonal", lambda: _tridiagonal(square)), right, alphas)


def _graded(square: Floats) -> bool:
    """Whether some columns are so large that only Cholesky, which no scaling impairs, is accurate for the others."""
    sizes = np.diag(square)
    sizes = sizes[sizes > 0]
    return len(sizes) > 0 and bool(sizes.max() > _LARGE * np.median(sizes))


def _rounding(square: Floats) -> float:
    return float(8 * np.finfo(np.float64).eps * np.trace(square))


def _by_eigen(part: TrainingSet, square: Floats, right: Floats, alphas: Floats) -> Floats:
    values, vectors = part.once("ridge.eigen", lambda: linalg.eigh(square, driver="evd"))
    limit = _rounding(square)
    filters = 1 / (np.maximum(values, 0.0) + alphas[:, None])
    # The smallest coefficients, where a penalty is too small to choose any.
    filters[(values <= limit) & (alphas[:, None] < limit)] = 0.0
    rotated = (vectors.T @ right).T[:, None, :] * filters
    return np.asarray(rotated @ vectors.T)


def _tridiagonal(square: Floats) -> tuple[Floats, ...]:
    """Return reflectors (two arrays), diagonal and off-diagonal of a tridiagonal matrix similar to a symmetric one.

    It serves every penalty as an eigendecomposition does, at half the cost or less; it is slower to use.
    """
    size, _ = lapack.dsytrd_lwork(len(square), lower=1)
    reflectors, diagonal, beside, factors, _ = lapack.dsytrd(square, lower=1, lwork=int(size))
    beside = np.resize(beside, max(1, len(beside)))  # LAPACK will have one of them at least
    return reflectors[1:, :-1], factors, diagonal, beside


def _by_tridiagonal(tridiagonal: tuple[Floats, ...], right: Floats, alphas: Floats) -> Floats:
    reflectors, factors, diagonal, beside = tridiagonal
    turned = _turn(reflectors, factors, right, "T")
    solved = np.empty((len(alphas), *right.T.shape))
    for number, alpha in enumerate(alphas):
        _, _, found, failed = lapack.dptsv(diagonal + alpha, beside, turned)
        if failed:
            raise np.linalg.LinAlgError("a matrix with a penalty is not positive definite")
        solved[number] = found.T
    flat = solved.reshape(-1, len(diagonal)).T
    return _turn(reflectors, factors, flat, "N").T.reshape(solved.shape).transpose(1, 0, 2)


def _turn(reflectors: Floats, factors: Floats, vectors: Floats, trans: str) -> Floats:
    """Multiply vectors of shape (m, k) with the orthogonal matrix that made the matrix tridiagonal, or its inverse."""
    turned = np.array(vectors, order="F")
    if len(factors):
        # Its first row and column are those of the identity.
        _, size, _ = lapack.dormqr("L", trans, reflectors, factors, turned[1:], -1)
        turned[1:], _, _ = lapack.dormqr("L", trans, reflectors, factors, turned[1:], int(size[0]))
    return turned


def _cholesky(square: Floats, alpha: float, right: Floats) -> Floats:
    penalised = square.copy()
    penalised.flat[:: len(square) + 1] += alpha
    factor = linalg.cho_factor(penalised, lower=True, overwrite_a=True)
    return np.asarray(linalg.cho_solve(factor, right).T)


def _kernel(part: TrainingSet) -> Floats:
    """Inner products of the training rows, of shape (n_train, n_train)."""
    rows = part.centred()
    return np.asarray(rows @ rows.T)


def _predict(part: TrainingSet, solutions: Floats, *, coefficients: bool) -> tuple[Floats, Floats | None]:
    """Return what is predicted beyond the mean, of shape (n_targets, n_alphas, n_valid), and coefficients if wanted."""
    flat = solutions.reshape(-1, solutions.shape[2])
    weights: Floats | None = flat
    if not _tall(part):
        # Many solutions share the products of the rows to predict with the rows to train on.
        few = coefficients or len(flat) < len(part.valid) / 2
        weights = flat @ part.centred() if few else None
    if weights is not None:
        predicted = _project(part, weights)
    else:
        predicted = flat @ part.once("ridge.between", lambda: _project(part, part.centred()))
    shape = solutions.shape[:2]
    found = weights.reshape(*shape, -1) if coefficients and weights is not None else None
    return predicted.reshape(*shape, -1), found


def _project(part: TrainingSet, weights: Floats) -> Floats:
    found = part.project(weights)
    found -= (weights @ part.means)[:, None]
    return found

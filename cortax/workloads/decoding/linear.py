"""Linear decoders of one training set, for all configurations at once, from the products of its trials alone.

The weights of all of them are sums of training trials, w = sum_i A_i z_i, so that with K_ij = z_i'z_j no decoder looks
at columns again: thousands of columns cost one product. Several classes are told one from the rest, but for LDA.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.linalg import eigh

from cortax.errors import SearchError
from cortax.learning.arrays import Floats, Ints
from cortax.learning.search.linear.logistic_loss import Classes, Penalty
from cortax.learning.search.linear.logistic_ridge import RidgeFit, Rotation, fit_rotated
from cortax.workloads.decoding.hinge import hinge_path

__all__ = ["LINEAR", "DualFits", "TrainingProducts", "compile_decoders", "n_outputs", "vote", "warm_up"]

# Of the logistic loss: the smallest gradient, relative to that at 0, and the number of steps.
_TOL, _MAX_ITER = 1e-8, 10_000


@dataclass(frozen=True, eq=False)
class TrainingProducts:
    """What decoders see of a training set.

    Attributes
    ----------
    K : float64 array of shape (n_train, n_train)
        Products of its trials, whose columns have mean 0 and standard deviation 1.
    y : int or float64 array of shape (n_train,)
        Classes 0, 1, ..., each with a trial; or continuous labels.
    n_classes : int
        0 where labels are continuous.
    n_columns : int
        How many were selected.
    """

    K: Floats
    y: Floats | Ints
    n_classes: int
    n_columns: int


@dataclass(frozen=True, eq=False)
class DualFits:
    """Decoders of one training set.

    Attributes
    ----------
    A : float64 array of shape (n_configs, n_outputs, n_train)
        Weights are A @ Z.
    b : float64 array of shape (n_configs, n_outputs)
        Intercepts.
    """

    A: Floats
    b: Floats


def n_outputs(n_classes: int) -> int:
    """Return how many decision values there are.

    One for two classes, above 0 for the second; else one a class. Of continuous labels, which have no classes, one: the
    prediction.
    """
    return n_classes if n_classes > 2 else 1


def vote(decisions: Floats) -> Ints:
    """Return the class of each row of decisions of shape (..., n_outputs); of equal ones, the first."""
    if decisions.shape[-1] == 1:
        return np.asarray(decisions[..., 0] > 0, dtype=np.int64)
    return np.asarray(decisions.argmax(axis=-1))


def _targets(part: TrainingProducts) -> list[Ints]:
    """Return for each output which trials are of its class."""
    chosen = [1] if part.n_classes == 2 else range(part.n_classes)
    return [part.y == number for number in chosen]


def fit_svm(part: TrainingProducts, penalties: Sequence[float]) -> DualFits:
    """Fit `LinearSVC(loss="hinge", C=C)` for rising C; see `hinge_path`."""
    grid = np.array(penalties, dtype=np.float64)
    paths = [hinge_path(part.K, np.where(ones, 1.0, -1.0), grid) for ones in _targets(part)]
    if not all(converged for _, converged in paths):
        raise SearchError(f"support vector machines of {len(part.y)} trials did not converge; use smaller C")
    A = np.stack([found for found, _ in paths], axis=1)
    return DualFits(A, A.sum(axis=2))


def fit_logistic(part: TrainingProducts, penalties: Sequence[float]) -> DualFits:
    """Fit `LogisticRegression(C=C)`: C * sum of log losses + |w|^2 / 2, with a free intercept."""
    squares, vectors = _directions(part.K)
    roots = np.sqrt(squares)
    # Columns have mean 0: so have their products.
    rotated = Rotation(np.ascontiguousarray((vectors * roots).T), squares, vectors / roots, np.zeros(len(part.y)))
    ones = np.ones(len(part.y))
    fits = [
        [RidgeFit(Classes(y.astype(np.float64), ones), Penalty(0.0, 1 / C, _TOL, _MAX_ITER)) for y in _targets(part)]
        for C in penalties
    ]
    fit_rotated(rotated, [fit for of_config in fits for fit in of_config])
    A = np.array([[rotated.back @ fit.coef for fit in of_config] for of_config in fits])
    return DualFits(A, np.array([[fit.intercept for fit in of_config] for of_config in fits]))


def _directions(K: Floats) -> tuple[Floats, Floats]:
    """Return the eigenvalues of products, and the eigenvectors of those that are above rounding."""
    squares, vectors = eigh(K)
    kept = squares > len(squares) * np.finfo(np.float64).eps * max(float(squares[-1]), 0.0)
    return squares[kept], vectors[:, kept]


def fit_ridge(part: TrainingProducts, alphas: Sequence[float]) -> DualFits:
    """Fit `Ridge(alpha)`: |y - b - Zw|^2 + alpha |w|^2, so that A = (K + alpha I)^-1 (y - b) and b is the mean of y.

    One factorisation, K = V diag(s) V', serves all penalties.
    """
    squares, vectors = _directions(part.K)
    mean = float(part.y.mean())
    rotated = vectors.T @ (part.y - mean)
    shrunk = rotated / (squares + np.array(alphas)[:, None])  # (n_alphas, n_directions)
    return DualFits((shrunk @ vectors.T)[:, None], np.full((len(alphas), 1), mean))


def fit_lda(part: TrainingProducts, shrinkages: Sequence[float]) -> DualFits:
    """Fit `LinearDiscriminantAnalysis(solver="lsqr", shrinkage=s)`.

    The covariance is (1 - s) S + s tr(S) / p I, S that within classes, and a class's weights are its inverse times the
    class's mean: by Woodbury's identity, a system of the size of the training set.
    """
    n, counts = len(part.y), np.bincount(part.y, minlength=part.n_classes)
    members = part.y[None] == np.arange(part.n_classes)[:, None]
    means = members / counts[:, None]  # (n_classes, n_train): each class's mean as a sum of trials
    centre = np.eye(n) - members.T @ means  # takes each class's mean off its trials
    squares, vectors = eigh(centre @ part.K @ centre.T)
    squares = np.clip(squares, 0.0, None)
    spread = squares.sum() / (n * part.n_columns)
    products = centre @ part.K @ means.T  # (n_train, n_classes)
    A, b = [], []
    for shrinkage in shrinkages:
        ridge = shrinkage * spread
        inner = vectors * ((1 - shrinkage) / ((1 - shrinkage) * squares + n * ridge)) @ vectors.T
        weights = (means - (centre.T @ (inner @ products)).T) / ridge
        A.append(weights)
        b.append(-0.5 * np.einsum("cn,cn->c", means @ part.K, weights) + np.log(counts / n))
    return _two_as_one(DualFits(np.array(A), np.array(b)))


def _two_as_one(fits: DualFits) -> DualFits:
    if fits.A.shape[1] != 2:
        return fits
    return DualFits(fits.A[:, 1:] - fits.A[:, :1], fits.b[:, 1:] - fits.b[:, :1])


LINEAR: dict[str, Callable[[TrainingProducts, Sequence[float]], DualFits]] = {
    "svm": fit_svm,
    "logistic": fit_logistic,
    "lda": fit_lda,
    "ridge": fit_ridge,
}


def warm_up(kind: str) -> None:
    """Compile what a kind of decoder needs, once and before workers are forked."""
    values = np.array([-1.0, -0.5, 0.5, 1.0])
    LINEAR[kind](TrainingProducts(np.outer(values, values), np.array([0, 0, 1, 1]), 2, 1), [0.5])


def compile_decoders() -> None:
    """See `Workload`."""
    for kind in LINEAR:
        warm_up(kind)

"""Gram matrices of training sets that differ by few rows, from one pass over what they share.

Every target lacks the values of some subjects of its own, so every target has training sets of its own. They are
one pool of rows less a few: what is summed over rows is summed over the pool once, and a target's rows are taken
off. Removal of confounds and scaling are algebra on these sums, and quantiles are looked for among the few values
that may have changed places. The answers are those of `front.fit_front` but for rounding; columns for which that
cannot be promised go its way.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy import linalg

from cortax.learning.arrays import Bools, Floats, Ints
from cortax.learning.confounds import ConfoundRegressor
from cortax.learning.search.front import Front, fit_front, moved_quantiles

__all__ = ["Pool", "Statistics", "make_pool", "make_statistics"]

# What must be left of the root mean square of a column without its mean and what confounds explain of it.
_LEFT = 1e-7
# What must be left of its sum of squares without the rows that a target lacks.
_KEPT = 1e-2
# What must be left of the confounds' variance, in any direction, without these rows.
_SPREAD = 1e-2
# How nearly confounds may depend on each other: the least singular value of them standardised, to the largest.
_DEPENDENT = 1e-5
# Fewer rows than this are quicker done one training set at a time.
_FEW = 20
# Columns that are sorted at a time.
_BLOCK = 64


@dataclass(frozen=True, eq=False)
class Pool:
    """The rows that some training sets are taken from, and those that they predict."""

    regions: npt.NDArray[Any]  # of the problem
    confounds: Floats | None
    train: Ints  # row numbers in the problem
    valid: Ints
    # (n_regions,): columns that must be left to `fit_front`, with missing values or nothing but rounding left in Z
    hard: Bools
    # (n_train + n_valid, n_regions): columns less their means, and less what confounds explain of them, over the
    # training rows; hard ones are 0
    Z: Floats
    # (n_train + n_valid, 1 + rank): ones, and the space of the confounds, uncorrelated, of mean 0 and variance 1 over
    # the training rows
    W: Floats
    explained: Floats  # (1 + rank, n_regions): the columns are Z + W @ explained
    basis: Floats  # (n_confounds, rank): W is (confounds - confound_means) @ basis, after the ones
    confound_means: Floats  # (n_confounds,)

    @functools.cached_property
    def squares(self) -> Floats:
        """Z'Z over the training rows."""
        Z = self.Z[: len(self.train)]
        return np.asarray(Z.T @ Z)

    @functools.cached_property
    def lengths(self) -> Floats:
        """The diagonal of squares."""
        Z = self.Z[: len(self.train)]
        return np.asarray(np.einsum("ij,ij->j", Z, Z))

    @functools.cached_property
    def order(self) -> tuple[Floats, npt.NDArray[np.int32], npt.NDArray[np.int32]]:
        """Sorted training values of Z, their rows, and the rows' places; of shape (n_regions, n_train) each."""
        n, n_regions = len(self.train), self.Z.shape[1]
        values = np.empty((n_regions, n))
        rows, places = np.empty((2, n_regions, n), dtype=np.int32)
        numbers = np.arange(n, dtype=np.int32)[None]
        for start in range(0, n_regions, _BLOCK):
            block = slice(start, start + _BLOCK)
            columns = np.ascontiguousarray(self.Z[:n, block].T)
            order = columns.argsort(axis=1)
            rows[block], values[block] = order, np.take_along_axis(columns, order, axis=1)
            np.put_along_axis(places[block], order, numbers, axis=1)
        return values, rows, places

    @functools.cached_property
    def reach(self) -> float:
        """The length of the longest training row of W without the ones."""
        return float(np.sqrt((self.W[: len(self.train), 1:] ** 2).sum(axis=1).max()))


def make_pool(regions: npt.NDArray[Any], confounds: Floats | None, train: Ints, valid: Ints) -> Pool | None:
    """Return a pool, or None where its training sets must be made one by one.

    They must be with few rows, where confounds are missing or nearly depend on each other, and where a quarter of the
    columns is hard. Memory: the regions of the rows in float64, later 16 bytes more a number of the training rows, and
    a matrix of (n_regions, n_regions) if a Gram matrix is asked for.

    Parameters
    ----------
    regions : float array of shape (n_subjects, n_regions)
        NaN is missing; nothing is infinite.
    confounds : float64 array of shape (n_subjects, n_confounds), or None
    train, valid : int arrays
        Row numbers.
    """
    n, rows = len(train), np.r_[train, valid]
    if n < _FEW:
        return None
    C = np.zeros((len(rows), 0)) if confounds is None else confounds[rows]
    space = _space(C[:n]) if np.isfinite(C).all() else None
    if space is None:
        return None
    means, basis = space
    W = np.column_stack([np.ones(len(rows)), (C - means) @ basis])
    Z = np.asarray(regions[rows], dtype=np.float64)
    hard = np.isnan(Z).any(axis=0)
    Z[:, hard] = 0.0
    size = np.sqrt(np.mean(Z[:n] ** 2, axis=0))
    explained = np.zeros((W.shape[1], Z.shape[1]))
    # Twice: far from 0, the first time leaves some of the mean behind.
    for _ in range(2):
        more = W[:n].T @ Z[:n] / n
        Z -= W @ more
        explained += more
    hard |= np.sqrt(np.mean(Z[:n] ** 2, axis=0)) <= _LEFT * size
    Z[:, hard] = 0.0
    return None if _too_many(hard) else Pool(regions, confounds, train, valid, hard, Z, W, explained, basis, means)


def _too_many(hard: Bools) -> bool:
    return bool(hard.sum() > len(hard) / 4)


def _space(C: Floats) -> tuple[Floats, Floats] | None:
    """Return the means of confounds, and a basis in which they are uncorrelated and of variance 1."""
    n, means = len(C), C.mean(axis=0)
    if not C.shape[1]:
        return means, np.zeros((0, 0))
    centred = C - means
    _, spread, axes = np.linalg.svd(centred, full_matrices=False)
    # As lstsq has it, which ConfoundRegressor uses; whoever is close to its limit is not for us.
    limit = spread[0] * np.finfo(np.float64).eps * max(C.shape)
    rank = int((spread > limit).sum())
    rounding = 10 * np.finfo(np.float64).eps
    if (spread[:rank] < 1e3 * limit).any() or (spread[rank:] > rounding * spread[0]).any():
        return None
    if rank < C.shape[1] and _nearly_dependent(centred, rounding):
        return None
    # The smallest coefficients that fit lie in the space of the rows.
    basis = axes[:rank].T if rank < C.shape[1] else np.eye(rank)
    basis = basis / np.sqrt(np.mean((centred @ basis) ** 2, axis=0))
    _, spread, axes = np.linalg.svd(centred @ basis, full_matrices=False)
    if rank and spread[-1] < _DEPENDENT * spread[0]:
        return None
    return means, basis @ (axes.T * (np.sqrt(n) / spread))


def _nearly_dependent(centred: Floats, rounding: float) -> bool:
    """Whether confounds depend on each other so nearly that rounding decides what they explain."""
    sizes = np.sqrt(np.mean(centred**2, axis=0))
    varying = sizes > rounding * sizes.max()
    spread = np.linalg.svd(centred[:, varying] / sizes[varying], compute_uv=False)
    return bool(((spread > rounding * spread[0]) & (spread < _DEPENDENT * spread[0])).any())


@dataclass(frozen=True, eq=False)
class Statistics:
    """What is known of one training set without its rows."""

    pool: Pool
    kept: Bools  # (n_train,): rows of the pool to train on
    shown: Bools  # (n_valid,): rows of the pool to predict
    change: Floats  # (1 + rank, n_regions): columns without confounds, over the rows kept, are Z - W @ change
    half: Floats  # (1 + rank, n_regions): half'half is what confounds and means explain of Z'Z over the rows kept
    hard: Ints  # (n_hard,): columns made by `fit_front`
    hard_train: Floats  # (n_kept, n_hard): these columns less their means
    hard_valid: Floats  # (n_shown, n_hard): these columns
    center: Floats  # (n_regions,): median of what is left of the columns; 0 for hard ones
    per_unit: Floats  # (n_regions,): 1 / scale; 0 for hard columns
    front: Front
    means: Floats  # (n_regions,)

    @functools.cached_property
    def gram(self) -> Floats:
        """Products of the centred columns, of shape (n_regions, n_regions)."""
        n = len(self.kept)
        if 2 * len(self.hard_train) > n:
            gone = self.pool.Z[:n][~self.kept]
            found = self.pool.squares - gone.T @ gone
        else:
            rows = self.pool.Z[:n][self.kept]
            found = rows.T @ rows
        found -= self.half.T @ self.half
        # In this order it is symmetric to the bit.
        found *= np.outer(self.per_unit, self.per_unit)
        if len(self.hard):
            rows = self.cross(self.hard_train)
            found[:, self.hard], found[self.hard] = rows, rows.T
            found[np.ix_(self.hard, self.hard)] = self.hard_train.T @ self.hard_train
        return found

    def centred(self) -> Floats:
        """Return the training columns less their means, of shape (n_train, n_regions)."""
        n = len(self.kept)
        found = self.pool.Z[:n][self.kept]
        found -= self.pool.W[:n][self.kept] @ self.change
        found *= self.per_unit
        found[:, self.hard] = self.hard_train
        return found

    def cross(self, Y: Floats) -> Floats:
        """Return products of the centred columns with targets of shape (n_train, n_targets)."""
        centred = Y - Y.mean(axis=0)
        n = len(self.kept)
        spread = np.zeros((n, Y.shape[1]))
        spread[self.kept] = centred
        products = self.pool.Z[:n].T @ spread - self.change.T @ (self.pool.W[:n].T @ spread)
        found = np.asarray(products * self.per_unit[:, None])
        found[self.hard] = self.hard_train.T @ centred
        return found

    def project(self, weights: Floats) -> Floats:
        """Return weights of shape (k, n_regions) times the columns to predict from, of shape (k, n_valid)."""
        n, scaled = len(self.pool.train), weights * self.per_unit
        beside = -(scaled @ self.change.T)
        beside[:, 0] -= scaled @ self.center
        found = scaled @ self.pool.Z[n:].T
        found += beside @ self.pool.W[n:].T
        found = found[:, np.flatnonzero(self.shown)]
        if len(self.hard):
            found += weights[:, self.hard] @ self.hard_valid.T
        return np.asarray(found)


def make_statistics(pool: Pool, kept: Bools, shown: Bools) -> Statistics | None:
    """Return what is known of a training set, or None where it must be made by itself.

    It must be with few rows, where a confound varies in few rows but those that are lacking, and where a quarter of the
    columns is hard. See `Statistics` for the parameters.
    """
    n, n_kept = len(kept), int(kept.sum())
    W, Z = pool.W[:n], pool.Z[:n]
    inner = W[kept].T @ W[kept]
    if n_kept < _FEW or _narrow(inner, n_kept):
        return None
    # Over all rows W'Z is 0, and taking few off is quicker than adding many.
    taken = kept if n_kept <= n / 2 else ~kept
    rows = Z[taken]
    sums, squares = W[taken].T @ rows, np.einsum("ij,ij->j", rows, rows)
    before = squares
    if taken is not kept:
        before = pool.lengths
        sums, squares = -sums, before - squares
    # Least squares on what confounds explain of the rows kept.
    root = linalg.cholesky(inner, lower=True)
    half = linalg.solve_triangular(root, sums, lower=True)
    change = linalg.solve_triangular(root, half, lower=True, trans="T")
    center, scale = moved_quantiles(pool.order, kept, pool.W, change, pool.reach)
    squares = np.maximum(squares - np.einsum("ij,ij->j", half, half), 0.0)
    hard = pool.hard | (squares <= _KEPT * before) | (scale <= _LEFT * np.sqrt(squares / n_kept))
    if _too_many(hard):
        return None
    return _with_hard(pool, kept, shown, change, half, center, scale, hard)


def _narrow(inner: Floats, n: int) -> bool:
    means = inner[0, 1:] / n
    covariance = inner[1:, 1:] / n - np.outer(means, means)
    return bool(len(means) and np.linalg.eigvalsh(covariance)[0] < _SPREAD)


def _with_hard(
    pool: Pool, kept: Bools, shown: Bools, change: Floats, half: Floats, center: Floats, scale: Floats, hard: Bools
) -> Statistics:
    """Scale what is left of the columns, and put in those that are made by `fit_front`."""
    columns = np.flatnonzero(hard)
    per_unit = np.where(hard, 0.0, 1 / np.where(hard, 1.0, scale))
    middle = np.where(hard, 0.0, center)
    means = -middle * per_unit
    total = pool.explained + change
    regressor = None
    if pool.confounds is None or not pool.confounds.shape[1]:
        center = center + total[0]
    else:
        regressor = _regressor(pool, total)
    train, valid = pool.train[kept], pool.valid[shown]
    hard_train, hard_valid = np.empty((len(train), 0)), np.empty((len(valid), 0))
    if len(columns):
        fitted, hard_train, hard_valid = fit_front(pool.regions[:, columns], pool.confounds, train, valid)
        means[columns] = hard_train.mean(axis=0)
        hard_train -= means[columns]
        center[columns], scale[columns] = fitted.center, fitted.scale
        if regressor is not None and fitted.regressor is not None:
            for name in ("coef_", "intercept_", "explained_"):
                getattr(regressor, name)[..., columns] = getattr(fitted.regressor, name)
    front = Front(regressor, center, scale)
    return Statistics(pool, kept, shown, change, half, columns, hard_train, hard_valid, middle, per_unit, front, means)


def _regressor(pool: Pool, total: Floats) -> ConfoundRegressor:
    """Say W @ total in terms of the confounds."""
    made = ConfoundRegressor(len(pool.basis))
    made.coef_ = pool.basis @ total[1:]
    made.intercept_ = total[0] - pool.confound_means @ made.coef_
    made.explained_ = np.zeros(total.shape[1], dtype=bool)
    made.n_features_in_ = total.shape[1] + len(pool.basis)
    return made

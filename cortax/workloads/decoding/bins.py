"""Decoders of one bin: nested folds, a grid of configurations, and what each outer fold learns.

Selection, scaling and decoders are learnt on training trials alone. Where nothing is selected, a training set tells
nothing but its labels: the most frequent class or the mean label is predicted, and such sets are counted.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from cortax.learning.arrays import Bools, Floats, Ints
from cortax.learning.folds import Folds
from cortax.workloads.decoding.folds import count_classes
from cortax.workloads.decoding.linear import LINEAR, DualFits, TrainingProducts, n_outputs, vote
from cortax.workloads.decoding.selection import SetStatistics, set_statistics

__all__ = ["EQUAL", "BinFit", "DecoderOptions", "choose_config", "fit_bin", "score_votes", "skill", "training_sets"]

# Mean scores that differ by no more are equal but for the order in which they were added.
EQUAL = 1e-12


@dataclass(frozen=True)
class DecoderOptions:
    """How a bin is decoded.

    Attributes
    ----------
    kind : {"svm", "logistic", "lda", "ridge", "sklearn"}
    configs : tuple
        What inner folds choose from, in the order in which a tie is won.
    select : float, optional
        See `set_statistics`.
    scoring : {"accuracy", "balanced_accuracy", "r2"}
        Of inner folds; "r2" of kind "ridge".
    plain : bool
        Whether scikit-learn fits every configuration; so it does for kind "sklearn".
    estimator : str
        "module:Class", of kind "sklearn".
    seed : int
        Of estimators that draw.
    """

    kind: str
    configs: tuple[Any, ...]
    select: float | None
    scoring: str
    plain: bool
    estimator: str | None
    seed: int


@dataclass(frozen=True, eq=False)
class BinFit:
    """What the outer folds of a bin learnt.

    Attributes
    ----------
    chosen : int array of shape (n_outer,)
        Number of the configuration.
    scores : float64 array of shape (n_outer, n_inner, n_configs)
        Of inner folds; NaN where an estimator could not be fitted.
    n_selected : int array of shape (n_outer,)
        Columns that each outer training set kept.
    n_empty : int
        Outer and inner training sets that kept none.
    weights : float64 array of shape (n_columns, n_outer, n_outputs)
        Of columns as they are, not scaled; empty where scikit-learn's estimators decode.
    intercepts : float64 array of shape (n_outer, n_outputs)
    patterns : float64 array of shape (n_columns, n_outputs)
        Activation patterns (Haufe et al. 2014, NeuroImage 87, 96-110) of outputs s scaled to a standard deviation of 1,
        cov(x, s) / sd(s) over the trials of the training set, mean over outer folds.
    """

    chosen: Ints
    scores: Floats
    n_selected: Ints
    n_empty: int
    weights: Floats
    intercepts: Floats
    patterns: Floats


def training_sets(folds: Folds) -> Bools:
    """Return all training sets: each outer one followed by its inner ones; (n_outer * (1 + n_inner), n_trials)."""
    sets = [np.concatenate([~test[None], ~test & ~valid]) for test, valid in zip(folds.test, folds.valid, strict=True)]
    return np.concatenate(sets)


def score_votes(votes: Ints, y: Ints, scoring: str) -> Floats:
    """Return the share of trials, or the mean over classes of their shares, whose vote is right.

    Parameters
    ----------
    votes : int array of shape (..., n_trials)
    y : int array of shape (n_trials,)
    scoring : {"accuracy", "balanced_accuracy"}
    """
    right = votes == y
    if scoring == "accuracy":
        return np.asarray(right.mean(axis=-1))
    shares = [right[..., y == number].mean(axis=-1) for number in np.unique(y)]
    return np.asarray(np.mean(shares, axis=0))


def skill(predicted: Floats, y: Floats) -> Floats:
    """Return R2, 1 - sum of (y - predicted)^2 / sum of (y - mean)^2.

    Parameters
    ----------
    predicted : float64 array of shape (..., n_trials)
    y : float64 array of shape (n_trials,)
        Not all equal.
    """
    return np.asarray(1 - ((y - predicted) ** 2).sum(axis=-1) / ((y - y.mean()) ** 2).sum())


def choose_config(scores: Floats) -> int:
    """Return the first configuration whose mean over inner folds is best; scores of shape (n_inner, n_configs).

    One with a NaN is out; -1 if all are.
    """
    means = scores.mean(axis=0)
    if np.isnan(means).all():
        return -1
    return int(np.flatnonzero(means >= np.nanmax(means) - EQUAL)[0])


def fit_bin(X: Floats, y: Floats | Ints, folds: Folds, options: DecoderOptions) -> BinFit:
    """Choose and fit a linear decoder for each outer fold.

    Parameters
    ----------
    X : float64 array of shape (n_trials, n_columns)
        Finite; what the training phase has in the bin.
    y : int or float64 array of shape (n_trials,)
        Classes 0, 1, ...; or continuous labels, of kind "ridge".
    folds : Folds
        Of the trials; every part has every class, or two different labels.
    options : DecoderOptions
        Of a kind in `LINEAR`.

    Raises
    ------
    SearchError
        A solver did not converge.
    """
    sets = training_sets(folds)
    found = set_statistics(X, y, sets, options.select)
    maker = _Maker(np.ascontiguousarray(X.T), y, sets, found, options)
    n_outer, n_inner = folds.n_outer, folds.n_inner
    scores = np.empty((n_outer, n_inner, len(options.configs)))
    chosen = np.empty(n_outer, dtype=np.int64)
    weights = np.zeros((X.shape[1], n_outer, n_outputs(maker.n_classes)))
    intercepts = np.empty(weights.shape[1:])
    for outer in range(n_outer):
        first = outer * (1 + n_inner)
        for inner, valid in enumerate(folds.valid[outer]):
            scores[outer, inner] = _score(maker.decide(first + 1 + inner, valid), y[valid], options.scoring)
        chosen[outer] = choose_config(scores[outer])
        weights[:, outer], intercepts[outer] = maker.weigh(first, int(chosen[outer]))
    patterns = _patterns(X, ~folds.test, weights)
    n_selected = found.keep.sum(axis=1)[:: 1 + n_inner]
    return BinFit(chosen, scores, n_selected, int((~found.keep.any(axis=1)).sum()), weights, intercepts, patterns)


def _score(decisions: Floats, y: Floats | Ints, scoring: str) -> Floats:
    """Score decisions of shape (n_configs, n_trials, n_outputs)."""
    if count_classes(y):
        return score_votes(vote(decisions), y.astype(np.int64), scoring)
    return skill(decisions[..., 0], y.astype(np.float64))


@dataclass(frozen=True, eq=False)
class _Maker:
    """Fits decoders to any of the training sets of a bin."""

    XT: Floats  # (n_columns, n_trials)
    y: Floats | Ints
    sets: Bools
    found: SetStatistics
    options: DecoderOptions

    @property
    def n_classes(self) -> int:
        return count_classes(self.y)

    def decide(self, number: int, valid: Bools) -> Floats:
        """Return what every configuration decides about some trials: (n_configs, n_valid, n_outputs)."""
        rows, Z = np.flatnonzero(self.sets[number]), self._scaled(number)
        if not len(Z):
            return np.tile(self._nothing_known(rows), (len(self.options.configs), int(valid.sum()), 1))
        products = Z.T @ Z
        fits = self._fit(products[np.ix_(rows, rows)], rows, len(Z), self.options.configs)
        decided = np.einsum("con,vn->cvo", fits.A, products[np.ix_(valid, rows)], optimize=True)
        return np.asarray(decided + fits.b[:, None])

    def weigh(self, number: int, config: int) -> tuple[Floats, Floats]:
        """Return weights of all columns, (n_columns, n_outputs), and intercepts of one configuration."""
        rows, Z = np.flatnonzero(self.sets[number]), self._scaled(number)
        weights = np.zeros((len(self.XT), n_outputs(self.n_classes)))
        if not len(Z):
            return weights, self._nothing_known(rows)
        Z = np.ascontiguousarray(Z[:, rows])
        fits = self._fit(Z.T @ Z, rows, len(Z), self.options.configs[config : config + 1])
        keep = self.found.keep[number]
        weights[keep] = (Z @ fits.A[0].T) / self.found.deviation[number, keep, None]
        return weights, fits.b[0] - self.found.mean[number, keep] @ weights[keep]

    def _scaled(self, number: int) -> Floats:
        """Return the selected columns of all trials as the training set scales them: (n_selected, n_trials)."""
        columns = np.flatnonzero(self.found.keep[number])
        Z = np.take(self.XT, columns, axis=0)
        Z -= self.found.mean[number, columns, None]
        Z /= self.found.deviation[number, columns, None]
        return Z

    def _fit(self, K: Floats, rows: Ints, n_columns: int, configs: Sequence[float]) -> DualFits:
        part = TrainingProducts(np.ascontiguousarray(K), self.y[rows], self.n_classes, n_columns)
        return LINEAR[self.options.kind](part, configs)

    def _nothing_known(self, rows: Ints) -> Floats:
        """Return what is decided whatever the trial: for the most frequent class, or the mean label."""
        if not self.n_classes:
            return np.array([self.y[rows].mean()])
        most = int(np.bincount(self.y[rows]).argmax())
        values = np.zeros(n_outputs(self.n_classes))
        values[-1 if self.n_classes == 2 else most] = 1.0 if self.n_classes > 2 or most else -1.0
        return values


def _patterns(X: Floats, train: Bools, weights: Floats) -> Floats:
    """Return the patterns of `BinFit`: outputs of all outer folds by one product, and one more for all patterns.

    Outputs have mean 0 over the trials of a training set, and are 0 for others, so that columns need no mean of theirs.
    """
    centred = X - X.mean(axis=0)
    outputs = (centred @ weights.reshape(len(weights), -1)).reshape(len(X), *weights.shape[1:])
    inside = train.T[:, :, None]  # (n_trials, n_outer, 1)
    n_train = train.sum(axis=1)[:, None]
    outputs = np.where(inside, outputs - (outputs * inside).sum(axis=0) / n_train, 0.0)
    spread = (outputs**2).sum(axis=0)  # (n_outer, n_outputs)
    scaled = outputs / np.sqrt(np.where(spread > 0, spread, 1.0) * n_train)
    return np.asarray(centred.T @ scaled.mean(axis=1))

"""Maps of scores from stored votes, and what permuted labels make of them.

Every metric is a sum over trials of what each label would contribute, given what the decoders said: so maps of any
number of permutations of the labels are one product, and no decoder is asked again.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.ndimage import gaussian_filter
from scipy.stats import rankdata

from cortax.errors import StudyError, choices
from cortax.learning.arrays import Floats, Ints
from cortax.learning.search.spaces import content_seed
from cortax.learning.stats.permutations import permuted_rows
from cortax.workloads.decoding.store import Votes

__all__ = [
    "METRICS",
    "Contributions",
    "NullOptions",
    "SubjectMaps",
    "contributions",
    "label_shares",
    "score_maps",
    "subject_maps",
]


METRICS = ("balanced_accuracy", "accuracy", "roc_auc", "pearson_r", "r2")
# Predictions that differ by no more, relative to the largest, are constant.
_CONSTANT = 1e-12


@dataclass(frozen=True, eq=False)
class Contributions:
    """A metric as a sum: score = sum over trials of values[..., trial, label of trial] + offset.

    Of continuous labels: sum over trials of values[..., trial, 0] * (label of trial - mean label) + offset.

    Attributes
    ----------
    values : float64 array of shape (n_bins, n_bins, n_trials, n_classes or 1)
    offset : float64 array of shape () or (n_bins, n_bins)
    """

    values: Floats
    offset: Floats


def contributions(votes: Votes, y: Floats | Ints, metric: str) -> Contributions:
    """Return what each label of each trial adds to a metric.

    Parameters
    ----------
    votes : Votes
    y : int or float64 array of shape (n_trials,)
        Classes; only how many trials each has matters. Or continuous labels; only their mean and variance matter.
    metric : str
        "accuracy": mean share of a trial's votes that are right. "balanced_accuracy": the mean over classes of their
        means. "roc_auc": area under the ROC curve of mean decisions, by ranks (Mann and Whitney 1947); of several
        classes the mean over each against the rest. Of continuous labels "pearson_r", their correlation with mean
        predictions (0 where these are constant), and "r2", 1 - sum of (y - prediction)^2 / sum of (y - mean y)^2.

    Raises
    ------
    StudyError
        Unknown metric, or one of other labels.
    """
    if metric not in (known := METRICS[:3] if votes.classes else METRICS[3:]):
        raise StudyError(f"statistics.metric: {choices(metric, known)}")
    if not votes.classes:
        return _of_predictions(votes.decisions[..., 0].astype(np.float64), y.astype(np.float64), metric)
    n, n_classes = len(y), len(votes.classes)
    counts = np.bincount(y, minlength=n_classes).astype(np.float64)
    if metric == "accuracy":
        return Contributions(votes.votes / (votes.n_models * n), np.zeros(()))
    if metric == "balanced_accuracy":
        return Contributions(votes.votes / (votes.n_models * n_classes * counts), np.zeros(()))
    ranks = rankdata(votes.decisions, axis=2)  # (n_bins, n_bins, n_trials, n_outputs)
    if n_classes == 2:
        values = np.zeros((*ranks.shape[:3], 2))
        values[..., 1] = ranks[..., 0] / (counts[0] * counts[1])
        return Contributions(values, np.asarray(-(counts[1] + 1) / (2 * counts[0])))
    values = ranks / (n_classes * counts * (n - counts))
    return Contributions(values, -((counts + 1) / (2 * (n - counts))).mean())


def _of_predictions(predicted: Floats, y: Floats, metric: str) -> Contributions:
    """Return the contributions of predictions of shape (n_bins, n_bins, n_trials).

    With y and p less the mean of y, R2 = (2 sum(y p) - sum(p^2)) / sum(y^2).
    """
    total = ((y - y.mean()) ** 2).sum()
    if metric == "r2":
        around = predicted - y.mean()
        return Contributions(2 * around[..., None] / total, -(around**2).sum(axis=2) / total)
    around = predicted - predicted.mean(axis=2, keepdims=True)
    spread = np.sqrt((around**2).sum(axis=2, keepdims=True) * total)
    # What rounding leaves of constant predictions is nothing.
    varies = np.ptp(predicted, axis=2, keepdims=True) > _CONSTANT * np.abs(predicted).max(axis=2, keepdims=True)
    values = np.divide(around, spread, out=np.zeros_like(around), where=varies)
    return Contributions(values[..., None], np.zeros(()))


def label_shares(y: Floats | Ints, n_classes: int) -> Floats:
    """Return labels as `score_maps` takes them: 0 or 1 for each class, or numbers around their mean, (n_trials, 1)."""
    return np.asarray(np.eye(n_classes)[y] if n_classes else (y - y.mean())[:, None])


def score_maps(parts: Contributions, shares: Floats) -> Floats:
    """Return the maps of many labellings by one product.

    Parameters
    ----------
    parts : Contributions
    shares : float64 array of shape (n_labellings, n_trials, n_classes)
        Of each trial and class, how much of the label it is: 0 or 1; or probabilities, which give expected scores.
        See `label_shares` for continuous labels.

    Returns
    -------
    float64 array of shape (n_labellings, n_bins, n_bins)
    """
    n_bins = parts.values.shape[:2]
    flat = parts.values.reshape(n_bins[0] * n_bins[1], -1)
    return np.asarray((shares.reshape(len(shares), -1) @ flat.T).reshape(-1, *n_bins) + parts.offset)


@dataclass(frozen=True)
class NullOptions:
    """How votes become maps; see `DecodingStatistics`. `seed`: the study's."""

    metric: str
    smoothing: float
    permutations: int
    exchange: str
    seed: int


@dataclass(frozen=True, eq=False)
class SubjectMaps:
    """Maps of one subject.

    Attributes
    ----------
    observed : float64 array of shape (n_bins trained in, n_bins tested in)
        Smoothed scores less chance.
    chance : float64 array of the same shape
        The expected score, smoothed, if labels were exchangeable, given the votes: 1 / n_classes of balanced accuracy.
    permuted : float64 array of shape (n_permutations, n_bins, n_bins)
        Smoothed scores of permuted labels, less chance.
    """

    observed: Floats
    chance: Floats
    permuted: Floats


def subject_maps(votes: Votes, y: Floats | Ints, options: NullOptions, subject: str) -> SubjectMaps:
    """Score a subject's votes, and votes against permuted labels.

    Null: given what the decoders said, labels of trials are exchangeable, within runs where the study names them. It is
    exact in a phase that was not trained in. In the phase that was, labels had a part in the training of the other
    folds' decoders, and the test is approximate.

    Parameters
    ----------
    votes : Votes
    y : int or float64 array of shape (n_trials,)
        Classes, or continuous labels.
    options : NullOptions
    subject : str
        Permutations depend on it, their number and the seed, and are the same for all features and decoders.
    """
    parts = contributions(votes, y, options.metric)
    labels = label_shares(y, len(votes.classes))
    groups = np.asarray(votes.about.groups) if votes.about.groups else np.zeros(len(y), dtype=np.int64)
    exchange = options.exchange if votes.about.groups else "within-groups"
    seed = content_seed("labels", options.seed, subject)
    numbers = range(options.permutations)
    rows = permuted_rows(groups, np.ones(len(y), bool), numbers, exchange=exchange, seed=seed)
    chance = score_maps(parts, _expected_labels(labels, groups, exchange)[None])[0]
    observed = score_maps(parts, labels[None])[0]
    permuted = score_maps(parts, labels[rows])
    sigma = options.smoothing
    return SubjectMaps(
        gaussian_filter(observed - chance, sigma) if sigma else observed - chance,
        gaussian_filter(chance, sigma) if sigma else chance,
        gaussian_filter(permuted - chance, (0, sigma, sigma)) if sigma else permuted - chance,
    )


def _expected_labels(labels: Floats, groups: Sequence[str] | Ints, exchange: str) -> Floats:
    """Return the mean of each trial's label over all permutations that there can be."""
    codes = np.unique(np.asarray(groups), return_inverse=True)[1].ravel()
    expected = np.empty_like(labels)
    sizes = np.bincount(codes)
    for group in range(len(sizes)):
        inside = codes == group
        if exchange == "within-groups":
            expected[inside] = labels[inside].mean(axis=0)
        else:
            alike = [labels[codes == other] for other in np.flatnonzero(sizes == sizes[group])]
            expected[inside] = np.mean(alike, axis=0)
    return expected

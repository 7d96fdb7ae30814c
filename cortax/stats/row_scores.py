"""The metrics of `cortax.scores` for many targets at once, each with predictions of its own.

There a metric is of one target and many resamples of subjects; here each row is a target, such as a permuted one.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
from scipy.stats import rankdata

from cortax.errors import SearchError
from cortax.scores import get_metric

__all__ = ["ROWWISE", "score_rows"]

Floats = npt.NDArray[np.float64]

# A variance below this share of the squared range is rounding, as `cortax.scores` has it.
_ROUNDING = 1e-12


def score_rows(name: str, task: str, Y: Floats, predictions: Floats, labels: Floats) -> Floats:
    """Score predictions of many targets by one metric.

    Parameters
    ----------
    name, task : str
        See `get_metric`; a metric that is not in `ROWWISE` is computed row by row.
    Y : float64 array of shape (n_rows, n_subjects)
        The truth, classes as 0 and 1.
    predictions : float64 array of shape (n_rows, n_subjects)
        Values, or probabilities of class 1.
    labels : float64 array of shape (n_rows, n_subjects)
        Predicted classes; not looked at in regression.

    Returns
    -------
    float64 array of shape (n_rows,)
        NaN where the metric is undefined, or a prediction is not finite.

    Raises
    ------
    SearchError
        Unknown metric, or shapes disagree.
    """
    if Y.shape != predictions.shape or (task == "classification" and labels.shape != Y.shape):
        raise SearchError(f"Y {Y.shape}, predictions {predictions.shape} and labels {labels.shape} must be alike")
    metric = get_metric(name, task)
    found = np.full(len(Y), np.nan)
    finite = np.isfinite(predictions).all(axis=1)
    if not finite.any() or not Y.shape[1]:
        return found
    truth, predicted, classes = Y[finite], predictions[finite], labels[finite] if task == "classification" else labels
    if name in ROWWISE:
        found[finite] = ROWWISE[name](truth, classes if metric.needs == "label" else predicted)
        return found
    everyone = np.ones((1, Y.shape[1]))
    both = np.stack([predicted, classes], axis=1) if metric.needs == "both" else predicted
    values = [metric.function(y, given, everyone)[0] for y, given in zip(truth, both, strict=True)]
    found[finite] = values
    return found


def _ratio(above: Floats, below: Floats) -> Floats:
    return np.asarray(np.divide(above, below, out=np.full(above.shape, np.nan), where=below > 0))


def _moments(A: Floats, B: Floats) -> Floats:
    """Sums of products of deviations, of shape (n_rows,); exactly 0 where they are rounding."""
    found = ((A - A.mean(axis=1, keepdims=True)) * (B - B.mean(axis=1, keepdims=True))).sum(axis=1)
    scale = np.ptp(A, axis=1) * np.ptp(B, axis=1) * A.shape[1]
    return np.where((scale == 0) | (np.abs(found) <= _ROUNDING * scale), 0.0, found)


def _skill(error: Floats, total: Floats) -> Floats:
    return 1 - np.divide(error, total, out=np.where(error == 0, 0.0, 1.0), where=total > 0)


def _r2(Y: Floats, P: Floats) -> Floats:
    return _skill(((Y - P) ** 2).sum(axis=1), _moments(Y, Y))


def _explained_variance(Y: Floats, P: Floats) -> Floats:
    return _skill(_moments(Y - P, Y - P), _moments(Y, Y))


def _pearson_r(Y: Floats, P: Floats) -> Floats:
    spread = np.sqrt(_moments(Y, Y)) * np.sqrt(_moments(P, P))
    return np.where(spread == 0, 0.0, _ratio(_moments(Y, P), spread))


def _squared_error(Y: Floats, P: Floats) -> Floats:
    return np.asarray(((Y - P) ** 2).mean(axis=1))


def _absolute_error(Y: Floats, P: Floats) -> Floats:
    return np.asarray(np.abs(Y - P).mean(axis=1))


def _accuracy(Y: Floats, L: Floats) -> Floats:
    return np.asarray((Y == L).mean(axis=1))


def _counts(Y: Floats, L: Floats) -> tuple[Floats, Floats, Floats, Floats]:
    """True and false positives, true and false negatives."""
    cells = ((1, 1), (0, 1), (0, 0), (1, 0))
    tp, fp, tn, fn = ((np.equal(Y, truth) & np.equal(L, said)).sum(axis=1).astype(np.float64) for truth, said in cells)
    return tp, fp, tn, fn


def _balanced_accuracy(Y: Floats, L: Floats) -> Floats:
    tp, fp, tn, fn = _counts(Y, L)
    return (_ratio(tp, tp + fn) + _ratio(tn, tn + fp)) / 2


def _matthews(Y: Floats, L: Floats) -> Floats:
    tp, fp, tn, fn = _counts(Y, L)
    spread = np.sqrt(tp + fp) * np.sqrt(tn + fn) * np.sqrt(tp + fn) * np.sqrt(tn + fp)
    found = np.where(spread == 0, 0.0, _ratio(tp * tn - fp * fn, spread))
    return np.where((tp + fn > 0) & (tn + fp > 0), found, np.nan)


def _roc_auc(Y: Floats, P: Floats) -> Floats:
    n_ones = Y.sum(axis=1)
    above = (rankdata(P, axis=1) * Y).sum(axis=1) - n_ones * (n_ones + 1) / 2  # ties count half
    return _ratio(above, n_ones * (Y.shape[1] - n_ones))


def _average_precision(Y: Floats, P: Floats) -> Floats:
    order = np.argsort(-P, axis=1, kind="stable")
    hits = np.cumsum(np.take_along_axis(Y, order, axis=1), axis=1)
    # Of equal predictions all are above the threshold, or none.
    n_above = rankdata(-P, axis=1, method="max").astype(np.int64)
    precision = np.take_along_axis(hits, n_above - 1, axis=1) / n_above
    n_ones = Y.sum(axis=1)
    return np.where(n_ones < Y.shape[1], _ratio((precision * Y).sum(axis=1), n_ones), np.nan)


ROWWISE: dict[str, Callable[[Floats, Floats], Floats]] = {
    "r2": _r2,
    "explained_variance": _explained_variance,
    "pearson_r": _pearson_r,
    "mean_squared_error": _squared_error,
    "mean_absolute_error": _absolute_error,
    "roc_auc": _roc_auc,
    "average_precision": _average_precision,
    "brier_score": _squared_error,
    "matthews_corrcoef": _matthews,
    "balanced_accuracy": _balanced_accuracy,
    "accuracy": _accuracy,
}

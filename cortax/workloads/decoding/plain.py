"""The plain loop: scikit-learn fits every configuration on every fold. It is the oracle of the fast way, and the way of
any other estimator.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from sklearn.base import clone
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.dummy import DummyClassifier, DummyRegressor
from sklearn.feature_selection import SelectFpr, VarianceThreshold
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.multiclass import OneVsRestClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import LinearSVC

from cortax.errors import SearchError
from cortax.learning.arrays import Bools, Floats, Ints
from cortax.learning.folds import Folds
from cortax.learning.search.own import own_estimators
from cortax.workloads.decoding.bins import BinFit, DecoderOptions, choose_config, score_votes, skill
from cortax.workloads.decoding.folds import count_classes
from cortax.workloads.decoding.linear import n_outputs
from cortax.workloads.decoding.selection import f_test

__all__ = ["decision_values", "fit_bin_plainly", "make_estimator", "refit"]

# The classifiers' own defaults stop where decisions still move in the third digit.
_SVM = {"loss": "hinge", "tol": 1e-10, "max_iter": 2_000_000, "random_state": 0}
_LOGISTIC = {"tol": 1e-8, "max_iter": 100_000}


def make_estimator(options: DecoderOptions, config: Any) -> Any:
    """Return an unfitted estimator of a configuration: a number, or parameters of kind "sklearn"."""
    makers: dict[str, Callable[[], Any]] = {
        "svm": lambda: LinearSVC(C=config, **_SVM),
        "logistic": lambda: OneVsRestClassifier(LogisticRegression(C=config, **_LOGISTIC)),
        "lda": lambda: LinearDiscriminantAnalysis(solver="lsqr", shrinkage=config),
        "ridge": lambda: Ridge(alpha=config),
    }
    if options.kind in makers:
        return makers[options.kind]()
    own = own_estimators({"classification": options.estimator}, "decoders: estimator")
    return own["classification"](config, options.seed)


def refit(X: Floats, y: Floats | Ints, options: DecoderOptions, config: Any) -> tuple[Any, int]:
    """Fit a configuration to the trials of a training set, of shape (n_train, n_columns).

    Returns the fitted pipeline, and how many columns it selected; where that is none, it predicts the most frequent
    class, or the mean of continuous labels. What the estimator raises is raised.
    """
    steps = [VarianceThreshold(), *([SelectFpr(f_test(y), alpha=options.select)] if options.select else [])]
    kept, varies = X, np.ptp(X, axis=0) > 0
    n_selected = int(varies.sum())
    if options.select and n_selected:
        n_selected = int((f_test(y)(kept[:, varies], y)[1] < options.select).sum())
    if not n_selected:
        dummy = DummyClassifier(strategy="most_frequent") if count_classes(y) else DummyRegressor()
        return dummy.fit(X, y), 0
    return make_pipeline(*steps, StandardScaler(), clone(make_estimator(options, config))).fit(X, y), n_selected


def decision_values(model: Any, X: Floats, n_classes: int) -> Floats:
    """Return what a fitted decoder decides by, of shape (n_trials, n_outputs): decisions or else probabilities.

    Where there are no classes, predictions.
    """
    if not n_classes:
        return np.asarray(model.predict(X), dtype=np.float64)[:, None]
    if hasattr(model, "decision_function"):
        values = np.asarray(model.decision_function(X), dtype=np.float64)
        return values.reshape(len(X), -1)
    if hasattr(model, "predict_proba"):
        values = np.asarray(model.predict_proba(X), dtype=np.float64)
    else:
        values = (np.asarray(model.predict(X))[:, None] == np.arange(n_classes)).astype(np.float64)
    return values if n_outputs(n_classes) > 1 else values[:, 1:] - 0.5


def fit_bin_plainly(X: Floats, y: Floats | Ints, folds: Folds, options: DecoderOptions) -> BinFit:
    """Choose a configuration for each outer fold; see `fit_bin`. It keeps no weights: `refit` fits again.

    Raises
    ------
    SearchError
        No configuration could be fitted in an outer fold; the message is that of the first that failed.
    """
    n_outer, n_inner = folds.n_outer, folds.n_inner
    scores = np.full((n_outer, n_inner, len(options.configs)), np.nan)
    chosen, n_selected = np.empty(n_outer, dtype=np.int64), np.empty(n_outer, dtype=np.int64)
    n_empty, failure = 0, ""
    for outer, test in enumerate(folds.test):
        for inner, valid in enumerate(folds.valid[outer]):
            rows = ~test & ~valid
            of_inner, n_kept, why = _score_configs(X, y, rows, valid, options)
            scores[outer, inner], failure = of_inner, failure or why
            n_empty += n_kept == 0
        chosen[outer] = choose_config(scores[outer])
        if chosen[outer] < 0:
            raise SearchError(f"outer fold {outer}: no configuration could be fitted; the first failure: {failure}")
        _, n_selected[outer] = refit(X[~test], y[~test], options, options.configs[chosen[outer]])
        n_empty += int(n_selected[outer] == 0)
    n_out = n_outputs(count_classes(y))
    nothing = np.empty((0, n_outer, n_out)), np.empty((0, n_out)), np.empty((0, n_out))
    return BinFit(chosen, scores, n_selected, n_empty, *nothing)


def _score_configs(
    X: Floats, y: Floats | Ints, rows: Bools, valid: Bools, options: DecoderOptions
) -> tuple[Floats, int, str]:
    """Return scores of all configurations, NaN for those that fail; the columns selected; the first failure."""
    scores, n_kept, failure = np.full(len(options.configs), np.nan), -1, ""
    for number, config in enumerate(options.configs):
        try:
            model, n_kept = refit(X[rows], y[rows], options, config)
            predicted = np.asarray(model.predict(X[valid]))
            if count_classes(y):
                scores[number] = score_votes(predicted, y[valid].astype(np.int64), options.scoring)
            else:
                scores[number] = skill(predicted, y[valid].astype(np.float64))
        except MemoryError:
            raise
        except Exception as error:
            # Estimators raise whatever they like; a configuration that cannot be fitted is out.
            failure = failure or f"{config}: {type(error).__name__}: {error}"
    return scores, n_kept, failure

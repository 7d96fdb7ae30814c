"""Removal of confounds inside cross-validation, as a scikit-learn transformer."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt
from sklearn.base import BaseEstimator, OneToOneFeatureMixin, TransformerMixin
from sklearn.utils.validation import check_is_fitted, validate_data

from cortax.errors import FoldError
from cortax.learning.folds import Folds

__all__ = ["ConfoundRegressor", "check_rank"]

_ROUNDING = 1e-10


def check_rank(confounds: npt.NDArray[np.float64], folds: Folds) -> None:
    """Make sure that confounds leave something of the features in every training part.

    Parameters
    ----------
    confounds : float64 array of shape (n_subjects, n_confounds), without NaN
    folds : Folds

    Raises
    ------
    FoldError
        In an inner training part their rank is more than half the number of subjects: what is left of any feature
        then is mostly chance.
    """
    if not confounds.shape[1]:
        return
    for k, (test, valid) in enumerate(zip(folds.test, folds.valid, strict=True)):
        for i, held_out in enumerate(valid):
            part = confounds[~test & ~held_out]
            rank = int(np.linalg.matrix_rank(part - part.mean(axis=0)))
            if 2 * rank > len(part):
                raise FoldError(
                    f"outer fold {k}, inner fold {i}, train: {confounds.shape[1]} confounds of rank {rank} for "
                    f"{len(part)} subjects; at most half as many are allowed, {len(part) // 2}: more leave hardly "
                    "anything of the regions. Name fewer, or put categories together"
                )


class ConfoundRegressor(TransformerMixin, BaseEstimator):  # type: ignore[misc]
    """Replace features by what confounds do not explain of them.

    Each feature is regressed on the confounds, with an intercept, by ordinary least squares on the rows
    that `fit` sees; `transform` returns feature minus prediction, so training features have mean zero.
    Confounds that depend linearly on each other share the smallest coefficients that fit.

    Parameters
    ----------
    n_confounds : int, default=0
        X is [features | confounds]: its last `n_confounds` columns are the confounds, which `transform`
        drops. With 0, features pass through as they are.

    Attributes
    ----------
    coef_ : array of shape (n_confounds, n_features_out), float64
    intercept_ : array of shape (n_features_out,), float64
    explained_ : array of shape (n_features_out,), bool
        Features of which the confounds leave nothing but rounding; they become 0.
    """

    def __init__(self, n_confounds: int = 0) -> None:
        self.n_confounds = n_confounds

    def fit(self, X: npt.ArrayLike, y: Any = None) -> ConfoundRegressor:  # noqa: ARG002
        """Estimate coefficients from X of shape (n_subjects, n_features_out + n_confounds), without NaN."""
        data = validate_data(self, X, dtype=np.float64)
        if not 0 <= self.n_confounds < data.shape[1]:
            raise ValueError(
                f"n_confounds must be at least 0 and less than the {data.shape[1]} columns of X; got {self.n_confounds}"
            )
        features, confounds = self._parts(data)
        if self.n_confounds:
            centre, mean = confounds.mean(axis=0), features.mean(axis=0)
            # Only the part of rank: a column that repeats another must not blow up.
            self.coef_ = np.linalg.lstsq(confounds - centre, features - mean, rcond=None)[0]
            self.intercept_ = mean - centre @ self.coef_
            residuals = features - (confounds @ self.coef_ + self.intercept_)
            size = np.sqrt(np.mean(features**2, axis=0))
            # What is left of a constant or fully explained feature is rounding; a scaler would make noise of it.
            self.explained_ = np.sqrt(np.mean(residuals**2, axis=0)) <= _ROUNDING * size
        else:
            self.coef_ = np.zeros((0, features.shape[1]))
            self.intercept_ = np.zeros(features.shape[1])
            self.explained_ = np.zeros(features.shape[1], dtype=bool)
        return self

    def transform(self, X: npt.ArrayLike) -> npt.NDArray[np.float64]:
        """Return residual features of shape (n_subjects, n_features_out), float64."""
        check_is_fitted(self)
        features, confounds = self._parts(validate_data(self, X, dtype=np.float64, reset=False))
        if not self.n_confounds:
            return features
        residuals: npt.NDArray[np.float64] = features - (confounds @ self.coef_ + self.intercept_)
        residuals[:, self.explained_] = 0.0
        return residuals

    def get_feature_names_out(self, input_features: npt.ArrayLike | None = None) -> npt.NDArray[np.object_]:
        """Return the names of the features, without the confounds."""
        check_is_fitted(self)
        names = OneToOneFeatureMixin.get_feature_names_out(self, input_features)
        kept: npt.NDArray[np.object_] = names[: len(names) - self.n_confounds]
        return kept

    def _parts(self, data: npt.NDArray[np.float64]) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
        n_features = data.shape[1] - self.n_confounds
        return data[:, :n_features], data[:, n_features:]

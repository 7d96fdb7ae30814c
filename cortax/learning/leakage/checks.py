"""All guards against leakage on one pipeline and its data."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from cortax.learning.leakage.duplicates import LeakFinding, find_copies, find_duplicates
from cortax.learning.leakage.fitting import check_fit

__all__ = ["check_pipeline"]


def check_pipeline(
    pipeline: Any,
    X: npt.NDArray[np.float64],
    y: npt.NDArray[Any],
    groups: npt.ArrayLike | None = None,
    *,
    test: npt.NDArray[np.bool_] | None = None,
    columns: Sequence[str] | None = None,
    ids: Sequence[str] | None = None,
) -> list[LeakFinding]:
    """Look for every way in which this library knows held-out data to reach a model.

    Parameters
    ----------
    pipeline : estimator, or function (X, y) -> estimator
    X : float array of shape (n_subjects, n_features)
    y : array of shape (n_subjects,)
        Classes of any type, or values.
    groups : array of shape (n_subjects,), optional
        What a split does not divide, such as families.
    test : bool array of shape (n_subjects,), optional
        See `check_fit`.
    columns, ids : sequences of str, optional
        Names of features and subjects for the messages.

    Returns
    -------
    list of LeakFinding
        Each has `check` and `message`; none if the pipeline passes. See `check_fit`, `find_duplicates`, `find_copies`.

    Raises
    ------
    SearchError
        Shapes disagree.

    Examples
    --------
    >>> from sklearn.linear_model import Ridge
    >>> rng = np.random.default_rng(0)
    >>> X, y = rng.normal(size=(60, 5)), rng.normal(size=60)
    >>> cortax.check_pipeline(Ridge(), X, y)
    []
    >>> cortax.check_pipeline(lambda X, y: Ridge(alpha=abs(y.mean())), X, y)[0].check
    'fit'
    """
    names = [str(number) for number in range(X.shape[1])] if columns is None else list(columns)
    numbers = y.astype(np.float64) if y.dtype.kind in "fiub" else np.unique(y, return_inverse=True)[1].astype(float)
    return [
        *check_fit(pipeline, X, y, groups, test=test),
        *find_duplicates(X, groups, ids=ids),
        *find_copies(X, numbers[:, None], columns=names, names=["y"]),
    ]

"""The rows that a model was fitted on and those that it is tested on, as the model sees them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from sklearn.impute import SimpleImputer

from cortax.search.cells import Floats, Ints, Problem
from cortax.search.front import Front, fit_front

__all__ = ["Part", "make_part", "parts_of"]


@dataclass(frozen=True, eq=False)
class Part:
    """One outer fold, for all targets that are known for the same subjects.

    Attributes
    ----------
    train, test : int arrays
        Row numbers in the problem.
    front : Front
        Fitted on the training rows.
    X : float64 array of shape (n_train, n_regions)
        Imputed, without what confounds explain, scaled.
    X_test : float64 array of shape (n_test, n_regions)
        The test rows, transformed by what was fitted on the others.
    raw : float64 array of shape (n_test, n_regions)
        The test rows as they were measured; missing values are training medians.
    """

    train: Ints
    test: Ints
    front: Front
    X: Floats
    X_test: Floats
    raw: Floats

    @property
    def steps(self) -> Floats:
        """The measured test rows in the units of `X_test`: exchanging two values of one moves the other by as much."""
        found = self.raw / self.front.scale
        if self.front.regressor is not None:
            found[:, self.front.regressor.explained_] = 0.0
        return found


def parts_of(problem: Problem, targets: Sequence[int], outer: int) -> Iterator[tuple[list[int], Ints, Ints]]:
    """Yield targets that are known for the same subjects, and the rows that these train and test."""
    test = problem.folds.test[outer]
    groups: dict[bytes, list[int]] = {}
    for target in targets:
        groups.setdefault(np.packbits(np.isnan(problem.targets[:, target])).tobytes(), []).append(target)
    for group in groups.values():
        known = ~np.isnan(problem.targets[:, group[0]])
        yield group, np.flatnonzero(known & ~test), np.flatnonzero(known & test)


def make_part(problem: Problem, train: Ints, test: Ints) -> Part:
    """Fit the front end on some rows and transform these and others.

    Raises
    ------
    ValueError
        A value is infinite, or there is no row to fit on or to test.
    """
    front, X, X_test = fit_front(problem.regions, problem.confounds, train, test)
    raw = np.asarray(problem.regions[test], dtype=np.float64)
    if np.isnan(raw).any():
        imputer = SimpleImputer(strategy="median", keep_empty_features=True)
        imputer.fit(np.asarray(problem.regions[train], dtype=np.float64))
        raw = imputer.transform(raw)
    return Part(train, test, front, X, X_test, raw)

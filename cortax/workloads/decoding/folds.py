"""What labels are, and folds of trials: stratified by class, and never dividing a run or block."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from sklearn.model_selection import KFold, StratifiedKFold

from cortax.errors import FoldError
from cortax.learning.arrays import Bools, Floats, Ints
from cortax.learning.folds import Folds, check_folds, check_targets, make_folds
from cortax.learning.search.spaces import content_seed

__all__ = ["class_codes", "count_classes", "trial_folds", "trial_targets"]

# A float64 array is of continuous labels, an int array of classes.
Labels = Floats | Ints


def class_codes(labels: Sequence[str]) -> tuple[Ints, list[str]]:
    """Return the number of each label's class, int of shape (n_trials,), and the classes, sorted."""
    classes, codes = np.unique(np.asarray(labels), return_inverse=True)
    return codes.ravel().astype(np.int64), classes.tolist()


def trial_targets(labels: Sequence[str], *, continuous: bool) -> tuple[Labels, list[str]]:
    """Return labels as numbers, of shape (n_trials,), and the classes.

    Continuous labels are float64 and have no classes; others are the numbers of classes, see `class_codes`.
    """
    if continuous:
        return np.array([float(label) for label in labels]), []
    return class_codes(labels)


def count_classes(y: Labels) -> int:
    """Return how many classes there are: 0 where labels are continuous, which float64 says."""
    return 0 if y.dtype.kind == "f" else int(y.max()) + 1


# A parameter more than elsewhere: all of them say how to split.
def trial_folds(
    labels: Sequence[str],
    groups: Sequence[str],
    *,
    n_outer: int,
    n_inner: int,
    seed: int,
    subject: str,
    continuous: bool = False,
) -> Folds:
    """Split the trials of a subject into outer and inner folds.

    Parameters
    ----------
    labels : sequence of str, of length n_trials
    groups : sequence of str, of length n_trials
        Runs or blocks, which stay whole; empty if every trial stands for itself.
    n_outer, n_inner : int
    seed : int
        The study's; a subject's own seed comes of it and the subject's name.
    subject : str
    continuous : bool
        Whether labels are numbers: then folds are stratified by their quantiles if there are groups, and else by
        nothing.

    Raises
    ------
    FoldError
        A class has fewer trials than there are folds, or there are fewer groups; or a part of a fold lacks a class, or
        has only one label.
    """
    y, classes = trial_targets(labels, continuous=continuous)
    own = content_seed("decoding folds", seed, subject)
    if groups:
        folds = make_folds(np.asarray(groups), n_outer=n_outer, n_inner=n_inner, strata=y, seed=own)
    else:
        counts = np.array([len(y)]) if continuous else np.bincount(y)
        fewest = int(counts.min())
        if fewest < n_outer or fewest - -(-fewest // n_outer) < n_inner:
            which = "there are" if continuous else f"class {classes[int(counts.argmin())]!r} has"
            raise FoldError(
                f"subject {subject!r}: {which} {fewest} trials: too few for "
                f"search.n_outer = {n_outer} folds, and search.n_inner = {n_inner} folds of what is left of them"
            )
        folds = _apart(y, n_outer, n_inner, own)
    check_folds(folds, np.arange(len(y)) if not groups else np.asarray(groups))
    kinds = ["regression" if continuous else "classification"]
    check_targets(folds, y[:, None].astype(float), kinds=kinds, names=["label"], classes={"label": classes})
    return folds


def _apart(y: Labels, n_outer: int, n_inner: int, seed: int) -> Folds:
    """Folds within folds of trials that stand for themselves: they need no search for groups, which takes a second."""
    splitter = StratifiedKFold if count_classes(y) else KFold

    def split(rows: Ints, n_folds: int, number: int) -> list[Bools]:
        state = int(np.random.SeedSequence([seed, number]).generate_state(1)[0])
        parts = splitter(n_folds, shuffle=True, random_state=state).split(rows, y[rows])
        return [np.isin(np.arange(len(y)), rows[held_out]) for _, held_out in parts]

    test = split(np.arange(len(y)), n_outer, 0)
    valid = [split(np.flatnonzero(~part), n_inner, number) for number, part in enumerate(test, 1)]
    return Folds(np.array(test), np.array(valid), np.zeros(n_outer, dtype=np.int64))
